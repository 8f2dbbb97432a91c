/*
 * Statements and pipelines. A connection stays in libpq's pipeline mode; each message sent has an
 * entry in `queue`, and its answers come in that order up to the one of the sync.
 */
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/pg_internal.h"

/* ---- waiting ---- */

static int64_t silence_limit(const struct pg *c)
{
    int64_t limit = c->pool->settings.statement_timeout_ms;
    if (c->pinging)
        return c->pool->settings.connect_timeout_ms;
    return limit < 0 ? INT64_MAX : limit + c->pool->settings.grace_ms;
}

static int silent(struct pg *c, int64_t limit)
{
    c->lost = true;
    c->sqlstate[0] = '\0';
    return error_set(ERR_SYSTEMIC, "database_unreachable",
                     "cannot reach PostgreSQL '%s': no answer for %lld s; work goes on by itself "
                     "when it is back",
                     c->pool->url.name, (long long)(limit / 1000));
}

/* What fails here is told by PQgetResult, which first reads what the server said before. */
int pg_wait_result(struct pg *c)
{
    int64_t limit = silence_limit(c), heard = clock_monotonic_ms();
    while (PQisBusy(c->conn)) {
        int unsent = PQflush(c->conn);
        if (unsent < 0)
            return OK;
        int64_t left = limit == INT64_MAX ? 60000 : heard + limit - clock_monotonic_ms();
        if (left <= 0)
            return silent(c, limit);
        struct pollfd fd = {.fd = PQsocket(c->conn),
                            .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
        if (fd.fd < 0)
            return OK;
        if (poll(&fd, 1, (int)(left < 60000 ? left : 60000)) <= 0)
            continue;
        heard = clock_monotonic_ms();
        if ((fd.revents & ~POLLOUT) && !PQconsumeInput(c->conn))
            return OK;
    }
    return OK;
}

/* ---- the queue ---- */

static int push(struct pg *c, struct pg_queued entry)
{
    if (c->queue_count == c->queue_capacity) {
        size_t capacity = c->queue_capacity ? 2 * c->queue_capacity : PG_QUEUE_FIRST;
        struct pg_queued *queue = realloc(c->queue, capacity * sizeof *queue);
        if (!queue)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu statements", capacity);
        c->queue = queue;
        c->queue_capacity = capacity;
    }
    c->queue[c->queue_count++] = entry;
    return OK;
}

/* Sent without the queue knowing would mix up all answers that follow. */
static int sent(struct pg *c, int ok)
{
    if (ok)
        return OK;
    c->queue_count--;
    return pg_error_of_connection(c);
}

static int send_text(struct pg *c, const char *sql, struct pg_queued entry)
{
    int rc = push(c, entry);
    return rc ? rc : sent(c, PQsendQueryParams(c->conn, sql, 0, NULL, NULL, NULL, NULL, 1));
}

static int send_begin(struct pg *c)
{
    static const struct pg_queued setup = {.kind = QUEUED_SETUP};
    c->begin_waits = false;
    int rc = send_text(
        c, c->flags & PG_SNAPSHOT ? "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY" : "BEGIN",
        setup);
    if (!rc && (c->flags & PG_NOT_DURABLE))
        rc = send_text(c, "SET LOCAL synchronous_commit TO off", setup);
    return rc;
}

int pg_send_commit(struct pg *c)
{
    return send_text(c, "COMMIT", (struct pg_queued){.kind = QUEUED_COMMIT});
}

/* ---- prepared statements ---- */

static uint64_t types_digest(const struct pg_encoded *e, size_t count)
{
    uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        digest = (digest ^ e->types[i]) * 0x100000001b3u;
    return digest;
}

/* The statement's slot; -1: it is run without one. */
static int slot_for(struct pg *c, const char *sql, uint64_t types)
{
    size_t at = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15u >> 56;
    for (size_t probe = 0; probe < PG_SLOTS; probe++, at++) {
        struct pg_slot *slot = &c->slots[at % PG_SLOTS];
        if (slot->sql == sql)
            return slot->types == types ? (int)(at % PG_SLOTS) : -1;
        if (!slot->sql) {
            *slot = (struct pg_slot){.sql = sql, .types = types};
            return (int)(at % PG_SLOTS);
        }
    }
    return -1;
}

static int send_prepared(struct pg *c, int slot, const struct pg_encoded *e, size_t count)
{
    char name[16];
    int rc = OK;
    snprintf(name, sizeof name, "s%d", slot);
    if (c->slots[slot].state == SLOT_EMPTY) {
        rc = push(c, (struct pg_queued){.kind = QUEUED_PREPARE, .slot = slot});
        if (!rc)
            rc = sent(c, PQsendPrepare(c->conn, name, c->slots[slot].sql, (int)count, e->types));
        if (!rc)
            c->slots[slot].state = SLOT_SENT;
    }
    if (!rc)
        rc = push(c, (struct pg_queued){.kind = QUEUED_STATEMENT});
    return rc ? rc
              : sent(c, PQsendQueryPrepared(c->conn, name, (int)count, e->values, e->lengths,
                                            e->formats, 1));
}

static int send_once(struct pg *c, const char *sql, const struct pg_encoded *e, size_t count)
{
    int rc = push(c, (struct pg_queued){.kind = QUEUED_STATEMENT});
    return rc ? rc
              : sent(c, PQsendQueryParams(c->conn, sql, (int)count, e->types, e->values, e->lengths,
                                          e->formats, 1));
}

static int gone(struct pg *c)
{
    return error_set(ERR_SYSTEMIC, "database_unreachable",
                     "the connection to PostgreSQL '%s' was lost before", c->pool->url.name);
}

static int queue_statement(struct pg *c, const char *sql, const struct pg_value *values,
                           size_t count, bool once)
{
    struct pg_encoded e;
    if (c->pending)
        return error_restore(&c->pending_error);
    int rc = c->lost ? gone(c) : pg_encode(c, values, count, &e);
    if (!rc && c->begin_waits)
        rc = send_begin(c);
    int slot = rc || once ? -1 : slot_for(c, sql, types_digest(&e, count));
    if (!rc)
        rc = slot >= 0 ? send_prepared(c, slot, &e, count) : send_once(c, sql, &e, count);
    c->statements++;
    if (rc) {
        c->pending = rc;
        c->pending_error = *error_last();
        c->failed = (int)c->statements - 1;
    }
    return rc;
}

int pg_send(struct pg *c, const char *sql, const struct pg_value *values, size_t count)
{
    return queue_statement(c, sql, values, count, false);
}

int pg_send_once(struct pg *c, const char *sql, const struct pg_value *values, size_t count)
{
    return queue_statement(c, sql, values, count, true);
}

/* ---- answers ---- */

struct collecting {
    struct pg_rows *rows;
    size_t first, count;
    size_t at;        /* in the queue */
    size_t statement; /* number of the pg_send that comes next */
    int rc;
};

static bool succeeded(ExecStatusType status)
{
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

static void fail(struct pg *c, struct collecting *g, const PGresult *result,
                 const struct pg_queued *entry)
{
    if (g->rc)
        return;
    g->rc = pg_error_of_result(c, result);
    bool own = entry && (entry->kind == QUEUED_STATEMENT || entry->kind == QUEUED_PREPARE);
    c->failed = own ? (int)g->statement : -1;
}

/* COMMIT of a transaction that has failed is answered by a rollback, not by an error. */
static void check_commit(struct pg *c, struct collecting *g, PGresult *result)
{
    if (!g->rc && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        g->rc = error_set(ERR_TRANSIENT, "database_conflict",
                          "PostgreSQL '%s' rolled a transaction back: it is tried again",
                          c->pool->url.name);
        c->failed = -1;
    }
}

/* Takes the result over if its rows are wanted. */
static bool keep(struct collecting *g, PGresult *result)
{
    if (g->statement < g->first || g->statement - g->first >= g->count)
        return false;
    g->rows[g->statement - g->first] = (struct pg_rows){
        .result = pg_result_of(result),
        .count = PQntuples(result),
        .affected = strtoll(PQcmdTuples(result), NULL, 10),
    };
    return true;
}

static void take_answer(struct pg *c, struct collecting *g, PGresult *result)
{
    struct pg_queued *entry = g->at < c->queue_count ? &c->queue[g->at++] : NULL;
    bool ok = succeeded(PQresultStatus(result)), kept = false;
    if (PQresultStatus(result) != PGRES_PIPELINE_ABORTED && !ok)
        fail(c, g, result, entry);
    if (entry && entry->kind == QUEUED_PREPARE)
        c->slots[entry->slot].state = ok ? SLOT_READY : SLOT_EMPTY;
    if (entry && entry->kind == QUEUED_COMMIT && ok)
        check_commit(c, g, result);
    if (entry && entry->kind == QUEUED_STATEMENT) {
        kept = ok && keep(g, result);
        g->statement++;
    }
    if (!kept)
        PQclear(result);
}

/* Reads up to the answer of the sync. Between two results libpq gives NULL. */
static void read_answers(struct pg *c, struct collecting *g)
{
    int nothing = 0;
    for (;;) {
        int rc = pg_wait_result(c);
        PGresult *result = rc ? NULL : PQgetResult(c->conn);
        if (result && PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            return;
        }
        if (result)
            take_answer(c, g, result);
        nothing = result ? 0 : nothing + 1;
        if (!rc && PQstatus(c->conn) != CONNECTION_BAD && nothing < 4)
            continue;
        if (!g->rc)
            g->rc = rc ? rc : pg_error_of_connection(c);
        c->lost = true;
        return;
    }
}

/* Outside of a transaction what was queued before would be committed by a sync: the connection is
 * given up instead, which undoes it. */
static int refuse_pending(struct pg *c)
{
    int rc = error_restore(&c->pending_error);
    c->pending = OK;
    c->lost |= !c->in_transaction;
    return rc;
}

static void forget_queue(struct pg *c)
{
    for (size_t i = 0; i < c->queue_count; i++)
        if (c->queue[i].kind == QUEUED_PREPARE && c->slots[c->queue[i].slot].state == SLOT_SENT)
            c->slots[c->queue[i].slot].state = SLOT_EMPTY;
    c->queue_count = c->statements = 0;
}

int pg_collect(struct pg *c, struct pg_rows *rows, size_t first, size_t count)
{
    struct collecting g = {.rows = rows, .first = first, .count = count};
    if (count)
        memset(rows, 0, count * sizeof *rows);
    if (c->pending)
        return refuse_pending(c);
    c->failed = -1;
    c->sqlstate[0] = '\0';
    if (c->lost)
        g.rc = gone(c);
    else if (!PQpipelineSync(c->conn))
        g.rc = pg_error_of_connection(c);
    else
        read_answers(c, &g);
    forget_queue(c);
    if (g.rc) {
        struct error kept = *error_last();
        pg_rows_free_all(rows, count);
        error_restore(&kept);
    }
    return g.rc;
}

int pg_sync(struct pg *c, struct pg_rows *rows, size_t count)
{
    return pg_collect(c, rows, 0, count);
}

int pg_failed(const struct pg *c)
{
    return c->failed;
}

size_t pg_queued(const struct pg *c)
{
    return c->statements;
}

const char *pg_sqlstate(const struct pg *c)
{
    return c->sqlstate;
}

const struct pg_server *pg_server(const struct pg *c)
{
    return &c->server;
}

const char *pg_name(const struct pg *c)
{
    return pg_pool_name(c->pool);
}

/* ---- single statements ---- */

static int run(struct pg *c, struct pg_rows *rows, const char *sql, const struct pg_value *values,
               size_t count, bool once)
{
    size_t number = c->statements;
    queue_statement(c, sql, values, count, once); /* pg_collect tells its error */
    return pg_collect(c, rows, number, rows ? 1 : 0);
}

int pg_query(struct pg *c, struct pg_rows *rows, const char *sql, const struct pg_value *values,
             size_t count)
{
    return run(c, rows, sql, values, count, false);
}

int pg_query_once(struct pg *c, struct pg_rows *rows, const char *sql,
                  const struct pg_value *values, size_t count)
{
    return run(c, rows, sql, values, count, true);
}

int pg_number(struct pg *c, int64_t *out, int64_t fallback, const char *sql,
              const struct pg_value *values, size_t count)
{
    struct pg_rows rows = {0};
    int rc = pg_query(c, &rows, sql, values, count);
    *out = !rc && rows.count && !pg_is_null(&rows, 0, 0) ? pg_int(&rows, 0, 0) : fallback;
    pg_rows_free(&rows);
    return rc;
}

/* ---- scripts ---- */

static int line_of(const char *sql, const PGresult *result)
{
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    long at = position ? strtol(position, NULL, 10) : 0;
    int line = 1;
    for (const char *p = sql; at > 1 && *p; p++) {
        line += *p == '\n';
        at -= (*p & 0xc0) != 0x80; /* counted in characters */
    }
    return position ? line : 0;
}

static int read_script(struct pg *c, const char *sql)
{
    int rc = OK;
    for (;;) {
        int waited = pg_wait_result(c);
        PGresult *result = waited ? NULL : PQgetResult(c->conn);
        if (!result)
            return rc ? rc : waited;
        if (!rc && !succeeded(PQresultStatus(result))) {
            int line = line_of(sql, result);
            rc = pg_error_of_result(c, result);
            if (line)
                rc = error_prefix("line %d", line);
        }
        PQclear(result);
        if (PQstatus(c->conn) == CONNECTION_BAD) {
            c->lost = true;
            return rc ? rc : pg_error_of_connection(c);
        }
    }
}

int pg_script(struct pg *c, const char *sql)
{
    int rc = c->lost ? gone(c) : OK;
    if (!rc && c->begin_waits)
        rc = send_begin(c);
    if (!rc && (c->queue_count || c->pending))
        rc = pg_sync(c, NULL, 0);
    if (rc)
        return rc;
    c->sqlstate[0] = '\0';
    if (!PQexitPipelineMode(c->conn) || !PQsendQuery(c->conn, sql))
        return pg_error_of_connection(c);
    rc = read_script(c, sql);
    if (!c->lost && !PQenterPipelineMode(c->conn))
        c->lost = true;
    return rc;
}
