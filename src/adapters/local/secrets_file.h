/*
 * secrets_file.h - secrets from a file, or from a folder with a file for each.
 *
 *   a file     lines "name = value"; empty lines and those that begin with # or ; are comments; the
 *              value may stand in double quotes
 *   a folder   the file "name" holds the value, one newline at its end left off (systemd's
 *              $CREDENTIALS_DIRECTORY, secrets mounted into a container)
 *
 * Everything is read anew on each get, so a secret that was replaced is seen at once. What other
 * users could read is refused: the file must have mode 0600 or stricter, or be in a folder that
 * only its owner can enter.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_SECRETS_FILE_H
#define AEGIS_ADAPTERS_LOCAL_SECRETS_FILE_H

#include "ports/secret_source.h"

enum { SECRET_NAME = 64 };

/* The path need not exist: then there are no secrets in it. ERR_NO_MEMORY. get: ERR_SYSTEMIC with
 * reason "secrets_exposed" (readable by others; the text says how to mend it) or
 * "secrets_unreadable". */
int file_secrets_open(const char *path, struct secret_source *out);

/* Asks each source in turn until one has the secret; only ERR_NOT_FOUND goes on to the next. Takes
 * the sources over: they are closed with it, or at once if this fails with ERR_NO_MEMORY. */
int chained_secrets_open(const struct secret_source *sources, size_t count,
                         struct secret_source *out);

/* Names are 1 to SECRET_NAME letters, digits and "_". 0 or ERR_INVALID. */
int secret_name_check(const char *name);

#endif
