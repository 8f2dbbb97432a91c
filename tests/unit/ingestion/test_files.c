#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/ram/queue_ram.h"
#include "adapters/ram/store_ram.h"
#include "ingestion/files.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/file.h"
#include "support/events_database.h"
#include "support/tree.h"

enum { REPORTS = 64 };

struct seen {
    enum file_result result;
    char path[256], key[256], reason[40];
    enum event_result outcome;
};

struct fixture {
    char place[256]; /* a temporary folder, resolved */
    struct ingestion_ports ports;
    struct events_database database;
    struct file_options options;
    struct file_totals totals;
    struct seen seen[REPORTS];
    size_t count;
    int uploading; /* progress reports */
    int stop_with; /* returned by the report */
};

static int on_report(void *ctx, const struct file_report *r)
{
    struct fixture *f = ctx;
    if (r->result == FILE_UPLOADING) {
        f->uploading++;
        return OK;
    }
    assert_true(f->count < REPORTS);
    struct seen *s = &f->seen[f->count++];
    s->result = r->result;
    snprintf(s->path, sizeof s->path, "%s", r->path);
    snprintf(s->key, sizeof s->key, "%s", r->key);
    snprintf(s->reason, sizeof s->reason, "%s", r->error ? r->error->reason : "");
    s->outcome = r->outcome ? r->outcome->result : 0;
    return f->stop_with ? error_set(f->stop_with, NULL, "enough") : OK;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *parent = getenv("TMPDIR");
    char made[200], resolved[PATH_MAX];
    assert_non_null(f);
    snprintf(made, sizeof made, "%s/aegis-files.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(made));
    assert_non_null(realpath(made, resolved));
    snprintf(f->place, sizeof f->place, "%s", resolved);
    f->ports.clock = clock_system();
    f->options = (struct file_options){.report = on_report, .ctx = f};
    events_database_init(&f->database, &f->ports.database);
    assert_int_equal(ram_store_open(&f->ports.store), OK);
    assert_int_equal(
        ram_queue_open(&(struct ram_queue_options){.max_receives = 3}, &f->ports.queue), OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tree_remove(f->place), 0);
    f->ports.store.ops->close(f->ports.store.ctx);
    f->ports.queue.ops->close(f->ports.queue.ctx);
    events_database_fini(&f->database);
    free(f);
    return 0;
}

/* ---- steps ---- */

static const char *at(struct fixture *f, const char *name)
{
    static char paths[4][512]; /* of the last four calls */
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s%s%s", f->place, *name ? "/" : "", name);
    return path;
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", at(f, name));
    *strrchr(folder, '/') = '\0';
    assert_int_equal(file_make_directory(folder), OK);
    int fd = open(at(f, name), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, name, text, strlen(text)), OK);
    close(fd);
}

static int add(struct fixture *f, const char *path)
{
    f->count = 0;
    f->uploading = 0;
    return ingest_paths(&f->ports, &path, 1, &f->options, &f->totals);
}

static void assert_added(struct fixture *f, const char *path)
{
    if (add(f, path))
        fail_msg("%s", error_last()->message);
}

/* The key below the fixture's folder. */
static const char *key_of(struct fixture *f, const char *name)
{
    return at(f, name) + 1;
}

