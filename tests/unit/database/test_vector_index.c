/* The vector index: exactness against brute force, filters, several processes, damage, power cuts.
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/vector_file.h"
#include "database/vector_half.h"
#include "database/vector_internal.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/random.h"

static uint64_t seed;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static float normal(void)
{
    return (float)(sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform()));
}

/* ---- a set of vectors, and what is true about them ---- */

struct set {
    size_t count, dimension;
    int64_t *ids;
    uint16_t *rows;
};

static struct set set_make(size_t count, size_t dimension, size_t clusters)
{
    struct set set = {.count = count, .dimension = dimension};
    float *centres = calloc(clusters + 1, dimension * sizeof *centres);
    float *x = calloc(dimension, sizeof *x);
    set.ids = calloc(count, sizeof *set.ids);
    set.rows = calloc(count * dimension, sizeof *set.rows);
    for (size_t i = 0; i < clusters * dimension; i++)
        centres[i] = normal();
    int64_t id = 0;
    for (size_t r = 0; r < count; r++) {
        const float *centre = clusters ? centres + r % clusters * dimension : centres;
        double square = 0;
        for (size_t i = 0; i < dimension; i++) {
            x[i] = clusters ? centre[i] + 0.1F * normal() : normal();
            square += (double)x[i] * x[i];
        }
        for (size_t i = 0; i < dimension; i++)
            x[i] /= (float)sqrt(square);
        half_from_floats(x, dimension, set.rows + r * dimension);
        set.ids[r] = id += 1 + (int64_t)(uniform() * 3);
    }
    free(centres);
    free(x);
    return set;
}

static void set_free(struct set *set)
{
    free(set->ids);
    free(set->rows);
}

static double cosine(const float *query, const uint16_t *row, size_t dimension)
{
    double dot = 0, a = 0, b = 0;
    for (size_t i = 0; i < dimension; i++) {
        float x;
        half_to_floats(row + i, 1, &x);
        dot += (double)query[i] * x;
        a += (double)query[i] * query[i];
        b += (double)x * x;
    }
    return dot / sqrt(a * b);
}

static int best_first(const void *a, const void *b)
{
    const struct arm_hit *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->chunk_id > y->chunk_id) - (x->chunk_id < y->chunk_id);
}

static bool anything(int64_t id)
{
    (void)id;
    return true;
}

static bool odd(int64_t id)
{
    return id % 2;
}

static bool rare(int64_t id)
{
    return id % 97 == 0;
}

/* The true answer. The caller frees it. */
static struct arm_hit *brute_force(const struct set *set, const float *query, bool (*may)(int64_t),
                                   int64_t first, int64_t last, size_t *count)
{
    struct arm_hit *all = calloc(set->count + 1, sizeof *all);
    *count = 0;
    for (size_t r = 0; r < set->count; r++) {
        if (set->ids[r] < first || set->ids[r] > last || !may(set->ids[r]))
            continue;
        double score = cosine(query, set->rows + r * set->dimension, set->dimension);
        if (isfinite(score))
            all[(*count)++] = (struct arm_hit){.chunk_id = set->ids[r], .score = score};
    }
    qsort(all, *count, sizeof *all, best_first);
    return all;
}

/* Equal but for what rounding may do to scores that are equal to 12 digits. */
static void assert_same(const struct arm_hit *got, size_t got_count, const struct arm_hit *want,
                        size_t want_count, size_t k)
{
    assert_int_equal(got_count, want_count < k ? want_count : k);
    for (size_t i = 0; i < got_count; i++) {
        assert_true(fabs(got[i].score - want[i].score) < 1e-12);
        if (got[i].chunk_id == want[i].chunk_id)
            continue;
        bool tied = false;
        for (size_t j = 0; j < want_count && !tied; j++)
            tied =
                want[j].chunk_id == got[i].chunk_id && fabs(want[j].score - want[i].score) < 1e-12;
        assert_true(tied);
    }
    for (size_t i = 1; i < got_count; i++)
        assert_true(best_first(&got[i - 1], &got[i]) < 0);
}

