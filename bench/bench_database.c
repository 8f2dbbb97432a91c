/*
 * bench_database - what storing the results of a small document costs, at synchronous=FULL.
 *
 *   bench_database [jobs] [workers] [checkpoint: 0|1] [directory | postgresql://...]
 *
 * On PostgreSQL the database named has to be empty or migrated, and is left as it is afterwards.
 *
 * A dispatcher records events and starts attempts in batches of 100, as the service does; workers,
 * all blocking, publish a result each: info, summary, 3 chunks of 1.3 KB, 3 embeddings of 1,536
 * dimensions, 2 model calls; with checkpoint 1 each stores a summary checkpoint first. The figure
 * counts the time until the full-text index is complete. Then searches, lists and a restart.
 * Prints "name value unit" lines.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "database/postgres.h"
#include "database/postgres_migrate.h"
#include "database/sqlite.h"
#include "shared/channel.h"
#include "shared/error.h"

enum { CHUNKS = 3, CHUNK_BYTES = 1300, DIMENSION = 1536, WORDS = 30000, BATCH = 100, TEXTS = 512 };

struct bench {
    struct database db;
    struct channel ready;
    const char *place;
    int64_t jobs;
    bool checkpoint;
    struct embedding_space space;
    char (*texts)[CHUNK_BYTES + 32];
    float *vectors; /* TEXTS + CHUNKS rows */
};

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, error_last()->message);
    exit(1);
}

static void check(int rc, const char *what)
{
    if (rc)
        die(what);
}

/* ---- the engines ---- */

static bool is_url(const char *place)
{
    return !strncmp(place, "postgres", 8);
}

static int open_place(const char *place, struct database *out)
{
    struct sqlite_database_options sqlite = {.directory = place};
    struct postgres_database_options postgres = {.url = place};
    struct postgres_migrate_options migrate = {0};
    struct postgres_migrated done;
    if (!is_url(place))
        return sqlite_database_open(&sqlite, out);
    int rc =
        postgres_migrate(place, migrations_postgres, migrations_postgres_count, &migrate, &done);
    return rc ? rc : postgres_database_open(&postgres, out);
}

static int settle(const struct bench *b, struct database *db)
{
    return is_url(b->place) ? postgres_database_settle(db) : sqlite_database_settle(db);
}

/* ---- data: words by Zipf's law, as in natural text ---- */

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double uniform(void)
{
    return (double)(next_random() >> 11) / 9007199254740992.0;
}

