/*
 * queue_sqs_internal.h - what the parts of the queue on SQS share.
 */
#ifndef AEGIS_ADAPTERS_AWS_QUEUE_SQS_INTERNAL_H
#define AEGIS_ADAPTERS_AWS_QUEUE_SQS_INTERNAL_H

#include <pthread.h>

#include "adapters/aws/queue_sqs.h"
#include "shared/json.h"

enum {
    SQS_BATCH = 10, /* entries in one request */
    SQS_LONGEST_DELAY_MS = 900000,
    SQS_LONGEST_POLL_S = 20,
    SQS_VERSION = 1, /* of the aegis.* attributes */
    SQS_URL = 512,
    SQS_ARN = 256,
    SQS_DEAD_SEEN = 1024,
};

/* Where a dead letter that was handed out stands, for the page after it. */
struct sqs_dead_position {
    char id[QUEUE_ID_TEXT];
    int64_t sent_ms;
};

struct sqs_queue {
    struct aws_client *client;
    const struct clock *clock;
    const struct object_store *payloads;
    char payload_bucket[CAP_BUCKET + 1];
    char url[SQS_URL], dead_url[SQS_URL];
    bool fifo, dead_fifo, fair, short_dead_poll;
    bool redrives; /* SQS itself buries what was received too often */
    int max_receives;
    int64_t silence_ms;                                /* besides what SQS waits for a message */
    size_t max_body, max_inline, max_request;          /* bytes; of all bodies of a request */
    pthread_mutex_t dead_lock;                         /* one look at the dead letters at a time */
    struct sqs_dead_position dead_seen[SQS_DEAD_SEEN]; /* a ring */
    size_t dead_seen_next;
};

/* ---- queue_sqs_call.c: requests ---- */

/* What became of an entry of a batch. */
struct sqs_outcome {
    bool answered, ok, sender_fault;
    char code[AWS_CODE_TEXT];
    char id[QUEUE_ID_TEXT]; /* MessageId of a sent one */
};

/* One call of "AmazonSQS.<action>"; *out is the caller's to free. ERR_TRANSIENT if the reply is not
 * JSON. */
int sqs_call(struct sqs_queue *q, const char *action, const struct buffer *body,
             const struct cancel *cancel, yyjson_doc **out);

/* A call with entries whose ids are "0", "1", ...; outcomes of at most SQS_BATCH. */
int sqs_call_batch(struct sqs_queue *q, const char *action, const struct buffer *body,
                   struct sqs_outcome *outcomes, size_t count);
void sqs_outcomes_parse(yyjson_val *reply, struct sqs_outcome *outcomes, size_t count);

/* Appends `,"name":"value"` (without the comma if it follows a bracket). */
int sqs_put(struct buffer *out, const char *name, const char *value);
int sqs_put_text(struct buffer *out, const char *name, const char *value, size_t length);
int sqs_put_int(struct buffer *out, const char *name, int64_t value);

/* Whole seconds, rounded up. */
int64_t sqs_seconds(int64_t ms);

/* Waits before repeating entries for the nth time (from 1), at most two; false: no more. */
bool sqs_again(int nth);

/* ---- queue_sqs_message.c: what was received ---- */

/* Strings are borrowed from the reply or the receipt it was read from. */
struct sqs_message {
    const char *handle, *body;
    size_t length;
    char id[QUEUE_ID_TEXT];
    int receive_count;
    int64_t sent_ms;             /* the first time */
    int64_t arrived_ms;          /* in this queue */
    int64_t not_before_ms;       /* 0: at once */
    const char *group;           /* "" if none, as both below */
    const char *trace;           /* AWSTraceHeader */
    const char *traceparent;     /* the attribute of that name; neither of them is checked */
    bool payload;                /* the body says where the body is */
    bool newer;                  /* written by a version that is not known here */
    const char *reason, *detail; /* of a dead letter; reason "": SQS itself moved it */
    int dead_count;              /* receives of a buried one */
};

/* The messages of a reply of ReceiveMessage, at most SQS_BATCH; what has no receipt or id is left
 * out. */
size_t sqs_messages_parse(yyjson_val *reply, struct sqs_message out[SQS_BATCH]);

/* The same of a message that Lambda hands over. False: it has no receipt or id. */
bool sqs_message_of_record(const struct sqs_record *record, struct sqs_message *out);

/* A receipt holds what is needed to send the message once more, the body at its end. In the arena;
 * NULL on exhaustion. *body points into it. */
char *sqs_receipt_format(struct arena *arena, const struct sqs_message *m, const char **body);

/* Cuts the receipt up in a copy, *storage, which the caller frees. ERR_INVALID, ERR_NO_MEMORY. */
int sqs_receipt_parse(const char *receipt, char **storage, struct sqs_message *out);

