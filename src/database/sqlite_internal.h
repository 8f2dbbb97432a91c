/*
 * sqlite_internal.h - what the files of the SQLite adapter share. Nobody else includes it.
 */
#ifndef AEGIS_DATABASE_SQLITE_INTERNAL_H
#define AEGIS_DATABASE_SQLITE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "database/rules.h"
#include "database/sqlite.h"
#include "database/sqlite_connection.h"
#include "database/sqlite_names.h"
#include "database/sqlite_writer.h"
#include "database/vector_index.h"
#include "shared/buffer.h"

/* ---- the numbers kept in the tables (never change them) ---- */

enum result_state { RESULT_STAGED = 0, RESULT_READY = 1, RESULT_GARBAGE = 2 };
enum garbage_kind { GARBAGE_RESULT = 1, GARBAGE_CHECKPOINTS = 2 };

/* ---- the store ---- */

/* A connection for reading, and one for the full-text index. */
struct reader {
    struct connection main;
    struct connection lexical; /* opened when first needed */
    struct reader *next;
};

struct readers {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct reader *free;
    struct reader *all;
    int count;
};

/* The full-text index: lexical.db. One thread at a time writes it (`lock`). */
struct lexical {
    struct connection c;      /* writes */
    struct connection source; /* reads chunks */
    pthread_mutex_t lock;
    atomic_llong indexed_to; /* all chunks below are indexed, as far as this process knows */
    atomic_llong added_to;   /* and these too once the open batch is committed */
    atomic_llong open_ms;    /* since when it is open, monotonic; 0: it is not */
    int64_t batch;           /* its chunks */
};

/* Vector indexes of the spaces searched so far; opened when first needed. */
enum { VECTOR_SPACES = 128 };
struct vectors {
    pthread_mutex_t lock;
    struct vector_space {
        int64_t space_id, generation;
        int dimension;
        struct vector_index *index;
        int64_t synced_to; /* all chunks below are in it or not of this space, ... */
        int64_t filled;    /* ... unless the space was filled more often than that */
    } spaces[VECTOR_SPACES];
    size_t count;
};

struct keeper {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    bool stop, garbage, vectors_behind;
    bool added;         /* chunks, by this process */
    int64_t vectors_to; /* the vector indexes hold all chunks before it */
    int wal_pages;
    atomic_llong next_chunk;  /* as of the last commit */
    int64_t activity_ms;      /* monotonic time of the last commit */
    struct connection c;      /* checkpoints and looking for work */
    pthread_cond_t caught_up; /* the full-text index advanced */
};

enum { SPACES_KNOWN = 64 };

struct store {
    char *directory, *path, *lexical_path;
    const struct clock *clock;
    int64_t busy_ms, outbox_rows, outbox_ms;
    struct digest database_id; /* first 16 bytes */
    struct names names;
    struct writer writer;
    struct readers readers;
    struct lexical lexical;
    struct vectors vectors;
    struct keeper keeper;
    /* A search reads, the collector writes it while it takes entries out of the search files: what
     * a search's snapshot shows must not leave the files under its hands. Taken before a reader. */
    pthread_rwlock_t removal;
    atomic_int dimensions[SPACES_KNOWN]; /* by space id; 0: not known yet */
    atomic_int filling;                  /* descriptor of the lock file + 1; 0: not held */
};

/* Blocks until one is free. */
struct reader *reader_hold(struct store *s);
void reader_release(struct store *s, struct reader *r);
int readers_open(struct store *s, int count);
void readers_close(struct store *s);

/* One snapshot for several statements. snapshot_end keeps the last error. */
int snapshot_begin(struct connection *c);
void snapshot_end(struct connection *c);

static inline const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

/* First 8 bytes as a number for an index; never 0 for a digest that is known. */
int64_t digest_key(const struct digest *d);

/* ---- changes shared by several verbs (inside a transaction) ---- */

struct job_head {
    int64_t job_id, media_id, version_id, started_ms, lease_ms, content_key;
    enum job_state state;
    int attempt, ordinal, receive_count;
    char worker[128];
};

static inline bool job_unfinished(enum job_state state)
{
    return state <= JOB_PAUSED;
}
static inline bool job_open(enum job_state state) /* an attempt is under way */
{
    return state == JOB_RUNNING || state == JOB_PAUSED;
}

