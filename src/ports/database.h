/*
 * database.h - the port to what Aegis remembers: media, versions, jobs, attempts, results, money.
 *
 * It speaks the domain, not SQL. The queue delivers, the database remembers: nothing here shares a
 * transaction with the queue, so every verb can be repeated.
 *
 * A *medium* is one (bucket, key). A *version* is one upload of it. A *job* makes the results of
 * one version. A *result* is everything derived from one content under one set of stage settings
 * (the result key): segments, chunks, embeddings and summary. Results are shared: two media with
 * identical content and settings point to the same result, so identical content is processed,
 * stored and paid for once. A medium's *current* result is what search sees; publishing swaps it in
 * one transaction, and a result that no medium points to any more is deleted.
 *
 * All methods are thread-safe, may block, and are durable when they return (unless the comment says
 * otherwise). Each runs in one transaction. Any may return ERR_IO, ERR_DISK_FULL, ERR_NO_MEMORY,
 * ERR_TRANSIENT or ERR_SYSTEMIC (database down) besides what it names. Strings and arrays returned
 * live in the caller's arena. Times are Unix milliseconds.
 */
#ifndef AEGIS_PORTS_DATABASE_H
#define AEGIS_PORTS_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/model_provider.h"
#include "shared/arena.h"
#include "shared/caps.h"
#include "shared/digest.h"
#include "shared/random.h"

/* ---- events ------------------------------------------------------------------------------------
 */

enum event_kind { EVENT_CREATED, EVENT_REMOVED };

struct media_event {
    enum event_kind kind;
    const char *bucket, *key;
    const char *object_version; /* the store's version id, "" if none */
    const char *etag;           /* "" if not told */
    const char *sequencer;      /* "" if not told: then event_ms orders */
    const char *collection;     /* NULL: the bucket's name */
    const char *content_type;   /* as declared by the uploader, "" if not told */
    const char *trace_id;       /* 32 hex digits */
    const char *parent_span;    /* what the event continues, 16 hex digits; NULL or "": nothing */
    bool unsampled;             /* who sent it records nothing of this trace */
    int64_t size;               /* bytes, -1 if not told */
    int64_t event_ms;
    struct digest content; /* all zero if not known yet */
};

enum event_result {
    EVENT_JOB_QUEUED, /* a job row now exists: send its message */
    EVENT_DUPLICATE,  /* this version is known, or its bytes are those of the one that is worked on;
                       * job_id is its job, no new one was made */
    EVENT_STALE,      /* a newer event of this key was already recorded; nothing changed */
    EVENT_MEDIA_REMOVED,
    EVENT_NOTHING_TO_REMOVE,
};

struct event_outcome {
    enum event_result result;
    int64_t media_id, version_id, job_id; /* 0 where there is none */
};

/* ---- jobs --------------------------------------------------------------------------------------
 */

/* docs/job-states.md has the diagram. */
enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_RETRYING, /* due_ms says when, reason why */
    JOB_PAUSED,   /* held in a worker until the pipeline's systemic failure is mended */
    JOB_SUCCEEDED,
    JOB_DEAD,
    JOB_CANCELLED, /* superseded by a newer version, or its medium was removed */
    JOB_STATES
};
const char *job_state_name(enum job_state state);
int job_state_parse(const char *name, enum job_state *out); /* 0 or ERR_INVALID */

struct job_start {
    int64_t job_id;
    int receive_count; /* of its message */
    /* out: */
    int rc; /* 0: `work` is filled in and the attempt runs; ERR_NOT_FOUND (no such job);
             * ERR_CONFLICT (succeeded, dead or cancelled: delete the message); ERR_BUSY (runs
             * elsewhere under a live lease, or a job with the same content does: give the message
             * back with a delay) */
    struct job_work *work; /* allocated by the caller; strings are in it, no arena needed */
};

struct job_work {
    int64_t job_id, media_id, version_id;
    int attempt; /* 1 for the first; an attempt that was only given back is not counted */
    int64_t size;
    int64_t queued_ms;
    struct digest content; /* all zero if not known before the fetch */
    bool content_is_new;   /* no ready result has this content, and while this attempt holds it none
                            * will: result_find and embeddings_find need not be asked */
    bool no_checkpoints; /* before this attempt none was made from this content: for what an attempt
                          * does once, checkpoint_get need not be asked. False where asking is no
                          * more than a look into memory (SQLite) */
    char trace_id[TRACE_ID_TEXT];
    char bucket[CAP_BUCKET + 1];
    char key[CAP_KEY + 1];
    char object_version[CAP_VERSION_ID + 1];
    char etag[CAP_ETAG + 1];
    char collection[CAP_COLLECTION + 1];
    char content_type[CAP_ETAG + 1];
};

