#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/local/store_folder.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/random.h"
#include "support/store_conformance.h"
#include "support/tree.h"

enum { BIG = 100000, HOUR_MS = 3600000 };

struct place {
    char data[256];
    struct object_store store;
    struct clock clock;
    _Atomic int64_t now;
};

static int64_t place_now(void *ctx)
{
    return atomic_load(&((struct place *)ctx)->now);
}

static void place_make(struct place *p)
{
    const char *parent = getenv("TMPDIR");
    *p = (struct place){.clock = {.now = place_now, .ctx = p}};
    atomic_store(&p->now, 1700000000000);
    snprintf(p->data, sizeof p->data, "%s/aegis-store.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(p->data));
}

static void place_remove(struct place *p)
{
    assert_int_equal(tree_remove(p->data), 0);
}

static int place_open(struct place *p)
{
    return folder_store_open(&(struct folder_store_options){.data = p->data,
                                                            .clock = &p->clock,
                                                            .keep_superseded_ms = HOUR_MS},
                             &p->store);
}

static void place_close(struct place *p)
{
    p->store.ops->close(p->store.ctx);
}

static int setup(void **state)
{
    struct place *p = malloc(sizeof *p);
    assert_non_null(p);
    place_make(p);
    if (place_open(p))
        fail_msg("%s", error_last()->message);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    place_close(p);
    place_remove(p);
    free(p);
    return 0;
}

/* ---- steps ---- */

/* `size` bytes that differ by `seed`: above 32 KiB they are a file of their own. */
static char *content(int seed, size_t size)
{
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    memset(bytes, 'a' + seed % 26, size);
    snprintf(bytes, size, "%d", seed);
    return bytes;
}

static int put_as(struct object_store *store, const char *key, int seed, size_t size,
                  struct object_info *info)
{
    char *bytes = content(seed, size);
    struct memory_source memory = {.bytes = bytes, .length = size};
    struct object_source source = memory_source_of(&memory);
    int rc = store->ops->put(store->ctx, "media", key, NULL, &source, info);
    free(bytes);
    return rc;
}

static struct object_info put(struct place *p, const char *key, int seed, size_t size)
{
    struct object_info info;
    if (put_as(&p->store, key, seed, size, &info))
        fail_msg("put '%s': %s", key, error_last()->message);
    return info;
}

static bool reads(struct object_store *store, const char *key, const char *version, int seed,
                  size_t size)
{
    struct object object;
    if (store->ops->open(store->ctx, "media", key, version, "", NULL, &object))
        return false;
    char *expected = content(seed, size), *got = malloc(size + 1);
    size_t n = 0;
    int rc = object_descriptor(&object);
    if (!rc)
        rc = file_read_at(object.fd, key, got, size + 1, 0, &n);
    bool same = !rc && n == size && memcmp(expected, got, size) == 0;
    free(expected);
    free(got);
    object_close(&object);
    return same;
}

static int counted; /* nftw has no context */

static int count_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)ftw;
    counted += type == FTW_F;
    return 0;
}

static int count_blobs(const struct place *p)
{
    char path[300];
    snprintf(path, sizeof path, "%s/objects", p->data);
    counted = 0;
    assert_int_equal(nftw(path, count_entry, 16, FTW_PHYS), 0);
    return counted;
}