static void assert_seen(struct fixture *f, size_t i, enum file_result result, const char *key)
{
    assert_true(i < f->count);
    if (f->seen[i].result != result || strcmp(f->seen[i].key, key) != 0)
        fail_msg("report %zu: result %d of key '%s' (%s), not %d of '%s'", i, f->seen[i].result,
                 f->seen[i].key, f->seen[i].reason, result, key);
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

/* ---- tests ---- */

static void a_file_is_stored_under_its_path(void **state)
{
    struct fixture *f = *state;
    write_file(f, "notes/a.md", "hello");
    assert_added(f, at(f, "notes/a.md"));
    assert_int_equal(f->count, 1);
    assert_seen(f, 0, FILE_INGESTED, key_of(f, "notes/a.md"));
    assert_int_equal(f->seen[0].outcome, EVENT_JOB_QUEUED);
    assert_stored(f, key_of(f, "notes/a.md"), "hello");
    assert_int_equal(f->totals.ingested, 1);
    assert_int_equal(f->totals.bytes, 5);
    struct object_info info;
    assert_int_equal(
        f->ports.store.ops->head(f->ports.store.ctx, "media", key_of(f, "notes/a.md"), &info), OK);
    assert_string_equal(info.content_type, "text/markdown");
}

static void a_folder_is_taken_in_order_without_hidden_things(void **state)
{
    static const char *const names[] = {"t/b.txt",   "t/a.txt",    "t/c/z.txt", "t/c/d/y.txt",
                                        "t/.secret", "t/.git/obj", "t/C.txt",   "t/.h/x.txt"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        write_file(f, names[i], names[i]);
    assert_added(f, at(f, "t"));
    assert_int_equal(f->count, 5);
    assert_seen(f, 0, FILE_INGESTED, key_of(f, "t/C.txt"));
    assert_seen(f, 1, FILE_INGESTED, key_of(f, "t/a.txt"));
    assert_seen(f, 2, FILE_INGESTED, key_of(f, "t/b.txt"));
    assert_seen(f, 3, FILE_INGESTED, key_of(f, "t/c/d/y.txt"));
    assert_seen(f, 4, FILE_INGESTED, key_of(f, "t/c/z.txt"));
    f->options.hidden = true;
    assert_added(f, at(f, "t"));
    assert_int_equal(f->count, 8);
    assert_int_equal(f->totals.ingested, 3);
    assert_int_equal(f->totals.unchanged, 5);
}

static void a_hidden_file_that_is_named_is_taken(void **state)
{
    struct fixture *f = *state;
    write_file(f, ".h/.hidden", "x");
    assert_added(f, at(f, ".h/.hidden"));
    assert_int_equal(f->totals.ingested, 1);
    assert_added(f, at(f, ".h"));
    assert_int_equal(f->count, 0); /* the folder is named, the file in it is not */
}

static void prefix_and_key_name_objects(void **state)
{
    static const struct {
        const char *path, *prefix, *key, *expected;
    } table[] = {
        {"t/c/a.txt", "talks", NULL, "talks/a.txt"},
        {"t/c/a.txt", "talks/2026/", NULL, "talks/2026/a.txt"},
        {"t/c/a.txt", "", NULL, "a.txt"},
        {"t", "talks", NULL, "talks/t/c/a.txt"},
        {"t/", "talks", NULL, "talks/t/c/a.txt"},
        {"t/.", "talks", NULL, "talks/t/c/a.txt"},
        {"t/c/..", "talks", NULL, "talks/t/c/a.txt"},
        {"t/c/a.txt", NULL, "my/own name", "my/own name"},
    };
    struct fixture *f = *state;
    write_file(f, "t/c/a.txt", "hello");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        f->options.prefix = table[i].prefix;
        f->options.key = table[i].key;
        assert_added(f, at(f, table[i].path));
        assert_int_equal(f->count, 1);
        assert_string_equal(f->seen[0].key, table[i].expected);
    }
}

static void relative_paths_have_the_same_key(void **state)
{
    struct fixture *f = *state;
    char here[PATH_MAX];
    assert_non_null(getcwd(here, sizeof here));
    write_file(f, "t/a.txt", "hello");
    assert_int_equal(chdir(at(f, "t")), 0);
    assert_added(f, "a.txt");
    assert_seen(f, 0, FILE_INGESTED, key_of(f, "t/a.txt"));
    assert_string_equal(f->seen[0].path, "a.txt");
    assert_added(f, "./../t/a.txt");
    assert_seen(f, 0, FILE_UNCHANGED, key_of(f, "t/a.txt"));
    assert_added(f, ".");
    assert_seen(f, 0, FILE_UNCHANGED, key_of(f, "t/a.txt"));
    assert_string_equal(f->seen[0].path, "./a.txt");
    assert_int_equal(chdir(here), 0);
}

static void unchanged_files_are_not_uploaded_again(void **state)
{
    struct fixture *f = *state;
    write_file(f, "a.txt", "hello");
    assert_added(f, at(f, "a.txt"));
    assert_added(f, at(f, "a.txt"));
    assert_seen(f, 0, FILE_UNCHANGED, key_of(f, "a.txt"));
    assert_int_equal(f->seen[0].outcome, EVENT_DUPLICATE);
    assert_int_equal(f->totals.bytes, 0);
    assert_int_equal(f->database.jobs, 1);
    write_file(f, "a.txt", "jello"); /* the same size */
    assert_added(f, at(f, "a.txt"));
    assert_seen(f, 0, FILE_INGESTED, key_of(f, "a.txt"));
    assert_stored(f, key_of(f, "a.txt"), "jello");
    write_file(f, "a.txt", "hello, longer");
    assert_added(f, at(f, "a.txt"));
    assert_stored(f, key_of(f, "a.txt"), "hello, longer");
    assert_int_equal(f->database.jobs, 3);
}

static void an_upload_cut_short_is_mended(void **state)
{
    struct fixture *f = *state;
    write_file(f, "a.txt", "hello");
    f->database.fail_with = ERR_SYSTEMIC;
    assert_int_equal(add(f, at(f, "a.txt")), ERR_SYSTEMIC);
    assert_seen(f, 0, FILE_FAILED, key_of(f, "a.txt"));
    assert_int_equal(f->totals.failed, 1);
    f->database.fail_with = OK;
    assert_added(f, at(f, "a.txt"));
    assert_seen(f, 0, FILE_UNCHANGED, key_of(f, "a.txt"));
    assert_int_equal(f->seen[0].outcome, EVENT_JOB_QUEUED); /* its event was never recorded */
}

static void times_are_trusted_only_if_old_enough(void **state)
{
    struct fixture *f = *state;
    const struct timeval past[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    write_file(f, "a.txt", "hello");
    f->options.trust_times = true;
    assert_added(f, at(f, "a.txt"));
    write_file(f, "a.txt", "jello");
    /* a copied-back modification time hides nothing: the inode's change time is looked at too */
    assert_int_equal(utimes(at(f, "a.txt"), past), 0);
    assert_added(f, at(f, "a.txt"));
    assert_seen(f, 0, FILE_INGESTED, key_of(f, "a.txt"));
}

static void links_to_files_are_followed_to_folders_not(void **state)
{
    struct fixture *f = *state;
    write_file(f, "t/a.txt", "hello");
    write_file(f, "elsewhere/b.txt", "b");
    assert_int_equal(symlink("a.txt", at(f, "t/link")), 0);
    assert_int_equal(symlink("..", at(f, "t/loop")), 0);
    assert_int_equal(symlink("nowhere", at(f, "t/dangling")), 0);
    assert_int_equal(symlink("elsewhere", at(f, "named")), 0);
    assert_added(f, at(f, "t"));
    assert_int_equal(f->totals.ingested, 2);
    assert_int_equal(f->totals.skipped, 2);
    assert_stored(f, key_of(f, "t/link"), "hello");
    assert_added(f, at(f, "named")); /* a link that is named is followed */
    assert_int_equal(f->count, 1);
    assert_seen(f, 0, FILE_INGESTED, key_of(f, "named/b.txt"));
}

static void special_files_are_skipped(void **state)
{
    struct fixture *f = *state;
    write_file(f, "t/a.txt", "hello");
    assert_int_equal(mkfifo(at(f, "t/pipe"), 0600), 0);
    assert_added(f, at(f, "t")); /* a pipe that was opened for reading would block for ever */
    assert_int_equal(f->totals.ingested, 1);
    assert_int_equal(f->totals.skipped, 1);
    assert_added(f, "/dev/null");
    assert_int_equal(f->totals.skipped, 1);
    assert_string_equal(f->seen[0].reason, "not_a_file");
}

static void failures_do_not_stop_the_others(void **state)
{
    struct fixture *f = *state;
    const char *paths[3];
    char missing[300], good[300], bad[300];
    write_file(f, "good.txt", "hello");
    write_file(f, "bad \xff.txt", "hello");
    snprintf(missing, sizeof missing, "%s", at(f, "missing.txt"));
    snprintf(good, sizeof good, "%s", at(f, "good.txt"));
    snprintf(bad, sizeof bad, "%s", at(f, "bad \xff.txt"));
    paths[0] = missing;
    paths[1] = bad;
    paths[2] = good;
    assert_int_equal(ingest_paths(&f->ports, paths, 3, &f->options, &f->totals), OK);
    assert_int_equal(f->totals.failed, 2);
    assert_int_equal(f->totals.ingested, 1);
}

static void wrong_options_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *two[] = {"a", "b"};
    assert_int_equal(add(f, "-"), ERR_INVALID); /* no key */
    f->options.key = "k";
    assert_int_equal(ingest_paths(&f->ports, two, 2, &f->options, &f->totals), ERR_INVALID);
    assert_int_equal(add(f, f->place), ERR_INVALID); /* a folder has no one key */
    f->options.key = NULL;
    f->options.bucket = "No Bucket";
    assert_int_equal(add(f, f->place), ERR_INVALID);
}

static void standard_input_is_taken(void **state)
{
    struct fixture *f = *state;
    int saved = dup(STDIN_FILENO), pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(write(pipes[1], "from a pipe", 11), 11);
    close(pipes[1]);
    assert_int_equal(dup2(pipes[0], STDIN_FILENO), STDIN_FILENO);
    close(pipes[0]);
    f->options.key = "piped.txt";
    assert_added(f, "-");
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    close(saved);
    assert_seen(f, 0, FILE_INGESTED, "piped.txt");
    assert_stored(f, "piped.txt", "from a pipe");
}

static void silent_pipe_can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    struct cancel cancel = {.requested = true};
    int saved = dup(STDIN_FILENO), pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(dup2(pipes[0], STDIN_FILENO), STDIN_FILENO);
    f->options.key = "piped.txt";
    f->options.cancel = &cancel;
    assert_int_equal(add(f, "-"), ERR_CANCELLED);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    close(saved);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(f->database.calls, 0);
}