static int zipf(const double *cumulated)
{
    double x = uniform() * cumulated[WORDS - 1];
    int low = 0, high = WORDS - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (cumulated[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void make_texts(struct bench *b)
{
    static char words[WORDS][16];
    static double cumulated[WORDS];
    double sum = 0;
    for (int i = 0; i < WORDS; i++) {
        size_t length = 2 + next_random() % 9;
        for (size_t j = 0; j < length; j++)
            words[i][j] = (char)('a' + next_random() % 26);
        cumulated[i] = sum += 1.0 / (i + 1);
    }
    b->texts = calloc(TEXTS, sizeof *b->texts);
    for (int t = 0; t < TEXTS; t++)
        for (size_t n = 0; n < CHUNK_BYTES;)
            n += (size_t)snprintf(b->texts[t] + n, 20, "%s ", words[zipf(cumulated)]);
}

static void make_vectors(struct bench *b)
{
    b->vectors = malloc(sizeof(float) * DIMENSION * (TEXTS + CHUNKS));
    for (int v = 0; v < TEXTS + CHUNKS; v++) {
        float *row = b->vectors + (size_t)v * DIMENSION;
        double norm = 0;
        for (int i = 0; i < DIMENSION; i++) {
            row[i] = (float)(uniform() - 0.5);
            norm += (double)row[i] * row[i];
        }
        for (int i = 0; i < DIMENSION; i++)
            row[i] /= (float)sqrt(norm);
    }
}

/* ---- the pipeline ---- */

static void fill_event(struct media_event *e, int64_t i, char key[64])
{
    snprintf(key, 64, "reports/2026/document-%lld.txt", (long long)i);
    *e = (struct media_event){.kind = EVENT_CREATED,
                              .bucket = "media",
                              .key = key,
                              .object_version = "",
                              .etag = "9bb58f26192e4ba00f01e2e7b136bbd8",
                              .sequencer = "0055AED6DCD90281E5",
                              .content_type = "text/plain",
                              .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                              .size = CHUNKS * CHUNK_BYTES,
                              .event_ms = 1767225600000 + i};
    e->content = digest_of(&i, sizeof i);
}

static void start_batch(struct bench *b, struct event_outcome *outcomes, size_t n)
{
    struct job_start starts[BATCH];
    for (size_t i = 0; i < n; i++)
        starts[i] = (struct job_start){.job_id = outcomes[i].job_id,
                                       .receive_count = 1,
                                       .work = malloc(sizeof(struct job_work))};
    check(b->db.ops->start_attempts(b->db.ctx, starts, n, "bench:1", INT64_MAX / 2), "start");
    for (size_t i = 0; i < n; i++) {
        if (starts[i].rc)
            die("start of one");
        channel_push(&b->ready, starts[i].work);
    }
}

static void *dispatch(void *arg)
{
    struct bench *b = arg;
    for (int64_t done = 0; done < b->jobs; done += BATCH) {
        struct media_event events[BATCH];
        struct event_outcome outcomes[BATCH];
        char keys[BATCH][64];
        size_t n = b->jobs - done < BATCH ? (size_t)(b->jobs - done) : BATCH;
        for (size_t i = 0; i < n; i++)
            fill_event(&events[i], done + (int64_t)i, keys[i]);
        check(b->db.ops->record_events(b->db.ctx, events, n, outcomes), "record");
        start_batch(b, outcomes, n);
    }
    channel_close(&b->ready);
    return NULL;
}

static void publish_one(struct bench *b, const struct job_work *work)
{
    struct chunk_row chunks[CHUNKS];
    static const char *const points[] = {"The first point of the document, told in one sentence.",
                                         "The second point, which is a little longer than that.",
                                         "A third point."};
    struct summary summary = {
        .title = "A title of the document",
        .abstract = "An abstract of some length, as a model would write it for a text of four "
                    "kilobytes: a few sentences that say what it is about and what follows from "
                    "it, without going into any of the details that the text itself gives.",
        .language = "en",
        .key_points = (const char **)points,
        .key_point_count = 3};
    struct result_info info = {
        .kind = "text",
        .format = "utf-8",
        .language = "en",
        .title = summary.title,
        .duration_ms = -1,
        .text_bytes = work->size,
        .summary_coverage_permille = 1000,
        .stages_json = "{\"summarise\":{\"provider\":\"openai\",\"model\":\"gpt-5.4-mini\"},"
                       "\"embed\":{\"provider\":\"openai\",\"model\":\"text-embedding-3-small\"}}"};
    struct model_call calls[2] = {{.provider = "openai",
                                   .model = "gpt-5.4-mini",
                                   .operation = MODEL_SUMMARISE,
                                   .input_tokens = 1000,
                                   .output_tokens = 150,
                                   .cost_nanousd = 1100000,
                                   .http_status = 200},
                                  {.provider = "openai",
                                   .model = "text-embedding-3-small",
                                   .operation = MODEL_EMBED,
                                   .input_tokens = 990,
                                   .cost_nanousd = 19800,
                                   .http_status = 200}};
    for (int i = 0; i < CHUNKS; i++)
        chunks[i] = (struct chunk_row){.ordinal = i,
                                       .start_ms = -1,
                                       .end_ms = -1,
                                       .offset = i * CHUNK_BYTES,
                                       .text = b->texts[(work->job_id * CHUNKS + i) % TEXTS],
                                       .length = CHUNK_BYTES};
    struct publication p = {
        .job_id = work->job_id,
        .attempt = work->attempt,
        .key = {.content = work->content},
        .info = &info,
        .summary = &summary,
        .batch = {.chunks = chunks,
                  .chunk_count = CHUNKS,
                  .space_id = b->space.id,
                  .embeddings = b->vectors + (size_t)(work->job_id % TEXTS) * DIMENSION,
                  .calls = calls,
                  .call_count = 2},
        .stage_times_json = "{\"fetch\":1,\"identify\":0,\"extract\":1,\"chunk\":0,"
                            "\"summarise\":3,\"embed\":2}"};
    check(b->db.ops->publish(b->db.ctx, &p), "publish");
}

static void *work(void *arg)
{
    struct bench *b = arg;
    void *item;
    while (channel_pop(&b->ready, &item)) {
        struct job_work *w = item;
        if (b->checkpoint) {
            char bytes[1000];
            memset(bytes, 'x', sizeof bytes);
            struct checkpoint put = {.job_id = w->job_id,
                                     .key = {.stage = "summarise", .input = w->content},
                                     .bytes = bytes,
                                     .length = sizeof bytes};
            check(b->db.ops->checkpoints_put(b->db.ctx, &put, 1), "checkpoint");
        }
        publish_one(b, w);
        free(w);
    }
    return NULL;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long peak_kib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* A search sees everything acknowledged, so it brings the index up to date first. */
static void index_words(struct bench *b)
{
    struct arena arena;
    struct arm_hit *hits;
    size_t n;
    arena_init(&arena, MIB(1));
    check(b->db.ops->search_lexical(b->db.ctx, "nothingmatches", NULL, 1, &arena, &hits, &n),
          "search");
    arena_free(&arena);
}

static void run_jobs(struct bench *b, int workers)
{
    pthread_t dispatcher, *threads = calloc((size_t)workers, sizeof *threads);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    double cpu = cpu_seconds();
    int64_t start = clock_monotonic_us();
    pthread_create(&dispatcher, NULL, dispatch, b);
    for (int i = 0; i < workers; i++)
        pthread_create(&threads[i], &small, work, b);
    pthread_join(dispatcher, NULL);
    for (int i = 0; i < workers; i++)
        pthread_join(threads[i], NULL);
    double committed = (double)(clock_monotonic_us() - start) / 1e6;
    index_words(b);
    double indexed = (double)(clock_monotonic_us() - start) / 1e6;
    cpu = cpu_seconds() - cpu;
    printf("jobs_committed %.0f jobs/s\n", (double)b->jobs / committed);
    printf("jobs_indexed %.0f jobs/s\n", (double)b->jobs / indexed);
    printf("cpu_per_job %.1f us\n", cpu / (double)b->jobs * 1e6);
    printf("peak_rss %ld KiB\n", peak_kib());
    start = clock_monotonic_us();
    check(settle(b, &b->db), "settle");
    printf("vector_index_and_checkpoint %.0f ms\n", (double)(clock_monotonic_us() - start) / 1e3);
    free(threads);
}

/* ---- reading ---- */

static void time_reads(struct bench *b)
{
    static const char *const queries[] = {"document 77", "\"title of the\"",
                                          "A title of the document"};
    struct arena arena;
    arena_init(&arena, MIB(64));
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct arm_hit *hits;
        size_t n;
        int64_t start = clock_monotonic_us();
        check(b->db.ops->search_lexical(b->db.ctx, queries[i], NULL, 10, &arena, &hits, &n),
              "search");
        printf("search_lexical_%zu %.2f ms (%zu hits)\n", i,
               (double)(clock_monotonic_us() - start) / 1e3, n);
    }
    for (int i = 0; i < 3; i++) {
        struct arm_hit *hits;
        size_t n;
        int64_t start = clock_monotonic_us();
        check(b->db.ops->search_vector(b->db.ctx, b->space.id, b->vectors, NULL, 10, &arena, &hits,
                                       &n),
              "vector search");
        printf("search_vector_%d %.2f ms (%zu hits)\n", i,
               (double)(clock_monotonic_us() - start) / 1e3, n);
    }
    struct media_row *media;
    size_t n;
    int64_t start = clock_monotonic_us();
    check(b->db.ops->media_list(b->db.ctx, &(struct media_filter){.kind = "text"}, 0, 50, &arena,
                                &media, &n),
          "list");
    printf("media_list %.2f ms (%zu rows)\n", (double)(clock_monotonic_us() - start) / 1e3, n);
    arena_free(&arena);
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/aegis-bench-XXXXXX", command[600];
    struct bench b = {
        .jobs = argc > 1 ? atoll(argv[1]) : 20000,
        .checkpoint = argc > 3 && atoi(argv[3]),
        .space = {.provider = "openai", .model = "text-embedding-3-small", .dimension = DIMENSION}};
    int workers = argc > 2 ? atoi(argv[2]) : 500;
    const char *path = argc > 4 ? argv[4] : mkdtemp(directory);
    b.place = path;
    make_texts(&b);
    make_vectors(&b);
    channel_init(&b.ready, 1000);
    check(open_place(path, &b.db), "open");
    check(b.db.ops->space_ensure(b.db.ctx, &b.space), "space");
    printf("rss_at_start %ld KiB\n", peak_kib());
    run_jobs(&b, workers);
    time_reads(&b);
    int64_t start = clock_monotonic_us();
    b.db.ops->close(b.db.ctx);
    printf("close %.1f ms\n", (double)(clock_monotonic_us() - start) / 1e3);
    start = clock_monotonic_us();
    check(open_place(path, &b.db), "open again");
    printf("open %.1f ms\n", (double)(clock_monotonic_us() - start) / 1e3);
    if (!is_url(path))
        check(sqlite_database_check(&b.db), "check");
    b.db.ops->close(b.db.ctx);
    snprintf(command, sizeof command, "du -sh %s; ls -la %s", path, path);
    if (argc > 5 && system(command))
        return 1;
    snprintf(command, sizeof command, "rm -rf %s", path);
    return argc > 4 ? 0 : system(command);
}