enum attempt_outcome {
    ATTEMPT_RETRY,      /* job becomes retrying until due_ms */
    ATTEMPT_DEAD,       /* job becomes dead with reason */
    ATTEMPT_GIVEN_BACK, /* drained or refused for lack of room: job is queued again, attempt not
                           counted */
    ATTEMPT_CANCELLED,  /* job becomes cancelled (superseded or removed while it ran) */
};

struct attempt_end {
    int64_t job_id;
    int attempt;
    enum attempt_outcome outcome;
    const char *stage;              /* where it failed, "" if nowhere */
    const char *reason;             /* reason code */
    const char *message;            /* one line */
    int64_t due_ms;                 /* ATTEMPT_RETRY */
    const struct model_call *calls; /* not yet recorded with a checkpoint */
    size_t call_count;
};

/* ---- checkpoints -------------------------------------------------------------------------------
 */

/* A paid stage output, kept under what it was made of (input digest) and how (settings digest). */
struct checkpoint_key {
    const char *stage; /* "transcribe", "summarise", "embed" */
    struct digest input;
    struct digest settings;
};

struct checkpoint {
    int64_t job_id; /* for which it was made */
    struct checkpoint_key key;
    const void *bytes;
    size_t length;                  /* at most CAP_CHECKPOINT */
    const struct model_call *calls; /* that paid for it */
    size_t call_count;
    int rc; /* out: 0, or ERR_NOT_FOUND: there is no such job, and nothing of this is kept */
};

/* ---- results -----------------------------------------------------------------------------------
 */

struct result_key {
    struct digest content; /* SHA-256 of the object's bytes */
    struct digest
        text; /* of the settings that decide the chunks' texts (extract, transcribe, chunk) */
    struct digest
        summary; /* of the settings that decide the summary, those of the text among them */
    struct digest settings; /* of all stages' settings but those of embeddings, of which a result
                             * may have several; (content, settings) is unique */
};

enum result_outcome { OUTCOME_CONTENT, OUTCOME_EMPTY, OUTCOME_NO_SPEECH, OUTCOME_NO_AUDIO };
const char *
result_outcome_name(enum result_outcome outcome); /* "content", "empty", "no_speech", "no_audio" */

struct result_info {
    const char *kind; /* "text", "markdown", "html", "pdf", "docx", "srt", "vtt", "audio", "video",
                         "empty" */
    const char *format;   /* finer: "mp3", "matroska,webm", "utf-8", ... */
    const char *language; /* ISO 639-1, "" if not known */
    const char *title;
    enum result_outcome outcome;
    bool draft;          /* transcript of a draft-quality model */
    int64_t duration_ms; /* recordings and subtitles; -1 for documents */
    int64_t missing_ms;  /* of a recording that ends early or is damaged, beyond duration_ms or
                          * within it; 0: it is whole, -1: how much cannot be told */
    int64_t text_bytes;
    int64_t summary_coverage_permille; /* 1000: the whole text was summarised */
    const char *stages_json; /* {"transcribe":{"provider":..,"model":..},...}: what made it */
};

struct segment_row {
    int ordinal;
    int64_t start_ms, end_ms; /* in the recording's own time */
    const char *speaker;      /* "" if not known */
    const char *text;
};

struct chunk_row {
    int ordinal;
    int64_t start_ms, end_ms; /* -1, -1 for documents */
    int64_t offset;           /* of its text in the medium's text, bytes of UTF-8 */
    const char *text;         /* not NUL-terminated */
    size_t length;
};

/* One space: embeddings of one model at one dimension; only vectors of one space compare. */
struct embedding_space {
    int64_t id;
    char provider[32];
    char model[96];
    char revision[96];
    int dimension;
};

/* The space that searches look in. Every chunk of a ready result is embedded in it (`missing` says
 * how many are not, in a database that was brought over from before this was kept). */
