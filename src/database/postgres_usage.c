/* Money and totals. */
#include <stdio.h>
#include <string.h>

#include "database/postgres_query.h"

enum { DAY_MS = 86400000, USAGE_ROWS = 100000 };

static int64_t day_of(int64_t ms)
{
    return ms >= 0 ? ms / DAY_MS : -((-ms + DAY_MS - 1) / DAY_MS);
}

static const char *const operation_names[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = "transcribe",
    [MODEL_SUMMARISE] = "summarise",
    [MODEL_EMBED] = "embed",
    [MODEL_ANSWER] = "answer",
};

/* ---- usage ---- */

/* Sums by day are enough unless media have to be told apart. */
static bool needs_calls(const struct media_filter *f, unsigned group_by)
{
    return (group_by & USAGE_BY_MEDIA) ||
           (f && (f->media_id || (f->kind && *f->kind) || (f->language && *f->language) ||
                  (f->prefix && *f->prefix)));
}

/* What a call and a day's sum are told apart by. */
static void add_groups(struct query_sql *q, unsigned group_by, bool calls)
{
    query_text(q, !(group_by & USAGE_BY_DAY) ? "SELECT -1::bigint, "
                  : calls                    ? "SELECT floor(u.at_ms / 86400000.0)::bigint, "
                                             : "SELECT u.day::bigint, ");
    query_text(q, group_by & USAGE_BY_COLLECTION ? "u.collection, " : "''::text, ");
    query_text(q, group_by & USAGE_BY_MEDIA ? "u.media_id, coalesce(m.key, ''), "
                                            : "0::bigint, ''::text, ");
    query_text(q, group_by & USAGE_BY_MODEL ? "u.provider, u.model, u.operation::bigint, "
                                            : "''::text, ''::text, -1::bigint, ");
}

static void add_sums(struct query_sql *q, bool calls)
{
    query_text(q, calls ? "count(*)" : "sum(u.calls)::bigint");
    query_text(q, ", sum(u.input_tokens)::bigint, sum(u.cached_tokens)::bigint, "
                  "sum(u.output_tokens)::bigint, sum(u.audio_ms)::bigint, ");
    query_text(q, calls ? "sum(greatest(u.cost_nanousd, 0))::bigint, "
                          "count(*) FILTER (WHERE u.cost_nanousd < 0) FROM model_call u "
                          "LEFT JOIN media m ON m.media_id = u.media_id WHERE true"
                        : "sum(u.cost_nanousd)::bigint, sum(u.unpriced_calls)::bigint "
                          "FROM usage_day u WHERE true");
}

/* Whole days: also that which until_ms cuts. */
static void add_days(struct query_sql *q, const struct media_filter *f, bool calls)
{
    int64_t unit = calls ? DAY_MS : 1;
    if (f->since_ms)
        query_both(
            q, calls ? " AND u.at_ms >= " : " AND u.day >= ", P_INT(day_of(f->since_ms) * unit));
    if (f->until_ms)
        query_both(q, calls ? " AND u.at_ms < " : " AND u.day < ",
                   P_INT((day_of(f->until_ms - 1) + 1) * unit));
}

/* The collection is the one at the time of the call; kind, language and prefix are the medium's. */
static void add_conditions(struct query_sql *q, const struct media_filter *filter, bool calls)
{
    if (!filter)
        return;
    add_days(q, filter, calls);
    if (filter->collection && *filter->collection) {
        q->nothing |= !text_valid(filter->collection);
        query_both(q, " AND u.collection = ", P_TEXT(filter->collection));
    }
    struct media_filter media = *filter;
    media.collection = NULL;
    media.since_ms = media.until_ms = 0;
    if (calls)
        query_add_filter(q, &media);
}

/* Without a group there is one row, and none if there was no call. A day's sum may stand at 0. */
static void write_usage(struct query_sql *q, const struct media_filter *filter, unsigned group_by)
{
    bool calls = needs_calls(filter, group_by);
    query_begin(q, "");
    add_groups(q, group_by, calls);
    add_sums(q, calls);
    add_conditions(q, filter, calls);
    query_text(q, " GROUP BY 1, 2, 3, 4, 5, 6, 7");
    query_text(q, calls ? "" : " HAVING sum(u.calls) <> 0");
    query_both(q, " ORDER BY 1, 2, 3, 4, 5, 6, 7 LIMIT ", P_INT(USAGE_ROWS + 1));
}

