/* The vector index's file: removal, restarts, damage, power cuts, a full disk, several processes.
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
#include "shared/error.h"
#include "support/vector_fixture.h"

static bool odd(int64_t id)
{
    return id % 2;
}

static bool even(int64_t id)
{
    return id % 2 == 0;
}

static size_t remove_odd(struct vector_index *index, const struct vector_set *set)
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
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(3000, 40, 0);
    struct vector_index *index = vector_open_with(place, &set);
    size_t gone = remove_odd(index, &set), count, want_count;
    assert_int_equal(vector_index_count(index), set.count - gone);
    float query[40];
    struct arm_hit *got;
    vector_random_query(&set, query);
    assert_int_equal(vector_index_search(index, query, 4000, NULL, &place->arena, &got, &count), 0);
    struct arm_hit *want = vector_brute_force(&set, query, even, 0, INT64_MAX, &want_count);
    vector_assert_same(got, count, want, want_count, 4000);
    assert_int_equal(vector_index_last_id(index), set.ids[set.count - 1]);
    free(want);
    vector_index_close(index);
    vector_set_free(&set);
}

static off_t disk_size(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void a_mostly_dead_file_is_rewritten(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(9000, 16, 0);
    struct vector_index *index = vector_open_with(place, &set);
    struct vector_index *other = vector_open(place, 16); /* as another process has it */
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
    vector_set_free(&set);
}

static void reset_empties_for_everybody(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(100, 16, 0);
    struct vector_index *index = vector_open_with(place, &set);
    struct vector_index *other = vector_open(place, 16);
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
    vector_set_free(&set);
}

/* ---- restarts, damage, power cuts ---- */

static void a_restart_keeps_everything(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(2100, 24, 0);
    vector_index_close(vector_open_with(place, &set));
    struct vector_index *index = vector_open(place, 24);
    assert_int_equal(vector_index_count(index), set.count);
    assert_int_equal(vector_index_verify(index), 0);
    vector_check_search(place, index, &set, 10);
    vector_index_close(index);
    vector_set_free(&set);
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
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(10, 24, 0);
    struct vector_index *index;
    vector_index_close(vector_open_with(place, &set));
    assert_int_equal(vector_index_open(place->path, 24, "db/2", &index), 0);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    vector_index_close(vector_open_with(place, &set));
    index = vector_open(place, 25);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    vector_set_free(&set);
}

static void a_damaged_header_starts_empty(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(10, 24, 0);
    for (off_t at = 0; at < (off_t)offsetof(struct vector_header, count); at += 5) {
        vector_index_close(vector_open_with(place, &set));
        char byte;
        int fd = open(place->path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        close(fd);
        byte ^= 0x40;
        scribble(place->path, at, &byte, 1);
        struct vector_index *index = vector_open(place, 24);
        assert_int_equal(vector_index_count(index), 0);
        vector_index_close(index);
    }
    assert_int_equal(truncate(place->path, 100), 0);
    struct vector_index *index = vector_open_with(place, &set);
    assert_int_equal(vector_index_count(index), 10);
    vector_index_close(index);
    assert_int_equal(truncate(place->path, 4096), 0); /* shorter than its count says */
    index = vector_open(place, 24);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    vector_set_free(&set);
}

static void a_contradicted_code_is_noticed(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(1, 64, 0);
    vector_index_close(vector_open_with(place, &set));
    off_t codes = 4096 + BLOCK_SLOTS * 16, rows = codes + BLOCK_SLOTS * 64;
    char zeros[128] = {0};
    float query[64];
    struct arm_hit *got;
    size_t count;
    vector_random_query(&set, query);
    scribble(place->path, rows, zeros, sizeof zeros);
    struct vector_index *index = vector_open(place, 64);
    assert_int_equal(vector_index_verify(index), ERR_CONFLICT);
    assert_int_equal(vector_index_search(index, query, 1, NULL, &place->arena, &got, &count),
                     ERR_CONFLICT);
    assert_int_equal(vector_index_reset(index), 0);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 1), 0);
    assert_int_equal(vector_index_search(index, query, 1, NULL, &place->arena, &got, &count), 0);
    assert_int_equal(count, 1);
    vector_index_close(index);
    vector_set_free(&set);
}

/* As after a power cut: another boot, and only the first 5,000 slots are known to be on the disk.
 */
static void a_power_cut_forgets_what_was_not_synced(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(6000, 8, 0);
    struct vector_index *index = vector_open(place, 8);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 5000), 0);
    vector_index_close(index); /* enough for a sync */
    index = vector_open_with(place, &set);
    assert_int_equal(vector_index_count(index), 6000);
    vector_index_close(index);
    scribble(place->path, offsetof(struct vector_header, boot), "another boot", 12);
    index = vector_open(place, 8);
    assert_int_equal(vector_index_count(index), 5000);
    assert_int_equal(vector_index_last_id(index), set.ids[4999]);
    assert_int_equal(vector_index_append(index, set.ids, set.rows, 6000), 0);
    assert_int_equal(vector_index_count(index), 6000);
    assert_int_equal(vector_index_verify(index), 0);
    vector_check_search(place, index, &set, 10);
    vector_index_close(index);
    int64_t wrong = set.ids[4000];
    scribble(place->path, 4096, &wrong, sizeof wrong); /* ids do not rise any more */
    scribble(place->path, offsetof(struct vector_header, boot), "a third boot", 12);
    index = vector_open(place, 8);
    assert_int_equal(vector_index_count(index), 0);
    vector_index_close(index);
    vector_set_free(&set);
}

/* The descriptor of a child's index becomes one that takes nothing. */
static void a_full_disk_appends_nothing(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(600, 512, 0);
    struct vector_index *index = vector_open(place, 512);
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
    vector_check_search(place, index, &set, 10);
    vector_index_close(index);
    vector_set_free(&set);
}

/* ---- several at a time ---- */

/* Several processes append the same rows, as each does that finds itself behind. */
static void processes_share_the_file(void **state)
{
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(5000, 32, 0);
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
    struct vector_index *index = vector_open(place, 32);
    assert_int_equal(vector_index_count(index), set.count);
    assert_int_equal(vector_index_verify(index), 0);
    for (int i = 0; i < 5; i++)
        vector_check_search(place, index, &set, 10);
    vector_index_close(index);
    vector_set_free(&set);
}

struct crowd {
    struct vector_index *index;
    const struct vector_set *set;
    atomic_bool stop;
    atomic_int failures;
};

/* Whatever has been appended so far: what comes back is right about itself. */
static void *search_all_the_time(void *arg)
{
    struct crowd *crowd = arg;
    const struct vector_set *set = crowd->set;
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
    struct vector_place *place = *state;
    struct vector_set set = vector_set_make(20000, 32, 0);
    struct crowd crowd = {.index = vector_open(place, 32), .set = &set};
    struct vector_index *other = vector_open(place, 32);
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
    vector_set_free(&set);
}

int main(void)
{
    vector_draw_seed();
#define TEST(f) cmocka_unit_test_setup_teardown(f, vector_set_up, vector_tear_down)
    const struct CMUnitTest tests[] = {
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
