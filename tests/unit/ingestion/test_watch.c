#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

#include "adapters/ram/queue_ram.h"
#include "adapters/ram/store_ram.h"
#include "ingestion/watch.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/file.h"
#include "support/events_database.h"
#include "support/tree.h"

enum { REPORTS = 512, PATIENCE_S = 30 /* a wait that only a bug lets pass */ };

struct seen {
    enum file_result result;
    char key[300], reason[40];
};

struct fixture {
    char place[256], root[300];
    struct ingestion_ports ports;
    struct events_database database;
    struct watch_options options;
    struct cancel cancel;
    pthread_t thread;
    bool running;
    int rc; /* of watch_folder */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct seen seen[REPORTS];
    size_t count;
    bool ready;
};

static int on_report(void *ctx, const struct file_report *r)
{
    struct fixture *f = ctx;
    if (r->result == FILE_UPLOADING)
        return OK;
    pthread_mutex_lock(&f->lock);
    if (f->count < REPORTS) {
        struct seen *s = &f->seen[f->count++];
        s->result = r->result;
        snprintf(s->key, sizeof s->key, "%s", r->key);
        snprintf(s->reason, sizeof s->reason, "%s", r->error ? r->error->reason : "");
    }
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return OK;
}

static void on_ready(void *ctx)
{
    struct fixture *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->ready = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *parent = getenv("TMPDIR");
    char made[200], resolved[PATH_MAX];
    assert_non_null(f);
    snprintf(made, sizeof made, "%s/aegis-watch.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(made));
    assert_non_null(realpath(made, resolved));
    snprintf(f->place, sizeof f->place, "%s", resolved);
    snprintf(f->root, sizeof f->root, "%s/in", f->place);
    assert_int_equal(mkdir(f->root, 0700), 0);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->ports.clock = clock_system();
    f->options = (struct watch_options){
        .files = {.prefix = "p", .report = on_report, .ctx = f, .cancel = &f->cancel},
        .ready = on_ready};
    events_database_init(&f->database, &f->ports.database);
    assert_int_equal(ram_store_open(&f->ports.store), OK);
    assert_int_equal(
        ram_queue_open(&(struct ram_queue_options){.max_receives = 3}, &f->ports.queue), OK);
    *state = f;
    return 0;
}

static void stop(struct fixture *f)
{
    if (!f->running)
        return;
    cancel_request(&f->cancel);
    pthread_join(f->thread, NULL);
    f->running = false;
    f->cancel = (struct cancel){0};
    f->ready = false;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    assert_int_equal(tree_remove(f->place), 0);
    f->ports.store.ops->close(f->ports.store.ctx);
    f->ports.queue.ops->close(f->ports.queue.ctx);
    events_database_fini(&f->database);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

/* ---- steps ---- */

static void *run(void *arg)
{
    struct fixture *f = arg;
    f->rc = watch_folder(&f->ports, f->root, &f->options);
    return NULL;
}

/* With the lock held: waits for a change, or fails. */
static void wait_changed(struct fixture *f, const char *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    if (pthread_cond_timedwait(&f->changed, &f->lock, &until) == ETIMEDOUT) {
        pthread_mutex_unlock(&f->lock);
        fail_msg("waited too long for %s", what);
    }
}

static void start(struct fixture *f)
{
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    f->running = true;
    pthread_mutex_lock(&f->lock);
    while (!f->ready)
        wait_changed(f, "the watch to be ready");
    pthread_mutex_unlock(&f->lock);
}

static const char *at(struct fixture *f, const char *name)
{
    static char paths[4][600]; /* of the last four calls */
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", f->root, name);
    return path;
}

static int open_new(struct fixture *f, const char *name)
{
    int fd = open(at(f, name), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
    int fd = open_new(f, name);
    assert_int_equal(file_write_all(fd, name, text, strlen(text)), OK);
    close(fd);
}

static bool was_seen(const struct fixture *f, size_t from, enum file_result result, const char *key)
{
    for (size_t i = from; i < f->count; i++)
        if (f->seen[i].result == result && !strcmp(f->seen[i].key, key))
            return true;
    return false;
}

/* Waits for this report, among those after number `from`. */
static void wait_for(struct fixture *f, size_t from, enum file_result result, const char *key)
{
    pthread_mutex_lock(&f->lock);
    while (!was_seen(f, from, result, key))
        wait_changed(f, key);
    pthread_mutex_unlock(&f->lock);
}

static size_t reports(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->count;
    pthread_mutex_unlock(&f->lock);
    return n;
}

static bool is_known(struct fixture *f, const char *key)
{
    return events_database_find(&f->database, key) != NULL;
}

/* Everything that happened before this call has been looked at when it returns. */
static void catch_up(struct fixture *f)
{
    static int n;
    char name[40], key[60];
    snprintf(name, sizeof name, "mark-%d", ++n);
    snprintf(key, sizeof key, "p/in/%s", name);
    write_file(f, name, name);
    wait_for(f, 0, FILE_INGESTED, key);
}

static void assert_stored(struct fixture *f, const char *key, const char *text)
{
    struct object object;
    struct buffer b;
    if (f->ports.store.ops->open(f->ports.store.ctx, "media", key, "", "", NULL, &object))
        fail_msg("%s", error_last()->message);
    buffer_init(&b, MIB(1));
    assert_int_equal(object_descriptor(&object), OK);
    assert_int_equal(file_read_fd(object.fd, key, &b), OK);
    assert_string_equal(buffer_string(&b), text);
    buffer_free(&b);
    object_close(&object);
}

static bool is_stored(struct fixture *f, const char *key)
{
    struct object_info info;
    return f->ports.store.ops->head(f->ports.store.ctx, "media", key, &info) == OK;
}

/* ---- tests ---- */

static void takes_what_is_there_at_the_start(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(at(f, "sub"), 0700), 0);
    write_file(f, "a.txt", "one");
    write_file(f, "sub/b.txt", "two");
    start(f);
    assert_int_equal(f->count, 2);
    assert_stored(f, "p/in/a.txt", "one");
    assert_stored(f, "p/in/sub/b.txt", "two");
    stop(f);
    assert_int_equal(f->rc, OK);
}

static void takes_a_file_when_its_writer_closes_it(void **state)
{
    struct fixture *f = *state;
    start(f);
    int fd = open_new(f, "slow.txt");
    assert_int_equal(write(fd, "half", 4), 4);
    catch_up(f);
    assert_false(is_known(f, "p/in/slow.txt"));
    assert_int_equal(write(fd, " and half", 9), 9);
    close(fd);
    wait_for(f, 0, FILE_INGESTED, "p/in/slow.txt");
    assert_stored(f, "p/in/slow.txt", "half and half");
    assert_int_equal(events_database_find(&f->database, "p/in/slow.txt")->size, 13);
}

static void half_written_file_waits_at_the_start_too(void **state)
{
    struct fixture *f = *state;
    int fd = open_new(f, "slow.txt");
    assert_int_equal(write(fd, "half", 4), 4);
    start(f);
    assert_false(is_known(f, "p/in/slow.txt"));
    close(fd);
    wait_for(f, 0, FILE_INGESTED, "p/in/slow.txt");
}

static void takes_what_is_renamed_or_linked_into_place(void **state)
{
    struct fixture *f = *state;
    start(f);
    write_file(f, "talk.mp3.part", "unfinished");
    write_file(f, "other.tmp", "unfinished");
    write_file(f, "backup~", "unfinished");
    write_file(f, ".hidden", "unfinished");
    assert_int_equal(rename(at(f, "talk.mp3.part"), at(f, "talk.mp3")), 0);
    wait_for(f, 0, FILE_INGESTED, "p/in/talk.mp3");
    assert_int_equal(link(at(f, "other.tmp"), at(f, "linked")), 0);
    wait_for(f, 0, FILE_INGESTED, "p/in/linked");
    assert_false(is_known(f, "p/in/talk.mp3.part"));
    assert_false(is_known(f, "p/in/other.tmp"));
    assert_false(is_known(f, "p/in/backup~"));
    assert_false(is_known(f, "p/in/.hidden"));
}

static void a_changed_file_is_a_new_version(void **state)
{
    struct fixture *f = *state;
    write_file(f, "a.txt", "one");
    start(f);
    size_t before = reports(f);
    write_file(f, "a.txt", "two"); /* the same size */
    wait_for(f, before, FILE_INGESTED, "p/in/a.txt");
    assert_stored(f, "p/in/a.txt", "two");
    before = reports(f);
    write_file(f, "a.txt", "two");
    wait_for(f, before, FILE_UNCHANGED, "p/in/a.txt");
    assert_int_equal(f->database.jobs, 2);
}

static void takes_what_changed_while_nobody_watched(void **state)
{
    struct fixture *f = *state;
    write_file(f, "same.txt", "same");
    write_file(f, "other.txt", "one");
    start(f);
    stop(f);
    f->count = 0;
    write_file(f, "other.txt", "two");
    write_file(f, "new.txt", "new");
    start(f);
    assert_true(was_seen(f, 0, FILE_UNCHANGED, "p/in/same.txt"));
    assert_true(was_seen(f, 0, FILE_INGESTED, "p/in/other.txt"));
    assert_true(was_seen(f, 0, FILE_INGESTED, "p/in/new.txt"));
    assert_stored(f, "p/in/other.txt", "two");
}

static void picks_up_new_folders_without_a_gap(void **state)
{
    struct fixture *f = *state;
    char path[64], key[80];
    start(f);
    for (int i = 0; i < 30; i++) { /* files appear as soon as their folder does */
        snprintf(path, sizeof path, "d%d", i);
        assert_int_equal(mkdir(at(f, path), 0700), 0);
        snprintf(path, sizeof path, "d%d/e", i);
        assert_int_equal(mkdir(at(f, path), 0700), 0);
        snprintf(path, sizeof path, "d%d/e/f.txt", i);
        write_file(f, path, path);
    }
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "p/in/d%d/e/f.txt", i);
        wait_for(f, 0, FILE_INGESTED, key);
    }
    write_file(f, "d7/e/later.txt", "later");
    wait_for(f, 0, FILE_INGESTED, "p/in/d7/e/later.txt");
}

