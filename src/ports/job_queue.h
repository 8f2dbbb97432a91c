/*
 * job_queue.h - the port to the durable queue, with the semantics of Amazon SQS standard queues
 * (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/).
 *
 * A sent message is visible after its delay. receive() hides it for a visibility timeout and counts
 * the receive; whoever holds its receipt deletes it, gives it back or extends the timeout. When the
 * timeout passes it is visible again and older receipts are void. A message that would be received
 * more than max_receives times becomes a dead letter instead. Delivery is at least once; order is
 * roughly first in, first out.
 *
 * All methods are thread-safe and may block; what they acknowledge is durable. Any method may
 * return ERR_IO, ERR_DISK_FULL, ERR_NO_MEMORY, ERR_TRANSIENT or ERR_SYSTEMIC besides what it names.
 */
#ifndef AEGIS_PORTS_JOB_QUEUE_H
#define AEGIS_PORTS_JOB_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/arena.h"
#include "shared/cancel.h"

enum { QUEUE_ID_TEXT = 40, QUEUE_REASON_TEXT = 40, QUEUE_GROUP_TEXT = 129 };

struct queue_limits {
    int max_batch;        /* messages in one call of any method: 10 on SQS, more elsewhere */
    size_t max_body;      /* bytes of one body */
    int64_t max_delay_ms; /* of a send or change_visibility */
    int64_t max_visibility_ms;
    int max_receives;  /* the redrive policy's maxReceiveCount */
    bool dear_letters; /* listing dead letters is paid for by their number: not to be done often */
};

struct queue_send {
    const char *body; /* UTF-8 text */
    size_t length;
    int64_t delay_ms; /* 0: at once */
    /* Fairness key such as a collection; NULL or "" for none. Groups with messages that were never
     * received take turns, so that a large backlog of one does not hold up another (where an
     * adapter's header says other, it does not change the order). */
    const char *group;
    /* Where in a trace it is sent (shared/trace_context.h); NULL or "" for nowhere. An adapter
     * whose messages have attributes sends it beside the body, for those who only see the message.
     */
    const char *traceparent;
};

struct queue_message {
    char id[QUEUE_ID_TEXT]; /* stable over receives */
    const char *receipt;    /* valid until the next receive; in the arena of the call */
    const char *body;       /* NUL-terminated, in the arena of the call */
    size_t length;
    int receive_count;       /* 1 on the first receive */
    int64_t sent_ms;         /* Unix time */
    const char *traceparent; /* as it was sent, in the arena of the call; NULL or "" if there is
                              * none or the adapter keeps none. What the body says counts more. */
};

struct queue_dead_letter {
    char id[QUEUE_ID_TEXT];
    const char *body;
    size_t length;
    char reason[QUEUE_REASON_TEXT]; /* reason code; "max_receives" when the queue itself gave up */
    const char *detail;             /* one line for people, "" if none */
    int receive_count;
    int64_t sent_ms;
    int64_t dead_ms;
};

/* A receipt with the outcome of its part of a batch. Before the call only `receipt` is read. */
struct queue_receipt {
    const char *receipt;
    int rc; /* 0, ERR_CONFLICT (void: timed out and received again, or already deleted) or
               ERR_INVALID */
};

struct queue_stats {
    int64_t visible, in_flight, delayed, dead;
    int64_t oldest_age_ms; /* of the oldest visible message; 0 if none */
};

struct job_queue_ops {
    const char *name; /* "sqlite", "ram", "postgres", "sqs" */
    void (*close)(void *ctx);
    void (*limits)(void *ctx, struct queue_limits *out); /* does not block or fail */

    /* All or none. ids (count entries) may be NULL. Allowed: ERR_INVALID (batch or delay over the
     * limits), ERR_TOO_LARGE (a body), ERR_DISK_FULL (nothing was sent). */
    int (*send)(void *ctx, const struct queue_send *messages, size_t count,
                char (*ids)[QUEUE_ID_TEXT]);

    /* Takes up to `max` visible messages, hidden for visibility_ms. Waits up to wait_ms for the
     * first (0: does not wait) without polling faster than needed; returns 0 with *count 0 when
     * none came. Allowed: ERR_CANCELLED (while waiting), ERR_INVALID. */
    int (*receive)(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                   const struct cancel *cancel, struct arena *arena, struct queue_message **out,
                   size_t *count);

    /* Done with these. Returns 0 if every outcome is recorded in receipts[i].rc. */
    int (*delete)(void *ctx, struct queue_receipt *receipts, size_t count);

    /* Hides them for visibility_ms from now: 0 gives back at once, more is a heartbeat or a delayed
     * retry. */
    int (*change_visibility)(void *ctx, struct queue_receipt *receipts, size_t count,
                             int64_t visibility_ms);

    /* Moves one received message to the dead letters with its reason. Allowed: ERR_CONFLICT. */
    int (*bury)(void *ctx, const char *receipt, const char *reason, const char *detail);

    /* Dead letters in the order they were sent in, after the one with id `after` ("" from the
     * start), at most limit. */
    int (*dead_list)(void *ctx, const char *after, size_t limit, struct arena *arena,
                     struct queue_dead_letter **out, size_t *count);

    /* The same of those that died at dead_ms `since_ms` or later. */
    int (*dead_since)(void *ctx, int64_t since_ms, const char *after, size_t limit,
                      struct arena *arena, struct queue_dead_letter **out, size_t *count);

    /* Sends these dead letters round again with a fresh receive count; ids NULL means all.
     * *moved counts them; ids that are not dead are skipped. */
    int (*dead_redrive)(void *ctx, const char *const *ids, size_t count, int64_t *moved);

    /* Deletes these dead letters; ids NULL means all. */
    int (*dead_drop)(void *ctx, const char *const *ids, size_t count, int64_t *dropped);

    /* Counts, which takes its time where there are many. */
    int (*stats)(void *ctx, struct queue_stats *out);

    /* Without counting: is a message visible, is there any at all (in flight, delayed)? */
    int (*pending)(void *ctx, bool *visible, bool *any);
};

struct job_queue {
    const struct job_queue_ops *ops;
    void *ctx;
};

#endif
