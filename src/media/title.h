/* title.h - the title of a Markdown text: its front matter's, or its first heading. */
#ifndef AEGIS_MEDIA_TITLE_H
#define AEGIS_MEDIA_TITLE_H

#include <stddef.h>

enum { TITLE_LOOK = 4096 };

/* Keeps the first bytes of a text as it streams by. */
struct title_finder {
    size_t length;
    char text[TITLE_LOOK + 1];
};

void title_init(struct title_finder *t);
void title_feed(struct title_finder *t, const char *text, size_t length);

/* "title: ..." of YAML front matter ("---" lines), "title = ..." of TOML's ("+++"), else the first
 * ATX or setext heading of level one; "" if there is none. */
void title_of_markdown(struct title_finder *t, char *out, size_t capacity);

#endif
