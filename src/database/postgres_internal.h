/*
 * postgres_internal.h - what the files of the PostgreSQL adapter share. Nobody else includes it.
 *
 * Embeddings of space N are in two tables of the same columns (chunk_id, result_id, embedding):
 * embedding_N_fresh takes what is published and has no index but its primary key, embedding_N has
 * the HNSW index. Adding a vector of 1,536 dimensions to that index took 0.8 ms of the server's
 * time with 15,000 in it (bench_database), so for a document of three chunks four times all else
 * that publishing it takes. Therefore the keeper moves rows from the one to the other when it is
 * quiet, in transactions of their own: a snapshot sees every row in exactly one of them. A search
 * unites both.
 *
 * Likewise chunk_fresh has no index of words and takes new chunks, which move to chunk when less is
 * being published. It inherits from chunk, so statements on chunk are about both. (The index took
 * 0.09 ms a chunk, three times the row itself.)
 */
#ifndef AEGIS_DATABASE_POSTGRES_INTERNAL_H
#define AEGIS_DATABASE_POSTGRES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "database/postgres.h"
#include "database/postgres_words.h"
#include "database/rules.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/pg.h"

/* ---- the numbers kept in the tables (never change them) ---- */

enum result_state { RESULT_STAGED = 0, RESULT_READY = 1, RESULT_GARBAGE = 2 };
enum garbage_kind { GARBAGE_RESULT = 1, GARBAGE_CHECKPOINTS = 2 };

enum { TOTAL_SLOTS = 64 }; /* of total, usage_day and space_total */

/* ---- spaces ---- */

enum { SPACES_KNOWN = 64, SPACE_STATEMENTS = 256 };

/* What is known of a space never changes: found once, it is remembered. */
struct space_known {
    int64_t id;
    int dimension;
    bool half; /* its column is halfvec, not vector */
};

/* A statement on a space's tables, kept for the life of the store: pg.h finds prepared statements
 * by their address. */
struct space_statement {
    const char *format;
    int64_t space_id;
    char *sql;
};

struct spaces {
    pthread_mutex_t lock;
    struct space_known items[SPACES_KNOWN];
    size_t count;
    struct embedding_space named[SPACES_KNOWN]; /* as space_ensure found them */
    size_t named_count;
    struct space_statement statements[SPACE_STATEMENTS];
    size_t statement_count;
};

/* ---- the store ---- */

struct change;
struct keeper;

/* Publications whose COMMIT was sent and never answered, until they are sent again
 * (postgres_publish.c). */
enum { DOUBTS = 256 };
struct doubts {
    pthread_mutex_t lock;
    struct doubt {
        int64_t job_id;
        int attempt;
    } items[DOUBTS];
    size_t count, next;
};

enum { LEADERS = 2 };

/* Changes that wait to be taken into a transaction (postgres_batch.h). */
struct writer {
    pthread_mutex_t lock;
    struct change *head, *tail;
    size_t waiting;
    bool leading[LEADERS];
};

struct store {
    struct pg_pool *pool;
    const struct clock *clock;
    bool clock_rules;
    int64_t wait_ms; /* for a connection */
    int64_t outbox_rows, outbox_ms;
    atomic_llong server_offset; /* server's time - clock_monotonic_ms() */
    int slot;                   /* of the tables of sums */
    struct spaces spaces;
    struct writer writer;
    struct words_pool words;
    atomic_bool crowded;   /* chunk_fresh is large enough */
    struct keeper *keeper; /* NULL: no background */
    struct doubts doubts;
    atomic_bool serving_seen; /* some space serves: it stays so for good */
    pthread_mutex_t filling_lock;
    struct pg *filling; /* holds the lock of who fills a space; NULL: not held */
    struct pg_pool *filling_pool;
    char *url;
    struct pg_url_source source;
};

/* The server's time. */
int64_t store_now(struct store *s);
/* A time of the caller's clock as the server's. */
int64_t store_time(struct store *s, int64_t caller_ms);
/* Measures the distance between the clocks; one round trip. */
int store_measure_clock(struct store *s, struct pg *c);

/* A connection, waiting up to s->wait_ms; pg_release gives it back. */
int store_hold(struct store *s, struct pg **out);
/* A transaction with pg_transaction's rules. PG_SNAPSHOT for reads of several statements. */
int store_transaction(struct store *s, unsigned flags, int (*body)(struct pg *c, void *arg),
                      void *arg);

