/*
 * processor.h - a job becomes results: worker threads that take jobs from the queue and run them
 * through the stage table (stages.h), from top to bottom, with blocking calls.
 *
 *   dispatcher thread   receives messages, starts attempts in batches, hands jobs to workers
 *   worker threads      one job each: fetch, identify, extract or transcribe, chunk, summarise,
 *                       embed, publish
 *   keeper thread       heartbeats, deletes of finished messages in batches, rescue of stranded
 *                       jobs, the pause's probe
 *   checkpoints thread  writes those that no publication overtakes
 */
#ifndef AEGIS_PROCESSOR_PROCESSOR_H
#define AEGIS_PROCESSOR_PROCESSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/database.h"
#include "ports/job_queue.h"
#include "ports/model_provider.h"
#include "ports/object_store.h"
#include "shared/clock.h"
#include "shared/retry.h"

enum stage {
    STAGE_FETCH,
    STAGE_IDENTIFY,
    STAGE_EXTRACT,
    STAGE_TRANSCRIBE,
    STAGE_CHUNK,
    STAGE_SUMMARISE,
    STAGE_EMBED,
    STAGE_PUBLISH,
    STAGES
};
const char *stage_name(enum stage stage);

/* What the processor works with. Borrowed: must outlive the processor. */
struct processor_ports {
    struct object_store store;
    struct job_queue queue;
    struct database database;
    struct model_providers providers;
    const struct clock *clock;
};

struct processor_settings {
    int workers;             /* jobs in flight */
    int cpu_slots;           /* CPU-heavy stages at a time; 0: number of processors */
    const char *worker_name; /* "host:pid" */
    const char
        *spool_directory; /* for unlinked temporary files; on the data directory's file system */
    struct retry_policy retry;
    int64_t visibility_ms;    /* of a received message; heartbeats come at a third of it */
    int64_t drain_ms;         /* on stop: jobs that finish within this finish, the rest go back */
    size_t chunk_bytes;       /* target size of one chunk of text */
    int64_t piece_ms;         /* longest piece of audio for one transcription call */
    int transcribe_window;    /* transcription calls of one recording at a time */
    size_t summary_max_bytes; /* text read for one summary; beyond it evenly spread excerpts are */
    int64_t budget_nanousd;   /* total cost at which the pipeline pauses; 0: none */
    int64_t text_bytes;       /* longest text of one medium; 0: CAP_TEXT_BYTES */
    int64_t parser_ms;        /* a sandboxed parser silent for so long hangs; 0: two minutes */
    int64_t rescue_ms;        /* how often stranded jobs are looked for; 0: 30 s */
    bool accept_truncated;    /* recordings that end early are kept as far as they go */
};

/* Tells an observer in this process what happens. Called from worker threads: must not block. */
struct job_progress {
    int64_t job_id, media_id;
    const char *key;
    enum stage stage;
    int permille; /* within the stage; -1 unknown */
};
/* One that has ended, and when: clock_monotonic_us. */
struct attempt_report {
    const struct job_work *work;
    const char *type;             /* of the life event that tells of it: "job.succeeded",
                                   * "job.retrying", "job.dead", "job.given_back", "job.cancelled";
                                   * "job.lost": another worker has the job now */
    enum stage stage;             /* where it ended */
    const char *reason, *message; /* "" if it succeeded */
    int64_t began_us, ended_us;
    int64_t stage_began_us[STAGES], stage_ended_us[STAGES]; /* 0: it was not reached */
};
struct processor_observer {
    void (*progress)(void *ctx, const struct job_progress *progress); /* may be NULL */
    void (*ended)(void *ctx, const struct attempt_report *report);    /* may be NULL */
    void *ctx;
};

struct processor;

/* Starts the threads and returns. */
int processor_start(const struct processor_ports *ports, const struct processor_settings *settings,
                    const struct processor_observer *observer, struct processor **out);

/* Stops taking jobs, waits up to drain_ms for those in flight, cancels and gives back the rest,
 * joins all threads and frees. NULL is fine. */
void processor_stop(struct processor *processor);

/* Blocks at most `ms` while any message is held that was received and is not yet settled with the
 * queue; true if none is. */
bool processor_wait_settled(struct processor *processor, int64_t ms);

/* What a running processor does every rescue_ms, once, without one: sends a message again for jobs
 * that seem to have lost theirs, and marks as dead those that the queue gave up on. Blocks. Fails
 * only for want of memory; what else goes wrong is logged, and left for the next time. */
int processor_rescue(const struct processor_ports *ports,
                     const struct processor_settings *settings);

#endif