/* ReceiveMessage of up to SQS_BATCH. */
int sqs_receive(struct sqs_queue *q, const char *url, size_t max, int64_t visibility_s,
                int64_t wait_s, const struct cancel *cancel, yyjson_doc **doc,
                struct sqs_message out[SQS_BATCH], size_t *count);

/* ---- queue_sqs_send.c ---- */

struct sqs_outgoing {
    const char *body;
    size_t length;
    int64_t delay_ms;      /* up to SQS_LONGEST_DELAY_MS; not on FIFO queues */
    int64_t not_before_ms; /* 0: none */
    const char *id;        /* what it was called before; "": it is new */
    const char *group, *trace, *traceparent;
    int64_t sent_ms; /* of what has an id */
    bool payload;
    const char *reason, *detail; /* reason NULL: no dead letter */
    int dead_count;
};

/* Sends in as many requests as it takes. *sent counts, also after an error. ids may be NULL. */
int sqs_send_entries(struct sqs_queue *q, const char *url, bool fifo,
                     const struct sqs_outgoing *entries, size_t count, char (*ids)[QUEUE_ID_TEXT],
                     size_t *sent);

/* What sends a received message round again. */
struct sqs_outgoing sqs_again_entry(const struct sqs_message *m);

int sqs_send(void *ctx, const struct queue_send *messages, size_t count,
             char (*ids)[QUEUE_ID_TEXT]);

/* ---- queue_sqs_settle.c ---- */

/* DeleteMessageBatch and ChangeMessageVisibilityBatch of up to SQS_BATCH handles (NULL ones are
 * left out); rcs are OK or ERR_CONFLICT. */
int sqs_delete_handles(struct sqs_queue *q, const char *url, const char *const *handles,
                       size_t count, int *rcs);
int sqs_hide_handles(struct sqs_queue *q, const char *url, const char *const *handles, size_t count,
                     int64_t seconds, int *rcs);

/* Sends to the dead letters, then deletes. */
int sqs_bury_message(struct sqs_queue *q, const struct sqs_message *m, const char *reason,
                     const char *detail, int receive_count);

int sqs_check_visibility(int64_t ms);
int sqs_delete(void *ctx, struct queue_receipt *receipts, size_t count);
int sqs_change_visibility(void *ctx, struct queue_receipt *receipts, size_t count,
                          int64_t visibility_ms);
int sqs_bury(void *ctx, const char *receipt, const char *reason, const char *detail);

/* ---- queue_sqs_receive.c ---- */

int sqs_queue_receive(void *ctx, size_t max, int64_t visibility_ms, int64_t wait_ms,
                      const struct cancel *cancel, struct arena *arena, struct queue_message **out,
                      size_t *count);

/* ---- queue_sqs_payload.c: bodies that are kept elsewhere ---- */

/* Stores the body; *reference is what the message says instead, from malloc. */
int sqs_payload_put(struct sqs_queue *q, const char *body, size_t length, char **reference);
/* Reads it into the arena. ERR_NOT_FOUND, ERR_INVALID (that is no reference, or no place for
 * payloads is set). */
int sqs_payload_get(struct sqs_queue *q, const char *reference, size_t length, struct arena *arena,
                    const char **body, size_t *body_length);
/* Best effort: what is left is garbage that nobody names. Keeps the last error. */
void sqs_payload_remove(struct sqs_queue *q, const struct sqs_message *m);

/* ---- queue_sqs_dead.c, queue_sqs_dead_take.c ---- */

enum { SQS_DEAD_HIDE_S = 120, SQS_DEAD_LOOK_MS = 90000, SQS_DEAD_CAP = 10000 };

/* One batch of dead letters, hidden for SQS_DEAD_HIDE_S. *count 0: there are no more. */
int sqs_dead_receive(struct sqs_queue *q, yyjson_doc **doc, struct sqs_message out[SQS_BATCH],
                     size_t *count);

/* Handles of letters that were looked at and are to be visible again. */
struct sqs_handles {
    char **items;
    size_t count, capacity;
};
int sqs_handles_add(struct sqs_handles *h, const char *handle);
/* Shows all again and frees them. Keeps the last error. */
void sqs_handles_release(struct sqs_queue *q, struct sqs_handles *h);

int sqs_dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                  struct queue_dead_letter **out, size_t *count);
int sqs_dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                   struct arena *arena, struct queue_dead_letter **out, size_t *count);
int sqs_dead_redrive(void *ctx, const char *const *ids, size_t count, int64_t *moved);
int sqs_dead_drop(void *ctx, const char *const *ids, size_t count, int64_t *dropped);

#endif
