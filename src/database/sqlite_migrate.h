/* sqlite_migrate.h - brings a database to this program's schema, or refuses it untouched. */
#ifndef AEGIS_DATABASE_SQLITE_MIGRATE_H
#define AEGIS_DATABASE_SQLITE_MIGRATE_H

#include "database/migrations.h"
#include "database/sqlite_connection.h"

/* Applies what is missing, all in one transaction. ERR_SCHEMA if the database has a version that is
 * not in the list, or one whose SQL was another (its SHA-256 is kept); nothing is written then. */
int sqlite_migrate(struct connection *c, const struct migration *migrations, size_t count,
                   int64_t now_ms);

#endif