struct serving_space {
    struct embedding_space space;
    int64_t chunks;  /* of ready results, embedded in it */
    int64_t missing; /* of ready results, not embedded in it */
};

/* A chunk of a ready result that has no embedding in some space. */
struct missing_chunk {
    int64_t result_id, chunk_id;
    const char *text; /* not NUL-terminated */
    size_t length;
};

/* How far a space_drop has come; zeroed before its first step. */
struct space_drop_place {
    int phase;
    int64_t at;
};

/* A slice of a result. Segments and chunks of a result are appended in order of their ordinals. */
struct result_batch {
    const struct segment_row *segments;
    size_t segment_count;
    const struct chunk_row *chunks;
    size_t chunk_count;
    int64_t space_id;        /* of the embeddings */
    const float *embeddings; /* chunk_count x dimension, float32, L2-normalised; NULL if none */
    const struct model_call *calls;
    size_t call_count;
    const char *language; /* of the texts, as info.language of the publication will be; NULL or "":
                           * not known. publish itself goes by the info. */
    const char *key; /* the medium's, as job_work has it: the first chunk is found by its words too.
                      * NULL: the database looks it up, when it has less time for it */
};

struct publication {
    int64_t job_id;
    int attempt;
    int64_t
        result_id; /* 0: a new result is made of `key` and `batch`; else: one from result_begin, or
                    * a ready one from result_find (then info, summary and batch are ignored) */
    struct result_key key;
    const struct result_info *info;
    const struct summary *summary; /* NULL if there is nothing to summarise */
    struct result_batch batch;     /* the rest, or all */
    const char *stage_times_json;  /* {"fetch":1,"identify":0,...} in milliseconds */
};

/* ---- reading -----------------------------------------------------------------------------------
 */

struct media_filter { /* NULL, "" and 0 mean: any */
    const char *collection;
    const char *kind;
    const char *language;
    const char *prefix;         /* of the key */
    int64_t since_ms, until_ms; /* upload time, until exclusive */
    int64_t media_id;
};

struct media_row {
    int64_t media_id, version_id, result_id; /* result_id 0: nothing published yet */
    int64_t job_id;                          /* the newest job */
    const char *bucket, *key, *collection, *etag;
    int64_t size, uploaded_ms, published_ms; /* published_ms 0: not yet */
    enum job_state state;                    /* of the newest job */
    const char *reason, *message;            /* of the newest job's last failure, "" if none */
    /* of the current result; "" and 0 if none */
    const char *kind, *format, *language, *title, *stages_json;
    enum result_outcome outcome;
    bool draft;
    int64_t duration_ms, missing_ms, text_bytes, chunk_count, segment_count;
    int64_t summary_coverage_permille;
    int64_t cost_nanousd; /* of all calls made for this medium */
    bool cost_known;      /* false: some call had no known price */
};

struct job_row {
    int64_t job_id, media_id, version_id;
    const char *bucket, *key, *collection, *trace_id;
    enum job_state state;
    int attempts;
    int64_t queued_ms, started_ms, finished_ms, due_ms; /* 0: not yet */
    const char *stage, *reason, *message, *worker;
};

struct attempt_row {
    int attempt;
    int64_t started_ms, ended_ms; /* 0: still running */
    const char *worker;
    const char
        *outcome; /* "running", "succeeded", "retry", "dead", "given_back", "cancelled", "lost" */
    const char *stage, *reason, *message, *stage_times_json;
};

struct usage_row {
    const char *day; /* "2026-03-01", UTC; "" unless grouped by it, as all below */
    const char *collection;
    int64_t media_id; /* 0 and key "": calls made for no medium */
    const char *key;
    const char *provider, *model, *operation;
    int64_t calls, input_tokens, cached_tokens, output_tokens, audio_ms, cost_nanousd,
        unpriced_calls;
};
enum usage_group {
    USAGE_BY_DAY = 1,
    USAGE_BY_COLLECTION = 2,
    USAGE_BY_MEDIA = 4,
    USAGE_BY_MODEL = 8
};

/* A life-cycle step, written in the transaction of the change it tells of (the outbox). Logs, live
 * events and metrics all read from it. */
