/*
 * bench_queue.c - how many messages a second the embedded queue takes and gives, with fsync on.
 *
 *   bench_queue [--messages N] [--batch N] [--backlog N] [--body N] [--threads N] [--rounds N]
 *               [--directory DIR] [--json]
 *
 * Two queues stand side by side, one empty and one with --backlog messages. In each of --rounds
 * rounds one thread sends its share of --messages to the one in batches, then receives and deletes
 * as many in batches; then the same with the other. So both see the same weather on a shared
 * machine. The figure is the median round; checkpoints fall into the rounds as they come.
 *
 * Then --threads threads send single messages, each waiting until its own is on disk (group
 * commit), and one thread does the same alone.
 *
 * JSON rows are {"name","value","unit"}.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/local/queue_sqlite.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"

enum { MAX_ROUNDS = 101 };

struct bench {
    int64_t messages, batch, backlog, body, threads, rounds;
    bool json;
    const char *parent;
    struct queue_send *sends;
    char *text;
};

/* A queue in a directory of its own. */
struct place {
    char directory[4096], path[4200];
    struct job_queue queue;
    double sent[MAX_ROUNDS], processed[MAX_ROUNDS]; /* messages a second */
};

static void die(const char *what)
{
    fprintf(stderr, "bench_queue: %s: %s\n", what, error_last()->message);
    exit(1);
}

static void print_row(const struct bench *b, const char *name, double value, const char *unit)
{
    int digits = value < 10 ? 2 : 0;
    if (b->json)
        printf("{\"name\":\"%s\",\"value\":%.*f,\"unit\":\"%s\"}\n", name, digits, value, unit);
    else
        printf("%-44s %12.*f %s\n", name, digits, value, unit);
    fflush(stdout);
}

static double send_all(const struct bench *b, struct job_queue *q, int64_t messages)
{
    int64_t start = clock_monotonic_us();
    for (int64_t sent = 0; sent < messages; sent += b->batch) {
        int64_t left = messages - sent;
        if (q->ops->send(q->ctx, b->sends, (size_t)(left < b->batch ? left : b->batch), NULL))
            die("send");
    }
    return (double)messages * 1e6 / (double)(clock_monotonic_us() - start);
}

static size_t process_batch(const struct bench *b, struct job_queue *q)
{
    struct arena arena;
    struct queue_message *messages;
    size_t count;
    arena_init(&arena, MIB(512));
    if (q->ops->receive(q->ctx, (size_t)b->batch, 60000, 0, NULL, &arena, &messages, &count))
        die("receive");
    struct queue_receipt *receipts = arena_array(&arena, count, sizeof *receipts);
    if (!receipts)
        die("receipts");
    for (size_t i = 0; i < count; i++)
        receipts[i].receipt = messages[i].receipt;
    if (count && q->ops->delete (q->ctx, receipts, count))
        die("delete");
    for (size_t i = 0; i < count; i++)
        if (receipts[i].rc)
            die("a receipt was void");
    arena_free(&arena);
    return count;
}

static double process_all(const struct bench *b, struct job_queue *q, int64_t messages)
{
    int64_t start = clock_monotonic_us(), done = 0;
    while (done < messages) {
        size_t n = process_batch(b, q);
        if (n == 0)
            die("the queue ran dry");
        done += (int64_t)n;
    }
    return (double)messages * 1e6 / (double)(clock_monotonic_us() - start);
}

static int compare_rates(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *rates, int64_t count)
{
    qsort(rates, (size_t)count, sizeof *rates, compare_rates);
    return rates[count / 2];
}

static void run_round(const struct bench *b, struct place *p, int64_t round)
{
    int64_t share = b->messages / b->rounds > 0 ? b->messages / b->rounds : 1;
    p->sent[round] = send_all(b, &p->queue, share);
    p->processed[round] = process_all(b, &p->queue, share);
}

static void run_rounds(const struct bench *b, struct place *empty, struct place *full)
{
    for (int64_t i = 0; i < b->rounds; i++) {
        run_round(b, empty, i);
        if (b->backlog)
            run_round(b, full, i);
    }
    double sent = median(empty->sent, b->rounds), processed = median(empty->processed, b->rounds);
    print_row(b, "queue enqueued, empty", sent, "messages/s");
    print_row(b, "queue processed, empty", processed, "messages/s");
    if (!b->backlog)
        return;
    double deep_sent = median(full->sent, b->rounds);
    double deep_processed = median(full->processed, b->rounds);
    print_row(b, "queue enqueued, backlog", deep_sent, "messages/s");
    print_row(b, "queue processed, backlog", deep_processed, "messages/s");
    print_row(b, "queue enqueued, backlog to empty", deep_sent / sent, "ratio");
    print_row(b, "queue processed, backlog to empty", deep_processed / processed, "ratio");
}

/* ---- group commit ------------------------------------------------------------------------------
 */

struct sender {
    const struct bench *bench;
    struct job_queue *queue;
    int64_t messages;
    pthread_t thread;
};

static void *send_singles(void *arg)
{
    struct sender *s = arg;
    for (int64_t i = 0; i < s->messages; i++)
        if (s->queue->ops->send(s->queue->ctx, s->bench->sends, 1, NULL))
            die("send");
    return NULL;
}