/* ---- a directory for each test ---- */

struct place {
    char directory[64];
    char path[96];
    struct arena arena;
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    const char *tmp = getenv("TMPDIR");
    snprintf(place->directory, sizeof place->directory, "%.40s/aegis-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/vectors-1.idx", place->directory);
    arena_init(&place->arena, MIB(64));
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char name[112];
    snprintf(name, sizeof name, "%s.new", place->path);
    assert_int_not_equal(access(name, F_OK), 0); /* nothing temporary stays behind */
    unlink(place->path);
    assert_int_equal(rmdir(place->directory), 0);
    arena_free(&place->arena);
    free(place);
    return 0;
}

static struct vector_index *open_index(const struct place *place, size_t dimension)
{
    struct vector_index *index = NULL;
    assert_int_equal(vector_index_open(place->path, (int)dimension, "db/1", &index), 0);
    return index;
}

static struct vector_index *open_with(const struct place *place, const struct set *set)
{
    struct vector_index *index = open_index(place, set->dimension);
    assert_int_equal(vector_index_append(index, set->ids, set->rows, set->count), 0);
    return index;
}

static void random_query(const struct set *set, float *query)
{
    const uint16_t *near = set->rows + (size_t)(uniform() * set->count) * set->dimension;
    half_to_floats(near, set->dimension, query);
    for (size_t i = 0; i < set->dimension; i++)
        query[i] += 0.3F * normal() / sqrtf((float)set->dimension);
}

/* ---- exactness ---- */

static void check_search(struct place *place, struct vector_index *index, const struct set *set,
                         size_t k)
{
    float *query = calloc(set->dimension, sizeof *query);
    struct arm_hit *got, *want;
    size_t got_count, want_count;
    random_query(set, query);
    assert_int_equal(vector_index_search(index, query, k, NULL, &place->arena, &got, &got_count),
                     0);
    want = brute_force(set, query, anything, 0, INT64_MAX, &want_count);
    assert_same(got, got_count, want, want_count, k);
    free(want);
    free(query);
}

static void finds_what_brute_force_finds(void **state)
{
    struct place *place = *state;
    static const struct {
        size_t count, dimension, clusters;
    } cases[] = {{1, 1, 0},     {50, 1, 0},    {700, 3, 0},     {1024, 64, 0},   {1025, 65, 4},
                 {3000, 96, 0}, {3000, 96, 3}, {2500, 384, 40}, {1500, 1536, 0}, {20, 8192, 2}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct set set = set_make(cases[c].count, cases[c].dimension, cases[c].clusters);
        struct vector_index *index = open_with(place, &set);
        assert_int_equal(vector_index_count(index), set.count);
        assert_int_equal(vector_index_last_id(index), set.ids[set.count - 1]);
        for (size_t k = 1; k <= 1000; k *= 10)
            check_search(place, index, &set, k);
        assert_int_equal(vector_index_verify(index), 0);
        vector_index_close(index);
        unlink(place->path);
        set_free(&set);
    }
}

static void every_kernel_and_thread_count_gives_the_same_bits(void **state)
{
    struct place *place = *state;
    struct set set = set_make(9000, 256, 5);
    struct vector_index *index = open_with(place, &set);
    size_t kernels, first_count = 0;
    const struct vector_kernel *const *all = vector_kernels(&kernels);
    struct arm_hit *first = NULL;
    float query[256];
    random_query(&set, query);
    for (size_t k = 0; k < kernels; k++)
        for (size_t threads = 1; threads <= 8; threads *= 2) {
            struct arm_hit *got;
            size_t count;
            vector_index_tune(index, all[k], threads);
            assert_int_equal(
                vector_index_search(index, query, 40, NULL, &place->arena, &got, &count), 0);
            if (!first) {
                first = got;
                first_count = count;
            }
            assert_int_equal(count, first_count);
            assert_memory_equal(got, first, count * sizeof *got);
        }
    vector_index_close(index);
    set_free(&set);
}

