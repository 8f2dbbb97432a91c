/* Power cuts, full disks, a second process, a lost or old search index: what was acknowledged
 * stays. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "database/sqlite.h"
#include "shared/error.h"
#include "support/database_place.h"
#include "support/seed.h"

enum { DIMENSION = 8 };

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    place_make(p);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place_remove(*state);
    free(*state);
    return 0;
}

static int open_at(struct place *p, int64_t max_pages, struct database *db)
{
    struct sqlite_database_options options = {
        .directory = p->path, .max_pages = max_pages, .busy_ms = 20000};
    return sqlite_database_open(&options, db);
}

static int record_one(struct database *db, const char *key, int64_t event_ms,
                      struct event_outcome *out)
{
    struct media_event e = {.kind = EVENT_CREATED,
                            .bucket = "b",
                            .key = key,
                            .etag = key,
                            .trace_id = "",
                            .event_ms = event_ms};
    return db->ops->record_events(db->ctx, &e, 1, out);
}

/* Everything a small job does. `pad` bytes of text besides the word "key". */
static int do_job(struct database *db, const char *key, size_t pad, int64_t *job_id)
{
    struct event_outcome out;
    struct job_work work;
    struct embedding_space space = {.provider = "p", .model = "m", .dimension = DIMENSION};
    float vector[DIMENSION] = {1};
    struct result_info info = {.kind = "text", .stages_json = "{}"};
    char *text = malloc(pad + 128);
    int n = snprintf(text, 128, "needle %s ", key);
    memset(text + n, 'z', pad);
    struct chunk_row chunk = {.text = text, .length = (size_t)n + pad};
    int rc = db->ops->space_ensure(db->ctx, &space);
    if (!rc)
        rc = record_one(db, key, 1, &out);
    struct job_start start = {.job_id = out.job_id, .receive_count = 1, .work = &work};
    if (!rc)
        rc = db->ops->start_attempts(db->ctx, &start, 1, "w", INT64_MAX / 2);
    if (!rc)
        rc = start.rc;
    struct publication p = {
        .job_id = out.job_id,
        .attempt = work.attempt,
        .key = {.content = digest_of(key, strlen(key))},
        .info = &info,
        .batch = {.chunks = &chunk, .chunk_count = 1, .space_id = space.id, .embeddings = vector}};
    if (!rc)
        rc = db->ops->publish(db->ctx, &p);
    *job_id = out.job_id;
    free(text);
    return rc;
}

static size_t found(struct database *db, const char *query)
{
    struct arena arena;
    struct arm_hit *hits;
    size_t n;
    arena_init(&arena, MIB(1));
    assert_int_equal(db->ops->search_lexical(db->ctx, query, NULL, 10, &arena, &hits, &n), 0);
    arena_free(&arena);
    return n;
}

static size_t neighbours(struct database *db)
{
    struct arena arena;
    struct arm_hit *hits;
    struct embedding_space space = {.provider = "p", .model = "m", .dimension = DIMENSION};
    float vector[DIMENSION] = {1};
    size_t n;
    arena_init(&arena, MIB(1));
    assert_int_equal(db->ops->space_ensure(db->ctx, &space), 0);
    assert_int_equal(
        db->ops->search_vector(db->ctx, space.id, vector, NULL, CAP_RESULTS, &arena, &hits, &n), 0);
    arena_free(&arena);
    return n;
}

static enum job_state state_of(struct database *db, int64_t job_id)
{
    struct arena arena;
    struct job_row row;
    arena_init(&arena, MIB(1));
    assert_int_equal(db->ops->job_get(db->ctx, job_id, &arena, &row, NULL, NULL), 0);
    arena_free(&arena);
    return row.state;
}

/* ---- kill -9 ---- */

struct acknowledged {
    int64_t job_id;
    int number;
};