static int64_t count_rows(const struct place *p, const char *sql)
{
    char path[300];
    sqlite3 *db;
    sqlite3_stmt *s;
    snprintf(path, sizeof path, "%s/objects.db", p->data);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static int64_t collect(struct place *p)
{
    int64_t freed;
    assert_int_equal(folder_store_collect(&p->store, NULL, &freed), OK);
    return freed;
}

/* ---- tests ---- */

static void outlives_closing(void **state)
{
    struct place *p = *state;
    struct object_info small = put(p, "small", 1, 100), big = put(p, "big", 2, BIG);
    place_close(p);
    assert_int_equal(place_open(p), OK);
    assert_true(reads(&p->store, "small", small.version_id, 1, 100));
    assert_true(reads(&p->store, "big", big.version_id, 2, BIG));
    atomic_fetch_sub(&p->now, HOUR_MS); /* the clock was set back */
    struct object_info again = put(p, "small", 1, 100);
    assert_true(strcmp(again.sequencer, big.sequencer) > 0);
}

static void identical_bytes_are_stored_once(void **state)
{
    struct place *p = *state;
    put(p, "a", 1, BIG);
    put(p, "b", 1, BIG);
    put(p, "c", 2, BIG);
    put(p, "d", 3, 100);
    put(p, "e", 3, 100);
    assert_int_equal(count_blobs(p), 2);
    assert_int_equal(count_rows(p, "SELECT count(*) FROM bytes"), 1);
    p->store.ops->remove(p->store.ctx, "media", "a", NULL);
    p->store.ops->remove(p->store.ctx, "media", "d", NULL);
    assert_int_equal(count_blobs(p), 2);
    p->store.ops->remove(p->store.ctx, "media", "b", NULL);
    p->store.ops->remove(p->store.ctx, "media", "e", NULL);
    assert_int_equal(count_blobs(p), 1);
    assert_int_equal(count_rows(p, "SELECT count(*) FROM bytes"), 0);
    assert_int_equal(collect(p), 0);
}

static void superseded_versions_go_after_their_grace(void **state)
{
    struct place *p = *state;
    struct object_info first = put(p, "a", 1, BIG);
    atomic_fetch_add(&p->now, 10 * HOUR_MS); /* age alone takes nothing away */
    struct object_info second = put(p, "a", 2, BIG);
    atomic_fetch_add(&p->now, HOUR_MS - 1);
    assert_int_equal(collect(p), 0);
    assert_true(reads(&p->store, "a", first.version_id, 1, BIG));
    atomic_fetch_add(&p->now, 1);
    assert_int_equal(collect(p), BIG);
    assert_false(reads(&p->store, "a", first.version_id, 1, BIG));
    assert_true(reads(&p->store, "a", second.version_id, 2, BIG));
    assert_int_equal(count_blobs(p), 1);
}

static void puts_collect_what_is_due(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 100; i++) {
        put(p, "a", i, i % 2 ? BIG : 200);
        atomic_fetch_add(&p->now, HOUR_MS / 2);
    }
    assert_true(count_rows(p, "SELECT count(*) FROM object") <= 4);
    assert_true(count_blobs(p) <= 2);
}

static void more_versions_than_one_pass_deletes(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 300; i++)
        put(p, "a", i, i % 3 ? 100 : 33000);
    atomic_fetch_add(&p->now, 2 * HOUR_MS);
    assert_true(collect(p) > 0);
    assert_int_equal(count_rows(p, "SELECT count(*) FROM object"), 1);
    assert_int_equal(count_rows(p, "SELECT count(*) FROM bytes") + count_blobs(p), 1);
}

static void removal_of_many_versions_leaves_nothing(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < 300; i++)
        put(p, "a", i, 50);
    assert_int_equal(p->store.ops->remove(p->store.ctx, "media", "a", NULL), OK);
    collect(p);
    assert_int_equal(count_rows(p, "SELECT count(*) FROM bytes"), 0);
}

/* What a crash between linking and committing leaves. */
static void stray_bytes_are_collected(void **state)
{
    struct place *p = *state;
    char path[400];
    put(p, "a", 1, BIG);
    snprintf(path, sizeof path, "%s/objects/ab", p->data);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path,
             "%s/objects/ab/abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
             p->data);
    assert_int_equal(file_replace(path, "stray", 5, 0400), OK);
    assert_int_equal(count_blobs(p), 2);
    assert_int_equal(collect(p), 5);
    assert_int_equal(count_blobs(p), 1);
    assert_true(reads(&p->store, "a", "", 1, BIG));
}

