/*
 * postgres_roles.h - least-privilege roles of a PostgreSQL database: groups without login, to be
 * granted to the logins of a deployment.
 *
 *   aegis_migrate  owns the schema: `aegis db migrate`
 *   aegis_ingest   records uploads and sends their jobs: `aegis add`, `watch`, `ingest-event`
 *   aegis_process  works on jobs and answers for them: `aegis serve`, `dead`, `reprocess`
 *   aegis_read     reads everything, and records what its own questions cost: `aegis search`, `ask`
 *
 * They are optional. The SQL is in migrations/postgres/roles.sql and grants.sql; migrating renews
 * the grants where the roles exist.
 */
#ifndef AEGIS_DATABASE_POSTGRES_ROLES_H
#define AEGIS_DATABASE_POSTGRES_ROLES_H

#include "shared/pg.h"

extern const char *const postgres_roles[]; /* their names, NULL at the end */

/* The SQL, for people who run it themselves. */
extern const char postgres_roles_sql[], postgres_grants_sql[];

/* Makes the missing roles, gives them the schema (if it exists) and their rights, in one
 * transaction. ERR_SYSTEMIC "database_access" if this login may not. */
int postgres_roles_make(struct pg *c);

/* Renews the rights in a transaction under way, if the roles exist. *done: they do. */
int postgres_grants_renew(struct pg *c, bool *done);

/* exists[i] and member[i] (is this login in it?) for postgres_roles[i]. */
int postgres_roles_read(struct pg *c, bool *exists, bool *member);

#endif
