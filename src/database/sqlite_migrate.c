#include "database/sqlite_migrate.h"

#include "shared/digest.h"
#include "shared/error.h"

static int check_one(struct connection *c, sqlite3_stmt *s, const struct migration *migrations,
                     size_t count)
{
    int64_t version = sql_int(s, 0);
    if (version < 1 || version > (int64_t)count)
        return error_set(ERR_SCHEMA, "schema_newer",
                         "'%s' has schema version %lld, this program knows up to %zu: use the "
                         "newer Aegis that wrote it",
                         c->path, (long long)version, count);
    const struct migration *m = &migrations[version - 1];
    struct digest d = digest_of(m->sql, m->length);
    const struct digest *stored = sqlite3_column_blob(s, 1);
    if (sqlite3_column_bytes(s, 1) == DIGEST_BYTES && digest_equal(stored, &d))
        return OK;
    return error_set(ERR_SCHEMA, "schema_checksum",
                     "'%s' was made by another migration %s than this program's: use the Aegis "
                     "that wrote it",
                     c->path, m->name);
}

/* *applied: the database's version, 0 for a new one. */
static int check(struct connection *c, const struct migration *migrations, size_t count,
                 int64_t *applied)
{
    int64_t exists;
    *applied = 0;
    int rc = SQL_NUMBER(c, &exists, 0, "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                        V_TEXT("schema_migrations"));
    if (rc || !exists)
        return rc;
    sqlite3_stmt *s;
    bool row = false;
    rc = sql_prepare(c, &s, "SELECT version, checksum FROM schema_migrations ORDER BY version DESC",
                     NULL, 0);
    while (!rc && !(rc = sql_next(c, s, &row)) && row) {
        rc = check_one(c, s, migrations, count);
        if (sql_int(s, 0) > *applied)
            *applied = sql_int(s, 0);
    }
    sql_drop(s);
    return rc;
}

static int apply(struct connection *c, const struct migration *m, int64_t now_ms)
{
    struct digest d = digest_of(m->sql, m->length);
    int rc = connection_exec(c, m->sql);
    if (!rc)
        rc = SQL_RUN(c, "INSERT INTO schema_migrations VALUES (?1, ?2, ?3, ?4)", V_INT(m->version),
                     V_TEXT(m->name), V_BLOB(d.bytes, DIGEST_BYTES), V_INT(now_ms));
    return rc ? error_prefix("migration %s", m->name) : OK;
}

static int apply_missing(struct connection *c, const struct migration *migrations, size_t count,
                         int64_t now_ms)
{
    int64_t applied;
    int rc = check(c, migrations, count, &applied); /* again: another process may have been first */
    if (!rc && applied == 0)
        rc = connection_exec(c, "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER "
                                "PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, "
                                "applied_ms INTEGER NOT NULL) STRICT");
    for (size_t i = (size_t)applied; !rc && i < count; i++)
        rc = apply(c, &migrations[i], now_ms);
    return rc;
}

int sqlite_migrate(struct connection *c, const struct migration *migrations, size_t count,
                   int64_t now_ms)
{
    int64_t applied;
    int rc = check(c, migrations, count, &applied);
    if (rc || applied == (int64_t)count)
        return rc;
    rc = connection_exec(c, "BEGIN IMMEDIATE");
    if (rc)
        return rc;
    rc = apply_missing(c, migrations, count, now_ms);
    if (!rc)
        rc = connection_exec(c, "COMMIT");
    if (rc && !sqlite3_get_autocommit(c->db))
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}