struct life_event {
    int64_t id; /* rising */
    int64_t at_ms;
    const char
        *type; /* "media.removed", "job.queued", "job.started", "job.retrying", "job.paused",
                * "job.resumed", "job.succeeded", "job.dead", "job.cancelled", "job.given_back" */
    int64_t job_id, media_id;
    int attempt;
    const char *trace_id, *bucket, *key, *detail_json; /* detail: stage, reason, message, times */
};

struct totals {
    int64_t media, published, chunks, segments, results;
    int64_t jobs[JOB_STATES];
    int64_t cost_nanousd, unpriced_calls;
};

/* ---- search ------------------------------------------------------------------------------------
 */

struct arm_hit {
    int64_t chunk_id;
    double score; /* greater is better; comparable within one arm only */
};

struct passage {
    int64_t chunk_id, media_id;
    const char *bucket, *key, *collection, *kind, *language, *title, *text;
    int64_t start_ms, end_ms, offset, uploaded_ms;
    bool draft, incomplete;
};

/* A space with how many chunks of ready results are embedded in it. */
struct space_use {
    struct embedding_space space;
    int64_t chunks;
    bool serves;
    bool dropping; /* a space_drop was begun and is not done */
};

/* ---- the verbs ---------------------------------------------------------------------------------
 */

struct database_ops {
    const char *name; /* "sqlite", "postgres" */
    void (*close)(void *ctx);

    /* Upserts media, versions and jobs; one outcome per event. Events of one key in one call are
     * taken in the order given. A newer version of a medium cancels the older one's unfinished job;
     * the old result stays current until the new one is published. EVENT_REMOVED (of the
     * newest version, or naming none) takes the medium out of every search at once and cancels its
     * unfinished jobs; a later event may bring it back. */
    int (*record_events)(void *ctx, const struct media_event *events, size_t count,
                         struct event_outcome *out);

    /* Starts attempts for `worker`, under a lease until lease_until_ms. An attempt still open from
     * a crashed worker whose lease has passed (or whose receive_count rose) is closed as "lost". */
    int (*start_attempts)(void *ctx, struct job_start *starts, size_t count, const char *worker,
                          int64_t lease_until_ms);

    /* For running jobs; those not running any more are skipped. Not durable, needs not be. */
    int (*extend_leases)(void *ctx, const int64_t *job_ids, size_t count, int64_t lease_until_ms);

    /* The content's digest became known after the fetch. ERR_BUSY: another running job has the same
     * content and a live lease: give the message back with a delay and find its result then. */
    int (*set_content)(void *ctx, int64_t job_id, const struct digest *content);

    /* The job waits in its worker for a systemic failure to be mended (paused true), or goes on. */
    int (*set_paused)(void *ctx, int64_t job_id, bool paused, const char *reason,
                      const char *message);

    /* Closes an attempt that did not publish. ERR_CONFLICT if the attempt is no longer open. */
    int (*end_attempt)(void *ctx, const struct attempt_end *end);

    /* Copies into *out; ERR_NOT_FOUND. */
    int (*checkpoint_get)(void *ctx, const struct checkpoint_key *key, struct arena *arena,
                          void **bytes, size_t *length);
    /* All of them, with the calls that paid for them. The same key again is success. ERR_TOO_LARGE:
     * one is above the cap, and none is kept. */
    int (*checkpoints_put)(void *ctx, struct checkpoint *items, size_t count);

    /* Calls made for no job: the embedding of a search's query, the answer to a question. They
     * count for today, with collection "" and no medium. */
    int (*calls_record)(void *ctx, const struct model_call *calls, size_t count);

    /* The id of a space, made if it is new. Fills space->id. */
    int (*space_ensure)(void *ctx, struct embedding_space *space);
    /* Those that hold something, the fullest first. */
    int (*spaces)(void *ctx, struct arena *arena, struct space_use **out, size_t *count);

    /*
     * Several spaces side by side: one serves, another is filled meanwhile, then it is made the
     * serving one in one transaction. Whatever a publication adds is embedded in the serving space
     * (publish sees to it), so what the other lacks is known to the last chunk.
     *
     *     space_fill_begin
     *     until space_serve succeeds:
     *         until space_missing finds no more: embed, space_append
     *         space_prepare until it has no more to do
     *     space_fill_end
     */