static void excluded_folder_is_not_entered(void **state)
{
    struct fixture *f = *state;
    char data[300];
    write_file(f, "t/a.txt", "hello");
    write_file(f, "t/data/aegis.db", "not media");
    snprintf(data, sizeof data, "%s", at(f, "t/data"));
    f->options.exclude = data;
    assert_added(f, at(f, "t"));
    assert_int_equal(f->count, 1);
}

static void the_report_can_stop_everything(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "t/%03d.txt", i);
        write_file(f, name, name);
    }
    f->stop_with = ERR_CANCELLED;
    assert_int_equal(add(f, at(f, "t")), ERR_CANCELLED);
    assert_int_equal(f->count, 1);
    assert_true(f->database.count < 200);
}

static void cancelling_keeps_what_was_uploaded(void **state)
{
    struct fixture *f = *state;
    struct cancel cancel = {.requested = true};
    write_file(f, "a.txt", "hello");
    f->options.cancel = &cancel;
    assert_int_equal(add(f, at(f, "a.txt")), ERR_CANCELLED);
    assert_int_equal(f->count, 0);
}

static void many_files_share_a_transaction(void **state)
{
    struct fixture *f = *state;
    f->options.report = NULL;
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "t/%03d.txt", i);
        write_file(f, name, name);
    }
    assert_added(f, at(f, "t"));
    assert_int_equal(f->totals.ingested, 200);
    assert_true(f->database.calls <= 100);
}

