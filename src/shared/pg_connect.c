#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/pg_internal.h"

/* pg_type.dat: these never change */
static const Oid fixed_types[PG_TYPES] = {
    [PG_INT8] = 20,
    [PG_BOOL] = 16,
    [PG_FLOAT8] = 701,
    [PG_TEXT] = 25,
    [PG_BYTEA] = 17,
    [PG_INT8_ARRAY] = 1016,
    [PG_FLOAT8_ARRAY] = 1022,
    [PG_TEXT_ARRAY] = 1009,
    [PG_BYTEA_ARRAY] = 1001,
    [PG_TSVECTOR] = 3614,
    [PG_TSVECTOR_ARRAY] = 3643,
};

/* ---- one host ---- */

/* Waits for what PQconnectPoll wants. */
static int wait_socket(PGconn *conn, PostgresPollingStatusType want, int64_t deadline_ms,
                       const struct cancel *cancel)
{
    for (;;) {
        if (cancel_requested(cancel))
            return error_set(ERR_CANCELLED, NULL, "cancelled while connecting");
        int64_t left = deadline_ms - clock_monotonic_ms();
        if (left <= 0)
            return ERR_TIMEOUT;
        struct pollfd fd = {.fd = PQsocket(conn),
                            .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int step = cancel && left > CANCEL_POLL_MS ? CANCEL_POLL_MS : (int)left;
        if (poll(&fd, 1, step) != 0)
            return OK;
    }
}

static int connect_one(const struct pg_pool *pool, int host, const struct cancel *cancel,
                       PGconn **out, bool *refused)
{
    struct pg_host hold;
    const char *values[PG_OPTIONS + 1];
    pg_url_host(&pool->url, host, &hold, values);
    int64_t deadline = clock_monotonic_ms() + pool->settings.connect_timeout_ms;
    PGconn *conn = PQconnectStartParams(pool->url.keywords, values, 0);
    if (!conn)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a database connection");
    PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* that of a connect tells its SQLSTATE this way */
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    int rc = OK;
    while (!rc && PQstatus(conn) != CONNECTION_BAD && status != PGRES_POLLING_OK &&
           status != PGRES_POLLING_FAILED) {
        rc = wait_socket(conn, status, deadline, cancel);
        if (!rc)
            status = PQconnectPoll(conn);
    }
    if (!rc && status == PGRES_POLLING_OK) {
        PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
        *out = conn;
        return OK;
    }
    if (rc == ERR_TIMEOUT)
        rc = pg_error_set(pool, "", "no answer in time");
    else if (!rc)
        rc = pg_error_of_connect(pool, PQerrorMessage(conn), refused);
    PQfinish(conn);
    return rc;
}

/* ---- the session ---- */

static const char SESSION[] =
    "SELECT pg_catalog.current_setting('server_version_num')::bigint, "
    "pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid()::bigint, e.extversion::text, "
    "v.oid::bigint, v.typarray::bigint, h.oid::bigint, h.typarray::bigint, "
    "pg_catalog.set_config('search_path', CASE WHEN n.nspname IS NULL OR n.nspname = $1 THEN "
    "pg_catalog.quote_ident($1) ELSE pg_catalog.quote_ident($1) || ', ' || "
    "pg_catalog.quote_ident(n.nspname) END || ', pg_temp', false), "
    "pg_catalog.set_config('statement_timeout', $2, false), "
    "pg_catalog.set_config('lock_timeout', $3, false), "
    "pg_catalog.set_config('idle_in_transaction_session_timeout', $4, false), "
    "pg_catalog.set_config('client_min_messages', 'warning', false) "
    "FROM (SELECT 1) one "
    "LEFT JOIN pg_catalog.pg_extension e ON e.extname = 'vector' "
    "LEFT JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
    "LEFT JOIN pg_catalog.pg_type v ON v.typname = 'vector' AND v.typnamespace = n.oid "
    "LEFT JOIN pg_catalog.pg_type h ON h.typname = 'halfvec' AND h.typnamespace = n.oid";

static const char *milliseconds(struct arena *arena, int64_t ms)
{
    return arena_printf(arena, "%lld", (long long)(ms < 0 ? 0 : ms));
}

/* "0.8.0" is 800. */
static int version_number(const char *text)
{
    int part[3] = {0};
    for (size_t i = 0; i < 3 && *text; i++) {
        part[i] = (int)strtol(text, (char **)&text, 10);
        text += *text == '.';
    }
    return part[0] * 10000 + part[1] * 100 + part[2];
}

static void read_session(struct pg *c, const struct pg_rows *rows)
{
    c->server.version = (int)pg_int(rows, 0, 0);
    c->server.in_recovery = pg_int(rows, 0, 1);
    c->server.pid = pg_int(rows, 0, 2);
    c->server.vector_version = version_number(pg_peek(rows, 0, 3));
    c->types[PG_VECTOR] = (Oid)pg_int(rows, 0, 4);
    c->types[PG_VECTOR_ARRAY] = (Oid)pg_int(rows, 0, 5);
    c->types[PG_HALFVEC] = (Oid)pg_int(rows, 0, 6);
    c->types[PG_HALFVEC_ARRAY] = (Oid)pg_int(rows, 0, 7);
    c->server.has_halfvec = c->types[PG_HALFVEC] != 0;
}

static int begin_session(struct pg *c)
{
    const struct pg_settings *s = &c->pool->settings;
    struct pg_rows rows = {0};
    struct arena arena;
    arena_init(&arena, 4096);
    const struct pg_value values[] = {P_TEXT(s->schema),
                                      P_TEXT(milliseconds(&arena, s->statement_timeout_ms)),
                                      P_TEXT(milliseconds(&arena, s->lock_timeout_ms)),
                                      P_TEXT(milliseconds(&arena, s->transaction_timeout_ms))};
    int rc = pg_query_once(c, &rows, SESSION, values, 4);
    if (!rc && rows.count == 1)
        read_session(c, &rows);
    pg_rows_free(&rows);
    arena_free(&arena);
    return rc;
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static int set_up(struct pg_pool *pool, PGconn *conn, struct pg **out)
{
    struct pg *c = calloc(1, sizeof *c);
    if (!c) {
        PQfinish(conn);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a database connection");
    }
    c->conn = conn;
    c->pool = pool;
    memcpy(c->types, fixed_types, sizeof c->types);
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    int rc = PQserverVersion(conn) < 130000
                 ? error_set(ERR_SYSTEMIC, "database_access",
                             "PostgreSQL '%s' is version %d: Aegis needs 13 or later",
                             pool->url.name, PQserverVersion(conn) / 10000)
                 : OK;
    if (!rc && (PQsetnonblocking(conn, 1) || !PQenterPipelineMode(conn)))
        rc = pg_error_of_connection(c);
    if (!rc)
        rc = begin_session(c);
    if (rc)
        pg_disconnect(c);
    else
        *out = c;
    return rc;
}

/* ---- all hosts, and another URL ---- */

/* A login with the URL number `changes`. */
struct login {
    unsigned changes;
    bool refused;
};

static int connect_any(struct pg_pool *pool, const struct cancel *cancel, PGconn **out,
                       struct login *login)
{
    int rc = ERR_SYSTEMIC;
    pthread_rwlock_rdlock(&pool->url_lock);
    *login = (struct login){.changes = pool->url_changes};
    for (int i = 0; i < pool->url.hosts && rc && rc != ERR_CANCELLED; i++)
        rc = connect_one(pool, i, cancel, out, &login->refused);
    pthread_rwlock_unlock(&pool->url_lock);
    return rc;
}

/* With url_lock held for writing. */
static bool take_url(struct pg_pool *pool, const char *text)
{
    struct pg_url fresh;
    if (pg_url_parse(text, &pool->settings, &fresh))
        return false;
    bool other = !pg_url_equal(&fresh, &pool->url);
    if (other) {
        pg_url_replace(&pool->url, &fresh);
        pool->url_changes++;
    }
    pg_url_free(&fresh);
    return other;
}

/* Whether there is another URL than the refused one, of somebody else's asking or of ours. Keeps
 * the last error. */
static bool url_changed(struct pg_pool *pool, const struct login *refused)
{
    const struct pg_url_source *source = &pool->settings.source;
    struct error kept = *error_last();
    char text[CAP_HTTP_URL + 1];
    pthread_rwlock_wrlock(&pool->url_lock);
    bool changed = pool->url_changes != refused->changes;
    if (!changed && !source->get(source->ctx, text, sizeof text))
        changed = take_url(pool, text);
    pthread_rwlock_unlock(&pool->url_lock);
    explicit_bzero(text, sizeof text);
    error_restore(&kept);
    return changed;
}

int pg_connect(struct pg_pool *pool, const struct cancel *cancel, struct pg **out)
{
    PGconn *conn = NULL;
    struct login login;
    int rc = connect_any(pool, cancel, &conn, &login);
    if (rc && login.refused && pool->settings.source.get && url_changed(pool, &login))
        rc = connect_any(pool, cancel, &conn, &login);
    return rc ? rc : set_up(pool, conn, out);
}

void pg_disconnect(struct pg *c)
{
    if (!c)
        return;
    PQfinish(c->conn);
    free(c->queue);
    free(c->scratch);
    free(c);
}

bool pg_ping(struct pg *c)
{
    struct error kept = *error_last();
    c->pinging = true;
    int rc = pg_sync(c, NULL, 0);
    c->pinging = false;
    error_restore(&kept);
    return rc == OK && !c->lost;
}