static void follows_a_folder_that_is_renamed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(at(f, "old"), 0700), 0);
    write_file(f, "old/a.txt", "a");
    start(f);
    assert_int_equal(rename(at(f, "old"), at(f, "new")), 0);
    wait_for(f, 0, FILE_INGESTED, "p/in/new/a.txt");
    write_file(f, "new/b.txt", "b");
    wait_for(f, 0, FILE_INGESTED, "p/in/new/b.txt");
    assert_false(is_known(f, "p/in/old/b.txt"));
    assert_true(is_stored(f, "p/in/old/a.txt")); /* no mirror: nothing is removed */
}

static void a_folder_moved_over_another_is_read(void **state)
{
    struct fixture *f = *state;
    char outside[300];
    f->options.files.trust_times = true;
    snprintf(outside, sizeof outside, "%s/outside", f->place);
    assert_int_equal(mkdir(outside, 0700), 0);
    assert_int_equal(mkdir(at(f, "d"), 0700), 0);
    write_file(f, "../outside/a.txt", "old");
    write_file(f, "d/a.txt", "new");
    start(f);
    assert_int_equal(rename(at(f, "d"), at(f, "d.away")), 0);
    assert_int_equal(rename(outside, at(f, "d")), 0); /* its file was not touched */
    wait_for(f, 0, FILE_INGESTED, "p/in/d.away/a.txt");
    catch_up(f);
    assert_stored(f, "p/in/d/a.txt", "old");
}