/* For transactions that look up few rows by their keys: tables that were empty when a plan was made
 * are large when it is used, so the planner is kept from reading whole ones. */
extern const char POSTGRES_BY_INDEX[];

/* From memory alone; false: not seen yet. */
bool space_recall(struct store *s, int64_t space_id, struct space_known *out);
/* ERR_INVALID if there is no such space. One round trip the first time. */
int space_known(struct store *s, struct pg *c, int64_t space_id, struct space_known *out);
/* `format` (a string constant) with each "%lld" replaced by the space's number, at most four:
 * "INSERT INTO embedding_%lld_fresh ...". Borrowed from the store. NULL with ERR_NO_MEMORY set. */
const char *space_sql(struct store *s, int64_t space_id, const char *format);
void spaces_free(struct store *s);
/* Makes the space the serving one if none serves. */
int serving_begin(struct store *s, int64_t space_id);
/* Statements that take the lock of the serving space, for a transaction. */
extern const char SERVING_SHARE[], SERVING_LOCK[];
/* ERR_NOT_FOUND, ERR_CONFLICT "space_dropping". */
int space_usable(struct pg *c, int64_t space_id);

static inline const char *text_or_empty(const char *text)
{
    return text ? text : "";
}
/* Columns of digests that may be unknown and are NOT NULL hold no bytes then. */
static inline struct pg_value digest_value(const struct digest *d)
{
    return P_BYTES(d->bytes, digest_known(d) ? DIGEST_BYTES : 0);
}
static inline bool job_unfinished(enum job_state state)
{
    return state <= JOB_PAUSED;
}
static inline bool job_open(enum job_state state) /* an attempt is under way */
{
    return state == JOB_RUNNING || state == JOB_PAUSED;
}

/* chunk.words is made by this program (postgres_words.h): passage_words_write of each chunk. */

/* ---- reads that writing needs too (postgres_job_reads.c, postgres_media_reads.c) ---- */

/* The rows of these jobs in the order of `ids`; those that are gone are left out. */
int postgres_job_rows(struct store *s, struct pg *c, const int64_t *ids, size_t n,
                      struct arena *arena, struct job_row *out, size_t *count);

/* The ids of one page of matching media, removed ones left out. The caller frees *ids, also after
 * an error. */
struct media_page {
    const struct media_filter *filter; /* NULL: all */
    bool rising;                       /* else falling */
    int64_t from;                      /* exclusive; 0 when falling: from the newest */
    size_t limit;
    bool idle_only; /* without those that have an unfinished job */
};
int postgres_media_ids(struct store *s, struct pg *c, const struct media_page *page, int64_t **ids,
                       size_t *count);

/* ---- the verbs, by file ---- */

/* writing */

/* postgres_events.c */
int postgres_record_events(void *ctx, const struct media_event *events, size_t count,
                           struct event_outcome *out);
/* postgres_reprocess.c */
int postgres_reprocess(void *ctx, const struct media_filter *filter, int64_t after_media_id,
                       size_t limit, struct arena *arena, struct job_row **out, size_t *count);
/* postgres_attempts.c */
int postgres_start_attempts(void *ctx, struct job_start *starts, size_t count, const char *worker,
                            int64_t lease_until_ms);
int postgres_extend_leases(void *ctx, const int64_t *job_ids, size_t count, int64_t lease_until_ms);
int postgres_set_content(void *ctx, int64_t job_id, const struct digest *content);
int postgres_set_paused(void *ctx, int64_t job_id, bool paused, const char *reason,
                        const char *message);
int postgres_end_attempt(void *ctx, const struct attempt_end *end);
/* postgres_jobs.c */
int postgres_redrive(void *ctx, int64_t job_id);
int postgres_drop(void *ctx, int64_t job_id);
int postgres_mark_dead(void *ctx, int64_t job_id, const char *reason, const char *message);
int postgres_stranded(void *ctx, int64_t before_ms, size_t limit, struct arena *arena,
                      struct job_row **out, size_t *count);
int postgres_touch(void *ctx, const int64_t *job_ids, size_t count, int64_t due_ms);
/* postgres_checkpoints.c */
int postgres_checkpoint_get(void *ctx, const struct checkpoint_key *key, struct arena *arena,
                            void **bytes, size_t *length);
