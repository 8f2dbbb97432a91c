/*
 * queue_invocation.h - the job queue as a function on AWS Lambda sees it: the messages of one
 * invocation.
 *
 * Lambda has received them already, and after the answer deletes those that are not reported as
 * failed. So receive() hands out what the invocation brought, delete marks success, and what is
 * neither deleted nor buried when the invocation ends is reported and comes again.
 * change_visibility changes nothing at once, since a heartbeat cannot be told from a delay: the
 * last delay of each that comes again is passed to the inner queue at the end
 * (invocation_queue_give_back). Between, Lambda hides the messages for the queue's own visibility
 * timeout, which must be longer than the function's timeout.
 *
 * Messages that the event says are settled or left (sqs_event.h) are not handed out.
 *
 * Everything else (send, dead letters, counts, limits) is the inner queue's: the one the messages
 * came from.
 */
#ifndef AEGIS_ADAPTERS_AWS_QUEUE_INVOCATION_H
#define AEGIS_ADAPTERS_AWS_QUEUE_INVOCATION_H

#include "adapters/aws/sqs_event.h"
#include "ports/job_queue.h"

struct invocation_queue_options {
    struct job_queue inner; /* borrowed */
    /* Makes a dead letter of a message that the inner queue has not received in this process, and
     * removes it there; receipt is the event's receipt handle. Blocks; what bury returns. NULL: the
     * inner queue's bury is given the handle. */
    int (*bury)(void *ctx, const struct queue_message *message, const char *reason,
                const char *detail);
    void *bury_ctx;
};

/* The event is borrowed and must outlive the queue. ERR_NO_MEMORY. Give it back with
 * out->ops->close(out->ctx). */
int invocation_queue_open(const struct invocation_queue_options *options,
                          const struct sqs_event *event, struct job_queue *out);

/* Waits at most `ms` until each message was deleted, buried or had its visibility changed at least
 * once (which may have been a heartbeat); true if so. */
bool invocation_queue_wait_touched(const struct job_queue *queue, int64_t ms);

/* No more messages are handed out. */
void invocation_queue_shut(const struct job_queue *queue);

/* For the end: those that were under way when the time was up (given back at once after they were
 * handed out) and were received `receives` times or more go to another queue; they do not come
 * again here. *passed counts them, also after an error. What `to` returns. */
int invocation_queue_pass_on(const struct job_queue *queue, const struct job_queue *to,
                             int receives, size_t *passed);

/* For the end, when nobody works on the messages any more: makes those that come again visible in
 * the inner queue after their delay, those that were never handed out at once. Tries all; the first
 * error, after which they come when their visibility timeout passes. */
int invocation_queue_give_back(const struct job_queue *queue);

/* The answer to the invocation, and how many messages come again. As sqs_event_answer. */
int invocation_queue_answer(const struct job_queue *queue, struct buffer *out, size_t *again);

#endif