/* ERR_NOT_FOUND. */
int job_load(struct transaction *tx, int64_t job_id, struct job_head *out);

struct job_end {
    enum job_state state;
    enum closed_as closed; /* of the open attempt, if there is one */
    enum life_type event;
    const char *stage, *reason, *message, *stage_times, *detail;
    int64_t due_ms;
    bool uncounted; /* the attempt does not count */
};
/* Closes the open attempt, moves the job to its new state, writes the outbox row, and gives the
 * rows of a result in the making to the collector if the job is over. */
int job_close(struct transaction *tx, const struct job_head *job, const struct job_end *end);
/* A dead letter is given up: the job becomes cancelled. Stage, reason and message stay: they say
 * why it had died. */
int job_drop(struct transaction *tx, const struct job_head *job, const char *detail);
/* For the totals. `from` JOB_STATES: the job is new. Always 0. */
int job_count(struct transaction *tx, enum job_state from, enum job_state to);

struct new_job {
    int64_t media_id, version_id;
    const void *trace; /* 16 bytes */
};
int job_insert(struct transaction *tx, const struct new_job *job, int64_t *job_id);
int attempt_close(struct transaction *tx, const struct job_head *job, enum closed_as closed,
                  const struct job_end *end);

struct life_row {
    enum life_type type;
    int64_t job_id, media_id;
    int attempt;
    const void *trace; /* 16 bytes or NULL */
    const char *detail;
};
int life_write(struct transaction *tx, const struct life_row *row);

/* Records calls for a medium; *cost and *unpriced are their sums, for the media row. */
struct call_sums {
    int64_t cost, unpriced;
};
int calls_write(struct transaction *tx, int64_t media_id, int64_t job_id, int64_t collection,
                const struct model_call *calls, size_t count, struct call_sums *sums);
/* The same, and adds the sums to the media row. */
int calls_record(struct transaction *tx, int64_t media_id, int64_t job_id,
                 const struct model_call *calls, size_t count);

/* embedding_space.tail of a space whose index lacks something it passed (sqlite_fill.c). */
#define SPACE_TAIL_STALE INT64_MAX

/* May a publication add embeddings of this space now (0: none)? Makes it the serving one if none
 * serves. ERR_TRANSIENT "space_held", "space_switched". */
int serving_check(struct transaction *tx, int64_t space_id);
/* ERR_NOT_FOUND, ERR_CONFLICT "space_dropping". */
int space_check(struct connection *c, int64_t space_id);
int space_dimension(struct store *s, int64_t space_id, int *dimension); /* ERR_INVALID: none */
/* A result that becomes garbage is counted in none of the spaces it was filled into. */
int spaces_leave(struct transaction *tx, int64_t result_id);

/* Marks results as garbage if no medium points to them. */
int result_unreference(struct transaction *tx, int64_t result_id);
int results_discard_staged(struct transaction *tx, int64_t job_id, int64_t but);
int garbage_add(struct transaction *tx, enum garbage_kind kind, int64_t id, int64_t arg);

/* ---- filters ---- */

/* Appends " AND ..." conditions over media m (and facet f, joined by the caller if `facets`) to
 * `sql` and their values to `values`. */
enum { FILTER_VALUES = 16 };
struct filter_sql {
    struct buffer sql;
    struct sql_value values[FILTER_VALUES + 4];
    size_t count;
    char upper[CAP_KEY + 1]; /* end of the prefix's range */
    bool nothing;            /* a name that is in no row: nothing can match */
};
int filter_begin(struct filter_sql *f, const char *sql);
int filter_add(struct filter_sql *f, struct store *s, struct connection *c,
               const struct media_filter *filter);
int filter_text(struct filter_sql *f, const char *sql);
int filter_value(struct filter_sql *f, struct sql_value value);
void filter_end(struct filter_sql *f);
bool filter_any(const struct media_filter *filter); /* true: lets everything pass */
/* Exclusive upper end of the range of keys with this prefix; false if there is none. */
bool prefix_upper(const char *prefix, char *out, size_t size);

/* ---- parts ---- */

