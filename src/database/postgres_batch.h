/*
 * postgres_batch.h - changes of many callers in one transaction of two round trips.
 *
 * A networked database is paid for by round trip, by statement and by COMMIT, so changes are not
 * statements here. A caller hands over a change and sleeps; one of the callers (at most LEADERS at
 * a time) takes all that wait and, in one transaction,
 *
 *   1. asks each what rows it needs, locks and loads them in one round trip as *images*,
 *   2. applies the changes one after the other, in memory,
 *   3. sends everything that changed as one multi-row statement a table, with COMMIT behind: the
 *      second round trip.
 *
 * An idle store commits a single change at once: there is no batching delay.
 *
 * Locks. The medium is the root: whoever changes a job, a version or a medium holds its media row
 * (in order of media_id), and reads what hangs on it by later statements, whose snapshots see what
 * the last holder committed. Results are locked (after media, by result_id) by whoever points a
 * medium to one that is there, or takes the last pointer away. Leases and wake times alone change
 * without: images write them only where a change set them. What several processes insert at once
 * (a medium, a ready result, the hold on a content) meets a unique index; whoever comes second runs
 * again and then sees the first.
 *
 * A change checks first and writes afterwards: an error harms no other change of the batch. One
 * that the server refuses (text that is not UTF-8) makes the batch run again one by one. So a
 * change may be applied more than once and must set its outputs anew each time.
 *
 * A COMMIT whose answer is lost is looked up by its transaction id (pg_xact_status) on a new
 * connection: callers get success, or an error and nothing is done. If there is no connection in
 * time, they get ERR_SYSTEMIC and do not know; see postgres_publish.c for repeating then.
 */
#ifndef AEGIS_DATABASE_POSTGRES_BATCH_H
#define AEGIS_DATABASE_POSTGRES_BATCH_H

#include "database/postgres_internal.h"

/* ---- lists and maps ---- */

struct list {
    void *items;
    size_t count, capacity, size; /* size: of an item */
};

/* From a number to one or (chained by the caller) several images. */
struct id_map {
    struct id_slot {
        int64_t id;
        void *image; /* NULL: free */
    } * slots;
    size_t count, capacity;
};

/* ---- images: rows in memory ---- */

struct version_image {
    int64_t version_id, media_id, event_ms, size;
    struct digest content;
    const char *object_version, *etag, *content_type;
    bool fresh, dirty; /* to be inserted; to be updated */
};

struct media_image {
    int64_t media_id, version_id, job_id, result_id, uploaded_ms, published_ms, event_ms;
    int64_t cost_nanousd, unpriced_calls;
    bool removed;
    const char *bucket, *key, *collection, *kind, *language, *sequencer;
    bool fresh, dirty;
};

struct job_image {
    int64_t job_id, media_id, version_id;
    int64_t queued_ms, started_ms, finished_ms, due_ms, wake_ms, lease_ms;
    int64_t attempt, ordinal, receive_count, state;
    struct pg_bytes trace;
    struct digest content; /* that it holds */
    const char *worker, *stage, *reason, *message;
    bool fresh, dirty, wake_set, lease_set;
};

struct result_image {
    int64_t result_id, job_id, space_id, chunks, segments, duration_ms, missing_ms, text_bytes;
    int64_t coverage, state, outcome;
    bool draft;
    struct digest content, settings, text_settings, summary_settings;
    const char *kind, *format, *language, *title, *heading, *stages, *summary;
    bool fresh, dirty;
    bool counts_dirty; /* only chunks, segments, space_id or state */
    bool let_go;       /* a medium does not point to it any more: perhaps none does */
    bool used_elsewhere;
    struct result_image *next; /* of the same hash of its key */
};

/* ---- rows to be inserted ---- */

struct attempt_insert {
    int64_t job_id, started_ms, ended_ms, ordinal, attempt, outcome;
    const char *worker, *stage, *reason, *message, *stage_times;
};
struct life_insert {
    int64_t at_ms, job_id, media_id, attempt, type;
    struct pg_bytes trace; /* NULL: the job's */
    const char *detail;    /* NULL: none */
};
struct segment_insert {
    int64_t result_id, start_ms, end_ms, ordinal;
    const char *speaker, *text;
};
struct chunk_insert {
    int64_t chunk_id, result_id, start_ms, end_ms, offset, ordinal;
    struct pg_bytes text, words;
};
struct embedding_insert { /* of one space: rows in its own list */
    struct space_known space;
    struct list chunk_ids, result_ids; /* int64_t */
    struct list values;                /* rows of the space's dimension, half or float */
};
struct checkpoint_insert {
    struct digest digest;
    int64_t media_id, version_id, created_ms;
    struct pg_bytes bytes;
};
struct garbage_insert {
    int64_t kind, id, arg;
};
struct call_insert {
    int64_t media_id, job_id, at_ms, input, cached, output, audio_ms, cost, duration_ms, status,
        operation;
    const char *collection, *provider, *model;
};
struct usage_sum {
    int64_t day, operation, calls, input, cached, output, audio_ms, cost, unpriced;
    const char *collection, *provider, *model;
};