/* Nothing can be told apart by its code: everything is read, and rising ids decide. */
static void identical_vectors_come_by_rising_id(void **state)
{
    struct place *place = *state;
    enum { COUNT = 5000, DIMENSION = 64 };
    struct set set = set_make(COUNT, DIMENSION, 0);
    for (size_t r = 1; r < COUNT; r++)
        memcpy(set.rows + r * DIMENSION, set.rows, DIMENSION * sizeof *set.rows);
    struct vector_index *index = open_with(place, &set);
    float query[DIMENSION];
    struct arm_hit *got;
    size_t count;
    random_query(&set, query);
    assert_int_equal(vector_index_search(index, query, 25, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 25);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(got[i].chunk_id, set.ids[i]);
    vector_index_close(index);
    set_free(&set);
}

static void rows_that_cannot_be_found_are_not(void **state)
{
    struct place *place = *state;
    int64_t ids[] = {1, 2, 3, 4, 5};
    uint16_t rows[5][2] = {{0, 0}, {0x3c00, 0}, {0x7c00, 0}, {0x7e00, 0x3c00}, {0x4900, 0x4900}};
    struct vector_index *index = open_index(place, 2);
    assert_int_equal(vector_index_append(index, ids, rows[0], 5), 0);
    assert_int_equal(vector_index_count(index), 2);
    struct arm_hit *got;
    size_t count;
    float query[2] = {2, 2};
    assert_int_equal(vector_index_search(index, query, 9, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(got[0].chunk_id, 5); /* any length: the cosine counts */
    assert_true(fabs(got[0].score - 1) < 1e-12);
    assert_int_equal(got[1].chunk_id, 2);
    float opposite[2] = {-1, 0};
    assert_int_equal(vector_index_search(index, opposite, 9, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 2); /* a cosine of -1 is found too */
    assert_true(fabs(got[1].score + 1) < 1e-12);
    float zero[2] = {0, 0};
    assert_int_equal(vector_index_search(index, zero, 9, NULL, &place->arena, &got, &count),
                     ERR_INVALID);
    vector_index_close(index);
}

static void an_empty_index_finds_nothing(void **state)
{
    struct place *place = *state;
    struct vector_index *index = open_index(place, 3);
    struct arm_hit *got;
    size_t count = 7;
    float query[3] = {1, 0, 0};
    assert_int_equal(vector_index_search(index, query, 5, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(vector_index_last_id(index), 0);
    assert_int_equal(vector_index_append(index, NULL, NULL, 0), 0);
    assert_int_equal(vector_index_search(index, query, 0, NULL, &place->arena, &got, &count), 0);
    vector_index_close(index);
}

static void bad_arguments_are_refused(void **state)
{
    struct place *place = *state;
    struct vector_index *index;
    assert_int_equal(vector_index_open(place->path, 0, "db/1", &index), ERR_INVALID);
    assert_int_equal(vector_index_open(place->path, 8193, "db/1", &index), ERR_INVALID);
    index = open_index(place, 1);
    int64_t twice[] = {5, 5}, negative[] = {-1}, known[] = {3, 9, 11};
    uint16_t rows[] = {0x3c00, 0x3c00, 0x3c00};
    assert_int_equal(vector_index_append(index, twice, rows, 2), ERR_INVALID);
    assert_int_equal(vector_index_append(index, negative, rows, 1), ERR_INVALID);
    assert_int_equal(vector_index_append(index, known, rows, 2), 0);
    assert_int_equal(vector_index_append(index, known, rows, 3), 0); /* 3 and 9 are skipped */
    assert_int_equal(vector_index_count(index), 3);
    vector_index_close(index);
}

/* ---- filters ---- */

struct asked {
    bool (*may)(int64_t);
    size_t times;
    int fail;
};

static int accept_some(void *ctx, const int64_t *ids, size_t count, bool *accepted)
{
    struct asked *asked = ctx;
    asked->times++;
    for (size_t i = 0; i < count; i++)
        accepted[i] = asked->may(ids[i]);
    return asked->fail ? error_set(asked->fail, NULL, "no answer") : 0;
}

static void check_filter(struct place *place, struct vector_index *index, const struct set *set,
                         bool (*may)(int64_t), size_t k)
{
    struct asked asked = {.may = may};
    struct vector_filter filter = {.accept = accept_some, .ctx = &asked};
    float query[48];
    struct arm_hit *got;
    size_t got_count, want_count;
    random_query(set, query);
    assert_int_equal(vector_index_search(index, query, k, &filter, &place->arena, &got, &got_count),
                     0);
    struct arm_hit *want = brute_force(set, query, may, 0, INT64_MAX, &want_count);
    assert_same(got, got_count, want, want_count, k);
    assert_true(asked.times >= 1);
    free(want);
}

static void accept_decides_and_the_search_widens(void **state)
{
    struct place *place = *state;
    struct set set = set_make(4000, 48, 0);
    struct vector_index *index = open_with(place, &set);
    for (size_t k = 1; k <= 1000; k *= 10) {
        check_filter(place, index, &set, anything, k);
        check_filter(place, index, &set, odd, k);
        check_filter(place, index, &set, rare, k);
    }
    vector_index_close(index);
    set_free(&set);
}

static void what_accept_returns_ends_the_search(void **state)
{
    struct place *place = *state;
    struct set set = set_make(10, 4, 0);
    struct vector_index *index = open_with(place, &set);
    struct asked asked = {.may = anything, .fail = ERR_IO};
    struct vector_filter filter = {.accept = accept_some, .ctx = &asked};
    float query[4] = {1, 2, 3, 4};
    struct arm_hit *got;
    size_t count;
    assert_int_equal(vector_index_search(index, query, 3, &filter, &place->arena, &got, &count),
                     ERR_IO);
    assert_string_equal(error_last()->message, "no answer");
    assert_int_equal(count, 0);
    vector_index_close(index);
    set_free(&set);
}

static void ranges_confine_the_search(void **state)
{
    struct place *place = *state;
    struct set set = set_make(5000, 32, 0);
    struct vector_index *index = open_with(place, &set);
    int64_t last = set.ids[set.count - 1];
    float query[32];
    for (int round = 0; round < 50; round++) {
        int64_t from = (int64_t)(uniform() * last), to = from + (int64_t)(uniform() * last / 4);
        int64_t middle = from + (to - from) / 2;
        struct vector_range ranges[] = {
            {from, middle}, {middle + 1, to}, {last + 5, last + 9}, {last + 10, INT64_MAX}};
        struct vector_filter filter = {.ranges = ranges, .range_count = 4};
        struct arm_hit *got;
        size_t got_count, want_count;
        random_query(&set, query);
        assert_int_equal(
            vector_index_search(index, query, 10, &filter, &place->arena, &got, &got_count), 0);
        struct arm_hit *want = brute_force(&set, query, anything, from, to, &want_count);
        assert_same(got, got_count, want, want_count, 10);
        free(want);
    }
    struct vector_range none;
    struct vector_filter nothing = {.ranges = &none, .range_count = 0};
    struct arm_hit *got;
    size_t count;
    assert_int_equal(vector_index_search(index, query, 10, &nothing, &place->arena, &got, &count),
                     0);
    assert_int_equal(count, 0);
    vector_index_close(index);
    set_free(&set);
}

/* ---- removal ---- */

static bool even(int64_t id)
{
    return id % 2 == 0;
}

static size_t remove_odd(struct vector_index *index, const struct set *set)
{
    int64_t *gone = calloc(set->count + 2, sizeof *gone);
    size_t count = 0;
    for (size_t r = 0; r < set->count; r++)
        if (odd(set->ids[r]))
            gone[count++] = set->ids[r];
    gone[count] = INT64_MAX; /* unknown, and one a second time */
    gone[count + 1] = gone[0];
    assert_int_equal(vector_index_remove(index, gone, count + 2), 0);
    free(gone);
    return count;
}

static void removed_vectors_are_not_found(void **state)
{
    struct place *place = *state;
    struct set set = set_make(3000, 40, 0);
    struct vector_index *index = open_with(place, &set);
    size_t gone = remove_odd(index, &set), count, want_count;
    assert_int_equal(vector_index_count(index), set.count - gone);
    float query[40];
    struct arm_hit *got;
    random_query(&set, query);
    assert_int_equal(vector_index_search(index, query, 4000, NULL, &place->arena, &got, &count), 0);
    struct arm_hit *want = brute_force(&set, query, even, 0, INT64_MAX, &want_count);
    assert_same(got, count, want, want_count, 4000);
    assert_int_equal(vector_index_last_id(index), set.ids[set.count - 1]);
    free(want);
    vector_index_close(index);
    set_free(&set);
}

static off_t disk_size(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void a_mostly_dead_file_is_rewritten(void **state)
{
    struct place *place = *state;
    struct set set = set_make(9000, 16, 0);
    struct vector_index *index = open_with(place, &set);
    struct vector_index *other = open_index(place, 16); /* as another process has it */
    off_t before = disk_size(place->path);
    assert_int_equal(vector_index_remove(index, set.ids, 8000), 0);
    int64_t id = set.ids[set.count - 1] + 1;
    assert_int_equal(vector_index_append(index, &id, set.rows, 1), 0);
    assert_true(disk_size(place->path) < before / 4);
    assert_int_equal(vector_index_count(index), 1001);
    assert_int_equal(vector_index_count(other), 1001);
    assert_int_equal(vector_index_last_id(other), id);
    id++;
    assert_int_equal(vector_index_append(other, &id, set.rows, 1), 0);
    assert_int_equal(vector_index_last_id(index), id);
    assert_int_equal(vector_index_verify(index), 0);
    vector_index_close(other);
    vector_index_close(index);
    set_free(&set);
}

static void reset_empties_for_everybody(void **state)
{
    struct place *place = *state;
    struct set set = set_make(100, 16, 0);
    struct vector_index *index = open_with(place, &set);
    struct vector_index *other = open_index(place, 16);
    uint16_t row[16];
    assert_int_equal(vector_index_row(other, set.ids[3], row), 0);
    assert_memory_equal(row, set.rows + 3 * 16, sizeof row);
    assert_int_equal(vector_index_reset(index), 0);
    assert_int_equal(vector_index_last_id(other), 0);
    assert_int_equal(vector_index_row(other, set.ids[3], row), ERR_NOT_FOUND);
    assert_int_equal(vector_index_append(other, set.ids, set.rows, set.count), 0);
    assert_int_equal(vector_index_count(index), 100);
    vector_index_close(other);
    vector_index_close(index);
    set_free(&set);
}

/* ---- restarts, damage, power cuts ---- */

static void a_restart_keeps_everything(void **state)
{
    struct place *place = *state;
    struct set set = set_make(2100, 24, 0);
    vector_index_close(open_with(place, &set));
    struct vector_index *index = open_index(place, 24);
    assert_int_equal(vector_index_count(index), set.count);
    assert_int_equal(vector_index_verify(index), 0);
    check_search(place, index, &set, 10);
    vector_index_close(index);
    set_free(&set);
}

/* Changes bytes of the closed file. */
static void scribble(const char *path, off_t offset, const void *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, offset), length);
    close(fd);
}

static void another_identity_or_shape_starts_empty(void **state)
{
    struct place *place = *state;
    struct set set = set_make(10, 24, 0);
    struct vector_index *index;
    vector_index_close(open_with(place, &set));
    assert_int_equal(vector_index_open(place->path, 24, "db/2", &index), 0);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    vector_index_close(open_with(place, &set));
    index = open_index(place, 25);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    set_free(&set);
}

static void a_damaged_header_starts_empty(void **state)
{
    struct place *place = *state;
    struct set set = set_make(10, 24, 0);
    for (off_t at = 0; at < (off_t)offsetof(struct vector_header, count); at += 5) {
        vector_index_close(open_with(place, &set));
        char byte;
        int fd = open(place->path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        close(fd);
        byte ^= 0x40;
        scribble(place->path, at, &byte, 1);
        struct vector_index *index = open_index(place, 24);
        assert_int_equal(vector_index_count(index), 0);
        vector_index_close(index);
    }
    assert_int_equal(truncate(place->path, 100), 0);
    struct vector_index *index = open_with(place, &set);
    assert_int_equal(vector_index_count(index), 10);
    vector_index_close(index);
    assert_int_equal(truncate(place->path, 4096), 0); /* shorter than its count says */
    index = open_index(place, 24);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    set_free(&set);
}

static void a_contradicted_code_is_noticed(void **state)
{
    struct place *place = *state;
    struct set set = set_make(1, 64, 0);
    vector_index_close(open_with(place, &set));
    off_t codes = 4096 + BLOCK_SLOTS * 16, rows = codes + BLOCK_SLOTS * 64;
    char zeros[128] = {0};
    float query[64];
    struct arm_hit *got;
    size_t count;
    random_query(&set, query);
    scribble(place->path, rows, zeros, sizeof zeros);
    struct vector_index *index = open_index(place, 64);
    assert_int_equal(vector_index_verify(index), ERR_CONFLICT);
    assert_int_equal(vector_index_search(index, query, 1, NULL, &place->arena, &got, &count),
                     ERR_CONFLICT);
    assert_int_equal(vector_index_reset(index), 0);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 1), 0);
    assert_int_equal(vector_index_search(index, query, 1, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 1);
    vector_index_close(index);
    set_free(&set);
}

/* As after a power cut: another boot, and only the first 5,000 slots are known to be on the disk.
 */
static void a_power_cut_forgets_what_was_not_synced(void **state)
{
    struct place *place = *state;
    struct set set = set_make(6000, 8, 0);
    struct vector_index *index = open_index(place, 8);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 5000), 0);
    vector_index_close(index); /* enough for a sync */
    index = open_with(place, &set);
    assert_int_equal(vector_index_count(index), 6000);
    vector_index_close(index);
    scribble(place->path, offsetof(struct vector_header, boot), "another boot", 12);
    index = open_index(place, 8);
    assert_int_equal(vector_index_count(index), 5000);
    assert_int_equal(vector_index_last_id(index), set.ids[4999]);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 6000), 0);
    assert_int_equal(vector_index_count(index), 6000);
    assert_int_equal(vector_index_verify(index), 0);
    check_search(place, index, &set, 10);
    vector_index_close(index);
    int64_t wrong = set.ids[4000];
    scribble(place->path, 4096, &wrong, sizeof wrong); /* ids do not rise any more */
    scribble(place->path, offsetof(struct vector_header, boot), "a third boot", 12);
    index = open_index(place, 8);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    set_free(&set);
}

/* The descriptor of a child's index becomes one that takes nothing. */
static void a_full_disk_appends_nothing(void **state)
{
    struct place *place = *state;
    struct set set = set_make(600, 512, 0);
    struct vector_index *index = open_index(place, 512);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 5), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int full = open("/dev/full", O_RDWR | O_CLOEXEC);
        struct vector_file file;
        if (vector_file_open(&file, place->path, 512, "db/1") || dup2(full, file.fd) < 0)
            _exit(2);
        int rc = vector_file_append(&file, set.ids + 5, set.rows + 5 * 512, 100);
        _exit(rc == ERR_DISK_FULL || rc == ERR_IO ? 0 : 3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(vector_index_count(index), 5);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 600), 0);
    assert_int_equal(vector_index_verify(index), 0);
    check_search(place, index, &set, 10);
    vector_index_close(index);
    set_free(&set);
}