static double send_from_threads(const struct bench *b, struct job_queue *q, int64_t threads,
                                int64_t messages)
{
    struct sender *senders = calloc((size_t)threads, sizeof *senders);
    if (!senders)
        die("senders");
    int64_t start = clock_monotonic_us();
    for (int64_t i = 0; i < threads; i++) {
        senders[i] = (struct sender){.bench = b, .queue = q, .messages = messages / threads};
        if (pthread_create(&senders[i].thread, NULL, send_singles, &senders[i]))
            die("thread");
    }
    for (int64_t i = 0; i < threads; i++)
        pthread_join(senders[i].thread, NULL);
    free(senders);
    return (double)(messages / threads * threads) * 1e6 / (double)(clock_monotonic_us() - start);
}

/* ---- settings and set-up -----------------------------------------------------------------------
 */

/* The file tells its journal mode itself; synchronous is what the adapter sets for what it
 * acknowledges. */
static void print_settings(const struct bench *b, const struct place *p)
{
    sqlite3 *db;
    sqlite3_stmt *q = NULL;
    if (sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READWRITE, NULL) ||
        sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &q, NULL) ||
        sqlite3_step(q) != SQLITE_ROW)
        die("settings");
    fprintf(b->json ? stderr : stdout,
            "SQLite %s, journal_mode=%s, synchronous=FULL for send and delete, batch %" PRId64
            ", body %" PRId64 " bytes, backlog %" PRId64 "\n",
            sqlite3_libversion(), sqlite3_column_text(q, 0), b->batch, b->body, b->backlog);
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void make_bodies(struct bench *b)
{
    b->text = malloc((size_t)b->body + 1);
    b->sends = calloc((size_t)b->batch, sizeof *b->sends);
    if (!b->text || !b->sends)
        die("bodies");
    for (int64_t i = 0; i < b->body; i++)
        b->text[i] = (char)('a' + i % 26);
    b->text[b->body] = '\0';
    for (int64_t i = 0; i < b->batch; i++)
        b->sends[i] = (struct queue_send){.body = b->text, .length = (size_t)b->body};
}

static void place_open(const struct bench *b, struct place *p)
{
    snprintf(p->directory, sizeof p->directory, "%s/bench_queue.XXXXXX", b->parent);
    if (!mkdtemp(p->directory)) {
        error_set_errno(errno, "cannot make a directory in '%s'", b->parent);
        die("directory");
    }
    snprintf(p->path, sizeof p->path, "%s/queue.db", p->directory);
    if (sqlite_queue_open(&(struct sqlite_queue_options){.path = p->path}, &p->queue))
        die("open");
}

static void place_close(struct place *p)
{
    p->queue.ops->close(p->queue.ctx);
    unlink(p->path); /* closing the last connection removed its log */
    if (rmdir(p->directory))
        fprintf(stderr, "bench_queue: '%s' is left behind\n", p->directory);
}

static bool parse_number(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    *out = strtoll(text, &end, 10);
    return end > text && *end == '\0' && *out >= min && *out <= max;
}

static void parse_arguments(struct bench *b, int argc, char **argv)
{
    const struct {
        const char *name;
        int64_t *value, min, max;
    } numbers[] = {
        {"--messages", &b->messages, 1, 100000000}, {"--batch", &b->batch, 1, 1000},
        {"--backlog", &b->backlog, 0, 100000000},   {"--body", &b->body, 0, 262144},
        {"--threads", &b->threads, 1, 4096},        {"--rounds", &b->rounds, 1, MAX_ROUNDS}};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        bool known = strcmp(name, "--json") == 0;
        b->json |= known;
        if (!known && strcmp(name, "--directory") == 0 && *value) {
            b->parent = argv[++i];
            known = true;
        }
        for (size_t k = 0; !known && k < sizeof numbers / sizeof *numbers; k++)
            if (strcmp(name, numbers[k].name) == 0 && ++i < argc)
                known = parse_number(value, numbers[k].min, numbers[k].max, numbers[k].value);
        if (!known) {
            fprintf(stderr, "bench_queue: unknown or bad argument '%s'\n", name);
            exit(2);
        }
    }
}

static void run_threads(const struct bench *b, struct place *p)
{
    char name[64];
    snprintf(name, sizeof name, "queue single sends, %" PRId64 " threads", b->threads);
    print_row(b, name, send_from_threads(b, &p->queue, b->threads, b->threads * 500), "messages/s");
    print_row(b, "queue single sends, 1 thread", send_from_threads(b, &p->queue, 1, 500),
              "messages/s");
}

int main(int argc, char **argv)
{
    static struct place empty, full;
    struct bench b = {.messages = 1000000,
                      .batch = 1000,
                      .backlog = 1000000,
                      .body = 400,
                      .threads = 64,
                      .rounds = 10};
    b.parent = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    parse_arguments(&b, argc, argv);
    make_bodies(&b);
    place_open(&b, &empty);
    place_open(&b, &full);
    print_settings(&b, &empty);
    if (b.backlog)
        print_row(&b, "queue enqueued, growing to the backlog",
                  send_all(&b, &full.queue, b.backlog), "messages/s");
    run_rounds(&b, &empty, &full);
    run_threads(&b, &empty);
    place_close(&empty);
    place_close(&full);
    free(b.sends);
    free(b.text);
    return 0;
}
