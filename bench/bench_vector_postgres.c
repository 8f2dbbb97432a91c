/*
 * bench_vector_postgres.c - nearest neighbours on PostgreSQL beside the embedded index:
 * bench_vector_postgres URL DIRECTORY [COUNT [DIMENSION [QUERIES]]]
 *
 * URL: an empty database, whose owner may create extensions. Clustered vectors as bench_vector.c
 * has them (a hundred clusters, noise half as long as the centre), the same in both, each query
 * asked of both in turn. The embedded index is exact, so its top 10 are what recall is measured
 * against. Prints one JSON row a line: name, engine, count, value, unit.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/migrations.h"
#include "database/postgres.h"
#include "database/postgres_migrate.h"
#include "database/postgres_vectors.h"
#include "database/vector_half.h"
#include "database/vector_index.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/pg.h"

enum { CLUSTERS = 100, BATCH = 500, TOP = 10, CHUNKS_PER_MEDIUM = 4, ADDED = 1000 };

static uint64_t seed = 42;

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014) */
static uint64_t next(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Nearly Gaussian: twelve uniforms (Irwin, Hall). */
static float normal(void)
{
    uint64_t a = next(), b = next(), c = next();
    int64_t sum = 0;
    for (int i = 0; i < 64; i += 16)
        sum += (int64_t)((a >> i & 0xffff) + (b >> i & 0xffff) + (c >> i & 0xffff));
    return (float)(sum - 12 * 32768) / 65536;
}

struct bench {
    size_t count, dimension, queries;
    float *centres;
    struct vector_index *index;
    struct database db;
    struct pg_pool *pool;
    struct pg *c;
    int64_t space_id;
};

static void vector(const struct bench *b, float *out)
{
    const float *centre = b->centres + next() % CLUSTERS * b->dimension;
    double square = 0;
    for (size_t i = 0; i < b->dimension; i++) {
        out[i] = centre[i] + 0.5F * normal();
        square += (double)out[i] * out[i];
    }
    for (size_t i = 0; i < b->dimension; i++)
        out[i] /= (float)sqrt(square);
}

static void must(int rc)
{
    if (!rc)
        return;
    fprintf(stderr, "bench_vector_postgres: %s\n", error_last()->message);
    exit(1);
}

static void *room(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p) {
        fprintf(stderr, "bench_vector_postgres: out of memory\n");
        exit(1);
    }
    return p;
}

static void row(const struct bench *b, const char *name, const char *engine, double value,
                const char *unit)
{
    printf("{\"name\":\"%s\",\"engine\":\"%s\",\"count\":%zu,\"value\":%.3f,\"unit\":\"%s\"}\n",
           name, engine, b->count, value, unit);
    fflush(stdout);
}

static double ms_since(int64_t start_us)
{
    return (double)(clock_monotonic_us() - start_us) / 1000;
}

/* ---- filling ---- */

static void open_postgres(struct bench *b, const char *url)
{
    static const struct pg_settings patient = {.statement_timeout_ms = -1, .grace_ms = 7200000};
    struct postgres_migrate_options migrate = {0};
    struct postgres_migrated done;
    struct postgres_database_options options = {.url = url, .no_background = true};
    struct embedding_space space = {.provider = "bench", .dimension = (int)b->dimension};
    must(postgres_migrate(url, migrations_postgres, migrations_postgres_count, &migrate, &done));
    must(postgres_database_open(&options, &b->db));
    must(b->db.ops->space_ensure(b->db.ctx, &space));
    b->space_id = space.id;
    must(pg_pool_open(url, &patient, &b->pool));
    must(pg_acquire(b->pool, 10000, NULL, &b->c));
}