/* Reports each job on the pipe once it is acknowledged; never returns. */
static void write_until_killed(struct place *p, int round, int fd)
{
    struct database db;
    if (open_at(p, 0, &db))
        _exit(1);
    for (int i = 0;; i++) {
        char key[64];
        struct acknowledged a = {.number = i};
        snprintf(key, sizeof key, "round%dnumber%d", round, i);
        if (do_job(&db, key, 2000, &a.job_id))
            _exit(2);
        if (write(fd, &a, sizeof a) != sizeof a)
            _exit(3);
    }
}

static size_t read_all(int fd, struct acknowledged *out, size_t room)
{
    size_t n = 0;
    while (n < room && read(fd, &out[n], sizeof *out) == sizeof *out)
        n++;
    return n;
}

/* Waits for the first acknowledgement, then a random moment, then kills. */
static size_t one_round(struct place *p, int round, unsigned delay_us, struct acknowledged *out,
                        size_t room)
{
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        write_until_killed(p, round, fds[1]);
    }
    close(fds[1]);
    struct pollfd ready = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 60000), 1);
    usleep(delay_us);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    size_t n = read_all(fds[0], out, room);
    close(fds[0]);
    return n;
}

static void killed_writer_loses_nothing(void **state)
{
    enum { ROUNDS = 8, ROOM = 20000 };
    struct place *p = *state;
    struct database db;
    struct acknowledged *a = calloc(ROOM, sizeof *a);
    unsigned seed = test_seed();
    size_t total = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = one_round(p, round, (unsigned)rand_r(&seed) % 120000, a, ROOM);
        assert_true(n > 0);
        assert_int_equal(open_at(p, 0, &db), 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(state_of(&db, a[i].job_id), JOB_SUCCEEDED);
        for (size_t i = 0; i < n; i += n / 5 + 1) {
            char word[64];
            snprintf(word, sizeof word, "round%dnumber%d", round, a[i].number);
            assert_int_equal(found(&db, word), 1);
        }
        total += n;
        struct totals t;
        assert_int_equal(db.ops->totals(db.ctx, &t), 0);
        assert_true(t.published >= (int64_t)total);
        size_t seen = neighbours(&db);
        assert_true(seen >= (total < CAP_RESULTS ? total : CAP_RESULTS));
        assert_int_equal(sqlite_database_check(&db), 0);
        db.ops->close(db.ctx);
    }
    print_message("%zu jobs acknowledged before %d kills\n", total, ROUNDS);
    free(a);
}

/* ---- full disk ---- */

/* Jobs until one fails: its error; *count succeeded. */
static int fill_up(struct database *db, int64_t *jobs, int *count)
{
    for (*count = 0; *count < 2000; (*count)++) {
        char key[32];
        snprintf(key, sizeof key, "fill%d", *count);
        int rc = do_job(db, key, 60000, &jobs[*count]);
        if (rc)
            return rc;
    }
    return 0;
}

static void full_database_is_told_and_nothing_is_lost(void **state)
{
    struct place *p = *state;
    struct database db;
    int64_t jobs[2000], job;
    int count;
    assert_int_equal(open_at(p, 800, &db), 0);
    assert_int_equal(fill_up(&db, jobs, &count), ERR_DISK_FULL);
    assert_non_null(strstr(error_last()->message, "free some space"));
    assert_true(count > 5);
    for (int i = 0; i < count; i++)
        assert_int_equal(state_of(&db, jobs[i]), JOB_SUCCEEDED);
    assert_int_equal(found(&db, "fill3"), 1);
    db.ops->close(db.ctx);
    assert_int_equal(open_at(p, 0, &db), 0); /* there is room again */
    assert_int_equal(do_job(&db, "after", 60000, &job), 0);
    assert_int_equal(found(&db, "after"), 1);
    assert_int_equal(sqlite_database_check(&db), 0);
    db.ops->close(db.ctx);
}

/* In a child, because the limit counts for every file of a process. A child must not use cmocka's
 * assertions, which would jump into the parent's tests: it ends with the line that failed. */
