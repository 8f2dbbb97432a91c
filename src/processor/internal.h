/*
 * internal.h - what the processor's own files share. Nothing outside this folder includes it.
 */
#ifndef AEGIS_PROCESSOR_INTERNAL_H
#define AEGIS_PROCESSOR_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "media/media.h"
#include "processor/processor.h"
#include "processor/text_source.h"
#include "shared/cancel.h"
#include "shared/channel.h"
#include "shared/embedder.h"
#include "shared/error.h"
#include "shared/slots.h"

/* ---- messages in flight ---- */

/* What becomes of a message once its job has run. */
enum disposition {
    DISPOSE_DELETE, /* done with */
    DISPOSE_DELAY,  /* visible again after delay_ms; 0 gives it back at once */
    DISPOSE_BURY,   /* to the dead letters, with reason and detail */
    DISPOSE_LEAVE,  /* the receipt is no longer ours */
};

/* One received message and the attempt it stands for. */
struct job;
struct delivery {
    struct delivery *next, *previous; /* the list of those in flight, under processor.lock */
    char *receipt;
    int64_t job_id;       /* as the message has it; 0 if it is unreadable */
    struct job_work work; /* the database writes it while the attempt starts */
    struct cancel cancel; /* drain deadline, or the lease was lost */
    atomic_bool lost;     /* the queue gave the message to somebody else */
    bool probing;         /* this job tries whether the pause's cause is mended (pause.c) */
    enum disposition disposition;
    int64_t delay_ms;
    char reason[QUEUE_REASON_TEXT];
    char detail[480];
};

/* ---- the pipeline's pause ---- */

struct pause {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool active;
    bool probing;            /* one of the waiting jobs is trying */
    int waiting;             /* jobs held */
    int failures;            /* probes that failed in a row; 1 at the start */
    int64_t probe_at_ms;     /* monotonic */
    struct error cause;      /* the newest */
    pthread_mutex_t telling; /* taken before `lock`: what is told last is what is true */
    bool told;               /* the log and the database say that it is paused */
};

/* ---- checkpoints on their way (pending.c) ---- */

/*
 * The summary of a short text is paid for some milliseconds before the result that holds it is
 * published. Written at once, its checkpoint would cost a commit that the next one makes
 * superfluous; so it may wait PENDING_MS for the publication. If that comes first, the checkpoint
 * is never written (summary_find finds the summary in the result). Otherwise a thread writes all
 * that are due in one transaction, while their jobs go on. A crash within that time pays for the
 * call again, as does one while the call is under way.
 */
enum { PENDING_MS = 50 };

enum pending_state {
    PENDING_NONE,
    PENDING_WAITS,      /* in the list */
    PENDING_IN_WRITING, /* by the thread */
    PENDING_WRITTEN,
    PENDING_FAILED,  /* the thread could not write it: the end of the attempt tries again */
    PENDING_DROPPED, /* a publication is under way, its calls are in job.calls */
};

struct pending_checkpoint {
    struct pending_checkpoint *next, *previous; /* in order of due_ms, while it waits */
    enum pending_state state;                   /* under pending.lock, as all above */
    int64_t due_ms;                             /* monotonic */
    struct checkpoint item;                     /* what it points to lives in the job's arena */
};

struct pending {
    pthread_mutex_t lock;
    pthread_cond_t added, written;
    struct pending_checkpoint *first, *last;
    bool running, stop;
    pthread_t thread;
};

/* ---- the embedding space that serves (serving.c) ---- */

/* What was last found; a switch by another process is noticed within SERVING_MS, and by the
 * publication that it refuses. */
enum { SERVING_MS = 2000 };

struct serving {
    struct embedding_space space; /* id 0: not looked at yet */
    struct embedder embedder;
};
struct serving_cache {
    pthread_mutex_t lock;
    struct serving known;
    int64_t until_ms; /* monotonic */
};

/* ---- short texts that are embedded in one request (embed_together.c) ---- */

enum { EMBED_GATHER_MS = 5 }; /* at most; little beside what a model takes */

struct embed_group;
struct embed_crowd {
    pthread_mutex_t lock;
    int64_t gather_ms;        /* EMBED_GATHER_MS */
    int under_way;            /* requests */
    struct embed_group *open; /* one that gathers; NULL: none does */
};

