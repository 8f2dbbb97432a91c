#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "adapters/local/queue_sqlite.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"
#include "support/queue_conformance.h"
#include "support/queue_place.h"

/* ---- the common suite --------------------------------------------------------------------------
 */

static int open_in_place(void *ctx, const struct clock *clock, int max_receives,
                         struct job_queue *out)
{
    struct queue_place *p = ctx;
    queue_place_make(p);
    return sqlite_queue_open(&(struct sqlite_queue_options){.path = p->path,
                                                            .clock = clock,
                                                            .max_receives = max_receives},
                             out);
}

static void discard_place(void *ctx)
{
    queue_place_remove(ctx);
}

/* ---- helpers -----------------------------------------------------------------------------------
 */

static int make_place(void **state)
{
    struct queue_place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    queue_place_make(p);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    queue_place_remove(*state);
    free(*state);
    return 0;
}

static void check(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

static struct job_queue open_queue(const struct queue_place *p)
{
    struct job_queue q;
    check(sqlite_queue_open(&(struct sqlite_queue_options){.path = p->path}, &q));
    return q;
}

static void close_queue(struct job_queue *q)
{
    q->ops->close(q->ctx);
}

static void send_bodies(struct job_queue *q, size_t count, size_t length)
{
    static char body[4096];
    struct queue_send *s = calloc(count, sizeof *s);
    assert_non_null(s);
    memset(body, 'x', sizeof body);
    for (size_t i = 0; i < count; i++)
        s[i] = (struct queue_send){.body = body, .length = length};
    check(q->ops->send(q->ctx, s, count, NULL));
    free(s);
}

static size_t receive_and_delete(struct job_queue *q, size_t max)
{
    struct arena arena;
    struct queue_message *m;
    size_t count;
    arena_init(&arena, MIB(32));
    check(q->ops->receive(q->ctx, max, 60000, 0, NULL, &arena, &m, &count));
    struct queue_receipt *r = calloc(count + 1, sizeof *r);
    assert_non_null(r);
    for (size_t i = 0; i < count; i++)
        r[i].receipt = m[i].receipt;
    check(q->ops->delete (q->ctx, r, count));
    free(r);
    arena_free(&arena);
    return count;
}

static void run_sql(const struct queue_place *p, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void read_file(const char *path, struct buffer *out)
{
    buffer_init(out, MIB(8));
    check(file_read(path, out));
}

/* Opening fails with `code` and leaves every byte as it was. */
static void assert_refused_untouched(const struct queue_place *p, int code)
{
    struct buffer before, after;
    struct job_queue q;
    read_file(p->path, &before);
    assert_int_equal(sqlite_queue_open(&(struct sqlite_queue_options){.path = p->path}, &q), code);
    read_file(p->path, &after);
    assert_int_equal(after.length, before.length);
    if (before.length)
        assert_memory_equal(after.data, before.data, before.length);
    buffer_free(&before);
    buffer_free(&after);
}

/* ---- the file ----------------------------------------------------------------------------------
 */

static void test_everything_survives_a_reopening(void **state)
{
    struct queue_place *p = *state;
    struct arena arena;
    struct queue_message *m;
    struct queue_dead_letter *d;
    struct queue_stats before, after;
    size_t count;
    arena_init(&arena, MIB(1));
    struct job_queue q = open_queue(p);
    send_bodies(&q, 4, 10);
    struct queue_send late = {.body = "late", .length = 4, .delay_ms = 600000};
    check(q.ops->send(q.ctx, &late, 1, NULL));
    check(q.ops->receive(q.ctx, 2, 600000, 0, NULL, &arena, &m, &count));
    check(q.ops->bury(q.ctx, m[1].receipt, "why", "because"));
    check(q.ops->stats(q.ctx, &before));
    close_queue(&q);

    q = open_queue(p);
    check(q.ops->stats(q.ctx, &after));
    assert_int_equal(after.visible, 2);
    assert_int_equal(after.in_flight, 1);
    assert_int_equal(after.delayed, 1);
    assert_int_equal(after.dead, 1);
    check(q.ops->dead_list(q.ctx, "", 5, &arena, &d, &count));
    assert_int_equal(count, 1);
    assert_string_equal(d->detail, "because");
    struct queue_receipt r = {.receipt = m[0].receipt};
    check(q.ops->change_visibility(q.ctx, &r, 1, 0));
    assert_int_equal(r.rc, OK);
    check(q.ops->receive(q.ctx, 1, 600000, 0, NULL, &arena, &m, &count));
    assert_int_equal(m->receive_count, 2);
    close_queue(&q);
    arena_free(&arena);
}

static void test_ids_are_never_used_twice(void **state)
{
    struct queue_place *p = *state;
    char first[1][QUEUE_ID_TEXT], second[1][QUEUE_ID_TEXT];
    struct queue_send s = {.body = "a", .length = 1};
    struct job_queue q = open_queue(p);
    check(q.ops->send(q.ctx, &s, 1, first));
    assert_int_equal(receive_and_delete(&q, 1), 1);
    close_queue(&q);
    q = open_queue(p);
    check(q.ops->send(q.ctx, &s, 1, second));
    assert_string_not_equal(first[0], second[0]);
    close_queue(&q);
}

static void test_newer_schema_is_refused(void **state)
{
    struct queue_place *p = *state;
    struct job_queue q = open_queue(p);
    send_bodies(&q, 3, 10);
    close_queue(&q);
    run_sql(p, "PRAGMA user_version=1000");
    assert_refused_untouched(p, ERR_SCHEMA);
    assert_non_null(strstr(error_last()->message, "newer Aegis"));
    run_sql(p, "PRAGMA user_version=1");
    q = open_queue(p);
    assert_int_equal(receive_and_delete(&q, 10), 3);
    close_queue(&q);
}

static void test_other_files_are_refused(void **state)
{
    struct queue_place *p = *state;
    run_sql(p, "CREATE TABLE other(x); PRAGMA user_version=1");
    assert_refused_untouched(p, ERR_INVALID);
    run_sql(p, "PRAGMA application_id=77");
    assert_refused_untouched(p, ERR_INVALID);
    char text[4096];
    memset(text, 'z', sizeof text);
    check(file_replace(p->path, text, sizeof text, 0600));
    assert_refused_untouched(p, ERR_SYSTEMIC);
}

static void test_missing_directory(void **state)
{
    struct queue_place *p = *state;
    char path[400];
    struct job_queue q;
    snprintf(path, sizeof path, "%s/none/queue.db", p->directory);
    assert_int_not_equal(sqlite_queue_open(&(struct sqlite_queue_options){.path = path}, &q), OK);
    assert_non_null(strstr(error_last()->message, path));
}

static void test_empty_body_and_nul_bytes(void **state)
{
    struct queue_place *p = *state;
    struct arena arena;
    struct queue_message *m;
    size_t count;
    arena_init(&arena, MIB(1));
    struct job_queue q = open_queue(p);
    struct queue_send s[] = {{.body = NULL, .length = 0}, {.body = "a\0b", .length = 3}};
    check(q.ops->send(q.ctx, s, 2, NULL));
    check(q.ops->receive(q.ctx, 2, 1000, 0, NULL, &arena, &m, &count));
    assert_int_equal(count, 2);
    assert_int_equal(m[0].length, 0);
    assert_string_equal(m[0].body, "");
    assert_int_equal(m[1].length, 3);
    assert_memory_equal(m[1].body, "a\0b", 4);
    close_queue(&q);
    arena_free(&arena);
}

/* ---- its size ----------------------------------------------------------------------------------
 */

static int64_t file_size(const struct queue_place *p)
{
    struct stat st;
    assert_int_equal(stat(p->path, &st), 0);
    return st.st_size;
}

static void test_drained_pages_are_used_again(void **state)
{
    struct queue_place *p = *state;
    int64_t after_first = 0;
    for (int round = 0; round < 12; round++) {
        struct job_queue q = open_queue(p);
        for (int i = 0; i < 3; i++)
            send_bodies(&q, 1000, 1000);
        for (int i = 0; i < 3; i++)
            assert_int_equal(receive_and_delete(&q, 1000), 1000);
        close_queue(&q);
        if (round == 0)
            after_first = file_size(p);
    }
    assert_true(file_size(p) <= after_first + after_first / 10);
}

static void test_file_shrinks_after_a_large_backlog(void **state)
{
    struct queue_place *p = *state;
    struct job_queue q = open_queue(p);
    for (int i = 0; i < 18; i++)
        send_bodies(&q, 1000, 4000);
    for (int i = 0; i < 18; i++)
        assert_int_equal(receive_and_delete(&q, 1000), 1000);
    send_bodies(&q, 5, 100);
    close_queue(&q);
    assert_true(file_size(p) > (int64_t)MIB(64));
    q = open_queue(p);
    assert_int_equal(receive_and_delete(&q, 10), 5);
    close_queue(&q);
    assert_true(file_size(p) < (int64_t)MIB(1));
}

int main(void)
{
    struct queue_place place;
#define PLACE_TEST(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)
    const struct CMUnitTest own[] = {
        PLACE_TEST(test_everything_survives_a_reopening),
        PLACE_TEST(test_ids_are_never_used_twice),
        PLACE_TEST(test_newer_schema_is_refused),
        PLACE_TEST(test_other_files_are_refused),
        PLACE_TEST(test_missing_directory),
        PLACE_TEST(test_empty_body_and_nul_bytes),
        PLACE_TEST(test_drained_pages_are_used_again),
        PLACE_TEST(test_file_shrinks_after_a_large_backlog),
    };
    int failed = queue_conformance_run(&(struct queue_conformance){.name = "job_queue: sqlite",
                                                                   .open = open_in_place,
                                                                   .discard = discard_place,
                                                                   .ctx = &place,
                                                                   .unfair = true});
    return failed + cmocka_run_group_tests_name("sqlite queue", own, NULL, NULL);
}