static void without_mirror_nothing_is_removed(void **state)
{
    struct fixture *f = *state;
    write_file(f, "a.txt", "one");
    start(f);
    assert_int_equal(unlink(at(f, "a.txt")), 0);
    catch_up(f);
    assert_true(is_stored(f, "p/in/a.txt"));
}

static void mirror_removes_what_goes(void **state)
{
    struct fixture *f = *state;
    f->options.mirror = true;
    assert_int_equal(mkdir(at(f, "d"), 0700), 0);
    write_file(f, "a.txt", "one");
    write_file(f, "b.txt", "two");
    write_file(f, "d/c.txt", "three");
    start(f);
    assert_int_equal(unlink(at(f, "a.txt")), 0);
    wait_for(f, 0, FILE_REMOVED, "p/in/a.txt");
    assert_false(is_stored(f, "p/in/a.txt"));
    assert_true(events_database_find(&f->database, "p/in/a.txt")->removed);
    assert_int_equal(rename(at(f, "b.txt"), at(f, "B.txt")), 0);
    wait_for(f, 0, FILE_REMOVED, "p/in/b.txt");
    wait_for(f, 0, FILE_INGESTED, "p/in/B.txt");
    assert_int_equal(rename(at(f, "d"), at(f, "../d.outside")), 0);
    wait_for(f, 0, FILE_REMOVED, "p/in/d/c.txt");
    assert_true(is_stored(f, "p/in/B.txt"));
}

static void mirror_removes_what_went_while_nobody_watched(void **state)
{
    struct fixture *f = *state;
    f->options.mirror = true;
    write_file(f, "a.txt", "one");
    write_file(f, "b.txt", "two");
    start(f);
    stop(f);
    assert_int_equal(unlink(at(f, "a.txt")), 0);
    start(f);
    assert_false(is_stored(f, "p/in/a.txt"));
    assert_true(is_stored(f, "p/in/b.txt"));
    stop(f);
    assert_int_equal(unlink(at(f, "b.txt")), 0); /* an empty root may be a disk that is missing */
    f->count = 0;
    start(f);
    assert_true(is_stored(f, "p/in/b.txt"));
    assert_string_equal(f->seen[0].reason, "empty_root");
}

static void file_that_comes_back_at_once_stays(void **state)
{
    struct fixture *f = *state;
    f->options.mirror = true;
    write_file(f, "a.txt", "one");
    start(f);
    for (int i = 0; i < 20; i++) { /* as some editors save */
        char text[16];
        snprintf(text, sizeof text, "text %d", i);
        assert_int_equal(unlink(at(f, "a.txt")), 0);
        write_file(f, "a.txt", text);
    }
    catch_up(f);
    assert_stored(f, "p/in/a.txt", "text 19");
    assert_false(events_database_find(&f->database, "p/in/a.txt")->removed);
}