int postgres_checkpoints_put(void *ctx, struct checkpoint *items, size_t count);
/* postgres_spaces.c */
int postgres_space_ensure(void *ctx, struct embedding_space *space);
int postgres_spaces(void *ctx, struct arena *arena, struct space_use **out, size_t *count);
/* postgres_serving.c */
int postgres_space_serving(void *ctx, struct serving_space *out);
int postgres_space_fill_begin(void *ctx);
void postgres_space_fill_end(void *ctx);
int postgres_space_hold(void *ctx, int64_t hold_ms);
int postgres_space_serve(void *ctx, int64_t space_id);
int postgres_space_drop(void *ctx, int64_t space_id, struct space_drop_place *place, bool *more);
/* postgres_fill.c */
int postgres_space_missing(void *ctx, int64_t space_id, const struct missing_chunk *after,
                           size_t limit, struct arena *arena, struct missing_chunk **out,
                           size_t *count);
int postgres_space_append(void *ctx, int64_t space_id, const struct missing_chunk *chunks,
                          size_t count, const float *vectors);
/* postgres_collect.c */
int postgres_space_prepare(void *ctx, int64_t space_id, bool *more);
/* postgres_results.c */
int postgres_result_find(void *ctx, const struct result_key *key, int64_t *result_id);
int postgres_result_begin(void *ctx, int64_t job_id, const struct result_key *key, int64_t space_id,
                          int64_t *result_id, int64_t *chunks_done, int64_t *segments_done);
int postgres_result_append(void *ctx, int64_t job_id, int64_t result_id,
                           const struct result_batch *batch);
/* postgres_reuse.c */
int postgres_embeddings_find(void *ctx, const struct result_key *key, int64_t space_id, int first,
                             size_t count, float *vectors);
int postgres_summary_find(void *ctx, const struct result_key *key, struct arena *arena,
                          struct summary *out, int64_t *coverage_permille);
/* postgres_publish.c */
int postgres_publish(void *ctx, const struct publication *publication);
/* postgres_calls.c */
int postgres_calls_record(void *ctx, const struct model_call *calls, size_t count);
int postgres_pause_set(void *ctx, const char *reason, const char *message);
int postgres_pause_get(void *ctx, struct arena *arena, const char **reason, const char **message,
                       int64_t *since_ms);
/* reading */

/* postgres_media_reads.c */
int postgres_media_list(void *ctx, const struct media_filter *filter, int64_t before_media_id,
                        size_t limit, struct arena *arena, struct media_row **out, size_t *count);
int postgres_media_get(void *ctx, int64_t media_id, struct arena *arena, struct media_row *out);
int postgres_media_find(void *ctx, const char *bucket, const char *key, struct arena *arena,
                        struct media_row *out);
int postgres_summary_get(void *ctx, int64_t media_id, struct arena *arena, struct summary *out);
int postgres_segments_each(void *ctx, int64_t media_id,
                           int (*row)(void *arg, const struct segment_row *), void *arg);
int postgres_chunks_each(void *ctx, int64_t result_id,
                         int (*row)(void *arg, const struct chunk_row *), void *arg);
/* postgres_job_reads.c */
int postgres_job_list(void *ctx, int state, int64_t before_job_id, size_t limit,
                      struct arena *arena, struct job_row **out, size_t *count);
int postgres_job_get(void *ctx, int64_t job_id, struct arena *arena, struct job_row *out,
                     struct attempt_row **attempts, size_t *attempt_count);
int postgres_life_events(void *ctx, int64_t after, size_t limit, struct arena *arena,
                         struct life_event **out, size_t *count);
/* postgres_usage.c */
int postgres_usage(void *ctx, const struct media_filter *filter, unsigned group_by,
                   struct arena *arena, struct usage_row **out, size_t *count);
int postgres_totals(void *ctx, struct totals *out);
/* postgres_lexical.c, postgres_vectors.c, postgres_passages.c */
int postgres_search_lexical(void *ctx, const char *query, const struct media_filter *filter,
                            size_t k, struct arena *arena, struct arm_hit **out, size_t *count);
int postgres_search_vector(void *ctx, int64_t space_id, const float *query,
                           const struct media_filter *filter, size_t k, struct arena *arena,
                           struct arm_hit **out, size_t *count);
int postgres_passages(void *ctx, const int64_t *chunk_ids, size_t n,
                      const struct media_filter *filter, struct arena *arena, struct passage **out,
                      size_t *count);

#endif