/* Each medium has CHUNKS_PER_MEDIUM chunks; one in a hundred is in "rare", one in five "some". */
static void put_media(struct bench *b)
{
    must(PG_RUN(b->c,
                "INSERT INTO media (media_id, version_id, job_id, result_id, uploaded_ms, "
                "event_ms, bucket, key, collection) SELECT i, i, i, i, i, i, 'b', i, CASE WHEN i "
                "% 100 = 0 THEN 'rare' WHEN i % 5 = 0 THEN 'some' ELSE 'most' END FROM "
                "generate_series(1, $1) i",
                P_INT((int64_t)(b->count / CHUNKS_PER_MEDIUM + 1))));
    must(PG_RUN(b->c,
                "INSERT INTO result (result_id, state, content, settings, text_settings, "
                "chunk_count, space_id) SELECT i, 1, int8send(i), '', '', $2, $3 FROM "
                "generate_series(1, $1) i",
                P_INT((int64_t)(b->count / CHUNKS_PER_MEDIUM + 1)), P_INT(CHUNKS_PER_MEDIUM),
                P_INT(b->space_id)));
    must(PG_RUN(b->c,
                "INSERT INTO chunk (chunk_id, result_id, start_ms, end_ms, byte_offset, ordinal, "
                "text, words) SELECT i, (i - 1) / $2 + 1, -1, -1, 0, (i - 1) % $2, 'x', '' FROM "
                "generate_series(1, $1) i",
                P_INT((int64_t)b->count), P_INT(CHUNKS_PER_MEDIUM)));
    must(PG_RUN(b->c, "INSERT INTO space_total (space_id, slot, chunks) VALUES ($1, 0, $2)",
                P_INT(b->space_id), P_INT((int64_t)b->count)));
}

struct rows {
    int64_t ids[BATCH], results[BATCH];
    uint16_t *halves;
    float *x;
};

static void insert(struct bench *b, const struct rows *r, size_t n)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "INSERT INTO embedding_%lld SELECT * FROM unnest($1::bigint[], $2::bigint[], "
             "$3::halfvec[])",
             (long long)b->space_id);
    must(pg_query_once(b->c, NULL, sql,
                       PG_VALUES(P_INTS(r->ids, n), P_INTS(r->results, n),
                                 P_HALFVECS(r->halves, n, b->dimension))));
}

/* From `first` on, into both; returns what PostgreSQL took. */
static double fill(struct bench *b, size_t first, size_t count)
{
    struct rows r = {.halves = room(BATCH * b->dimension * sizeof(uint16_t)),
                     .x = room(b->dimension * sizeof(float))};
    double spent = 0;
    for (size_t done = 0, n; done < count; done += n) {
        n = count - done < BATCH ? count - done : BATCH;
        for (size_t i = 0; i < n; i++) {
            r.ids[i] = (int64_t)(first + done + i);
            r.results[i] = (r.ids[i] - 1) / CHUNKS_PER_MEDIUM + 1;
            vector(b, r.x);
            half_from_floats(r.x, b->dimension, r.halves + i * b->dimension);
        }
        must(vector_index_append(b->index, r.ids, r.halves, n));
        int64_t start = clock_monotonic_us();
        insert(b, &r, n);
        spent += ms_since(start);
    }
    free(r.halves);
    free(r.x);
    return spent;
}

static void build(struct bench *b)
{
    int64_t size;
    long long space = b->space_id;
    char sql[256];
    snprintf(sql, sizeof sql, "DROP INDEX embedding_%lld_hnsw", space);
    must(pg_script(b->c, sql));
    fill(b, 1, b->count - ADDED);
    snprintf(sql, sizeof sql,
             "CREATE INDEX embedding_%lld_hnsw ON embedding_%lld USING hnsw (embedding "
             "halfvec_cosine_ops)",
             space, space);
    int64_t start = clock_monotonic_us();
    must(pg_script(b->c, sql));
    row(b, "build the index", "postgres", ms_since(start) / 1000, "s");
    row(b, "add to the index", "postgres", ADDED * 1000.0 / fill(b, b->count - ADDED + 1, ADDED),
        "vectors/s");
    must(PG_NUMBER(b->c, &size, 0,
                   "SELECT pg_relation_size(to_regclass('embedding_' || $1::bigint || '_hnsw'))",
                   P_INT(b->space_id)));
    row(b, "size of the index", "postgres", (double)size / 1e6, "MB");
    must(pg_script(b->c, "ANALYZE"));
}

/* ---- searching ---- */

struct times {
    double *ms;
    size_t count;
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const struct bench *b, const char *name, const char *engine, struct times *t)
{
    char text[96];
    qsort(t->ms, t->count, sizeof *t->ms, ascending);
    snprintf(text, sizeof text, "%s p50", name);
    row(b, text, engine, t->ms[t->count / 2], "ms");
    snprintf(text, sizeof text, "%s p99", name);
    row(b, text, engine, t->ms[t->count * 99 / 100], "ms");
    t->count = 0;
}

struct found {
    struct arm_hit *hits;
    size_t count;
};