static void lost_storage_is_waited_for(void **state)
{
    struct fixture *f = *state;
    start(f);
    pthread_mutex_lock(&f->database.lock);
    f->database.fail_with = ERR_SYSTEMIC;
    pthread_mutex_unlock(&f->database.lock);
    write_file(f, "a.txt", "one");
    wait_for(f, 0, FILE_FAILED, "p/in/a.txt");
    pthread_mutex_lock(&f->database.lock);
    f->database.fail_with = OK;
    pthread_mutex_unlock(&f->database.lock);
    wait_for(f, 0, FILE_UNCHANGED, "p/in/a.txt"); /* it was uploaded, and is recorded now */
    assert_int_equal(events_database_find(&f->database, "p/in/a.txt")->job_id, 1);
}

static atomic_int puts_to_fail;
static const struct object_store *inner;

static int put_or_fail(void *ctx, const char *bucket, const char *key, const char *content_type,
                       const struct object_source *source, struct object_info *out)
{
    (void)ctx;
    if (atomic_load(&puts_to_fail) > 0) {
        atomic_fetch_sub(&puts_to_fail, 1);
        return error_set(ERR_DISK_FULL, "disk_full", "no room");
    }
    return inner->ops->put(inner->ctx, bucket, key, content_type, source, out);
}

static void full_disk_is_waited_for(void **state)
{
    struct fixture *f = *state;
    const struct object_store ram = f->ports.store;
    struct object_store_ops ops = *ram.ops;
    ops.put = put_or_fail;
    inner = &ram;
    atomic_store(&puts_to_fail, 2);
    f->ports.store.ops = &ops;
    write_file(f, "a.txt", "one");
    write_file(f, "b.txt", "two");
    start(f);
    wait_for(f, 0, FILE_INGESTED, "p/in/a.txt");
    wait_for(f, 0, FILE_INGESTED, "p/in/b.txt");
    stop(f);
    assert_int_equal(f->seen[0].result, FILE_FAILED);
    assert_string_equal(f->seen[0].reason, "disk_full");
    f->ports.store = ram;
}

static void lost_events_are_made_up_for(void **state)
{
    struct fixture *f = *state;
    long limit = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (!file || fscanf(file, "%ld", &limit) != 1 || limit > 20000) {
        if (file)
            fclose(file);
        skip(); /* filling the queue would take too long */
    }
    fclose(file);
    start(f);
    pthread_mutex_lock(&f->lock); /* the next report, and with it the watch, waits here */
    write_file(f, "first.txt", "first");
    for (long i = 0; i <= 2 * limit; i++) { /* alternating, for equal events in a row are merged */
        close(open_new(f, i % 2 ? "x.tmp" : "y.tmp"));
    }
    write_file(f, "last.txt", "last");
    pthread_mutex_unlock(&f->lock);
    wait_for(f, 0, FILE_INGESTED, "p/in/last.txt");
}

static void a_root_that_goes_ends_it(void **state)
{
    struct fixture *f = *state;
    start(f);
    assert_int_equal(rmdir(f->root), 0);
    pthread_join(f->thread, NULL);
    f->running = false;
    assert_int_equal(f->rc, ERR_NOT_FOUND);
}

static void wrong_roots_are_refused(void **state)
{
    struct fixture *f = *state;
    write_file(f, "file", "x");
    assert_int_equal(watch_folder(&f->ports, at(f, "file"), &f->options), ERR_INVALID);
    assert_int_equal(watch_folder(&f->ports, at(f, "missing"), &f->options), ERR_NOT_FOUND);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(takes_what_is_there_at_the_start),
        CASE(takes_a_file_when_its_writer_closes_it),
        CASE(half_written_file_waits_at_the_start_too),
        CASE(takes_what_is_renamed_or_linked_into_place),
        CASE(a_changed_file_is_a_new_version),
        CASE(takes_what_changed_while_nobody_watched),
        CASE(picks_up_new_folders_without_a_gap),
        CASE(follows_a_folder_that_is_renamed),
        CASE(a_folder_moved_over_another_is_read),
        CASE(without_mirror_nothing_is_removed),
        CASE(mirror_removes_what_goes),
        CASE(mirror_removes_what_went_while_nobody_watched),
        CASE(file_that_comes_back_at_once_stays),
        CASE(lost_storage_is_waited_for),
        CASE(full_disk_is_waited_for),
        CASE(lost_events_are_made_up_for),
        CASE(a_root_that_goes_ends_it),
        CASE(wrong_roots_are_refused),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
