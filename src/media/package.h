/* package.h - a ZIP archive read member by member, with caps (libzip over a descriptor). */
#ifndef AEGIS_MEDIA_PACKAGE_H
#define AEGIS_MEDIA_PACKAGE_H

#include <stddef.h>
#include <stdint.h>

struct package;
struct member;

int package_open(int fd, struct package **out); /* "unreadable" */
void package_close(struct package *package);

/* ERR_NOT_FOUND (no text is set), "password_protected", "archive_bomb", "unreadable". */
int member_open(struct package *package, const char *name, struct member **out);
void member_close(struct member *member);

/* The number of bytes, 0 at the end, -1 with an error set: "archive_bomb" past CAP_ARCHIVE_MEMBER
 * or beyond a ratio that documents do not reach, "unreadable". */
int member_read(struct member *member, char *bytes, int capacity);

#endif
