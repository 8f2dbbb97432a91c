/*
 * A disk that fails: a VFS that stands between SQLite and the file system runs out of room, or
 * fails one write or sync after another. What was acknowledged is never lost, what failed left
 * nothing behind, and when the disk is mended the same open queue goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "adapters/local/queue_sqlite.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "support/queue_place.h"

/* ---- the hook ----------------------------------------------------------------------------------
 */

static _Atomic int64_t room;      /* bytes by which files can still grow */
static _Atomic int64_t countdown; /* the write or sync that fails: 1 is the next; 0 none */

static int faulty_now(void)
{
    int64_t left = atomic_load(&countdown);
    return left > 0 && atomic_fetch_sub(&countdown, 1) == 1;
}

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_file *real(sqlite3_file *f)
{
    return ((struct faulty_file *)f)->real;
}

static int f_close(sqlite3_file *f)
{
    return real(f)->pMethods ? real(f)->pMethods->xClose(real(f)) : SQLITE_OK;
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real(f)->pMethods->xRead(real(f), p, n, at);
}

/* Only growth takes room. */
static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    sqlite3_int64 size = 0;
    real(f)->pMethods->xFileSize(real(f), &size);
    int64_t growth = at + n > size ? at + n - size : 0;
    if (atomic_fetch_sub(&room, growth) < growth) {
        atomic_fetch_add(&room, growth);
        return SQLITE_FULL;
    }
    return faulty_now() ? SQLITE_IOERR_WRITE : real(f)->pMethods->xWrite(real(f), p, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real(f)->pMethods->xTruncate(real(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
    return faulty_now() ? SQLITE_IOERR_FSYNC : real(f)->pMethods->xSync(real(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real(f)->pMethods->xFileSize(real(f), size);
}

static int f_lock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xLock(real(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xUnlock(real(f), level);
}

static int f_reserved(sqlite3_file *f, int *out)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int f_character(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int f_shm_unmap(sqlite3_file *f, int delete_flag)
{
    return real(f)->pMethods->xShmUnmap(real(f), delete_flag);
}

static const sqlite3_io_methods faulty_methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_character,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

static int f_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    sqlite3_vfs *below = vfs->pAppData;
    struct faulty_file *file = (struct faulty_file *)f;
    file->real = (sqlite3_file *)(file + 1);
    int rc = below->xOpen(below, name, file->real, flags, out_flags);
    f->pMethods = rc ? NULL : &faulty_methods;
    return rc;
}

static int install_faulty_vfs(void **state)
{
    static sqlite3_vfs faulty;
    (void)state;
    sqlite3_vfs *below = sqlite3_vfs_find(NULL);
    assert_non_null(below);
    faulty = *below; /* everything but files is the real one's */
    faulty.zName = "faulty";
    faulty.pNext = NULL;
    faulty.pAppData = below;
    faulty.szOsFile = (int)sizeof(struct faulty_file) + below->szOsFile;
    faulty.xOpen = f_open;
    return sqlite3_vfs_register(&faulty, 0);
}

/* ---- helpers -----------------------------------------------------------------------------------
 */

struct bed {
    struct queue_place place;
    struct job_queue queue;
    struct arena arena;
};

static void mend(void)
{
    atomic_store(&room, INT64_MAX);
    atomic_store(&countdown, 0);
}

static void open_bed(struct bed *b)
{
    if (sqlite_queue_open(&(struct sqlite_queue_options){.path = b->place.path, .vfs = "faulty"},
                          &b->queue))
        fail_msg("%s", error_last()->message);
}

static int make_bed(void **state)
{
    struct bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    mend();
    queue_place_make(&b->place);
    arena_init(&b->arena, MIB(256));
    open_bed(b);
    *state = b;
    return 0;
}

static int remove_bed(void **state)
{
    struct bed *b = *state;
    mend();
    b->queue.ops->close(b->queue.ctx);
    queue_place_remove(&b->place);
    arena_free(&b->arena);
    free(b);
    return 0;
}

static int send_number(struct bed *b, int number, size_t length)
{
    char *body = arena_alloc(&b->arena, length + 16);
    assert_non_null(body);
    memset(body, ' ', length);
    int digits = snprintf(body, 16, "%d", number);
    body[digits] = ' ';
    struct queue_send s = {.body = body, .length = length};
    return b->queue.ops->send(b->queue.ctx, &s, 1, NULL);
}

static int receive(struct bed *b, size_t max, struct queue_message **m, size_t *count)
{
    return b->queue.ops->receive(b->queue.ctx, max, 600000, 0, NULL, &b->arena, m, count);
}

static struct queue_stats stats(struct bed *b)
{
    struct queue_stats s;
    assert_int_equal(b->queue.ops->stats(b->queue.ctx, &s), OK);
    s.oldest_age_ms = 0;
    return s;
}

/* ---- no room -----------------------------------------------------------------------------------
 */

static void assert_holds_exactly(struct bed *b, int count)
{
    char *seen = calloc((size_t)count, 1);
    assert_non_null(seen);
    struct queue_message *m;
    size_t n;
    int total = 0;
    while (receive(b, 10, &m, &n) == OK && n > 0)
        for (size_t i = 0; i < n; i++, total++) {
            long number = strtol(m[i].body, NULL, 10);
            assert_in_range(number, 0, count - 1);
            assert_int_equal(seen[number]++, 0);
        }
    assert_int_equal(total, count);
    free(seen);
}

/* Enough for a few checkpoints, which fail as well when the room is gone. */
static void test_full_disk(void **state)
{
    struct bed *b = *state;
    int sent = 0, rc;
    atomic_store(&room, (int64_t)MIB(60));
    while ((rc = send_number(b, sent, 100000)) == OK)
        sent++;
    assert_int_equal(rc, ERR_DISK_FULL);
    assert_true(sent > 100);
    assert_int_equal(error_class(error_last()), ERR_SYSTEMIC);
    assert_int_equal(send_number(b, sent, 100000), ERR_DISK_FULL);
    assert_int_equal(stats(b).visible, sent);
    mend();
    assert_int_equal(send_number(b, sent, 100000), OK);
    assert_holds_exactly(b, sent + 1);
}

static void test_reopened_after_a_full_disk(void **state)
{
    struct bed *b = *state;
    int sent = 0;
    atomic_store(&room, (int64_t)MIB(4));
    while (send_number(b, sent, 50000) == OK)
        sent++;
    b->queue.ops->close(b->queue.ctx); /* its last checkpoint finds no room either */
    mend();
    open_bed(b);
    assert_holds_exactly(b, sent);
}

static void test_a_small_send_may_pass_where_a_large_one_does_not(void **state)
{
    struct bed *b = *state;
    atomic_store(&room, 100000);
    assert_int_equal(send_number(b, 0, 200000), ERR_DISK_FULL);
    assert_int_equal(send_number(b, 0, 10), OK);
    mend();
    assert_holds_exactly(b, 1);
}

/* Sends are refused before the disk is full, so that the rest can go on. */
static void test_the_reserve_is_for_what_is_there(void **state)
{
    struct bed *b = *state;
    struct queue_message *m;
    size_t n;
    assert_int_equal(send_number(b, 0, 100), OK);
    b->queue.ops->close(b->queue.ctx);
    assert_int_equal(sqlite_queue_open(&(struct sqlite_queue_options){.path = b->place.path,
                                                                      .vfs = "faulty",
                                                                      .reserve = INT64_MAX / 2},
                                       &b->queue),
                     OK);
    assert_int_equal(send_number(b, 1, 100), ERR_DISK_FULL);
    assert_int_equal(receive(b, 2, &m, &n), OK);
    assert_int_equal(n, 1);
    struct queue_receipt r = {.receipt = m->receipt};
    assert_int_equal(b->queue.ops->delete (b->queue.ctx, &r, 1), OK);
    assert_int_equal(r.rc, OK);
}

/* ---- each write in turn ------------------------------------------------------------------------
 */

struct verb {
    const char *name;
    int (*run)(struct bed *b);
};

static struct queue_message *held; /* two messages received before the verb runs */

static int run_send(struct bed *b)
{
    return send_number(b, 7, 20000);
}

static int run_receive(struct bed *b)
{
    struct queue_message *m;
    size_t n;
    return receive(b, 1, &m, &n);
}

static int run_delete(struct bed *b)
{
    struct queue_receipt r[] = {{.receipt = held[0].receipt}, {.receipt = held[1].receipt}};
    return b->queue.ops->delete (b->queue.ctx, r, 2);
}

static int run_give_back(struct bed *b)
{
    struct queue_receipt r[] = {{.receipt = held[0].receipt}, {.receipt = held[1].receipt}};
    return b->queue.ops->change_visibility(b->queue.ctx, r, 2, 0);
}

static int run_bury(struct bed *b)
{
    return b->queue.ops->bury(b->queue.ctx, held[0].receipt, "x", "y");
}

static int run_redrive(struct bed *b)
{
    int64_t moved;
    return b->queue.ops->dead_redrive(b->queue.ctx, NULL, 0, &moved);
}

static int run_drop(struct bed *b)
{
    int64_t dropped;
    return b->queue.ops->dead_drop(b->queue.ctx, NULL, 0, &dropped);
}

/* One visible, two in flight, one dead. */
static void furnish(struct bed *b)
{
    size_t n;
    for (int i = 0; i < 4; i++)
        assert_int_equal(send_number(b, i, 20000), OK);
    assert_int_equal(receive(b, 3, &held, &n), OK);
    assert_int_equal(n, 3);
    assert_int_equal(b->queue.ops->bury(b->queue.ctx, held[2].receipt, "x", ""), OK);
}

static void reopen(struct bed *b)
{
    b->queue.ops->close(b->queue.ctx);
    open_bed(b);
}

/* Fails the n-th write of the verb; false once it needs fewer than n. */
static bool fail_once(struct verb verb, int64_t n)
{
    void *state;
    make_bed(&state);
    struct bed *b = state;
    furnish(b);
    struct queue_stats before = stats(b);
    atomic_store(&countdown, n);
    int rc = verb.run(b);
    bool failed = atomic_load(&countdown) == 0;
    mend();
    if (failed) {
        if (rc != ERR_IO)
            fail_msg("%s, write %d: %d instead of an I/O error", verb.name, (int)n, rc);
        struct queue_stats after = stats(b);
        assert_memory_equal(&after, &before, sizeof after);
        reopen(b);
        after = stats(b);
        assert_memory_equal(&after, &before, sizeof after);
        assert_int_equal(verb.run(b), OK);
    } else {
        assert_int_equal(rc, OK);
    }
    remove_bed(&state);
    return failed;
}

static void test_every_write_of_every_verb(void **state)
{
    static const struct verb verbs[] = {{"send", run_send},     {"receive", run_receive},
                                        {"delete", run_delete}, {"give back", run_give_back},
                                        {"bury", run_bury},     {"redrive", run_redrive},
                                        {"drop", run_drop}};
    (void)state;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        int64_t n = 1;
        while (fail_once(verbs[i], n))
            n++;
        assert_true(n > 2); /* each writes, so some did fail */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full_disk, make_bed, remove_bed),
        cmocka_unit_test_setup_teardown(test_reopened_after_a_full_disk, make_bed, remove_bed),
        cmocka_unit_test_setup_teardown(test_a_small_send_may_pass_where_a_large_one_does_not,
                                        make_bed, remove_bed),
        cmocka_unit_test_setup_teardown(test_the_reserve_is_for_what_is_there, make_bed,
                                        remove_bed),
        cmocka_unit_test(test_every_write_of_every_verb),
    };
    return cmocka_run_group_tests_name("sqlite queue on a failing disk", tests, install_faulty_vfs,
                                       NULL);
}