int lexical_open(struct store *s);
void lexical_close(struct store *s);
/* Indexes the chunks below `target`, in batches; 0 if all are in. */
int lexical_index(struct store *s, int64_t target);
/* The same, but the last batch stays open for what comes next, so they are not all to be found yet:
 * call either of the two again soon. */
int lexical_add(struct store *s, int64_t target);
/* Takes the chunks of these runs out, which are still in aegis.db and belong to garbage. */
struct chunk_span {
    int64_t first, count, space_id;
};
int lexical_remove(struct store *s, const struct chunk_span *spans, size_t count);
int lexical_check(struct store *s);
/* Counts removals by all processes: equal before and after a search, nothing was taken out. */
int lexical_epoch(struct store *s, struct reader *r, int64_t *out);

/* Runs `search` with a reader, with nothing taken out of the search files meanwhile; again if
 * another process did so. */
int search_stable(struct store *s, int (*search)(struct store *s, struct reader *r, void *arg),
                  void *arg);
int lexical_reader(struct store *s, struct reader *r);

/* An FTS5 expression of a person's query: all words, or any word. `*out` "" if there is none. */
enum lexical_mode { LEXICAL_ALL, LEXICAL_ANY };
int lexical_query(const char *query, enum lexical_mode mode, struct arena *arena, const char **out);

void vectors_init(struct store *s);
void vectors_close(struct store *s);
/* Takes chunks out of the index of their space; best effort, a search checks anyway. */
void vectors_remove(struct store *s, const struct chunk_span *spans, size_t count);
/* Brings the serving space's index a step nearer to the database; *more: not there yet. */
int vectors_refresh(struct store *s, bool *more);
/* Deletes the file of a space that was dropped. */
void vectors_forget(struct store *s, int64_t space_id, int64_t generation);

void keeper_init(struct store *s);
int keeper_start(struct store *s);
void keeper_stop(struct store *s);
void keeper_fini(struct store *s); /* once the writer has stopped, which notifies it */
void keeper_notify(void *store, const struct writer_news *news);
/* Blocks while the full-text index is too far behind. */
void keeper_pace(struct store *s);
/* One step of the collector; *more: there is more to do. Called by one thread at a time. */
int collect_step(struct store *s, struct connection *c, bool *more);
int outbox_trim(struct store *s, struct connection *c, bool *more);
int keeper_settle(struct store *s);

/* ---- the verbs, by file ---- */

/* sqlite_events.c */
int sqlite_record_events(void *ctx, const struct media_event *events, size_t count,
                         struct event_outcome *out);
int sqlite_reprocess(void *ctx, const struct media_filter *filter, int64_t after_media_id,
                     size_t limit, struct arena *arena, struct job_row **out, size_t *count);
/* sqlite_attempts.c */
int sqlite_start_attempts(void *ctx, struct job_start *starts, size_t count, const char *worker,
                          int64_t lease_until_ms);
int sqlite_extend_leases(void *ctx, const int64_t *job_ids, size_t count, int64_t lease_until_ms);
int sqlite_set_content(void *ctx, int64_t job_id, const struct digest *content);
int sqlite_set_paused(void *ctx, int64_t job_id, bool paused, const char *reason,
                      const char *message);
int sqlite_end_attempt(void *ctx, const struct attempt_end *end);
/* sqlite_jobs.c */
int sqlite_redrive(void *ctx, int64_t job_id);
int sqlite_drop(void *ctx, int64_t job_id);
int sqlite_mark_dead(void *ctx, int64_t job_id, const char *reason, const char *message);
int sqlite_touch(void *ctx, const int64_t *job_ids, size_t count, int64_t due_ms);
/* sqlite_job_reads.c */
int sqlite_stranded(void *ctx, int64_t before_ms, size_t limit, struct arena *arena,
                    struct job_row **out, size_t *count);
int sqlite_job_list(void *ctx, int state, int64_t before_job_id, size_t limit, struct arena *arena,
                    struct job_row **out, size_t *count);
int sqlite_job_get(void *ctx, int64_t job_id, struct arena *arena, struct job_row *out,
                   struct attempt_row **attempts, size_t *attempt_count);
int sqlite_life_events(void *ctx, int64_t after, size_t limit, struct arena *arena,
                       struct life_event **out, size_t *count);
