#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
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
#include "adapters/local/store_shared_keys.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/file.h"
#include "support/shared_machine.h"

/* ---- names ---- */

static void assert_named(const char *key, const char *name)
{
    char got[NAME_MAX + 1], back[CAP_KEY + 1];
    shared_key_encode(key, got);
    assert_string_equal(got, name);
    assert_true(shared_key_decode(name, back));
    assert_string_equal(back, key);
}

static void keys_are_names(void **state)
{
    (void)state;
    char back[CAP_KEY + 1];
    assert_named("talk-1_a.mp4", "talk-1_a.mp4");
    assert_named("a/B", "a%2f%42");
    assert_named("..", "%2e.");
    assert_named("=x%", "%3dx%25");
    assert_named("\xc3\xa9\x01", "%c3%a9%01");
    static const char *const others[] = {"", ".nfs0001", "A", "a%2", "a%2F", "%61", "a%00", "=ab"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (shared_key_decode(others[i], back))
            fail_msg("'%s' was taken for the name of key '%s'", others[i], back);
}

static void long_keys_are_digests(void **state)
{
    (void)state;
    char key[CAP_KEY + 1], name[NAME_MAX + 1], back[CAP_KEY + 1];
    memset(key, 'k', CAP_KEY);
    key[CAP_KEY] = '\0';
    shared_key_encode(key, name);
    assert_int_equal(strlen(name), 65);
    assert_int_equal(name[0], '=');
    assert_false(shared_key_decode(name, back));
    key[NAME_MAX] = '\0';
    shared_key_encode(key, name);
    assert_true(strlen(name) <= NAME_MAX);
}

/* ---- time ---- */

static void outlives_closing(void **state)
{
    struct machine *p = *state;
    struct object_info small = machine_put(p, "small", 1, 100), big = machine_put(p, "big", 2, BIG);
    machine_close(p);
    assert_int_equal(machine_open(p), OK);
    assert_true(machine_reads(&p->store, "small", small.version_id, 1, 100));
    assert_true(machine_reads(&p->store, "big", big.version_id, 2, BIG));
}

static void clocks_may_differ_and_go_back(void **state)
{
    struct machine *p = *state, other = {.now = p->now};
    struct object_info info;
    char last[CAP_SEQUENCER + 1] = "";
    machine_beside(p, &other);
    assert_int_equal(machine_open(&other), OK);
    for (int i = 0; i < 40; i++) {
        struct machine *at = i % 2 ? &other : p;
        at->now += i % 3 ? 1000 : -5 * HOUR_MS;
        if (i % 7 == 6)
            assert_int_equal(at->store.ops->remove(at->store.ctx, "media", "a", &info), OK);
        else
            info = machine_put(at, "a", i, i % 4 ? 100 : BIG);
        if (strcmp(last, info.sequencer) >= 0)
            fail_msg("step %d: %s came after %s", i, info.sequencer, last);
        strcpy(last, info.sequencer);
        struct machine *seen = i % 2 ? p : &other;
        assert_true(i % 7 == 6 ? !machine_has(&seen->store, "a")
                               : machine_reads(&seen->store, "a", "", i, i % 4 ? 100 : BIG));
    }
    machine_close(&other);
}

static void superseded_versions_go_after_their_grace(void **state)
{
    struct machine *p = *state;
    struct object_info first = machine_put(p, "a", 1, BIG);
    p->now += 10 * HOUR_MS; /* age alone takes nothing away */
    struct object_info second = machine_put(p, "a", 2, BIG);
    p->now += HOUR_MS - 1;
    assert_int_equal(machine_collect(p), 0);
    assert_true(machine_reads(&p->store, "a", first.version_id, 1, BIG));
    p->now += 1;
    assert_int_equal(machine_collect(p), BIG);
    assert_false(machine_reads(&p->store, "a", first.version_id, 1, BIG));
    assert_true(machine_reads(&p->store, "a", second.version_id, 2, BIG));
    assert_int_equal(machine_files(p, "objects"), 2);
}

static void puts_collect_what_is_due(void **state)
{
    struct machine *p = *state;
    for (int i = 0; i < 40; i++) {
        machine_put(p, "a", i, i % 2 ? BIG : 200);
        p->now += HOUR_MS / 2;
    }
    assert_true(machine_files(p, "objects") <= 8);
    assert_int_equal(machine_files(p, "incoming"), 0);
}

static void more_versions_than_one_look_tells(void **state)
{
    struct machine *p = *state;
    for (int i = 0; i < 300; i++)
        machine_put(p, "a", i, i % 50 ? 100 : 33000);
    assert_true(machine_reads(&p->store, "a", "", 299, 100));
    p->now += 2 * HOUR_MS;
    assert_true(machine_collect(p) > 0);
    assert_int_equal(machine_files(p, "objects"), 1);
    assert_true(machine_reads(&p->store, "a", "", 299, 100));
}

static void removal_of_many_versions_leaves_its_mark_for_a_week(void **state)
{
    struct machine *p = *state;
    for (int i = 0; i < 300; i++)
        machine_put(p, "a", i, i % 50 ? 50 : BIG);
    assert_int_equal(p->store.ops->remove(p->store.ctx, "media", "a", NULL), OK);
    assert_int_equal(machine_files(p, "objects"), 1);
    p->now += 7 * 24 * HOUR_MS - 1000;
    machine_collect(p);
    assert_int_equal(machine_files(p, "objects"), 1);
    p->now += 2000;
    machine_collect(p);
    assert_int_equal(machine_files(p, "objects"), 0);
    machine_put(p, "a", 1, 50);
    assert_true(machine_reads(&p->store, "a", "", 1, 50));
}

/* A crash right after the removal's mark. */
static void what_a_removal_left_is_gone_and_collected(void **state)
{
    struct machine *p = *state;
    char path[700], name[SEQUENCER_TEXT];
    uint64_t sequencer;
    struct object_info info = machine_put(p, "a", 1, BIG);
    assert_true(shared_sequencer_parse(info.sequencer, &sequencer));
    shared_sequencer_format(sequencer + 1, name);
    machine_key_file(p, "a", name, path);
    assert_int_equal(file_replace(path, "", 0, 0400), OK);
    assert_false(machine_has(&p->store, "a"));
    assert_false(machine_reads(&p->store, "a", info.version_id, 1, BIG));
    assert_int_equal(machine_collect(p), BIG);
    assert_int_equal(machine_files(p, "objects"), 1);
}

/* ---- what crashes leave ---- */

static void age(const char *path, int seconds)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    struct timespec times[2] = {{.tv_sec = st.st_mtime - seconds},
                                {.tv_sec = st.st_mtime - seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void temporary_files_go_after_a_day(void **state)
{
    struct machine *p = *state;
    char old[400], young[400];
    snprintf(old, sizeof old, "%s/incoming/old.data", p->directory);
    snprintf(young, sizeof young, "%s/incoming/young.data", p->directory);
    assert_int_equal(file_replace(old, "x", 1, 0400), OK);
    assert_int_equal(file_replace(young, "x", 1, 0400), OK);
    age(old, DAY_SECONDS + 60);
    age(young, DAY_SECONDS - 600);
    machine_close(p);
    assert_int_equal(machine_open(p), OK);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(young, F_OK), 0);
    age(young, 1200);
    machine_collect(p);
    assert_int_equal(access(young, F_OK), -1);
}

static void bytes_without_a_version_go_after_a_day(void **state)
{
    struct machine *p = *state;
    char path[700], named[700], name[DATA_NAME_TEXT];
    struct object_info info = machine_put(p, "a", 1, BIG);
    shared_data_name(info.version_id + SEQUENCER_TEXT, name);
    machine_key_file(p, "a", name, named);
    machine_key_file(p, "a", "0123456789abcdef0123456789abcdef.data", path);
    assert_int_equal(file_replace(path, "stray", 5, 0400), OK);
    age(named, 2 * DAY_SECONDS);
    assert_int_equal(machine_collect(p), 0);
    age(path, DAY_SECONDS + 60);
    assert_int_equal(machine_collect(p), 5);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(machine_reads(&p->store, "a", "", 1, BIG));
}

static void lost_bytes_are_named(void **state)
{
    struct machine *p = *state;
    char path[700], name[DATA_NAME_TEXT];
    struct object object;
    struct object_info info = machine_put(p, "a", 1, BIG);
    shared_data_name(info.version_id + SEQUENCER_TEXT, name);
    machine_key_file(p, "a", name, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(p->store.ops->open(p->store.ctx, "media", "a", "", "", NULL, &object),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(error_last()->message, "'a'"));
    assert_non_null(strstr(error_last()->message, "upload it again"));
    machine_put(p, "a", 1, BIG);
    assert_true(machine_reads(&p->store, "a", "", 1, BIG));
}

static void damaged_files_are_errors(void **state)
{
    static const char *const contents[] = {"",   "{",     "{}\n",
                                           "\n", "[1]\n", "{\"format\":1,\"size\":-1}\n"};
    struct machine *p = *state;
    struct object object;
    char path[700];
    struct object_info info = machine_put(p, "a", 1, 100);
    machine_key_file(p, "a", info.sequencer, path);
    assert_int_equal(truncate(path, 300), 0); /* bytes are missing at its end */
    assert_int_equal(p->store.ops->open(p->store.ctx, "media", "a", "", "", NULL, &object), ERR_IO);
    assert_string_equal(error_last()->reason, "record_damaged");
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        assert_int_equal(file_replace(path, contents[i], strlen(contents[i]), 0400), OK);
        assert_int_equal(p->store.ops->open(p->store.ctx, "media", "a", "", "", NULL, &object),
                         ERR_IO);
        assert_non_null(strstr(error_last()->message, info.sequencer));
    }
    assert_int_equal(file_replace(path, "{\"format\":99}\n", 14, 0400), OK);
    assert_int_equal(p->store.ops->open(p->store.ctx, "media", "a", "", "", NULL, &object),
                     ERR_SCHEMA);
    machine_put(p, "a", 2, 100);
    assert_true(machine_reads(&p->store, "a", "", 2, 100));
}

/* Its file is taken away meanwhile, as a sweep does after a day without a byte. */
struct slow_source {
    const char *directory;
    int reads;
};

static int read_slowly(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    struct slow_source *s = ctx;
    char path[400];
    *got = s->reads++ < 3 ? capacity : 0;
    memset(bytes, 'x', *got);
    if (*got)
        return OK;
    snprintf(path, sizeof path, "%s/incoming", s->directory);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    return OK;
}

static void an_upload_whose_file_was_swept_is_put_again(void **state)
{
    struct machine *p = *state;
    struct slow_source slow = {.directory = p->directory};
    struct object_source source = {.read = read_slowly, .ctx = &slow};
    struct object_info info;
    machine_put(p, "a", 1, BIG);
    assert_int_equal(p->store.ops->put(p->store.ctx, "media", "a", NULL, &source, &info),
                     ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "upload_stale");
    assert_true(machine_reads(&p->store, "a", "", 1, BIG));
    assert_int_equal(machine_files(p, "objects"), 2);
    assert_int_equal(machine_files(p, "incoming"), 0);
}

/* ---- the folder ---- */

static int open_at(const char *directory)
{
    struct object_store store;
    int rc = shared_store_open(&(struct shared_store_options){.directory = directory}, &store);
    if (!rc)
        store.ops->close(store.ctx);
    return rc;
}

static void newer_layout_is_refused_untouched(void **state)
{
    struct machine *p = *state;
    static const char newer[] = "aegis shared store, layout 2\n";
    char path[400];
    struct buffer b;
    snprintf(path, sizeof path, "%s/format", p->directory);
    assert_int_equal(file_replace(path, newer, sizeof newer - 1, 0400), OK);
    assert_int_equal(open_at(p->directory), ERR_SCHEMA);
    assert_non_null(strstr(error_last()->message, "newer"));
    buffer_init(&b, 1000);
    assert_int_equal(file_read(path, &b), OK);
    assert_string_equal(buffer_string(&b), newer);
    buffer_free(&b);
}

static void other_folders_are_refused(void **state)
{
    struct machine *p = *state;
    char path[400];
    snprintf(path, sizeof path, "%s/format", p->directory);
    assert_int_equal(file_replace(path, "?", 1, 0400), OK);
    assert_int_equal(open_at(p->directory), ERR_INVALID);
    assert_int_equal(open_at(path), ERR_INVALID); /* a file */
    snprintf(path, sizeof path, "%s/objects.db", p->directory);
    assert_int_equal(file_replace(path, "", 0, 0400), OK);
    assert_int_equal(open_at(p->directory), ERR_INVALID);
    assert_non_null(strstr(error_last()->message, "objects.db"));
}

static void a_store_for_one_machine_does_not_open_it(void **state)
{
    struct machine *p = *state;
    struct object_store other;
    char path[400];
    assert_int_equal(
        folder_store_open(&(struct folder_store_options){.data = p->directory}, &other),
        ERR_INVALID);
    assert_string_equal(error_last()->reason, "other_store");
    assert_non_null(strstr(error_last()->message, p->directory));
    snprintf(path, sizeof path, "%s/objects.db", p->directory);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(open_at(p->directory), OK); /* and goes on as what it is */
}

/* A `format` of somebody else's is no reason. */
static void a_store_for_one_machine_opens_other_folders(void **state)
{
    struct machine *p = *state;
    struct object_store other;
    char path[400];
    snprintf(path, sizeof path, "%s/format", p->directory);
    assert_int_equal(file_replace(path, "A4\n", 3, 0400), OK);
    assert_int_equal(
        folder_store_open(&(struct folder_store_options){.data = p->directory}, &other), OK);
    other.ops->close(other.ctx);
}

static void assert_gone(const struct machine *p, int rc)
{
    assert_int_equal(rc, ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "store_gone");
    if (!strstr(error_last()->message, p->directory))
        fail_msg("the folder is not named: %s", error_last()->message);
}

static void a_folder_that_vanishes_is_systemic(void **state)
{
    struct machine *p = *state;
    const struct object_store_ops *ops = p->store.ops;
    struct object_info info = machine_put(p, "a", 1, BIG), *items;
    struct object object;
    struct arena arena;
    size_t count;
    char away[300];
    arena_init(&arena, MIB(1));
    snprintf(away, sizeof away, "%s.away", p->directory);
    assert_int_equal(rename(p->directory, away), 0);
    for (int empty = 0; empty < 2; empty++) { /* then with the mount point still there */
        assert_gone(p, machine_put_as(&p->store, "b", 1, 100, &info));
        assert_gone(p, machine_put_as(&p->store, "b", 1, BIG, &info));
        assert_gone(p, ops->open(p->store.ctx, "media", "a", "", "", NULL, &object));
        assert_gone(p, ops->head(p->store.ctx, "media", "never", &info));
        assert_gone(p, ops->remove(p->store.ctx, "media", "a", NULL));
        assert_gone(p, ops->list(p->store.ctx, "media", "", "", 9, &arena, &items, &count));
        assert_int_equal(empty ? rmdir(p->directory) : mkdir(p->directory, 0700), 0);
    }
    arena_free(&arena);
    assert_int_equal(rename(away, p->directory), 0);
    assert_true(machine_reads(&p->store, "a", "", 1, BIG));
}

/* ---- lists ---- */

static void assert_listed(struct machine *p, const char *after, size_t limit, int first, int count)
{
    struct object_info *items;
    struct arena arena;
    size_t n;
    char key[32];
    arena_init(&arena, MIB(64));
    assert_int_equal(
        p->store.ops->list(p->store.ctx, "media", "k", after, limit, &arena, &items, &n), OK);
    assert_int_equal(n, count);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "k%05d", first + i);
        assert_string_equal(items[i].key, key);
    }
    arena_free(&arena);
}

