#include <stdio.h>
#include <string.h>

#include "database/sqlite_internal.h"

enum { DAY_MS = 86400000, USAGE_ROWS = 100000 };

static int64_t day_of(int64_t ms)
{
    return ms >= 0 ? ms / DAY_MS : -((-ms + DAY_MS - 1) / DAY_MS);
}

/* ---- recording ---- */

enum { NO_MEDIUM = 0, NO_JOB = 0, NO_COLLECTION = 0 }; /* name_text of the last is "" */

static const char *const operation_names[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = "transcribe",
    [MODEL_SUMMARISE] = "summarise",
    [MODEL_EMBED] = "embed",
    [MODEL_ANSWER] = "answer",
};

static int write_call(struct transaction *tx, int64_t media_id, int64_t job_id,
                      const struct usage_sum *u, const struct model_call *call)
{
    return SQL_RUN(tx->c,
                   "INSERT INTO model_call VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
                   "?12, ?13, ?14, ?15)",
                   V_INT(media_id), V_INT(take_id(tx, NEXT_CALL)), V_INT(job_id), V_INT(tx->now_ms),
                   V_INT(u->collection), V_INT(u->provider), V_INT(u->model),
                   V_INT(call->operation), V_INT(call->input_tokens), V_INT(call->cached_tokens),
                   V_INT(call->output_tokens), V_INT(call->audio_ms), V_INT(call->cost_nanousd),
                   V_INT(call->duration_ms), V_INT(call->http_status));
}

static int write_one(struct transaction *tx, int64_t media_id, int64_t job_id, int64_t collection,
                     const struct model_call *call, struct call_sums *sums)
{
    bool priced = call->cost_nanousd >= 0;
    struct usage_sum u = {.day = day_of(tx->now_ms),
                          .collection = collection,
                          .operation = call->operation,
                          .calls = 1,
                          .input = call->input_tokens,
                          .cached = call->cached_tokens,
                          .output = call->output_tokens,
                          .audio = call->audio_ms,
                          .cost = priced ? call->cost_nanousd : 0,
                          .unpriced = !priced};
    int rc = name_id(tx->names, tx->c, call->provider, true, &u.provider);
    if (!rc)
        rc = name_id(tx->names, tx->c, call->model, true, &u.model);
    if (!rc)
        rc = write_call(tx, media_id, job_id, &u, call);
    sums->cost += u.cost;
    sums->unpriced += u.unpriced;
    return rc ? rc : usage_add(tx, &u);
}

int calls_write(struct transaction *tx, int64_t media_id, int64_t job_id, int64_t collection,
                const struct model_call *calls, size_t count, struct call_sums *sums)
{
    int rc = OK;
    *sums = (struct call_sums){0};
    for (size_t i = 0; !rc && i < count; i++)
        rc = write_one(tx, media_id, job_id, collection, &calls[i], sums);
    tx->ledger.value[TOTAL_COST] += sums->cost;
    tx->ledger.value[TOTAL_UNPRICED] += sums->unpriced;
    return rc;
}

int calls_record(struct transaction *tx, int64_t media_id, int64_t job_id,
                 const struct model_call *calls, size_t count)
{
    struct call_sums sums;
    struct facet facet;
    int64_t facet_row;
    if (!count)
        return OK;
    int rc = SQL_NUMBER(tx->c, &facet_row, 0, "SELECT facet_id FROM media WHERE media_id = ?1",
                        V_INT(media_id));
    if (!rc)
        rc = facet_get(tx->names, tx->c, facet_row, &facet);
    if (!rc)
        rc = calls_write(tx, media_id, job_id, facet.collection, calls, count, &sums);
    if (!rc)
        rc = SQL_RUN(tx->c,
                     "UPDATE media SET cost_nanousd = cost_nanousd + ?2, "
                     "unpriced_calls = unpriced_calls + ?3 WHERE media_id = ?1",
                     V_INT(media_id), V_INT(sums.cost), V_INT(sums.unpriced));
    return rc;
}

struct loose_calls {
    const struct model_call *calls;
    size_t count;
};

static int record_loose(struct transaction *tx, void *arg)
{
    const struct loose_calls *loose = arg;
    struct call_sums sums;
    return calls_write(tx, NO_MEDIUM, NO_JOB, NO_COLLECTION, loose->calls, loose->count, &sums);
}

int sqlite_calls_record(void *ctx, const struct model_call *calls, size_t count)
{
    struct store *s = ctx;
    struct loose_calls loose = {.calls = calls, .count = count};
    return count ? writer_run(&s->writer, record_loose, &loose) : OK;
}

/* ---- usage ---- */

/* Sums by day are enough unless media have to be told apart. */
static bool needs_calls(const struct media_filter *f, unsigned group_by)
{
    return (group_by & USAGE_BY_MEDIA) ||
           (f && (f->media_id || (f->kind && *f->kind) || (f->language && *f->language) ||
                  (f->prefix && *f->prefix)));
}

