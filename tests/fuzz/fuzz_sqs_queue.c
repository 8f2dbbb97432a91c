/*
 * What SQS says of a queue, and hands out of it: attributes, a redrive policy, messages, references
 * to bodies that are kept elsewhere. Input: replies, each up to a zero byte, in the order in which
 * they are asked for; then nothing but {}. Batches always succeed (see fuzz_sqs_reply.c for what
 * they may say).
 */
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs.h"
#include "ports/object_store.h"
#include "shared/caps.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const char *next_reply, *end;

static bool is_batch(const struct aws_request *r)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strstr(r->headers[i].value, "Batch"))
            return true;
    return false;
}

static void take_reply(struct buffer *out)
{
    const char *zero = memchr(next_reply, '\0', (size_t)(end - next_reply));
    if (next_reply == end) {
        REQUIRE(!buffer_append_string(out, "{}"));
        return;
    }
    REQUIRE(!buffer_append(out, next_reply, (size_t)((zero ? zero : end) - next_reply)));
    next_reply = zero ? zero + 1 : end;
}

int aws_perform(struct aws_client *client, const struct aws_request *request,
                const struct cancel *cancel, struct http_response *out, struct aws_fault *fault)
{
    (void)client, (void)cancel, (void)fault;
    *out = (struct http_response){.status = 200};
    buffer_init(&out->body, MIB(16));
    buffer_init(&out->header_block, 1);
    if (!is_batch(request)) {
        take_reply(&out->body);
        return OK;
    }
    return buffer_append_string(
        &out->body, "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"a\"},{\"Id\":\"1\"},"
                    "{\"Id\":\"2\"},{\"Id\":\"3\"},{\"Id\":\"4\"},{\"Id\":\"5\"},"
                    "{\"Id\":\"6\"},{\"Id\":\"7\"},{\"Id\":\"8\"},{\"Id\":\"9\"}]}");
}

/* ---- where long bodies are kept: only what this queue put there may be asked for ---- */

static int open_object(void *ctx, const char *bucket, const char *key, const char *version_id,
                       const char *etag, const struct cancel *cancel, struct object *out)
{
    (void)ctx, (void)version_id, (void)etag, (void)cancel;
    REQUIRE(!strcmp(bucket, "media") && !strncmp(key, "queue/", 6));
    *out = (struct object){.fd = -1};
    return error_set(ERR_NOT_FOUND, NULL, "nothing is there");
}

static int remove_object(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    (void)ctx, (void)out;
    REQUIRE(!strcmp(bucket, "media") && !strncmp(key, "queue/", 6));
    return OK;
}

static const struct object_store_ops store_ops = {
    .name = "fuzz", .open = open_object, .remove = remove_object};

/* ---- the queue ---- */

static void receive(const struct job_queue *q, struct arena *arena)
{
    struct queue_message *m;
    size_t count;
    struct queue_receipt receipts[10];
    if (q->ops->receive(q->ctx, 10, 30000, 0, NULL, arena, &m, &count))
        return;
    REQUIRE(count <= 10);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(m[i].receipt && m[i].id[0] && m[i].receive_count > 0);
        REQUIRE(strlen(m[i].body) == m[i].length);
        receipts[i] = (struct queue_receipt){.receipt = m[i].receipt};
    }
    if (count) /* what was handed out is a receipt of this queue */
        REQUIRE(q->ops->delete (q->ctx, receipts, count) == OK);
}

static void ask(const struct job_queue *q)
{
    struct arena arena;
    struct queue_dead_letter *letters;
    struct queue_limits limits;
    struct queue_stats stats;
    size_t count;
    arena_init(&arena, MIB(16));
    q->ops->limits(q->ctx, &limits);
    REQUIRE(limits.max_receives > 0 && limits.max_body > 0);
    REQUIRE(limits.max_body <= CAP_MESSAGE_BODY);
    receive(q, &arena);
    q->ops->stats(q->ctx, &stats);
    if (!q->ops->dead_list(q->ctx, "", 3, &arena, &letters, &count))
        REQUIRE(count <= 3);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct object_store store = {.ops = &store_ops};
    struct job_queue queue;
    struct sqs_queue_options options = {.url = "https://sqs.eu-central-1.amazonaws.com/1/jobs",
                                        .payloads = &store,
                                        .payload_bucket = "media",
                                        .short_dead_poll = true};
    next_reply = (const char *)data;
    end = next_reply + size;
    if (sqs_queue_open(&options, &queue)) {
        REQUIRE(error_last()->message[0]);
        return 0;
    }
    ask(&queue);
    queue.ops->close(queue.ctx);
    return 0;
}