/* More than one walk's worth, and many of them removed. */
static void lists_go_on_behind_removed_keys(void **state)
{
    enum { KEYS = 420, REMOVED = 200 };
    struct machine *p = *state;
    char key[32];
    machine_put(p, "a", 1, 10);
    for (int i = KEYS; i-- > 0;) {
        snprintf(key, sizeof key, "k%05d", i);
        machine_put(p, key, i, 10);
        if (i < REMOVED)
            assert_int_equal(p->store.ops->remove(p->store.ctx, "media", key, NULL), OK);
    }
    assert_listed(p, "", 1000, REMOVED, KEYS - REMOVED);
    assert_listed(p, "", SIZE_MAX, REMOVED, KEYS - REMOVED);
    assert_listed(p, "", 1, REMOVED, 1);
    assert_listed(p, "k00100", 70, REMOVED, 70);
    assert_listed(p, "k00400", 70, 401, 19);
}

static void long_keys_are_listed(void **state)
{
    struct machine *p = *state;
    struct object_info *items;
    struct arena arena;
    size_t n;
    char key[CAP_KEY + 1];
    memset(key, '/', sizeof key - 1);
    key[CAP_KEY] = '\0';
    for (int i = 0; i < 3; i++) {
        key[CAP_KEY - 1] = (char)('c' - i);
        machine_put(p, key, i, 100);
    }
    assert_int_equal(p->store.ops->remove(p->store.ctx, "media", key, NULL), OK);
    arena_init(&arena, MIB(1));
    assert_int_equal(p->store.ops->list(p->store.ctx, "media", "////", "", 10, &arena, &items, &n),
                     OK);
    assert_int_equal(n, 2);
    assert_int_equal(items[0].key[CAP_KEY - 1], 'b');
    assert_int_equal(items[1].key[CAP_KEY - 1], 'c');
    arena_free(&arena);
}