static struct found ask_embedded(struct bench *b, const float *query, struct arena *arena,
                                 struct times *t)
{
    struct found f;
    int64_t start = clock_monotonic_us();
    must(vector_index_search(b->index, query, TOP, NULL, arena, &f.hits, &f.count));
    t->ms[t->count++] = ms_since(start);
    return f;
}

static struct found ask_postgres(struct bench *b, const struct vector_tuning *tuning,
                                 const float *query, const char *collection, struct arena *arena,
                                 struct times *t)
{
    struct found f;
    struct media_filter filter = {.collection = collection};
    int64_t start = clock_monotonic_us();
    must(postgres_search_vector_tuned(b->db.ctx, tuning, b->space_id, query, &filter, TOP, arena,
                                      &f.hits, &f.count, NULL));
    t->ms[t->count++] = ms_since(start);
    if (f.count != TOP) {
        fprintf(stderr, "bench_vector_postgres: %zu hits instead of %d\n", f.count, TOP);
        exit(1);
    }
    return f;
}

static size_t shared(const struct found *a, const struct found *b)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            n += a->hits[i].chunk_id == b->hits[j].chunk_id;
    return n;
}

static void measure(struct bench *b, int64_t ef)
{
    struct vector_tuning tuning = vector_tuning_default;
    struct times embedded = {.ms = room(b->queries * sizeof(double))},
                 postgres = {.ms = room(b->queries * sizeof(double))};
    float *query = room(b->dimension * sizeof *query);
    struct arena arena;
    char name[64];
    size_t same = 0;
    arena_init(&arena, MIB(64));
    tuning.ef_search = ef;
    seed = 4711; /* the same queries for each */
    for (size_t q = 0; q < b->queries; q++) {
        vector(b, query);
        struct found e = ask_embedded(b, query, &arena, &embedded);
        struct found p = ask_postgres(b, &tuning, query, NULL, &arena, &postgres);
        same += shared(&e, &p);
        arena_free(&arena);
    }
    snprintf(name, sizeof name, "recall@10, ef_search %lld", (long long)ef);
    row(b, name, "postgres", (double)same / (double)(TOP * b->queries), "of 1");
    snprintf(name, sizeof name, "search, ef_search %lld", (long long)ef);
    report(b, name, "postgres", &postgres);
    report(b, name, "embedded", &embedded);
    free(query);
    free(embedded.ms);
    free(postgres.ms);
}

static void measure_filter(struct bench *b, const char *collection, const char *name)
{
    struct times times = {.ms = room(b->queries * sizeof(double))};
    float *query = room(b->dimension * sizeof *query);
    struct arena arena;
    arena_init(&arena, MIB(64));
    for (size_t q = 0; q < b->queries; q++) {
        vector(b, query);
        ask_postgres(b, &vector_tuning_default, query, collection, &arena, &times);
        arena_free(&arena);
    }
    report(b, name, "postgres", &times);
    free(query);
    free(times.ms);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_vector_postgres URL DIRECTORY [COUNT [DIMENSION "
                        "[QUERIES]]]\n");
        return 2;
    }
    struct bench b = {.count = argc > 3 ? strtoul(argv[3], NULL, 10) : 100000,
                      .dimension = argc > 4 ? strtoul(argv[4], NULL, 10) : 1536,
                      .queries = argc > 5 ? strtoul(argv[5], NULL, 10) : 101};
    if (b.count < 10 * ADDED || b.dimension < 2 || !b.queries)
        return 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/bench-vectors-postgres.idx", argv[2]);
    unlink(path);
    b.centres = room(CLUSTERS * b.dimension * sizeof *b.centres);
    for (size_t i = 0; i < CLUSTERS * b.dimension; i++)
        b.centres[i] = normal();
    must(vector_index_open(path, (int)b.dimension, "bench", &b.index));
    open_postgres(&b, argv[1]);
    put_media(&b);
    build(&b);
    for (int64_t ef = 40; ef <= 800; ef *= ef == 40 ? 5 : 2)
        measure(&b, ef);
    measure_filter(&b, "rare", "search in 1%");
    measure_filter(&b, "some", "search in 19%");
    pg_release(b.c);
    pg_pool_close(b.pool);
    b.db.ops->close(b.db.ctx);
    vector_index_close(b.index);
    unlink(path);
    free(b.centres);
    return 0;
}
