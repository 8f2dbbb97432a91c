/*
 * bench_queue_postgres.c - how many messages a second the queue in PostgreSQL takes and gives.
 *
 *   bench_queue_postgres --url URL [--messages N] [--batch N] [--backlog N] [--body N]
 *                        [--threads N] [--rounds N] [--only PART] [--json]
 *
 * The database is brought to Aegis's schema. Parts, each of which begins with an empty queue:
 *
 *   empty     in each of --rounds rounds one thread sends its share of --messages in batches, then
 *             --threads threads receive and delete them in batches; the figure is the median, and
 *             the last round is set against the first
 *   backlog   the same on top of --backlog messages
 *   snapshot held
 *             as empty, while another session holds a snapshot that is older than all messages, so
 *             that VACUUM can remove nothing
 *   snapshot held and backlog
 *   pickup    one message at a time to a receiver that waits and hears of it by NOTIFY: from the
 *             return of the send to that of the receive
 *
 * JSON rows are {"name","value","unit"}.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/postgres/queue_postgres.h"
#include "database/postgres_migrate.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"

enum { MAX_ROUNDS = 50, MAX_THREADS = 64, MAX_PICKUPS = 10 * MAX_ROUNDS };

struct bench {
    int64_t messages, batch, backlog, body, threads, rounds;
    bool json;
    const char *url, *only;
    struct queue_send *sends;
    char *text;
    struct pg_pool *pool;
    struct job_queue queue;
    struct job_queue other; /* another process's, as far as waking goes */
};

static void die(const char *what)
{
    fprintf(stderr, "bench_queue_postgres: %s: %s\n", what, error_last()->message);
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

static void script(const struct bench *b, const char *sql)
{
    struct pg *c;
    if (pg_acquire(b->pool, 5000, NULL, &c) || pg_script(c, sql))
        die(sql);
    pg_release(c);
}

static void empty_queue(const struct bench *b)
{
    script(b, "TRUNCATE queue_message, queue_dead");
    script(b, "CHECKPOINT");
}

/* ---- sending and processing --------------------------------------------------------------------
 */

static void send_all(const struct bench *b, int64_t messages)
{
    const struct job_queue *q = &b->queue;
    for (int64_t sent = 0; sent < messages; sent += b->batch) {
        int64_t left = messages - sent;
        if (q->ops->send(q->ctx, b->sends, (size_t)(left < b->batch ? left : b->batch), NULL))
            die("send");
    }
}

struct worker {
    const struct bench *bench;
    _Atomic int64_t *left;
    pthread_t thread;
};

static size_t process_batch(const struct bench *b, size_t batch)
{
    const struct job_queue *q = &b->queue;
    struct arena arena;
    struct queue_message *messages;
    size_t count;
    arena_init(&arena, MIB(512));
    if (q->ops->receive(q->ctx, batch, 60000, 0, NULL, &arena, &messages, &count))
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

static void *process(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        int64_t left = atomic_fetch_sub(w->left, w->bench->batch);
        if (left <= 0)
            return NULL;
        int64_t want = left < w->bench->batch ? left : w->bench->batch;
        while (want > 0)
            want -= (int64_t)process_batch(w->bench, (size_t)want);
    }
}

static void process_all(const struct bench *b, int64_t messages)
{
    struct worker workers[MAX_THREADS];
    _Atomic int64_t left = messages;
    for (int64_t i = 0; i < b->threads; i++) {
        workers[i] = (struct worker){.bench = b, .left = &left};
        if (pthread_create(&workers[i].thread, NULL, process, &workers[i]))
            die("thread");
    }
    for (int64_t i = 0; i < b->threads; i++)
        pthread_join(workers[i].thread, NULL);
}

static double rate(const struct bench *b, void (*run)(const struct bench *, int64_t), int64_t n)
{
    int64_t start = clock_monotonic_us();
    run(b, n);
    return (double)n * 1e6 / (double)(clock_monotonic_us() - start);
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, compare_numbers);
    return values[count / 2];
}

/* ---- parts -------------------------------------------------------------------------------------
 */

static void run_rounds(const struct bench *b, const char *part)
{
    static double sent[MAX_ROUNDS], processed[MAX_ROUNDS];
    int64_t share = b->messages / b->rounds > 0 ? b->messages / b->rounds : 1;
    char name[96];
    for (int64_t i = 0; i < b->rounds; i++) {
        sent[i] = rate(b, send_all, share);
        processed[i] = rate(b, process_all, share);
    }
    snprintf(name, sizeof name, "queue processed, %s, last round to first", part);
    print_row(b, name, processed[b->rounds - 1] / processed[0], "ratio");
    snprintf(name, sizeof name, "queue enqueued, %s", part);
    print_row(b, name, median(sent, b->rounds), "messages/s");
    snprintf(name, sizeof name, "queue processed, %s", part);
    print_row(b, name, median(processed, b->rounds), "messages/s");
}

static void run_part(const struct bench *b, const char *part, bool backlog, bool held)
{
    struct pg *holder = NULL;
    if (*b->only && strcmp(b->only, part) != 0)
        return;
    empty_queue(b);
    if (held && (pg_acquire(b->pool, 5000, NULL, &holder) || pg_begin(holder, PG_SNAPSHOT) ||
                 PG_RUN(holder, "SELECT count(*) FROM job WHERE job_id = $1", P_INT(1))))
        die("snapshot");
    if (backlog)
        send_all(b, b->backlog);
    run_rounds(b, part);
    pg_release(holder);
}

struct pickups {
    const struct bench *bench;
    int64_t count;
    _Atomic int64_t sent_us[MAX_PICKUPS]; /* when the send returned; 0: it has not */
    int64_t received_us[MAX_PICKUPS];
};

