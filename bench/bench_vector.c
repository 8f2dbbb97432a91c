/*
 * bench_vector.c - exact nearest neighbours: bench_vector DIRECTORY [COUNT [DIMENSION [QUERIES]]]
 *
 * Random and clustered vectors (a hundred clusters, noise half as long as the centre), top 10, each
 * query checked against what the codes alone cannot decide: the exact scan itself. Prints one JSON
 * row a line: name, value, unit.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "database/vector_half.h"
#include "database/vector_internal.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"

enum { CLUSTERS = 100, BATCH = 1000, TOP = 10 };

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

static void vector(const float *centre, size_t dimension, float noise, float *out)
{
    double square = 0;
    for (size_t i = 0; i < dimension; i++) {
        out[i] = (centre ? centre[i] : 0) + noise * normal();
        square += (double)out[i] * out[i];
    }
    for (size_t i = 0; i < dimension; i++)
        out[i] /= (float)sqrt(square);
}

static void die(void)
{
    fprintf(stderr, "bench_vector: %s\n", error_last()->message);
    exit(1);
}

static void row(const char *name, const char *kind, size_t count, double value, const char *unit)
{
    printf("{\"name\":\"%s\",\"vectors\":\"%s\",\"count\":%zu,\"value\":%.3f,\"unit\":\"%s\"}\n",
           name, kind, count, value, unit);
    fflush(stdout);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const float *centre_of(const float *centres, size_t dimension)
{
    return centres ? centres + next() % CLUSTERS * dimension : NULL;
}

static void fill(struct vector_index *index, const float *centres, size_t count, size_t dimension)
{
    int64_t ids[BATCH];
    uint16_t *rows = malloc(BATCH * dimension * sizeof *rows);
    float *x = malloc(dimension * sizeof *x);
    int64_t spent = 0;
    for (size_t done = 0, n; done < count; done += n) {
        n = count - done < BATCH ? count - done : BATCH;
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int64_t)(done + i + 1);
            vector(centre_of(centres, dimension), dimension, centres ? 0.5F : 1, x);
            half_from_floats(x, dimension, rows + i * dimension);
        }
        int64_t start = clock_monotonic_us();
        if (vector_index_append(index, ids, rows, n))
            die();
        spent += clock_monotonic_us() - start;
    }
    row("append", centres ? "clustered" : "random", count, (double)count * 1e6 / (double)spent,
        "vectors/s");
    free(x);
    free(rows);
}

static double search(struct vector_index *index, const float *query, struct arena *arena)
{
    struct arm_hit *hits;
    size_t count;
    int64_t start = clock_monotonic_us();
    if (vector_index_search(index, query, TOP, NULL, arena, &hits, &count) || count == 0)
        die();
    return (double)(clock_monotonic_us() - start) / 1000;
}

static void measure(const char *path, const char *kind, const float *centres, size_t count,
                    size_t dimension, size_t queries)
{
    struct vector_index *index;
    struct arena arena;
    double *ms = calloc(queries, sizeof *ms);
    float *query = malloc(dimension * sizeof *query);
    arena_init(&arena, MIB(64));
    int64_t start = clock_monotonic_us();
    if (vector_index_open(path, (int)dimension, "bench", &index))
        die();
    vector(centre_of(centres, dimension), dimension, centres ? 0.5F : 1, query);
    search(index, query, &arena);
    row("open and first search", kind, count, (double)(clock_monotonic_us() - start) / 1000, "ms");
    for (size_t q = 0; q < queries; q++) {
        vector(centre_of(centres, dimension), dimension, centres ? 0.5F : 1, query);
        ms[q] = search(index, query, &arena);
        arena_free(&arena);
    }
    qsort(ms, queries, sizeof *ms, ascending);
    row("search p50", kind, count, ms[queries / 2], "ms");
    row("search p99", kind, count, ms[queries * 99 / 100], "ms");
    vector_index_close(index);
    free(query);
    free(ms);
}

static void bench(const char *directory, bool clustered, size_t count, size_t dimension,
                  size_t queries)
{
    char path[4096];
    struct vector_index *index;
    float *centres = clustered ? malloc(CLUSTERS * dimension * sizeof *centres) : NULL;
    for (size_t i = 0; centres && i < CLUSTERS * dimension; i++)
        centres[i] = normal();
    snprintf(path, sizeof path, "%s/bench-vectors.idx", directory);
    unlink(path);
    if (vector_index_open(path, (int)dimension, "bench", &index))
        die();
    fill(index, centres, count, dimension);
    vector_index_close(index);
    measure(path, clustered ? "clustered" : "random", centres, count, dimension, queries);
    unlink(path);
    free(centres);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_vector DIRECTORY [COUNT [DIMENSION [QUERIES]]]\n");
        return 2;
    }
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    size_t dimension = argc > 3 ? strtoul(argv[3], NULL, 10) : 1536;
    size_t queries = argc > 4 ? strtoul(argv[4], NULL, 10) : 101;
    bench(argv[1], false, count, dimension, queries);
    bench(argv[1], true, count, dimension, queries);
    return 0;
}