    /* ERR_NOT_FOUND: none serves yet, as nothing was ever published with embeddings. */
    int (*space_serving)(void *ctx, struct serving_space *out);
    /* One that fills or drops at a time, by any process: ERR_BUSY while another does. Given back by
     * space_fill_end or the end of the process. */
    int (*space_fill_begin)(void *ctx);
    void (*space_fill_end)(void *ctx);
    /* At most `limit` chunks without an embedding in the space, in the order of (result_id,
     * chunk_id), behind `after` (NULL: from the first on). ERR_NOT_FOUND (no such space),
     * ERR_CONFLICT "space_dropping". */
    int (*space_missing)(void *ctx, int64_t space_id, const struct missing_chunk *after,
                         size_t limit, struct arena *arena, struct missing_chunk **out,
                         size_t *count);
    /* Adds their embeddings (count x dimension, float32, L2-normalised). Chunks that have them
     * already, or that are gone, are passed over: it may be repeated. Same errors. */
    int (*space_append)(void *ctx, int64_t space_id, const struct missing_chunk *chunks,
                        size_t count, const float *vectors);
    /* A step of making the space fast to search; *more: call again. Nothing depends on it but the
     * time that the first searches take. */
    int (*space_prepare)(void *ctx, int64_t space_id, bool *more);
    /* For so long, or until space_serve, publications that add embeddings are refused
     * ("space_held"), so that a filling can come to its end while others publish all the time. 0
     * ends it. */
    int (*space_hold)(void *ctx, int64_t hold_ms);
    /* From now on this space serves. ERR_BUSY "space_incomplete": something ready is not embedded
     * in it, and nothing was changed. ERR_NOT_FOUND, ERR_CONFLICT "space_dropping". */
    int (*space_serve)(void *ctx, int64_t space_id);
    /* A step of giving back the room of a space; *more: call again. ERR_CONFLICT "space_serves",
     * ERR_NOT_FOUND. What was begun has to be finished before the space can be filled again. */
    int (*space_drop)(void *ctx, int64_t space_id, struct space_drop_place *place, bool *more);

    /* A ready result under this key: ERR_NOT_FOUND if there is none. */
    int (*result_find)(void *ctx, const struct result_key *key, int64_t *result_id);
    /* For results too large for one call: opens (or finds again, after a retry of the same job) a
     * result in the making, invisible to search. *chunks_done and *segments_done say how many rows
     * are already stored, so that nothing is paid for twice. One with embeddings of another space
     * than `space_id` is not found again. */
    int (*result_begin)(void *ctx, int64_t job_id, const struct result_key *key, int64_t space_id,
                        int64_t *result_id, int64_t *chunks_done, int64_t *segments_done);
    int (*result_append)(void *ctx, int64_t job_id, int64_t result_id,
                         const struct result_batch *batch);

    /* Embeddings that a ready result already has for the same content, the same chunk texts
     * (key->text) and the same space, for `count` chunks from ordinal `first` on, as float32 into
     * `vectors` (count x dimension): a changed summary model does not pay for embeddings again.
     * ERR_NOT_FOUND unless all of them are there. */
    int (*embeddings_find)(void *ctx, const struct result_key *key, int64_t space_id, int first,
                           size_t count, float *vectors);
    /* The summary that a ready result already has for the same content and key->summary, and how
     * much of the text it covers: a changed embedding model does not pay for it again.
     * ERR_NOT_FOUND. */
    int (*summary_find)(void *ctx, const struct result_key *key, struct arena *arena,
                        struct summary *out, int64_t *coverage_permille);

    /* Makes the result ready, points the medium to it, closes attempt and job as succeeded, writes
     * the outbox row, drops the result replaced if nothing else uses it. ERR_CONFLICT: the version
     * was superseded or removed, or the attempt is no longer open: nothing is changed but the
     * calls, which are recorded. The first publication with embeddings makes their space the
     * serving one. Afterwards one that adds embeddings of another is refused: ERR_TRANSIENT
     * "space_switched" (embed again, in the serving space) or "space_held" (see space_hold), and
     * nothing is changed or recorded. */
    int (*publish)(void *ctx, const struct publication *publication);

    /* New jobs for the current versions of matching media (those without an unfinished job), in
     * order of media_id, after `after_media_id`, at most `limit`. The old results stay current
     * meanwhile. */
    int (*reprocess)(void *ctx, const struct media_filter *filter, int64_t after_media_id,
                     size_t limit, struct arena *arena, struct job_row **out, size_t *count);