struct sums {
    int64_t media, published, results, chunks, segments, cost, unpriced;
    int64_t jobs[JOB_STATES];
};
struct space_sum {
    int64_t space_id, chunks;
};
struct result_space { /* a further space of a result that may be let go */
    int64_t result_id, space_id, chunks;
};

/* ---- the batch ---- */

struct key_need {
    const char *bucket, *key;
    struct media_image *media; /* NULL: there is none yet */
    struct key_need *next;     /* of the same hash */
};

struct stored_checkpoint {
    struct digest digest;
    struct pg_bytes bytes;
    struct stored_checkpoint *next; /* of the same hash */
};

/* Who holds a content. */
struct hold {
    struct digest content;
    int64_t job_id, lease_ms;
    struct hold *next;
};

enum id_kind { ID_MEDIA, ID_VERSION, ID_JOB, ID_RESULT, ID_CHUNK, ID_KINDS };

struct needs {
    struct list jobs;        /* int64_t */
    struct list media;       /* int64_t: with their newest job */
    struct list keys;        /* struct key_need * */
    struct list results;     /* int64_t */
    struct list result_keys; /* const struct result_key * */
    struct list contents;    /* struct digest: who holds them */
    struct list starting;    /* int64_t: jobs whose contents' holders and ready results are asked */
    struct list versions_of; /* int64_t: jobs whose versions are needed */
    struct list staged;      /* int64_t: jobs whose results in the making are asked */
    struct list checkpoints; /* struct digest */
    bool old_results;        /* current results may be let go, new ones published */
    int64_t ids[ID_KINDS];
};

enum { BATCH_ROWS = 24 };

struct batch {
    struct store *s;
    struct pg *c;
    int64_t now_ms;
    int64_t xid; /* of its transaction, once loaded */
    int slot;
    int broken; /* ERR_NO_MEMORY: nothing of it may be committed */
    struct arena arena;
    struct needs needs;
    struct pg_rows held[BATCH_ROWS]; /* images borrow from them */
    size_t held_count;
    struct list ids[ID_KINDS]; /* int64_t; taken from the end */
    size_t ids_taken[ID_KINDS];

    struct list media, versions, jobs, results; /* pointers to images */
    struct id_map media_by_id, versions_by_id, jobs_by_id, results_by_id;
    struct id_map keys_by_hash, results_by_key, holds_by_content, ready_contents, kept_contents;
    struct id_map checkpoints_by_digest;

    struct list attempts, life, segments, chunk_rows, embeddings, checkpoints, garbage, calls;
    struct list usage, spaces;
    struct list result_spaces;            /* struct result_space */
    int64_t serving_space, held_until_ms; /* with needs.old_results */
    struct list released; /* int64_t: jobs that lose their hold to another of this batch */
    struct list closed;   /* int64_t: jobs whose results in the making are not wanted */
    struct list outdated; /* struct garbage_insert: checkpoints of older versions, if any */
    struct sums sums;
};

/* Runs a change: `need` says what it reads, `apply` does it (0 or an error; what it has written is
 * committed even then). Blocks until it is durable or failed. `bytes`: about what it sends. */
struct change_verbs {
    int (*need)(struct batch *b, void *arg); /* NULL: nothing */
    int (*apply)(struct batch *b, void *arg);
};
int change_run(struct store *s, const struct change_verbs *verbs, void *arg, size_t bytes,
               bool *in_doubt);
/* Would a change have to wait for others now? */
bool change_waits(struct store *s);

/* ---- for `need` ---- */

void need_job(struct batch *b, int64_t job_id);
void need_media(struct batch *b, int64_t media_id);
struct key_need *need_key(struct batch *b, const char *bucket, const char *key);
/* By the loader: the medium may be the one under a key that is needed. */
void key_found(struct batch *b, struct media_image *media);

/* ---- for `apply` ---- */