static void bytes_already_on_disk_are_taken(void **state)
{
    struct place *p = *state;
    struct object_info info = put(p, "a", 1, BIG);
    char path[400], kept[400], hex[DIGEST_TEXT];
    digest_format(&info.content, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", p->data, hex, hex);
    snprintf(kept, sizeof kept, "%s/kept", p->data);
    assert_int_equal(link(path, kept), 0);
    p->store.ops->remove(p->store.ctx, "media", "a", NULL);
    assert_int_equal(rename(kept, path), 0); /* a stray with the very bytes that come next */
    put(p, "b", 1, BIG);
    assert_true(reads(&p->store, "b", "", 1, BIG));
    assert_int_equal(collect(p), 0);
}

static void lost_bytes_are_named(void **state)
{
    struct place *p = *state;
    struct object_info info = put(p, "a", 1, BIG);
    struct object object;
    char path[400], hex[DIGEST_TEXT];
    digest_format(&info.content, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", p->data, hex, hex);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(p->store.ops->open(p->store.ctx, "media", "a", "", "", NULL, &object),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(error_last()->message, "'a'"));
    put(p, "a", 1, BIG); /* as the text advises */
    assert_true(reads(&p->store, "a", "", 1, BIG));
}

static void cancelled_collection_stops(void **state)
{
    struct place *p = *state;
    struct cancel cancel = {.requested = true};
    assert_int_equal(folder_store_collect(&p->store, &cancel, NULL), ERR_CANCELLED);
}

static struct digest digest_of_file(const char *path)
{
    struct buffer b;
    buffer_init(&b, MIB(16));
    assert_int_equal(file_read(path, &b), OK);
    struct digest d = digest_of(buffer_string(&b), b.length);
    buffer_free(&b);
    return d;
}

static void newer_schema_is_refused_untouched(void **state)
{
    struct place *p = *state;
    char path[300];
    sqlite3 *db;
    put(p, "a", 1, 100);
    place_close(p);
    snprintf(path, sizeof path, "%s/objects.db", p->data);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct digest before = digest_of_file(path);
    struct object_store other;
    assert_int_equal(folder_store_open(&(struct folder_store_options){.data = p->data}, &other),
                     ERR_SCHEMA);
    assert_non_null(strstr(error_last()->message, "newer"));
    struct digest after = digest_of_file(path);
    assert_true(digest_equal(&before, &after));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=1", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(place_open(p), OK);
    assert_true(reads(&p->store, "a", "", 1, 100));
}

static void damaged_index_is_an_error(void **state)
{
    (void)state;
    struct place p;
    char path[300];
    struct object_store store;
    place_make(&p);
    snprintf(path, sizeof path, "%s/objects.db", p.data);
    char garbage[8192];
    memset(garbage, 'g', sizeof garbage);
    assert_int_equal(file_replace(path, garbage, sizeof garbage, 0600), OK);
    assert_int_equal(folder_store_open(&(struct folder_store_options){.data = p.data}, &store),
                     ERR_SYSTEMIC);
    place_remove(&p);
}

/* ---- several processes ---- */

/* Puts its own keys and one shared key; 0 if all went well. */
static int work_beside(const char *data, int number)
{
    struct object_store store;
    char last[CAP_SEQUENCER + 1] = "", key[32];
    int failures = folder_store_open(&(struct folder_store_options){.data = data}, &store) != OK;
    for (int i = 0; !failures && i < 25; i++) {
        struct object_info info;
        snprintf(key, sizeof key, "own/%d.%d", number, i);
        failures += put_as(&store, key, number * 1000 + i, i % 2 ? BIG : 100, &info) != OK;
        failures += put_as(&store, "shared", i, i % 2 ? BIG : 100, &info) != OK;
        failures += strcmp(last, info.sequencer) >= 0;
        strcpy(last, info.sequencer);
        if (i % 5 == 4)
            failures += store.ops->remove(store.ctx, "media", "shared", NULL) != OK;
        failures += !reads(&store, key, "", number * 1000 + i, i % 2 ? BIG : 100);
    }
    if (!failures)
        store.ops->close(store.ctx);
    return failures;
}

static void processes_share_it(void **state)
{
    enum { PROCESSES = 4 };
    (void)state;
    struct place p;
    pid_t pids[PROCESSES];
    place_make(&p);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork(); /* they also race to create the index */
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            _exit(work_beside(p.data, i) != 0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(place_open(&p), OK);
    for (int i = 0; i < PROCESSES * 25; i++) {
        char key[32];
        snprintf(key, sizeof key, "own/%d.%d", i / 25, i % 25);
        assert_true(reads(&p.store, key, "", i / 25 * 1000 + i % 25, i % 25 % 2 ? BIG : 100));
    }
    place_close(&p);
    place_remove(&p);
}

/* Puts without end; each acknowledged number goes down the pipe. */
static void put_until_killed(const char *data, int first, int acks)
{
    struct object_store store;
    if (folder_store_open(&(struct folder_store_options){.data = data}, &store))
        _exit(1);
    for (int i = first;; i++) {
        struct object_info info;
        char key[32];
        snprintf(key, sizeof key, "k%d", i);
        if (put_as(&store, key, i, i % 2 ? BIG : 100, &info) ||
            write(acks, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

static void killed_writers_lose_nothing_acknowledged(void **state)
{
    struct place *p = *state;
    int acknowledged = 0;
    for (int round = 0; round < 8; round++) {
        int pipes[2], status;
        int rounds_acks = 1 + (int)random_below(12);
        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            put_until_killed(p->data, acknowledged, pipes[1]);
        close(pipes[1]);
        for (int i = 0; i < rounds_acks; i++)
            assert_int_equal(read(pipes[0], &acknowledged, sizeof acknowledged),
                             sizeof acknowledged);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(pipes[0], &acknowledged, sizeof acknowledged) > 0)
            continue;
        close(pipes[0]);
        acknowledged++; /* the next number */
    }
    for (int i = 0; i < acknowledged; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%d", i);
        assert_true(reads(&p->store, key, "", i, i % 2 ? BIG : 100));
    }
    collect(p);
    assert_int_equal(count_blobs(p), count_rows(p, "SELECT count(DISTINCT digest) FROM object "
                                                   "WHERE size > 32768"));
}

/* ---- a full disk ---- */

/* In a child with a file system of its own of `bytes`. Exit 77: not allowed here. */
static bool mount_small(const char *path, const char *options)
{
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, error_last()->message);    \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void fill_a_small_disk(struct place *p)
{
    struct object_info info;
    int stored = 0, rc;
    if (!mount_small(p->data, "size=2m"))
        _exit(77);
    CHECK(place_open(p) == OK);
    char key[32];
    do {
        snprintf(key, sizeof key, "k%d", stored);
        rc = put_as(&p->store, key, stored, BIG, &info);
    } while (!rc && ++stored < 100);
    CHECK(rc == ERR_DISK_FULL && stored > 3);
    CHECK(strstr(error_last()->message, key) != NULL);
    int blobs = count_blobs(p);
    CHECK(blobs == stored);
    while (put_as(&p->store, "tiny", stored, 1000, &info) == OK)
        stored++; /* the index fills up as well */
    CHECK(error_last()->code == ERR_DISK_FULL);
    CHECK(reads(&p->store, "k0", "", 0, BIG));
    CHECK(count_blobs(p) == blobs);
    CHECK(put_as(&p->store, key, 1, 3 * BIG, &info) == ERR_DISK_FULL);
    CHECK(count_blobs(p) == blobs);
    _exit(0);
}

static void full_disk_refuses_and_leaves_nothing(void **state)
{
    struct place p;
    int status;
    (void)state;
    place_make(&p);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        fill_a_small_disk(&p);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    place_remove(&p);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* no file system can be mounted here */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- the suite ---- */

static int open_for_suite(void *ctx, struct object_store *out)
{
    struct place *p = ctx;
    place_make(p);
    return folder_store_open(&(struct folder_store_options){.data = p->data}, out);
}

static void discard_for_suite(void *ctx)
{
    place_remove(ctx);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(outlives_closing),
        CASE(identical_bytes_are_stored_once),
        CASE(superseded_versions_go_after_their_grace),
        CASE(puts_collect_what_is_due),
        CASE(more_versions_than_one_pass_deletes),
        CASE(removal_of_many_versions_leaves_nothing),
        CASE(stray_bytes_are_collected),
        CASE(bytes_already_on_disk_are_taken),
        CASE(lost_bytes_are_named),
        CASE(cancelled_collection_stops),
        CASE(newer_schema_is_refused_untouched),
        cmocka_unit_test(damaged_index_is_an_error),
        cmocka_unit_test(processes_share_it),
        CASE(killed_writers_lose_nothing_acknowledged),
        cmocka_unit_test(full_disk_refuses_and_leaves_nothing),
    };
    struct place place;
    int failed = store_conformance_run(&(struct store_conformance){.name = "object_store: local",
                                                                   .open = open_for_suite,
                                                                   .discard = discard_for_suite,
                                                                   .ctx = &place});
    return failed + cmocka_run_group_tests_name("folder store", tests, NULL, NULL);
}