static int add_columns(struct filter_sql *q, unsigned group_by, bool calls)
{
    int rc = filter_text(q, "SELECT ");
    if (!rc)
        rc = filter_text(q, !(group_by & USAGE_BY_DAY) ? "-1, "
                            : calls                    ? "u.at_ms / 86400000, "
                                                       : "u.day, ");
    if (!rc)
        rc = filter_text(q, group_by & USAGE_BY_COLLECTION ? "u.collection_id, " : "0, ");
    if (!rc)
        rc = filter_text(q,
                         group_by & USAGE_BY_MEDIA ? "u.media_id, ifnull(m.key, ''), " : "0, '', ");
    if (!rc)
        rc = filter_text(q, group_by & USAGE_BY_MODEL ? "u.provider_id, u.model_id, u.operation, "
                                                      : "0, 0, -1, ");
    if (!rc)
        rc = filter_text(q, calls ? "count(*)" : "sum(u.calls)");
    if (!rc)
        rc = filter_text(q, ", sum(u.input_tokens), sum(u.cached_tokens), sum(u.output_tokens), "
                            "sum(u.audio_ms), ");
    if (!rc)
        rc = filter_text(q, calls ? "sum(max(u.cost_nanousd, 0)), sum(u.cost_nanousd < 0)"
                                  : "sum(u.cost_nanousd), sum(u.unpriced_calls)");
    if (!rc)
        rc = filter_text(q, calls ? " FROM model_call u "
                                    "LEFT JOIN media m ON m.media_id = u.media_id "
                                    "LEFT JOIN facet f ON f.facet_id = m.facet_id WHERE 1"
                                  : " FROM usage_day u WHERE 1");
    return rc;
}

static int add_days(struct filter_sql *q, const struct media_filter *f, bool calls)
{
    int rc = OK;
    if (f->since_ms) {
        rc = filter_text(q, calls ? " AND u.at_ms >= 86400000 * " : " AND u.day >= ");
        if (!rc)
            rc = filter_value(q, V_INT(day_of(f->since_ms)));
    }
    if (!rc && f->until_ms) { /* the whole day that until_ms cuts */
        rc = filter_text(q, calls ? " AND u.at_ms < 86400000 * " : " AND u.day < ");
        if (!rc)
            rc = filter_value(q, V_INT(day_of(f->until_ms - 1) + 1));
    }
    return rc;
}

/* The collection is the one at the time of the call; kind, language and prefix are the medium's. */
static int add_conditions(struct filter_sql *q, struct store *s, struct connection *c,
                          const struct media_filter *filter, bool calls)
{
    int64_t collection;
    if (!filter)
        return OK;
    int rc = add_days(q, filter, calls);
    if (!rc && filter->collection && *filter->collection) {
        rc = name_id(&s->names, c, filter->collection, false, &collection);
        q->nothing |= rc == ERR_NOT_FOUND;
        rc = rc == ERR_NOT_FOUND ? OK : rc;
        if (!rc)
            rc = filter_text(q, " AND u.collection_id = ");
        if (!rc)
            rc = filter_value(q, V_INT(collection));
    }
    struct media_filter media = *filter;
    media.collection = NULL;
    media.since_ms = media.until_ms = 0;
    return rc || !calls ? rc : filter_add(q, s, c, &media);
}

static void day_text(int64_t day, char out[16])
{
    char text[CLOCK_TEXT];
    clock_format(day * DAY_MS, text);
    snprintf(out, 16, "%.10s", day < 0 ? "" : text);
}

static int read_usage(struct store *s, struct connection *c, sqlite3_stmt *row, struct arena *arena,
                      struct usage_row *u)
{
    char day[16];
    int64_t operation = sql_int(row, 6);
    day_text(sql_int(row, 0), day);
    u->day = arena_strdup(arena, day);
    u->media_id = sql_int(row, 2);
    u->key = sql_text(row, 3, arena);
    u->operation = operation >= 0 && operation < MODEL_OPERATIONS ? operation_names[operation] : "";
    u->calls = sql_int(row, 7);
    u->input_tokens = sql_int(row, 8);
    u->cached_tokens = sql_int(row, 9);
    u->output_tokens = sql_int(row, 10);
    u->audio_ms = sql_int(row, 11);
    u->cost_nanousd = sql_int(row, 12);
    u->unpriced_calls = sql_int(row, 13);
    int rc = name_text(&s->names, c, sql_int(row, 1), arena, &u->collection);
    if (!rc)
        rc = name_text(&s->names, c, sql_int(row, 4), arena, &u->provider);
    if (!rc)
        rc = name_text(&s->names, c, sql_int(row, 5), arena, &u->model);
    return !rc && (!u->day || !u->key) ? ERR_NO_MEMORY : rc;
}

