/* postgres_migrate_internal.h - what postgres_schema.c and postgres_migrate.c share. */
#ifndef AEGIS_DATABASE_POSTGRES_MIGRATE_INTERNAL_H
#define AEGIS_DATABASE_POSTGRES_MIGRATE_INTERNAL_H

#include "database/postgres_migrate.h"

int postgres_lowest_program(const struct migration *m);
int postgres_vector_number(const char *version); /* "0.8.0" is 800; 0 for "" */
/* As postgres_schema_read, without the judgement. */
int postgres_schema_load(struct pg *c, const struct migration *migrations, size_t count,
                         struct arena *arena, struct postgres_schema *out);
/* 0, or the error that postgres_schema_check returns. `name` is the database's, for people. */
int postgres_schema_judge(const char *name, const struct postgres_schema *s);

#endif
