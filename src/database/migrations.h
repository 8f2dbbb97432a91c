/*
 * migrations.h - the schema's versioned steps, embedded in the program at build time (embed.cmake).
 *
 * Recipe for changing the schema: add src/database/migrations/<engine>/NNNN_name.sql with the next
 * number. Never edit one that was released: its checksum is stored in every database it was applied
 * to, and a database whose checksum differs is refused.
 */
#ifndef AEGIS_DATABASE_MIGRATIONS_H
#define AEGIS_DATABASE_MIGRATIONS_H

#include <stddef.h>

struct migration {
    int version;      /* from 1, without gaps */
    const char *name; /* "0001_initial" */
    const char *sql;  /* NUL-terminated */
    size_t length;
};

/* In order of their versions. */
extern const struct migration migrations_sqlite[];
extern const size_t migrations_sqlite_count;
extern const struct migration migrations_postgres[];
extern const size_t migrations_postgres_count;

#endif
