/*
 * queue_sqs.h - the durable queue on Amazon SQS, a standard or a FIFO queue, over its JSON protocol
 * (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/).
 *
 * Dead letters are another queue: that of the redrive policy, or one that is given. With a redrive
 * policy SQS itself moves what was received maxReceiveCount times; without one the adapter buries
 * it when it comes once more.
 *
 * What SQS cannot do, so that it differs from ports/job_queue.h:
 *  - send is not all or none. Everything is checked before anything is sent, and entries that fail
 *    on SQS's side are repeated; if some fail all the same, the error says how many were sent. A
 *    reply that is lost makes the call again: a message may be there twice.
 *  - A void receipt may look valid: SQS takes a deletion of what is already deleted, and of what
 *    another has received since, for success. change_visibility and bury report ERR_CONFLICT for
 *    what is deleted or visible again.
 *  - Seconds are its unit: delays and timeouts are rounded up.
 *  - Every receive counts: messages that did not fit into the arena are given back with the count
 *    they have.
 *  - stats and pending are SQS's "approximate" numbers, up to a minute old; oldest_age_ms is not
 *    known and always 0.
 *  - Cancelling a receive that waits may leave messages hidden until their timeout.
 *  - A short poll (wait_ms below 1,000) may miss what is there.
 *
 * Delays over 15 minutes, SQS's longest, and all delays of a FIFO queue, which has none for single
 * messages: the message carries the time before which it is not handed out, by the sender's clock.
 * Received too early it is sent again with the delay that remains, then deleted, so that its
 * receive count starts anew; on a FIFO queue it is hidden until then, which uses up a receive and
 * holds up its group.
 *
 * Where in a trace a message was sent is in its attribute "traceparent" and in the system attribute
 * AWSTraceHeader; on receipt the first that can be read counts. Other attributes are named
 * "aegis.*"; only messages that were delayed so, buried, redriven or have a payload elsewhere have
 * any. The id survives all of that in aegis.id. A message with a
 * newer aegis.version is left for newer workers. Attributes of others are lost when a message is
 * sent again.
 *
 * Dead letters cannot be read without receiving them. Listing receives what is in the queue, at
 * most 10,000, and makes it visible again afterwards. So: listings of two processes at once each
 * see a part; a process that dies over it hides what it saw for two minutes; the order is that of
 * sending only among those seen; one call for every ten letters. They are as bounded in memory as
 * the page asked for, and a receipt for each that was looked at. `after` is understood if it is one
 * of the last 1,024 letters that this queue object handed out, else it is the start. The time of
 * death of what SQS itself moved is not known: dead_ms is then the time of looking.
 *
 * So a worker looks for what SQS gave up on once in ten minutes, not twice a minute.
 *
 * Redriving and dropping are done by hand, ten at a time. All letters, nothing selected, are three
 * requests for ten, however many there are (100,000: 30,000 requests, which SQS sells for a cent).
 * StartMessageMoveTask would be one, but it makes new ids; leaves the attributes that tell of an
 * earlier death on messages that live; goes on after the process that began it, without saying how
 * many it moved but about; moves at most 500 in a second, not much more than by hand; is not to be
 * had where the dead letters are not those of a redrive policy; and needs a right more. PurgeQueue
 * does not count, takes what arrives meanwhile, and may be called once a minute.
 *
 * Fairness: none on a standard queue, unless `fair` is set, which sends the group as MessageGroupId
 * (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html,
 * since 2025; older servers refuse it): messages of a group of which much is being worked on then
 * wait for those of others. On a FIFO queue a group's messages are in order, one batch at a time.
 *
 * Bodies that are too long for a message can be kept in a store. The program sets no store for
 * them: what it sends names a job in 160 bytes at most, the least MaximumMessageSize that a queue
 * can have is 1,024, and a process that only sends would need the right to write to the bucket. It
 * is for other users of the port, whose bodies may have 256 KiB on every adapter, also on a queue
 * that takes less. The format is this adapter's own, not that of AWS's Extended Client: a message
 * that others put on the queue of jobs names no job, wherever its body is.
 *
 * Rights on the queue: sqs:SendMessage, ReceiveMessage, DeleteMessage, ChangeMessageVisibility,
 * GetQueueAttributes; the same on that of the dead letters, and GetQueueUrl if it comes from the
 * redrive policy.
 */
#ifndef AEGIS_ADAPTERS_AWS_QUEUE_SQS_H
#define AEGIS_ADAPTERS_AWS_QUEUE_SQS_H

#include "adapters/aws/client.h"
#include "adapters/aws/sqs_event.h"
#include "ports/job_queue.h"
#include "ports/object_store.h"

struct sqs_queue_options {
    struct aws_client *client; /* of service "sqs"; borrowed */
    const char *url;
    const char *dead_letter_url; /* NULL or "": that of the redrive policy */
    int max_receives;            /* where there is no redrive policy; 0: 20 */
    bool fair;
    bool send_only; /* nothing but send is used, so nothing is asked about the queue */
    /* Bodies that are too long for the queue (its MaximumMessageSize, less 2 KiB for attributes)
     * are kept here; the message says where. Removed when the message is. Borrowed; NULL: such a
     * body is ERR_TOO_LARGE. */
    const struct object_store *payloads;
    const char *payload_bucket;
    const struct clock *clock; /* NULL: the system's */
    /* For tests. */
    size_t max_inline;    /* longest body that stays in the message; 0: by the queue */
    int64_t silence_ms;   /* after which a call is made again elsewhere; 0: 10 s */
    bool short_dead_poll; /* the server's short polls miss nothing */
};

/*
 * Asks for the attributes of both queues, so it blocks. ERR_INVALID (no URL of a queue; the given
 * dead-letter queue is not that of the redrive policy), ERR_SYSTEMIC (no such queue, no dead-letter
 * queue anywhere, rights), ERR_TRANSIENT. Give it back with out->ops->close(out->ctx), when no
 * method is running and before the client is closed.
 */
int sqs_queue_open(const struct sqs_queue_options *options, struct job_queue *out);

/*
 * Makes of messages of this queue that Lambda received what receive() would have: receipts of this
 * queue, bodies from where they are kept. What receive() does not hand out (not due, by a newer
 * version, received too often without a redrive policy) is put aside as there, and its standing
 * says so; what fails is left, and logged. Blocks. ERR_NO_MEMORY.
 */
int sqs_queue_adopt(const struct job_queue *queue, struct sqs_event *event, struct arena *arena);

#endif