    /* A dead job becomes queued again with its attempts counted from 0 (history stays).
     * ERR_NOT_FOUND, ERR_CONFLICT (not dead). */
    int (*redrive)(void *ctx, int64_t job_id);
    /* A dead letter is given up for good: the job becomes cancelled. Same errors. */
    int (*drop)(void *ctx, int64_t job_id);
    /* The queue itself gave up on a message (max_receives): a job still unfinished becomes dead. */
    int (*mark_dead)(void *ctx, int64_t job_id, const char *reason, const char *message);

    /* Jobs that should have a message on the queue but seem not to: queued or retrying, due before
     * `before_ms`, or running with a lease that ended before it. Sending a second message is
     * harmless. */
    int (*stranded)(void *ctx, int64_t before_ms, size_t limit, struct arena *arena,
                    struct job_row **out, size_t *count);
    /* A message was sent for these (so that they are not stranded until `due_ms`). Not durable. */
    int (*touch)(void *ctx, const int64_t *job_ids, size_t count, int64_t due_ms);

    /* The pipeline's pause, shared by all processes. reason "" means it runs. */
    int (*pause_set)(void *ctx, const char *reason, const char *message);
    int (*pause_get)(void *ctx, struct arena *arena, const char **reason, const char **message,
                     int64_t *since_ms);

    /* reading: newest first unless said; after/limit page through; ERR_NOT_FOUND for a single thing
     */
    int (*media_list)(void *ctx, const struct media_filter *filter, int64_t before_media_id,
                      size_t limit, struct arena *arena, struct media_row **out, size_t *count);
    int (*media_get)(void *ctx, int64_t media_id, struct arena *arena, struct media_row *out);
    int (*media_find)(void *ctx, const char *bucket, const char *key, struct arena *arena,
                      struct media_row *out);
    int (*summary_get)(void *ctx, int64_t media_id, struct arena *arena, struct summary *out);
    /* Calls back in order of ordinals; a non-zero return stops and is returned. Rows are borrowed
     * for the call. */
    int (*segments_each)(void *ctx, int64_t media_id,
                         int (*row)(void *arg, const struct segment_row *), void *arg);
    int (*chunks_each)(void *ctx, int64_t result_id,
                       int (*row)(void *arg, const struct chunk_row *), void *arg);
    /* state -1: all */
    int (*job_list)(void *ctx, int state, int64_t before_job_id, size_t limit, struct arena *arena,
                    struct job_row **out, size_t *count);
    int (*job_get)(void *ctx, int64_t job_id, struct arena *arena, struct job_row *out,
                   struct attempt_row **attempts, size_t *attempt_count);
    int (*usage)(void *ctx, const struct media_filter *filter, unsigned group_by,
                 struct arena *arena, struct usage_row **out, size_t *count);
    /* oldest first, after id `after` */
    int (*life_events)(void *ctx, int64_t after, size_t limit, struct arena *arena,
                       struct life_event **out, size_t *count);
    int (*totals)(void *ctx, struct totals *out);

    /* search arms: at most k hits, best first, over current results that match the filter */
    int (*search_lexical)(void *ctx, const char *query, const struct media_filter *filter, size_t k,
                          struct arena *arena, struct arm_hit **out, size_t *count);
    /* `query` has the space's dimension and is L2-normalised; score is the cosine. Exact on SQLite;
     * on PostgreSQL exact up to a size, above it approximate: a hit's score is exact, but a few of
     * the best may be missed (database/postgres_vectors.h; recall in docs/search.md). ERR_NOT_FOUND
     * (no such space). */
    int (*search_vector)(void *ctx, int64_t space_id, const float *query,
                         const struct media_filter *filter, size_t k, struct arena *arena,
                         struct arm_hit **out, size_t *count);
    /* One passage per (chunk, medium that currently shows it and matches the filter), in the order
     * of the ids; chunks that have meanwhile gone are left out. */
    int (*passages)(void *ctx, const int64_t *chunk_ids, size_t n,
                    const struct media_filter *filter, struct arena *arena, struct passage **out,
                    size_t *count);
};

struct database {
    const struct database_ops *ops;
    void *ctx;
};

#endif
