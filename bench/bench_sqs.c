/*
 * bench_sqs - how many messages a second the queue on SQS sends, receives and deletes.
 *
 *   bench_sqs queues                                prints the URLs of two new queues, the second
 *                                                   for dead letters
 *   bench_sqs work URL DEAD_URL MESSAGES THREADS    sends so many, then receives and deletes them,
 *                                                   ten a request; prints {"sent","processed"}
 *
 * Server and credentials are those of the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs.h"
#include "aws_client.h"
#include "shared/json.h"
#include "shared/random.h"

enum { BATCH = 10, BODY = 160, MAX_THREADS = 64, HIDE_MS = 300000, WAIT_MS = 1000 };

struct bench {
    struct job_queue queue;
    int64_t messages;
    atomic_llong sent, deleted;
    char body[BODY + 1];
};

static void make_queue(struct aws_client *client)
{
    char name[TRACE_ID_TEXT], body[128];
    struct http_response response;
    yyjson_doc *doc;
    random_trace_id(name);
    snprintf(body, sizeof body, "{\"QueueName\":\"bench-%s\"}", name);
    must(aws_call_json(client, "1.0", "AmazonSQS.CreateQueue", body, strlen(body), NULL, &response,
                       NULL));
    must(json_parse(buffer_string(&response.body), response.body.length, "a reply", &doc));
    printf("%s\n", json_string_at(yyjson_doc_get_root(doc), "QueueUrl", ""));
    yyjson_doc_free(doc);
    http_response_free(&response);
}

static void *send_all(void *ctx)
{
    struct bench *b = ctx;
    struct queue_send sends[BATCH];
    for (int i = 0; i < BATCH; i++)
        sends[i] = (struct queue_send){.body = b->body, .length = BODY};
    while (atomic_fetch_add(&b->sent, BATCH) < b->messages)
        must(b->queue.ops->send(b->queue.ctx, sends, BATCH, NULL));
    return NULL;
}

static void *work_all(void *ctx)
{
    struct bench *b = ctx;
    struct arena arena;
    arena_init(&arena, MIB(4));
    while (atomic_load(&b->deleted) < b->messages) {
        struct queue_message *messages;
        struct queue_receipt receipts[BATCH];
        size_t count;
        must(b->queue.ops->receive(b->queue.ctx, BATCH, HIDE_MS, WAIT_MS, NULL, &arena, &messages,
                                   &count));
        for (size_t i = 0; i < count; i++)
            receipts[i] = (struct queue_receipt){.receipt = messages[i].receipt};
        if (count)
            must(b->queue.ops->delete (b->queue.ctx, receipts, count));
        atomic_fetch_add(&b->deleted, (long long)count);
        arena_free(&arena);
    }
    return NULL;
}

/* Messages a second. */
static double timed(struct bench *b, int threads, void *(*work)(void *))
{
    pthread_t running[MAX_THREADS];
    int64_t began = clock_monotonic_ms();
    for (int i = 0; i < threads; i++)
        if (pthread_create(&running[i], NULL, work, b))
            exit(1);
    for (int i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    return (double)b->messages * 1000 / (double)(clock_monotonic_ms() - began);
}

static int work(struct aws_client *client, char **argv)
{
    struct bench b = {.messages = atoll(argv[2]) / BATCH * BATCH};
    struct sqs_queue_options options = {
        .client = client, .url = argv[0], .dead_letter_url = argv[1]};
    int threads = atoi(argv[3]);
    if (b.messages <= 0 || threads <= 0 || threads > MAX_THREADS)
        return 2;
    memset(b.body, 'x', BODY);
    must(sqs_queue_open(&options, &b.queue));
    double sent = timed(&b, threads, send_all), processed = timed(&b, threads, work_all);
    printf("{\"sent\":%.1f,\"processed\":%.1f}\n", sent, processed);
    b.queue.ops->close(b.queue.ctx);
    return 0;
}

int main(int argc, char **argv)
{
    struct aws_client *client = open_client("sqs", "AWS_ENDPOINT_URL");
    if (argc == 2 && !strcmp(argv[1], "queues")) {
        make_queue(client);
        make_queue(client);
        return 0;
    }
    return argc == 6 && !strcmp(argv[1], "work") ? work(client, argv + 2) : 2;
}