#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, error_last()->message);    \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static size_t child_found(struct database *db, const char *query)
{
    struct arena arena;
    struct arm_hit *hits;
    size_t n = 0;
    arena_init(&arena, MIB(1));
    CHILD_CHECK(!db->ops->search_lexical(db->ctx, query, NULL, 10, &arena, &hits, &n));
    arena_free(&arena);
    return n;
}

static void child_succeeded(struct database *db, const int64_t *jobs, int count)
{
    struct arena arena;
    struct job_row row;
    arena_init(&arena, MIB(16));
    for (int i = 0; i < count; i++) {
        CHILD_CHECK(!db->ops->job_get(db->ctx, jobs[i], &arena, &row, NULL, NULL));
        CHILD_CHECK(row.state == JOB_SUCCEEDED);
    }
    arena_free(&arena);
}

static void live_through_a_full_disk(struct place *p)
{
    struct database db;
    struct rlimit old, tight;
    static int64_t jobs[2000];
    int64_t job;
    int count = 0;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old;
    tight.rlim_cur = 3 << 20;
    CHILD_CHECK(!open_at(p, 0, &db));
    setrlimit(RLIMIT_FSIZE, &tight);
    CHILD_CHECK(fill_up(&db, jobs, &count) == ERR_DISK_FULL);
    CHILD_CHECK(count > 5);
    CHILD_CHECK(do_job(&db, "refused", 60000, &job) == ERR_DISK_FULL);
    child_succeeded(&db, jobs, count);
    setrlimit(RLIMIT_FSIZE, &old);
    CHILD_CHECK(!do_job(&db, "roomagain", 60000, &job)); /* goes on by itself */
    CHILD_CHECK(child_found(&db, "roomagain") == 1);
    CHILD_CHECK(child_found(&db, "fill0") == 1);
    child_succeeded(&db, jobs, count);
    CHILD_CHECK(!sqlite_database_check(&db));
    db.ops->close(db.ctx);
    _exit(0);
}

static void full_disk_is_survived(void **state)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        live_through_a_full_disk(*state);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- two processes ---- */

static void write_some(struct place *p, int who, int jobs)
{
    struct database db;
    int64_t job;
    if (open_at(p, 0, &db))
        _exit(1);
    for (int i = 0; i < jobs; i++) {
        char key[64];
        struct event_outcome out;
        snprintf(key, sizeof key, "process%dnumber%d", who, i);
        if (do_job(&db, key, 500, &job))
            _exit(2);
        if (record_one(&db, "shared", i, &out)) /* both fight over this one */
            _exit(3);
    }
    db.ops->close(db.ctx);
    _exit(0);
}

static void processes_share_one_directory(void **state)
{
    enum { PROCESSES = 3, JOBS = 120 };
    struct place *p = *state;
    struct database db;
    struct totals t;
    pid_t pids[PROCESSES];
    fflush(NULL);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            write_some(p, i, JOBS);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(open_at(p, 0, &db), 0);
    assert_int_equal(db.ops->totals(db.ctx, &t), 0);
    assert_int_equal(t.jobs[JOB_SUCCEEDED], PROCESSES * JOBS);
    assert_int_equal(t.jobs[JOB_QUEUED], 1);
    assert_int_equal(t.media, PROCESSES * JOBS + 1);
    assert_int_equal(t.chunks, PROCESSES * JOBS);
    assert_int_equal(neighbours(&db), PROCESSES * JOBS);
    for (int i = 0; i < PROCESSES; i++) {
        char word[64];
        snprintf(word, sizeof word, "process%dnumber%d", i, JOBS - 1);
        assert_int_equal(found(&db, word), 1);
    }
    assert_int_equal(sqlite_database_check(&db), 0);
    db.ops->close(db.ctx);
}