/* ---- a full disk ---- */

static void the_reserve_is_left_free(void **state)
{
    struct machine *p = *state;
    struct object_store store;
    struct object_info info;
    struct shared_store_options options = {.directory = p->directory, .reserve = INT64_MAX / 2};
    assert_int_equal(shared_store_open(&options, &store), OK);
    machine_put(p, "before", 1, 100);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(machine_put_as(&store, "k", 1, i ? BIG : 100, &info), ERR_DISK_FULL);
        assert_string_equal(error_last()->reason, "disk_full");
        assert_non_null(strstr(error_last()->message, "'k'"));
    }
    assert_true(machine_reads(&store, "before", "", 1, 100));
    assert_int_equal(machine_files(p, "objects"), 1);
    assert_int_equal(machine_files(p, "incoming"), 0);
    store.ops->close(store.ctx);
}

/* In a child with a file system of its own. False: not allowed here. */
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

/* Until it is full of what `size` bytes each; the rest must stay readable and nothing be left. */
static void fill(struct machine *p, size_t size, int least)
{
    struct object_info info;
    char key[32];
    int stored = 0, rc;
    do {
        snprintf(key, sizeof key, "k%zu.%d", size, stored);
        rc = machine_put_as(&p->store, key, stored, size, &info);
    } while (!rc && ++stored < 2000);
    CHECK(rc == ERR_DISK_FULL && stored >= least);
    CHECK(strstr(error_last()->message, key) != NULL);
    CHECK(!machine_has(&p->store, key));
    CHECK(machine_files(p, "incoming") == 0);
    for (int i = 0; i < stored; i++) {
        snprintf(key, sizeof key, "k%zu.%d", size, i);
        CHECK(machine_reads(&p->store, key, "", i, size));
    }
}