/* NULL: there is none, or it was not asked for. */
struct job_image *job_image(struct batch *b, int64_t job_id);
struct media_image *media_image(struct batch *b, int64_t media_id);
struct version_image *version_image(struct batch *b, int64_t version_id);
struct result_image *result_image(struct batch *b, int64_t result_id);
struct result_image *result_by_key(struct batch *b, const struct result_key *key);
const struct stored_checkpoint *checkpoint_stored(struct batch *b, const struct digest *digest);
/* job_image with ERR_NOT_FOUND, and its medium with ERR_SYSTEMIC "database_corrupt". */
int job_find(struct batch *b, int64_t job_id, struct job_image **job, struct media_image **media);

struct job_image *job_new(struct batch *b);
struct media_image *media_new(struct batch *b, struct key_need *key);
struct version_image *version_new(struct batch *b);
struct result_image *result_new(struct batch *b, const struct result_key *key);
int64_t id_take(struct batch *b, enum id_kind kind);

/* A zeroed item at the list's end. Never NULL: without memory it is a place that nobody reads, and
 * the batch fails as a whole. */
void *list_add(struct batch *b, struct list *list, size_t size);
void *batch_alloc(struct batch *b, size_t size);
void list_add_id(struct batch *b, struct list *list, int64_t id);
/* Room for `count` more, unset; NULL: no memory, the batch fails as a whole. */
void *list_add_many(struct batch *b, struct list *list, size_t size, size_t count);
void list_free(struct list *list);

/* Images of rows that are there, by the loader. */
struct job_image *job_image_add(struct batch *b, int64_t job_id);
struct media_image *media_image_add(struct batch *b, int64_t media_id);
struct version_image *version_image_add(struct batch *b, int64_t version_id);
struct result_image *result_image_add(struct batch *b, int64_t result_id,
                                      const struct digest *content, const struct digest *settings);

void *id_map_get(const struct id_map *map, int64_t id);
void id_map_put(struct batch *b, struct id_map *map, int64_t id, void *image);
int64_t digest_hash(const struct digest *d);
int64_t key_hash(const struct digest *content, const struct digest *settings);

/* ---- the two round trips (postgres_load.c, postgres_flush.c) ---- */

int batch_load(struct batch *b);
/* Queues what changed; pg_commit_sync sends it. */
int batch_send(struct batch *b);

/* ---- changes shared by several verbs (postgres_changes.c) ---- */

struct job_end {
    enum job_state state;
    enum closed_as closed; /* of the open attempt, if there is one */
    enum life_type event;
    const char *stage, *reason, *message, *stage_times, *detail;
    int64_t due_ms;
    bool uncounted; /* the attempt does not count */
};
/* Closes the open attempt, moves the job to its new state, writes the outbox row, and gives the
 * rows of results in the making to the collector if the job is over. */
void job_finish(struct batch *b, struct job_image *job, const struct job_end *end);
/* A dead letter is given up: the job becomes cancelled. Stage, reason and message stay: they say
 * why it had died. */
void job_give_up(struct batch *b, struct job_image *job, const char *detail);
void job_move(struct batch *b, struct job_image *job, enum job_state state); /* and counts it */
/* A queued job of this medium and version, the medium's newest. */
struct job_image *job_make(struct batch *b, struct media_image *media, int64_t version_id,
                           struct pg_bytes trace);
void job_attempt_end(struct batch *b, const struct job_image *job, enum closed_as closed,
                     const struct job_end *end);
void event_note(struct batch *b, enum life_type type, const struct job_image *job,
                const char *detail);
int not_open(const struct job_image *job); /* ERR_CONFLICT "attempt_over" */

/* Records calls for a medium (NULL: none) and adds them to its money. */
void calls_add(struct batch *b, struct media_image *media, int64_t job_id,
               const struct model_call *calls, size_t count);
void garbage_note(struct batch *b, enum garbage_kind kind, int64_t id, int64_t arg);
void space_count(struct batch *b, int64_t space_id, int64_t chunks);

/* 0 or ERR_BUSY: another job works on this content under a live lease. */
int content_free(struct batch *b, const struct job_image *job, const struct digest *content);
void content_hold(struct batch *b, struct job_image *job, const struct digest *content);
bool content_ready(struct batch *b, const struct digest *content);
bool content_kept(struct batch *b, const struct digest *content); /* in checkpoints */

/* The medium shows this result from now on (NULL: none). What it showed before becomes garbage if
 * no medium shows it when the batch is applied. */
void media_show(struct batch *b, struct media_image *media, const struct result_image *result);
/* Looks at the results that were let go. Before batch_send. */
void results_settle(struct batch *b);

#endif
