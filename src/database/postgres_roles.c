#include "database/postgres_roles.h"

#include <string.h>

#include "shared/error.h"

const char *const postgres_roles[] = {"aegis_migrate", "aegis_ingest", "aegis_process",
                                      "aegis_read", NULL};

enum { ROLES = sizeof postgres_roles / sizeof postgres_roles[0] - 1 };

int postgres_roles_read(struct pg *c, bool *exists, bool *member)
{
    static const char READ[] =
        "SELECT r.oid IS NOT NULL, coalesce(pg_catalog.pg_has_role(r.oid, 'MEMBER'), false) "
        "FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS n(name, i) "
        "LEFT JOIN pg_catalog.pg_roles r ON r.rolname = n.name ORDER BY n.i";
    struct pg_rows rows = {0};
    int rc = PG_QUERY(c, &rows, READ, P_TEXTS(postgres_roles, ROLES));
    for (int i = 0; i < ROLES; i++) {
        exists[i] = i < rows.count && pg_int(&rows, i, 0);
        member[i] = i < rows.count && pg_int(&rows, i, 1);
    }
    pg_rows_free(&rows);
    return rc;
}

static int all_exist(struct pg *c, bool *out)
{
    bool exists[ROLES], member[ROLES];
    int rc = postgres_roles_read(c, exists, member);
    *out = !rc;
    for (int i = 0; i < ROLES; i++)
        *out &= exists[i];
    return rc;
}

int postgres_grants_renew(struct pg *c, bool *done)
{
    int rc = all_exist(c, done);
    if (!rc && *done)
        rc = pg_script(c, postgres_grants_sql);
    return rc ? error_prefix("while granting the roles their rights") : OK;
}

static int make(struct pg *c, void *arg)
{
    int64_t schema = 0;
    (void)arg;
    int rc = pg_script(c, postgres_roles_sql);
    if (!rc)
        rc = pg_number(c, &schema, 0,
                       "SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = "
                       "pg_catalog.to_regnamespace('aegis') AND relname = 'schema_migration'",
                       NULL, 0);
    if (!rc && schema)
        rc = pg_script(c, postgres_grants_sql);
    return rc ? error_prefix("while making the roles") : OK;
}

int postgres_roles_make(struct pg *c)
{
    return pg_transaction_on(c, PG_READ_WRITE, make, NULL);
}