/* Until there is no room for one more, if there is a limit of about a hundred. */
static void fill_with_names(const struct machine *p)
{
    char path[400];
    int fd = 0;
    for (int i = 0; fd >= 0 && i < 200; i++) {
        snprintf(path, sizeof path, "%s/f%d", p->directory, i);
        fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd >= 0)
            close(fd);
    }
}

static void fill_a_small_disk(struct machine *p, const char *options)
{
    struct object_info info;
    if (!mount_small(p->directory, options))
        _exit(77);
    CHECK(machine_open(p) == OK);
    fill(p, BIG, 4);
    int files = machine_files(p, "objects");
    CHECK(machine_put_as(&p->store, "large", 1, 30 * BIG, &info) == ERR_DISK_FULL);
    CHECK(machine_files(p, "objects") == files);
    fill(p, 100, 0);
    fill_with_names(p);
    CHECK(p->store.ops->remove(p->store.ctx, "media", "k100000.0", NULL) == OK); /* makes room */
    CHECK(!machine_has(&p->store, "k100000.0"));
    CHECK(p->store.ops->remove(p->store.ctx, "media", "k100000.1", NULL) == OK);
    CHECK(p->store.ops->remove(p->store.ctx, "media", "k100000.2", NULL) == OK);
    CHECK(machine_put_as(&p->store, "k100000.0", 7, BIG, &info) == OK);
    CHECK(machine_reads(&p->store, "k100000.0", "", 7, BIG));
    _exit(0);
}