/* ---- a file that changes while it is read ---- */

static const char *disturbed;
static int disturbances;

/* Passes everything on to the ram store, and writes to the file before its end is read. */
static const struct object_store *inner;

struct disturbing {
    const struct object_source *source;
    bool done;
};

static int read_disturbed(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    struct disturbing *d = ctx;
    int rc = d->source->read(d->source->ctx, bytes, capacity, got);
    if (!rc && !d->done && disturbances > 0) {
        disturbances--;
        d->done = true;
        int fd = open(disturbed, O_WRONLY | O_APPEND);
        assert_int_equal(write(fd, "+", 1), 1);
        close(fd);
    }
    return rc;
}

static int put_disturbed(void *ctx, const char *bucket, const char *key, const char *content_type,
                         const struct object_source *source, struct object_info *out)
{
    (void)ctx;
    struct disturbing d = {.source = source};
    struct object_source outer = {.read = read_disturbed, .ctx = &d};
    return inner->ops->put(inner->ctx, bucket, key, content_type, &outer, out);
}

static void changing_file_is_read_again(void **state)
{
    struct fixture *f = *state;
    const struct object_store ram = f->ports.store;
    struct object_store_ops ops = *ram.ops;
    char path[300];
    write_file(f, "a.txt", "hello");
    snprintf(path, sizeof path, "%s", at(f, "a.txt"));
    ops.put = put_disturbed;
    inner = &ram;
    disturbed = path;
    disturbances = 1;
    f->ports.store.ops = &ops;
    assert_added(f, path);
    assert_seen(f, 0, FILE_INGESTED, key_of(f, "a.txt"));
    assert_stored(f, key_of(f, "a.txt"), "hello+");
    disturbances = 100; /* it never ends: refused, and the old version stays */
    write_file(f, "a.txt", "other");
    assert_added(f, path);
    assert_seen(f, 0, FILE_FAILED, key_of(f, "a.txt"));
    assert_string_equal(f->seen[0].reason, "file_changes");
    assert_stored(f, key_of(f, "a.txt"), "hello+");
    f->ports.store = ram;
}

static void types_come_from_extensions(void **state)
{
    (void)state;
    assert_string_equal(file_content_type("a/b.MP3"), "audio/mpeg");
    assert_string_equal(file_content_type("x.pdf"), "application/pdf");
    assert_string_equal(file_content_type("folder.txt/file"), "application/octet-stream");
    assert_string_equal(file_content_type("noext"), "application/octet-stream");
    assert_string_equal(file_content_type("x.unknown"), "application/octet-stream");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_stored_under_its_path),
        CASE(a_folder_is_taken_in_order_without_hidden_things),
        CASE(a_hidden_file_that_is_named_is_taken),
        CASE(prefix_and_key_name_objects),
        CASE(relative_paths_have_the_same_key),
        CASE(unchanged_files_are_not_uploaded_again),
        CASE(an_upload_cut_short_is_mended),
        CASE(times_are_trusted_only_if_old_enough),
        CASE(links_to_files_are_followed_to_folders_not),
        CASE(special_files_are_skipped),
        CASE(failures_do_not_stop_the_others),
        CASE(wrong_options_are_refused),
        CASE(standard_input_is_taken),
        CASE(silent_pipe_can_be_cancelled),
        CASE(excluded_folder_is_not_entered),
        CASE(the_report_can_stop_everything),
        CASE(cancelling_keeps_what_was_uploaded),
        CASE(many_files_share_a_transaction),
        CASE(changing_file_is_read_again),
        cmocka_unit_test(types_come_from_extensions),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
