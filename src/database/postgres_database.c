#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/migrations.h"
#include "database/postgres_keeper.h"
#include "database/postgres_migrate.h"
#include "shared/random.h"

enum { DEFAULT_CONNECTIONS = 8, DEFAULT_WAIT_MS = 5000, DEFAULT_OUTBOX_ROWS = 1000000 };
static const int64_t DEFAULT_OUTBOX_MS = 7LL * 24 * 3600 * 1000;

/* ---- clocks ---- */

int64_t store_now(struct store *s)
{
    if (s->clock_rules)
        return clock_now(s->clock);
    return clock_monotonic_ms() + atomic_load(&s->server_offset);
}

/* "For ever" stays so. */
int64_t store_time(struct store *s, int64_t caller_ms)
{
    int64_t ahead = store_now(s) - clock_now(s->clock), sum;
    if (__builtin_add_overflow(caller_ms, ahead, &sum))
        return ahead > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

/* The answer is taken to be as old as half of what the question took. */
static void take_clock(struct store *s, int64_t server_ms, int64_t asked, int64_t answered)
{
    atomic_store(&s->server_offset, server_ms - (asked + (answered - asked) / 2));
}

int store_measure_clock(struct store *s, struct pg *c)
{
    int64_t server_ms, asked = clock_monotonic_ms();
    int rc = pg_number(c, &server_ms, 0,
                       "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", NULL, 0);
    if (!rc)
        take_clock(s, server_ms, asked, clock_monotonic_ms());
    return rc;
}

/* ---- connections ---- */

const char POSTGRES_BY_INDEX[] =
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), "
    "set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true), "
    "set_config('plan_cache_mode', 'force_generic_plan', true)";

int store_hold(struct store *s, struct pg **out)
{
    return pg_acquire(s->pool, s->wait_ms, NULL, out);
}

int store_transaction(struct store *s, unsigned flags, int (*body)(struct pg *c, void *arg),
                      void *arg)
{
    return pg_transaction(s->pool, flags, s->wait_ms, NULL, body, arg);
}

/* ---- opening ---- */

static void store_close(void *ctx)
{
    struct store *s = ctx;
    postgres_space_fill_end(s);
    background_stop(s);
    pg_pool_close(s->pool);
    spaces_free(s);
    pthread_mutex_destroy(&s->writer.lock);
    words_pool_free(&s->words);
    pthread_mutex_destroy(&s->doubts.lock);
    pthread_mutex_destroy(&s->filling_lock);
    free(s->url);
    free(s);
}

static const struct database_ops ops = {
    .name = "postgres",
    .close = store_close,

    /* writing */
    .record_events = postgres_record_events,
    .start_attempts = postgres_start_attempts,
    .extend_leases = postgres_extend_leases,
    .set_content = postgres_set_content,
    .set_paused = postgres_set_paused,
    .end_attempt = postgres_end_attempt,
    .checkpoint_get = postgres_checkpoint_get,
    .checkpoints_put = postgres_checkpoints_put,
    .calls_record = postgres_calls_record,
    .space_ensure = postgres_space_ensure,
    .spaces = postgres_spaces,
    .space_serving = postgres_space_serving,
    .space_fill_begin = postgres_space_fill_begin,
    .space_fill_end = postgres_space_fill_end,
    .space_missing = postgres_space_missing,
    .space_append = postgres_space_append,
    .space_prepare = postgres_space_prepare,
    .space_hold = postgres_space_hold,
    .space_serve = postgres_space_serve,
    .space_drop = postgres_space_drop,
    .result_find = postgres_result_find,
    .result_begin = postgres_result_begin,
    .result_append = postgres_result_append,
    .embeddings_find = postgres_embeddings_find,
    .summary_find = postgres_summary_find,
    .publish = postgres_publish,
    .reprocess = postgres_reprocess,
    .redrive = postgres_redrive,
    .drop = postgres_drop,
    .mark_dead = postgres_mark_dead,
    .stranded = postgres_stranded,
    .touch = postgres_touch,
    .pause_set = postgres_pause_set,
    .pause_get = postgres_pause_get,

    /* reading */
    .media_list = postgres_media_list,
    .media_get = postgres_media_get,
    .media_find = postgres_media_find,
    .summary_get = postgres_summary_get,
    .segments_each = postgres_segments_each,
    .chunks_each = postgres_chunks_each,
    .job_list = postgres_job_list,
    .job_get = postgres_job_get,
    .usage = postgres_usage,
    .life_events = postgres_life_events,
    .totals = postgres_totals,
    .passages = postgres_passages,
    .search_lexical = postgres_search_lexical,
    .search_vector = postgres_search_vector,

};

static int check(struct store *s)
{
    struct postgres_around around;
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = postgres_schema_check_around(c, migrations_postgres, migrations_postgres_count, &around);
    if (!rc)
        take_clock(s, around.server_ms, around.asked_ms, around.answered_ms);
    if (!rc && around.importing)
        rc =
            error_set(ERR_SYSTEMIC, "import_unfinished",
                      "'%s' holds a part of an import only: run `aegis import` with its file again",
                      pg_name(c));
    pg_release(c);
    return rc;
}

static int open_parts(struct store *s, const struct postgres_database_options *o)
{
    struct pg_settings settings = {.connections =
                                       o->connections > 0 ? o->connections : DEFAULT_CONNECTIONS,
                                   .source = o->source};
    s->source = o->source;
    s->url = strdup(o->url);
    int rc = s->url ? pg_pool_open(o->url, &settings, &s->pool)
                    : error_set(ERR_NO_MEMORY, NULL, "out of memory for the database");
    if (!rc)
        rc = check(s);
    return rc || o->no_background ? rc : background_start(s);
}

int postgres_database_open(const struct postgres_database_options *options, struct database *out)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the database");
    s->clock = options->clock ? options->clock : clock_system();
    s->clock_rules = options->clock && options->clock_rules;
    s->wait_ms = options->wait_ms > 0 ? options->wait_ms : DEFAULT_WAIT_MS;
    s->outbox_rows = options->outbox_rows > 0 ? options->outbox_rows : DEFAULT_OUTBOX_ROWS;
    s->outbox_ms = options->outbox_ms > 0 ? options->outbox_ms : DEFAULT_OUTBOX_MS;
    s->slot = (int)random_below(TOTAL_SLOTS);
    pthread_mutex_init(&s->spaces.lock, NULL);
    pthread_mutex_init(&s->writer.lock, NULL);
    words_pool_init(&s->words);
    pthread_mutex_init(&s->doubts.lock, NULL);
    pthread_mutex_init(&s->filling_lock, NULL);
    int rc = open_parts(s, options);
    if (rc) {
        struct error e = *error_last();
        store_close(s);
        return error_restore(&e);
    }
    *out = (struct database){.ops = &ops, .ctx = s};
    return OK;
}

int postgres_database_settle(struct database *database)
{
    return background_settle(database->ctx);
}

int postgres_database_tend(struct database *database, int64_t until_ms, bool *more)
{
    return background_tend(database->ctx, until_ms, more);
}

int postgres_database_thaw(struct database *database)
{
    return background_thaw(database->ctx);
}