/* ---- several at a time ---- */

/* Several processes append the same rows, as each does that finds itself behind. */
static void processes_share_the_file(void **state)
{
    struct place *place = *state;
    struct set set = set_make(5000, 32, 0);
    enum { CHILDREN = 4 };
    pid_t children[CHILDREN];
    fflush(NULL);
    for (int c = 0; c < CHILDREN; c++) {
        children[c] = fork();
        if (children[c])
            continue;
        struct vector_index *index;
        int rc = vector_index_open(place->path, 32, "db/1", &index);
        for (size_t at = 0; at < set.count && !rc; at += 7) {
            size_t n = set.count - at < 7 ? set.count - at : 7;
            rc = vector_index_append(index, set.ids + at, set.rows + at * 32, n);
        }
        _exit(rc ? 1 : 0);
    }
    for (int c = 0; c < CHILDREN; c++) {
        int status;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
    struct vector_index *index = open_index(place, 32);
    assert_int_equal(vector_index_count(index), set.count);
    assert_int_equal(vector_index_verify(index), 0);
    for (int i = 0; i < 5; i++)
        check_search(place, index, &set, 10);
    vector_index_close(index);
    set_free(&set);
}

struct crowd {
    struct vector_index *index;
    const struct set *set;
    atomic_bool stop;
    atomic_int failures;
};

/* Whatever has been appended so far: what comes back is right about itself. */
static void *search_all_the_time(void *arg)
{
    struct crowd *crowd = arg;
    const struct set *set = crowd->set;
    struct arena arena;
    arena_init(&arena, MIB(64));
    do {
        struct arm_hit *got;
        size_t count;
        float query[32];
        half_to_floats(set->rows, 32, query);
        int rc = vector_index_search(crowd->index, query, 5, NULL, &arena, &got, &count);
        if (rc || (count && (got[0].chunk_id != set->ids[0] || fabs(got[0].score - 1) > 1e-3)))
            atomic_fetch_add(&crowd->failures, 1);
        arena_free(&arena);
    } while (!atomic_load(&crowd->stop));
    return NULL;
}

static void searches_run_beside_appends_removals_and_rewrites(void **state)
{
    struct place *place = *state;
    struct set set = set_make(20000, 32, 0);
    struct crowd crowd = {.index = open_index(place, 32), .set = &set};
    struct vector_index *other = open_index(place, 32);
    pthread_t threads[3];
    for (int t = 0; t < 3; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, search_all_the_time, &crowd), 0);
    for (size_t at = 0; at < set.count; at += 500) {
        struct vector_index *writer = at % 1000 ? other : crowd.index;
        assert_int_equal(vector_index_append(writer, set.ids + at, set.rows + at * 32, 500), 0);
        assert_int_equal(vector_index_remove(writer, set.ids + at + 1, 350), 0);
    }
    atomic_store(&crowd.stop, true);
    for (int t = 0; t < 3; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(atomic_load(&crowd.failures), 0);
    assert_int_equal(vector_index_count(other), set.count * 150 / 500);
    assert_int_equal(vector_index_verify(crowd.index), 0);
    vector_index_close(other);
    vector_index_close(crowd.index);
    set_free(&set);
}

int main(void)
{
    const char *given = getenv("TEST_SEED");
    random_bytes(&seed, sizeof seed);
    if (given)
        seed = strtoull(given, NULL, 10);
    printf("TEST_SEED=%llu\n", (unsigned long long)seed);
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(finds_what_brute_force_finds),
        TEST(every_kernel_and_thread_count_gives_the_same_bits),
        TEST(identical_vectors_come_by_rising_id),
        TEST(rows_that_cannot_be_found_are_not),
        TEST(an_empty_index_finds_nothing),
        TEST(bad_arguments_are_refused),
        TEST(accept_decides_and_the_search_widens),
        TEST(what_accept_returns_ends_the_search),
        TEST(ranges_confine_the_search),
        TEST(removed_vectors_are_not_found),
        TEST(a_mostly_dead_file_is_rewritten),
        TEST(reset_empties_for_everybody),
        TEST(a_restart_keeps_everything),
        TEST(another_identity_or_shape_starts_empty),
        TEST(a_damaged_header_starts_empty),
        TEST(a_contradicted_code_is_noticed),
        TEST(a_power_cut_forgets_what_was_not_synced),
        TEST(a_full_disk_appends_nothing),
        TEST(processes_share_the_file),
        TEST(searches_run_beside_appends_removals_and_rewrites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