static void held_lock_is_transient(void **state)
{
    struct place *p = *state;
    struct database db, second;
    struct event_outcome out;
    struct sqlite_database_options impatient = {.directory = p->path, .busy_ms = 50};
    char path[600];
    sqlite3 *other;
    assert_int_equal(open_at(p, 0, &db), 0);
    assert_int_equal(sqlite_database_open(&impatient, &second), 0);
    snprintf(path, sizeof path, "%s/aegis.db", p->path);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(record_one(&second, "k", 1, &out), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "database_busy");
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(record_one(&second, "k", 1, &out), 0);
    second.ops->close(second.ctx);
    db.ops->close(db.ctx);
}

/* ---- search files are only caches ---- */

static void delete_files(struct place *p, const char *pattern)
{
    char command[700];
    snprintf(command, sizeof command, "rm -f %s/%s", p->path, pattern);
    assert_int_equal(system(command), 0);
}

static void lost_search_files_come_back(void **state)
{
    struct place *p = *state;
    struct database db;
    int64_t job;
    assert_int_equal(open_at(p, 0, &db), 0);
    for (int i = 0; i < 20; i++) {
        char key[32];
        snprintf(key, sizeof key, "kept%d", i);
        assert_int_equal(do_job(&db, key, 100, &job), 0);
    }
    assert_int_equal(neighbours(&db), 20);
    assert_int_equal(found(&db, "kept7"), 1);
    db.ops->close(db.ctx);
    delete_files(p, "lexical.db*");
    delete_files(p, "vectors-*");
    assert_int_equal(open_at(p, 0, &db), 0);
    assert_int_equal(neighbours(&db), 20);
    assert_int_equal(found(&db, "kept7"), 1);
    assert_int_equal(found(&db, "needle"), 10);
    db.ops->close(db.ctx);
}

/* An old copy of the index: it is brought up to date; one of another database is thrown away. */
static void old_or_foreign_search_files_are_mended(void **state)
{
    struct place *p = *state, other;
    struct database db;
    int64_t job;
    char command[1300];
    assert_int_equal(open_at(p, 0, &db), 0);
    assert_int_equal(do_job(&db, "first", 100, &job), 0);
    assert_int_equal(found(&db, "first"), 1);
    db.ops->close(db.ctx);
    place_make(&other);
    snprintf(command, sizeof command, "cp %s/lexical.db %s/", p->path, other.path);
    assert_int_equal(system(command), 0);
    assert_int_equal(open_at(p, 0, &db), 0);
    assert_int_equal(do_job(&db, "second", 100, &job), 0);
    assert_int_equal(found(&db, "second"), 1);
    db.ops->close(db.ctx);
    snprintf(command, sizeof command, "cp %s/lexical.db %s/", other.path, p->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(open_at(p, 0, &db), 0);
    assert_int_equal(found(&db, "second"), 1);
    assert_int_equal(found(&db, "needle"), 2);
    db.ops->close(db.ctx);
    assert_int_equal(open_at(&other, 0, &db), 0); /* another database id */
    assert_int_equal(found(&db, "first"), 0);
    db.ops->close(db.ctx);
    place_remove(&other);
}

static void outbox_is_trimmed(void **state)
{
    struct place *p = *state;
    struct database db;
    struct arena arena;
    struct life_event *events;
    size_t n;
    struct sqlite_database_options options = {.directory = p->path, .outbox_rows = 50};
    arena_init(&arena, MIB(16));
    assert_int_equal(sqlite_database_open(&options, &db), 0);
    for (int i = 0; i < 100; i++) {
        char key[32];
        int64_t job;
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(do_job(&db, key, 10, &job), 0);
    }
    assert_int_equal(sqlite_database_settle(&db), 0);
    assert_int_equal(db.ops->life_events(db.ctx, 0, 1000, &arena, &events, &n), 0);
    assert_int_equal(n, 50);
    assert_int_equal(events[49].id, 300);
    db.ops->close(db.ctx);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_writer_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(full_database_is_told_and_nothing_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(processes_share_one_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(held_lock_is_transient, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_search_files_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(old_or_foreign_search_files_are_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(outbox_is_trimmed, setup, teardown),
    };
    return cmocka_run_group_tests_name("sqlite faults", tests, NULL, NULL);
}