/* ---- the processor ---- */

struct processor {
    struct processor_ports ports;
    struct processor_settings settings;
    struct processor_observer observer;
    struct queue_limits limits;
    struct slots cpu;
    struct pause pause;
    struct pending pending;
    struct serving_cache serving;
    struct embed_crowd embedding;
    struct cancel stop; /* take no more messages */

    pthread_mutex_t lock;
    pthread_cond_t workers_freed;
    pthread_cond_t settled; /* nothing is in flight */
    struct delivery *in_flight;
    int busy;        /* workers with a job, or about to get one */
    int busy_wanted; /* workers_freed is signalled when busy has come down to it */
    int spawned;     /* worker threads started so far */
    pthread_t *workers;
    pthread_t dispatcher, keeper;
    struct channel ready; /* struct delivery: attempts started, to be run */
    struct channel done;  /* struct delivery: run, to be settled with the queue */

    /* Money: what the database says, plus what was spent here since. */
    atomic_llong cost_nanousd;
};

/* processor.c: a thread with a small stack and a name for `top -H`. */
int processor_start_thread(pthread_t *thread, const char *name, void *(*run)(void *), void *arg);

/* processor.c: one that is not started: what model calls need. Free also after an error. */
int processor_make(const struct processor_ports *ports, const struct processor_settings *settings,
                   const struct processor_observer *observer, struct processor **out);
void processor_free(struct processor *p);

/* processor.c: waits, with the lock held, until no more than `wanted` workers, who are more now,
 * are busy; false at the deadline. One thread at a time: whoever waited for each worker that is
 * freed would be woken for every job. */
bool processor_wait_busy(struct processor *p, int wanted, int64_t deadline_ms);

/* processor.c: starts workers up to the number busy; called by the dispatcher only. */
int processor_spawn_workers(struct processor *p);

/* dispatcher.c: receives, starts attempts, hands over; keeps at most settings.workers in flight. */
void *dispatcher_run(void *processor);

/* keeper.c: settles finished messages in batches, heartbeats, rescues stranded jobs. */
void *keeper_run(void *processor);
/* One round of the rescue. */
void keeper_rescue(struct processor *p);

/* delivery list, under the lock */
void delivery_link(struct processor *p, struct delivery *d);
void delivery_unlink_and_free(struct processor *p, struct delivery *d);

/* pause.c */
void pause_init(struct pause *pause);
void pause_fini(struct pause *pause);
/* A stage failed with the systemic error *e. Holds the job until it is worth trying again: returns
 * 0 (try the stage again), or ERR_CANCELLED. */
int pause_hold(struct processor *p, struct delivery *d, const struct error *e);
/* The stage that was tried again ended with `rc`, not with a systemic error: the pause is over. Was
 * it merely stopped, that proves nothing: the turn goes to another job that is held, if there is
 * one. */
void pause_probe_ended(struct processor *p, struct delivery *d, int rc);
/* Blocks while the pipeline is paused; false once the processor stops. */
bool pause_wait_clear(struct processor *p);

/* pending.c. Starts and stops the thread; all jobs must be over. */
int pending_start(struct processor *p);
void pending_stop(struct processor *p);
/* The item, whose memory is the job's, is durable within PENDING_MS or by the end of the attempt,
 * unless a publication comes first. A job has one at a time. */
void pending_add(struct job *job, const struct checkpoint *item);
/* A publication follows: the checkpoint is not written any more if it still waits, and its calls
 * are added to job.calls. */
void pending_drop(struct job *job);
/* The attempt ends without a publication. The checkpoint is durable on return, or there is none. On
 * an error, that of checkpoints_put, its calls are added to job.calls. Keeps the last error if
 * there is none of its own. */
int pending_flush(struct job *job);

/* job.c: runs one delivery's job to its end and fills in its disposition. */
void job_run(struct processor *p, struct delivery *d);

/* ---- one job ---- */

struct chunk_ref {
    int64_t offset; /* in job.text */
    uint32_t length;
    int64_t start_ms, end_ms; /* -1, -1 for documents */
};