static void *send_pickups(void *arg)
{
    struct pickups *p = arg;
    const struct job_queue *q = &p->bench->other;
    const struct timespec idle = {.tv_nsec = 100000000};
    for (int64_t i = 0; i < p->count; i++) {
        char body[32];
        nanosleep(&idle, NULL);
        struct queue_send s = {.body = body};
        s.length = (size_t)snprintf(body, sizeof body, "%" PRId64, i);
        if (q->ops->send(q->ctx, &s, 1, NULL))
            die("send");
        atomic_store(&p->sent_us[i], clock_monotonic_us());
    }
    return NULL;
}

static void receive_pickup(struct pickups *p)
{
    const struct job_queue *q = &p->bench->queue;
    struct arena arena;
    struct queue_message *m;
    size_t count;
    arena_init(&arena, MIB(1));
    if (q->ops->receive(q->ctx, 1, 60000, 20000, NULL, &arena, &m, &count) || count != 1)
        die("pickup");
    p->received_us[strtoll(m->body, NULL, 10)] = clock_monotonic_us();
    struct queue_receipt r = {.receipt = m->receipt};
    if (q->ops->delete (q->ctx, &r, 1))
        die("delete");
    arena_free(&arena);
}

static void run_pickup(const struct bench *b)
{
    static struct pickups p;
    static double took[MAX_PICKUPS];
    pthread_t sender;
    if (*b->only && strcmp(b->only, "pickup") != 0)
        return;
    empty_queue(b);
    p.bench = b;
    p.count = b->rounds * 10;
    if (pthread_create(&sender, NULL, send_pickups, &p))
        die("thread");
    for (int64_t i = 0; i < p.count; i++)
        receive_pickup(&p);
    pthread_join(sender, NULL);
    for (int64_t i = 0; i < p.count; i++) {
        int64_t us = p.received_us[i] - atomic_load(&p.sent_us[i]);
        took[i] = us > 0 ? (double)us / 1000 : 0;
    }
    print_row(b, "queue pickup, idle, median", median(took, p.count), "ms");
    print_row(b, "queue pickup, idle, 95th percentile", took[p.count * 95 / 100], "ms");
}

/* ---- settings and set-up -----------------------------------------------------------------------
 */

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
        b->sends[i] =
            (struct queue_send){.body = b->text, .length = (size_t)b->body, .group = "talks"};
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
        {"--threads", &b->threads, 1, MAX_THREADS}, {"--rounds", &b->rounds, 1, MAX_ROUNDS}};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        bool known = strcmp(name, "--json") == 0, url = strcmp(name, "--url") == 0;
        b->json |= known;
        if (!known && (url || strcmp(name, "--only") == 0) && *value) {
            *(url ? &b->url : &b->only) = argv[++i];
            known = true;
        }
        for (size_t k = 0; !known && k < sizeof numbers / sizeof *numbers; k++)
            if (strcmp(name, numbers[k].name) == 0 && ++i < argc)
                known = parse_number(value, numbers[k].min, numbers[k].max, numbers[k].value);
        if (!known) {
            fprintf(stderr, "bench_queue_postgres: unknown or bad argument '%s'\n", name);
            exit(2);
        }
    }
    if (!*b->url) {
        fprintf(stderr, "bench_queue_postgres: --url is missing\n");
        exit(2);
    }
}

static void open_all(struct bench *b)
{
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    const struct pg_settings settings = {.connections = MAX_THREADS + 4,
                                         .transaction_timeout_ms = -1};
    if (postgres_migrate(b->url, migrations_postgres, migrations_postgres_count, &options, &done))
        die("migrate");
    if (pg_pool_open(b->url, &settings, &b->pool))
        die("pool");
    if (postgres_queue_open(&(struct postgres_queue_options){.pool = b->pool}, &b->queue) ||
        postgres_queue_open(&(struct postgres_queue_options){.pool = b->pool}, &b->other))
        die("open");
}

static void print_settings(const struct bench *b)
{
    struct pg *c;
    struct pg_rows rows;
    if (pg_acquire(b->pool, 5000, NULL, &c) ||
        pg_query(c, &rows,
                 "SELECT current_setting('server_version'), current_setting('fsync'), "
                 "current_setting('synchronous_commit')",
                 NULL, 0))
        die("settings");
    fprintf(b->json ? stderr : stdout,
            "PostgreSQL %s, fsync=%s, synchronous_commit=%s for send and delete, batch %" PRId64
            ", %" PRId64 " threads process, body %" PRId64 " bytes, backlog %" PRId64 "\n",
            pg_peek(&rows, 0, 0), pg_peek(&rows, 0, 1), pg_peek(&rows, 0, 2), b->batch, b->threads,
            b->body, b->backlog);
    pg_rows_free(&rows);
    pg_release(c);
}

int main(int argc, char **argv)
{
    struct bench b = {.messages = 500000,
                      .batch = 500,
                      .backlog = 500000,
                      .body = 200,
                      .threads = 4,
                      .rounds = 10,
                      .url = "",
                      .only = ""};
    parse_arguments(&b, argc, argv);
    make_bodies(&b);
    open_all(&b);
    print_settings(&b);
    run_part(&b, "empty", false, false);
    run_part(&b, "backlog", true, false);
    run_part(&b, "snapshot held", false, true);
    run_part(&b, "snapshot held and backlog", true, true);
    run_pickup(&b);
    b.queue.ops->close(b.queue.ctx);
    b.other.ops->close(b.other.ctx);
    pg_pool_close(b.pool);
    free(b.sends);
    free(b.text);
    return 0;
}