static void day_text(int64_t day, char out[16])
{
    char text[CLOCK_TEXT];
    clock_format(day * DAY_MS, text);
    snprintf(out, 16, "%.10s", day < 0 ? "" : text);
}

static int read_usage(const struct pg_rows *rows, int i, struct arena *arena, struct usage_row *u)
{
    char day[16];
    int64_t operation = pg_int(rows, i, 6);
    day_text(pg_int(rows, i, 0), day);
    *u = (struct usage_row){
        .day = arena_strdup(arena, day),
        .collection = pg_text(rows, i, 1, arena),
        .media_id = pg_int(rows, i, 2),
        .key = pg_text(rows, i, 3, arena),
        .provider = pg_text(rows, i, 4, arena),
        .model = pg_text(rows, i, 5, arena),
        .operation =
            operation >= 0 && operation < MODEL_OPERATIONS ? operation_names[operation] : "",
        .calls = pg_int(rows, i, 7),
        .input_tokens = pg_int(rows, i, 8),
        .cached_tokens = pg_int(rows, i, 9),
        .output_tokens = pg_int(rows, i, 10),
        .audio_ms = pg_int(rows, i, 11),
        .cost_nanousd = pg_int(rows, i, 12),
        .unpriced_calls = pg_int(rows, i, 13),
    };
    bool whole = u->day && u->collection && u->key && u->provider && u->model;
    return whole ? OK : ERR_NO_MEMORY;
}

static int read_list(const struct pg_rows *rows, struct arena *arena, struct usage_row **out,
                     size_t *count)
{
    int rc = OK;
    if (rows->count > USAGE_ROWS)
        return error_set(ERR_TOO_LARGE, NULL,
                         "usage has more than %d rows: group by less, or filter", USAGE_ROWS);
    *out = arena_array(arena, (size_t)rows->count, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (int i = 0; !rc && i < rows->count; i++)
        rc = read_usage(rows, i, arena, &(*out)[i]);
    *count = rc ? 0 : (size_t)rows->count;
    return rc;
}

int postgres_usage(void *ctx, const struct media_filter *filter, unsigned group_by,
                   struct arena *arena, struct usage_row **out, size_t *count)
{
    struct pg *c;
    struct pg_rows rows;
    struct query_sql q;
    *out = NULL;
    *count = 0;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    write_usage(&q, filter, group_by);
    rc = query_run(&q, c, &rows);
    if (!rc)
        rc = read_list(&rows, arena, out, count);
    pg_rows_free(&rows);
    query_end(&q);
    pg_release(c);
    return rc;
}

/* ---- totals ---- */

static const char TOTALS[] =
    "SELECT sum(media)::bigint, sum(published)::bigint, sum(chunks)::bigint, "
    "sum(segments)::bigint, sum(results)::bigint, sum(cost_nanousd)::bigint, "
    "sum(unpriced_calls)::bigint, sum(jobs_queued)::bigint, sum(jobs_running)::bigint, "
    "sum(jobs_retrying)::bigint, sum(jobs_paused)::bigint, sum(jobs_succeeded)::bigint, "
    "sum(jobs_dead)::bigint, sum(jobs_cancelled)::bigint FROM total";
enum { FIRST_STATE = 7 };

int postgres_totals(void *ctx, struct totals *out)
{
    struct pg *c;
    struct pg_rows rows;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = pg_query(c, &rows, TOTALS, NULL, 0);
    pg_release(c);
    if (rc)
        return rc;
    *out = (struct totals){.media = pg_int(&rows, 0, 0),
                           .published = pg_int(&rows, 0, 1),
                           .chunks = pg_int(&rows, 0, 2),
                           .segments = pg_int(&rows, 0, 3),
                           .results = pg_int(&rows, 0, 4),
                           .cost_nanousd = pg_int(&rows, 0, 5),
                           .unpriced_calls = pg_int(&rows, 0, 6)};
    for (int i = 0; i < JOB_STATES; i++)
        out->jobs[i] = pg_int(&rows, 0, FIRST_STATE + i);
    pg_rows_free(&rows);
    return OK;
}