struct job {
    struct processor *processor;
    struct delivery *delivery;
    const struct job_work *work;
    const struct cancel *cancel;
    struct arena arena;
    enum stage stage;
    int64_t stage_ms[STAGES];
    struct attempt_report report; /* for the observer */

    /* fetch */
    struct object object; /* fd -1 when not open */
    struct digest content;
    /* identify */
    struct media_identity identity;
    struct result_key key;
    int64_t ready_result; /* a result under this key exists: publish it and nothing else */
    /* extract, transcribe */
    struct text_source text; /* all text of the medium, UTF-8 */
    struct segment_row *segments;
    size_t segment_count;
    char language[16];
    struct result_info info;
    /* chunk */
    struct chunk_ref *chunks;
    size_t chunk_count;
    /* summarise */
    bool has_summary;
    struct summary summary;
    /* embed */
    struct embedding_space space;
    bool switched;            /* another space serves than that it was embedded in */
    int64_t result_id;        /* result in the making, for texts of more than one batch */
    size_t chunks_done;       /* already stored under result_id */
    float *vectors;           /* of the chunks from chunks_done on, for publish */
    struct model_calls calls; /* made, and not yet recorded */
    struct pending_checkpoint pending;
};

/* stages_*.c: each may be run again after it failed. Reading and deciding, not state machines. */
int stage_fetch(struct job *job);
int stage_identify(struct job *job);
int stage_extract(struct job *job);
int stage_transcribe(struct job *job);
int stage_chunk(struct job *job);
int stage_summarise(struct job *job);
int stage_embed(struct job *job);
int stage_publish(struct job *job);

bool job_is_recording(const struct job *job);
/* From summarise on: what the medium says of itself, else what the model told; "" if neither. */
const char *job_language(const struct job *job);
void job_progress(struct job *job, int permille);

/* Loads `count` chunks from `first` as rows; their texts live in the job's text, or in *scratch
 * (cleared and filled; NULL for a text in memory) where that is spooled. */
int job_load_chunks(struct job *job, size_t first, size_t count, struct chunk_row *rows,
                    struct buffer *scratch);

/* ---- model calls (calls.c) ---- */

int provider_identify(struct processor *p, enum model_operation operation,
                      struct model_identity *out);

/* Before a call that may cost: the budget (ERR_SYSTEMIC "budget_reached") and, if the model
 * computes here, a CPU slot. provider_end gives the slot back and counts the cost of what was added
 * to `calls` since. */
int provider_begin(struct processor *p, const struct model_identity *model,
                   const struct cancel *cancel);
void provider_end(struct processor *p, const struct model_identity *model,
                  const struct model_calls *calls, size_t before);

/* What was billed and is in no checkpoint is recorded with the attempt. Keeps the last error. */
void job_bill(struct job *job, const struct model_calls *calls);

/* After a failed call: 0 if it was a rate limit that was waited out here (call again), else its
 * code. A rate limit is the provider's pace, not the job's fault, so up to a minute of it burns no
 * attempt. */
int provider_wait_out(struct processor *p, const struct cancel *cancel, int64_t *waited_ms,
                      int *tries);

/* Embeds; rate limits are waited out. What was billed is added to `calls`. */
int provider_embed(struct processor *p, const struct embedder *embedder,
                   const struct embed_request *request, const struct cancel *cancel,
                   struct arena *arena, struct model_calls *calls, struct embed_result *out);

/* embed_together.c: the same, in one request with what other jobs embed at this moment if there are
 * many; each is billed its share of it, by bytes. */
int embed_together(struct processor *p, const struct embedder *embedder,
                   const struct embed_request *request, const struct cancel *cancel,
                   struct arena *arena, struct model_calls *calls, struct embed_result *out);

/* serving.c: the space that new media are embedded in, and who does. Where nothing is embedded it
 * is that of the settings. `anew`: something was refused, what is remembered is not true. */
int serving_find(struct processor *p, bool anew, struct serving *out);

/* ---- settings digests (digests.c) ---- */

int digest_transcribe(struct processor *p, struct digest *out);
int digest_summarise(struct processor *p, struct digest *out);
/* Fills key.text and key.settings for the job's kind. */
int job_fill_key(struct job *job);

#endif