struct usage_list {
    struct usage_row *rows;
    size_t count, capacity;
};

static int grow_usage(struct usage_list *list, struct arena *arena)
{
    if (list->count < list->capacity)
        return OK;
    if (list->count == USAGE_ROWS)
        return error_set(ERR_TOO_LARGE, NULL,
                         "usage has more than %d rows: group by less, or filter", USAGE_ROWS);
    size_t capacity = list->capacity ? 2 * list->capacity : 32;
    capacity = capacity > USAGE_ROWS ? USAGE_ROWS : capacity;
    struct usage_row *rows = arena_array(arena, capacity, sizeof *rows);
    if (!rows)
        return ERR_NO_MEMORY;
    if (list->count)
        memcpy(rows, list->rows, list->count * sizeof *rows);
    list->rows = rows;
    list->capacity = capacity;
    return OK;
}

static int run_usage(struct store *s, struct connection *c, struct filter_sql *q,
                     struct arena *arena, struct usage_list *list)
{
    sqlite3_stmt *row;
    bool more;
    int rc = sql_prepare(c, &row, buffer_string(&q->sql), q->values, q->count);
    while (!rc && !(rc = sql_next(c, row, &more)) && more) {
        rc = grow_usage(list, arena);
        if (!rc)
            rc = read_usage(s, c, row, arena, &list->rows[list->count++]);
    }
    sql_drop(row);
    return rc;
}

int sqlite_usage(void *ctx, const struct media_filter *filter, unsigned group_by,
                 struct arena *arena, struct usage_row **out, size_t *count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    struct filter_sql q;
    struct usage_list list = {0};
    bool calls = needs_calls(filter, group_by);
    int rc = filter_begin(&q, "");
    if (!rc)
        rc = add_columns(&q, group_by, calls);
    if (!rc)
        rc = add_conditions(&q, s, &r->main, filter, calls);
    if (!rc) /* without a group there is one row, and none if there was no call */
        rc = filter_text(&q, " GROUP BY 1, 2, 3, 5, 6, 7 ORDER BY 1, 2, 3, 5, 6, 7");
    if (!rc && !q.nothing)
        rc = run_usage(s, &r->main, &q, arena, &list);
    filter_end(&q);
    reader_release(s, r);
    *out = list.rows;
    *count = list.count;
    return rc;
}

/* ---- totals, pause ---- */

int sqlite_totals(void *ctx, struct totals *out)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    int rc = sql_first(&r->main, &row, "SELECT * FROM ledger", NULL, 0);
    if (row) {
        *out = (struct totals){.media = sql_int(row, TOTAL_MEDIA + 2),
                               .published = sql_int(row, TOTAL_PUBLISHED + 2),
                               .chunks = sql_int(row, TOTAL_CHUNKS + 2),
                               .segments = sql_int(row, TOTAL_SEGMENTS + 2),
                               .results = sql_int(row, TOTAL_RESULTS + 2),
                               .cost_nanousd = sql_int(row, TOTAL_COST + 2),
                               .unpriced_calls = sql_int(row, TOTAL_UNPRICED + 2)};
        for (int i = 0; i < JOB_STATES; i++)
            out->jobs[i] = sql_int(row, TOTAL_JOBS + 2 + i);
    }
    sql_done(row);
    reader_release(s, r);
    return rc;
}

struct pause {
    const char *reason, *message;
};

/* Setting the same reason again keeps the time since when. */
static int pause_set(struct transaction *tx, void *arg)
{
    const struct pause *p = arg;
    return SQL_RUN(tx->c,
                   "UPDATE pipeline SET since_ms = CASE WHEN ?1 = '' THEN 0 WHEN reason = ?1 THEN "
                   "since_ms ELSE ?3 END, reason = ?1, message = ?2",
                   V_TEXT(p->reason), V_TEXT(p->message), V_INT(tx->now_ms));
}

int sqlite_pause_set(void *ctx, const char *reason, const char *message)
{
    struct store *s = ctx;
    struct pause p = {.reason = text_or_empty(reason), .message = text_or_empty(message)};
    return writer_run(&s->writer, pause_set, &p);
}

int sqlite_pause_get(void *ctx, struct arena *arena, const char **reason, const char **message,
                     int64_t *since_ms)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    sqlite3_stmt *row;
    *reason = *message = "";
    *since_ms = 0;
    int rc = sql_first(&r->main, &row, "SELECT reason, message, since_ms FROM pipeline", NULL, 0);
    if (row) {
        *reason = sql_text(row, 0, arena);
        *message = sql_text(row, 1, arena);
        *since_ms = sql_int(row, 2);
        if (!*reason || !*message)
            rc = ERR_NO_MEMORY;
    }
    sql_done(row);
    reader_release(s, r);
    return rc;
}
