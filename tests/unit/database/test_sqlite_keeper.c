/* What the embedded database's background thread does while work goes on. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/sqlite.h"
#include "database/sqlite_connection.h"
#include "database/sqlite_internal.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "support/database_place.h"

enum {
    DIMENSION = 8,
    FEW = 10,
    CHUNKS = 4096,
    BATCHES = 10,
    PATIENCE_MS = 30000,
    LOG_PAGES = 4000,
    LOG_CHUNKS = 100
};

#define DB(db, verb, ...) assert_int_equal((db)->ops->verb((db)->ctx, __VA_ARGS__), OK)

static int64_t begin_result(struct database *db, int64_t *job_id, int64_t *space_id)
{
    struct media_event event = {.bucket = "media",
                                .key = "long.txt",
                                .object_version = "",
                                .etag = "e",
                                .sequencer = "",
                                .content_type = "",
                                .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                                .size = 1,
                                .event_ms = 1};
    struct event_outcome outcome;
    struct job_work work;
    DB(db, record_events, &event, 1, &outcome);
    struct job_start start = {.job_id = outcome.job_id, .receive_count = 1, .work = &work};
    DB(db, start_attempts, &start, 1, "test:1", clock_now(clock_system()) + 60000);
    struct embedding_space space = {
        .provider = "p", .model = "m", .revision = "r", .dimension = DIMENSION};
    DB(db, space_ensure, &space);
    struct result_key key = {.content = digest_of("long", 4), .settings = digest_of("s", 1)};
    int64_t result_id, chunks, segments;
    DB(db, result_begin, outcome.job_id, &key, space.id, &result_id, &chunks, &segments);
    *job_id = outcome.job_id;
    *space_id = space.id;
    return result_id;
}

static void append(struct database *db, int64_t job_id, int64_t result_id, int64_t space_id,
                   int first, int count, const char *text)
{
    struct chunk_row *rows = calloc((size_t)count, sizeof *rows);
    float *vectors = calloc((size_t)count * DIMENSION, sizeof *vectors);
    assert_non_null(rows);
    assert_non_null(vectors);
    for (int i = 0; i < count; i++) {
        rows[i] = (struct chunk_row){.ordinal = first + i,
                                     .start_ms = -1,
                                     .end_ms = -1,
                                     .offset = first + i,
                                     .text = text,
                                     .length = strlen(text)};
        vectors[i * DIMENSION + i % DIMENSION] = 1;
    }
    struct result_batch batch = {
        .chunks = rows, .chunk_count = (size_t)count, .space_id = space_id, .embeddings = vectors};
    DB(db, result_append, job_id, result_id, &batch);
    free(rows);
    free(vectors);
}

static int64_t size_of(const char *directory, int64_t space_id)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/vectors-%lld.index", directory, (long long)space_id);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

/* A search right after a long text must not have to take all of it into the index first. */
static void vectors_of_a_long_text_are_indexed_while_it_is_made(void **state)
{
    (void)state;
    struct place place;
    struct database db;
    int64_t job_id, space_id, deadline = clock_monotonic_ms() + PATIENCE_MS;
    place_make(&place);
    assert_int_equal(
        sqlite_database_open(&(struct sqlite_database_options){.directory = place.path}, &db), OK);
    int64_t result_id = begin_result(&db, &job_id, &space_id);
    for (int i = 0; i < BATCHES; i++)
        append(&db, job_id, result_id, space_id, i * CHUNKS, CHUNKS, "x");
    int64_t wanted = (int64_t)BATCHES * CHUNKS * DIMENSION * 8 / 10;
    while (size_of(place.path, space_id) < wanted && clock_monotonic_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_true(size_of(place.path, space_id) >= wanted);
    db.ops->close(db.ctx);
    place_remove(&place);
}

/* The next chunk that the index of words has to take in, as its file says; 0: there is none. */
static int64_t indexed_to(const char *directory)
{
    char path[512];
    struct connection c;
    int64_t n = 0;
    snprintf(path, sizeof path, "%s/lexical.db", directory);
    if (access(path, F_OK) == 0) {
        assert_int_equal(connection_open(&c, path, SQLITE_OPEN_READWRITE, 5000), OK);
        assert_int_equal(sql_number(&c, &n, 0, "SELECT indexed_to FROM state", NULL, 0), OK);
        connection_close(&c);
    }
    return n;
}

static void words_are_indexed_when_the_process_that_added_them_ends(void **state)
{
    (void)state;
    struct place place;
    struct database db;
    int64_t job_id, space_id;
    place_make(&place);
    struct sqlite_database_options options = {.directory = place.path};
    assert_int_equal(sqlite_database_open(&options, &db), OK);
    int64_t result_id = begin_result(&db, &job_id, &space_id);
    append(&db, job_id, result_id, space_id, 0, FEW,
           "x"); /* too few to be indexed before a pause */
    db.ops->close(db.ctx);
    assert_int_equal(indexed_to(place.path), FEW + 1);
    place_remove(&place);
}

/* However steadily more comes, and however few they are: others are to find them. */
static void words_are_committed_while_work_goes_on(void **state)
{
    (void)state;
    struct place place;
    struct database db;
    int64_t job_id, space_id, deadline = clock_monotonic_ms() + PATIENCE_MS;
    int64_t known = 1, now;
    int count = 0, commits = 0;
    place_make(&place);
    assert_int_equal(
        sqlite_database_open(&(struct sqlite_database_options){.directory = place.path}, &db), OK);
    int64_t result_id = begin_result(&db, &job_id, &space_id);
    for (; commits < 2 && clock_monotonic_ms() < deadline; count += FEW) {
        append(&db, job_id, result_id, space_id, count, FEW, "x");
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        now = indexed_to(place.path);
        if (now > known) { /* the first may have come with another chore */
            assert_true(now - known < CHUNKS);
            commits++;
            known = now;
        }
    }
    assert_int_equal(commits, 2);
    db.ops->close(db.ctx);
    assert_int_equal(indexed_to(place.path), count + 1);
    place_remove(&place);
}

/* Whoever finds that another process has indexed what it was about to must let go of the file. */
static void a_batch_with_nothing_in_it_is_not_held(void **state)
{
    (void)state;
    struct place place;
    struct database db, other;
    struct connection c;
    int64_t job_id, space_id;
    char path[512];
    place_make(&place);
    struct sqlite_database_options options = {.directory = place.path, .busy_ms = 5000};
    assert_int_equal(sqlite_database_open(&options, &db), OK);
    assert_int_equal(sqlite_database_open(&options, &other), OK);
    int64_t result_id = begin_result(&db, &job_id, &space_id);
    append(&db, job_id, result_id, space_id, 0, FEW, "x");
    assert_int_equal(sqlite_database_settle(&other), OK);
    assert_int_equal(lexical_add(db.ctx, FEW + 1), OK);
    snprintf(path, sizeof path, "%s/lexical.db", place.path);
    assert_int_equal(connection_open(&c, path, SQLITE_OPEN_READWRITE, 5000), OK);
    assert_int_equal(connection_exec(&c, "BEGIN IMMEDIATE; COMMIT"), OK);
    connection_close(&c);
    other.ops->close(other.ctx);
    db.ops->close(db.ctx);
    place_remove(&place);
}

struct reading {
    const char *directory;
    atomic_bool stop;
};

/* One snapshot after the other, each for a moment; two such threads leave no time without one. */
static void *read_on(void *arg)
{
    struct reading *r = arg;
    char path[512];
    struct connection c;
    int64_t n;
    snprintf(path, sizeof path, "%s/aegis.db", r->directory);
    assert_int_equal(connection_open(&c, path, SQLITE_OPEN_READWRITE, 5000), OK);
    while (!atomic_load(&r->stop)) {
        assert_int_equal(connection_exec(&c, "BEGIN"), OK);
        assert_int_equal(sql_number(&c, &n, 0, "SELECT next_chunk FROM ledger", NULL, 0), OK);
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        assert_int_equal(connection_exec(&c, "COMMIT"), OK);
    }
    connection_close(&c);
    return NULL;
}

static int64_t log_size(const char *directory)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/aegis.db-wal", directory);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void the_log_stays_small_while_others_always_read(void **state)
{
    (void)state;
    struct place place;
    struct database db;
    struct reading reading = {0};
    pthread_t readers[2];
    int64_t job_id, space_id, largest = 0;
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    place_make(&place);
    struct sqlite_database_options options = {.directory = place.path, .log_pages = LOG_PAGES};
    assert_int_equal(sqlite_database_open(&options, &db), OK);
    int64_t result_id = begin_result(&db, &job_id, &space_id);
    reading.directory = place.path;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &reading), 0);
    for (int i = 0; i < 8 * LOG_PAGES / LOG_CHUNKS * 4; i++) { /* eight logs full of them */
        append(&db, job_id, result_id, space_id, i * LOG_CHUNKS, LOG_CHUNKS, text);
        int64_t size = log_size(place.path);
        largest = size > largest ? size : largest;
    }
    atomic_store(&reading.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    assert_in_range(largest, LOG_PAGES * 4096LL, 4 * LOG_PAGES * 4096LL);
    db.ops->close(db.ctx);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_a_long_text_are_indexed_while_it_is_made),
        cmocka_unit_test(words_are_indexed_when_the_process_that_added_them_ends),
        cmocka_unit_test(words_are_committed_while_work_goes_on),
        cmocka_unit_test(a_batch_with_nothing_in_it_is_not_held),
        cmocka_unit_test(the_log_stays_small_while_others_always_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