/* sqlite_checkpoints.c */
int sqlite_checkpoint_get(void *ctx, const struct checkpoint_key *key, struct arena *arena,
                          void **bytes, size_t *length);
int sqlite_checkpoints_put(void *ctx, struct checkpoint *items, size_t count);
/* sqlite_spaces.c */
int sqlite_space_ensure(void *ctx, struct embedding_space *space);
int sqlite_spaces(void *ctx, struct arena *arena, struct space_use **out, size_t *count);
int sqlite_space_serving(void *ctx, struct serving_space *out);
int sqlite_space_fill_begin(void *ctx);
void sqlite_space_fill_end(void *ctx);
int sqlite_space_hold(void *ctx, int64_t hold_ms);
int sqlite_space_serve(void *ctx, int64_t space_id);
/* sqlite_fill.c */
int sqlite_space_missing(void *ctx, int64_t space_id, const struct missing_chunk *after,
                         size_t limit, struct arena *arena, struct missing_chunk **out,
                         size_t *count);
int sqlite_space_append(void *ctx, int64_t space_id, const struct missing_chunk *chunks,
                        size_t count, const float *vectors);
/* sqlite_space_drop.c */
int sqlite_space_drop(void *ctx, int64_t space_id, struct space_drop_place *place, bool *more);
/* sqlite_vectors.c */
int sqlite_space_prepare(void *ctx, int64_t space_id, bool *more);
/* sqlite_results.c */
int sqlite_result_find(void *ctx, const struct result_key *key, int64_t *result_id);
int sqlite_embeddings_find(void *ctx, const struct result_key *key, int64_t space_id, int first,
                           size_t count, float *vectors);
int sqlite_summary_find(void *ctx, const struct result_key *key, struct arena *arena,
                        struct summary *out, int64_t *coverage_permille);
int sqlite_result_begin(void *ctx, int64_t job_id, const struct result_key *key, int64_t space_id,
                        int64_t *result_id, int64_t *chunks_done, int64_t *segments_done);
int sqlite_result_append(void *ctx, int64_t job_id, int64_t result_id,
                         const struct result_batch *batch);
/* sqlite_publish.c */
int sqlite_publish(void *ctx, const struct publication *publication);
/* sqlite_media_reads.c */
int sqlite_media_list(void *ctx, const struct media_filter *filter, int64_t before_media_id,
                      size_t limit, struct arena *arena, struct media_row **out, size_t *count);
int sqlite_media_get(void *ctx, int64_t media_id, struct arena *arena, struct media_row *out);
int sqlite_media_find(void *ctx, const char *bucket, const char *key, struct arena *arena,
                      struct media_row *out);
int sqlite_summary_get(void *ctx, int64_t media_id, struct arena *arena, struct summary *out);
int sqlite_segments_each(void *ctx, int64_t media_id,
                         int (*row)(void *arg, const struct segment_row *), void *arg);
int sqlite_chunks_each(void *ctx, int64_t result_id,
                       int (*row)(void *arg, const struct chunk_row *), void *arg);
/* sqlite_usage.c */
int sqlite_calls_record(void *ctx, const struct model_call *calls, size_t count);
int sqlite_usage(void *ctx, const struct media_filter *filter, unsigned group_by,
                 struct arena *arena, struct usage_row **out, size_t *count);
int sqlite_totals(void *ctx, struct totals *out);
int sqlite_pause_set(void *ctx, const char *reason, const char *message);
int sqlite_pause_get(void *ctx, struct arena *arena, const char **reason, const char **message,
                     int64_t *since_ms);
/* sqlite_lexical_search.c, sqlite_vectors.c, sqlite_passages.c */
int sqlite_search_lexical(void *ctx, const char *query, const struct media_filter *filter, size_t k,
                          struct arena *arena, struct arm_hit **out, size_t *count);
int sqlite_search_vector(void *ctx, int64_t space_id, const float *query,
                         const struct media_filter *filter, size_t k, struct arena *arena,
                         struct arm_hit **out, size_t *count);
int sqlite_passages(void *ctx, const int64_t *chunk_ids, size_t n,
                    const struct media_filter *filter, struct arena *arena, struct passage **out,
                    size_t *count);

#endif