static void try_small_disk(const char *options)
{
    struct machine p;
    int status;
    machine_make(&p);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        fill_a_small_disk(&p, options);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    machine_remove(&p);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* no file system can be mounted here */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void full_disk_refuses_and_leaves_nothing(void **state)
{
    (void)state;
    try_small_disk("size=2m");
}

/* Links and directories fail, not bytes. */
static void full_of_names_refuses_and_leaves_nothing(void **state)
{
    (void)state;
    try_small_disk("size=64m,nr_inodes=60");
}

static void cancelled_collection_stops(void **state)
{
    struct machine *p = *state;
    struct cancel cancel = {.requested = true};
    assert_int_equal(shared_store_collect(&p->store, &cancel, NULL), ERR_CANCELLED);
}

/* ---- the suite ---- */

static int open_for_suite(void *ctx, struct object_store *out)
{
    struct machine *p = ctx;
    machine_make(p);
    return shared_store_open(&(struct shared_store_options){.directory = p->directory}, out);
}

static void discard_for_suite(void *ctx)
{
    machine_remove(ctx);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_names),
        cmocka_unit_test(long_keys_are_digests),
        CASE(outlives_closing),
        CASE(clocks_may_differ_and_go_back),
        CASE(superseded_versions_go_after_their_grace),
        CASE(puts_collect_what_is_due),
        CASE(more_versions_than_one_look_tells),
        CASE(removal_of_many_versions_leaves_its_mark_for_a_week),
        CASE(what_a_removal_left_is_gone_and_collected),
        CASE(temporary_files_go_after_a_day),
        CASE(bytes_without_a_version_go_after_a_day),
        CASE(lost_bytes_are_named),
        CASE(damaged_files_are_errors),
        CASE(an_upload_whose_file_was_swept_is_put_again),
        CASE(newer_layout_is_refused_untouched),
        CASE(other_folders_are_refused),
        CASE(a_store_for_one_machine_does_not_open_it),
        CASE(a_store_for_one_machine_opens_other_folders),
        CASE(a_folder_that_vanishes_is_systemic),
        CASE(lists_go_on_behind_removed_keys),
        CASE(long_keys_are_listed),
        CASE(the_reserve_is_left_free),
        cmocka_unit_test(full_disk_refuses_and_leaves_nothing),
        cmocka_unit_test(full_of_names_refuses_and_leaves_nothing),
        CASE(cancelled_collection_stops),
    };
    struct machine machine;
    int failed = store_conformance_run(&(struct store_conformance){.name = "object_store: shared",
                                                                   .open = open_for_suite,
                                                                   .discard = discard_for_suite,
                                                                   .ctx = &machine});
    return failed + cmocka_run_group_tests_name("shared store", tests, NULL, NULL);
}
