/* db_postgres.h - the parts of `aegis db` that speak to PostgreSQL. `url` is never shown. */
#ifndef AEGIS_COMMANDS_DB_POSTGRES_H
#define AEGIS_COMMANDS_DB_POSTGRES_H

#include "commands/app.h"

/* Each prints what it found or did and returns an exit status. */
int db_postgres_status(struct app *app, const char *url);
int db_postgres_migrate(struct app *app, const char *url, bool dry_run);
/* Migrates and prints nothing: how many migrations were applied, or an error. */
int db_postgres_apply(const char *url, int *applied);
int db_postgres_roles(struct app *app, const char *url, bool dry_run);

#endif
