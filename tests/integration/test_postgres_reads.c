/* Reading on PostgreSQL beyond what all engines share: commits out of order in the outbox, walks of
 * many pages, prefixes in several buckets. */
#include <stdio.h>

#include "database/postgres.h"
#include "shared/arena.h"
#include "shared/clock.h"
#include "support/pg_test.h"

static struct database db;
static struct arena arena;

static int open_all(void **state)
{
    set_up(state);
    arena_init(&arena, MIB(64));
    struct postgres_database_options options = {.url = fixture.url, .no_background = true};
    ok(postgres_database_open(&options, &db));
    return 0;
}

static int close_all(void **state)
{
    db.ops->close(db.ctx);
    arena_free(&arena);
    return tear_down(state);
}

/* ---- the outbox ---- */

static const char INSERT_EVENT[] = "INSERT INTO life_event (at_ms, type) VALUES ($1, 2)";

static void add_event(struct pg *c, int64_t age_ms)
{
    int64_t now = clock_now(clock_system());
    ok(PG_RUN(c, INSERT_EVENT, P_INT(now - age_ms)));
}

static size_t events_after(int64_t after, int64_t *last)
{
    struct life_event *events;
    size_t n;
    ok(db.ops->life_events(db.ctx, after, 100, &arena, &events, &n));
    *last = n ? events[n - 1].id : after;
    return n;
}

/* Whoever drew a lower id may still commit: it must not be passed over. */
static void events_wait_for_a_lower_id(void **state)
{
    (void)state;
    struct pg *slow = take(), *quick = take();
    int64_t last;
    add_event(quick, 0);
    ok(pg_begin(slow, PG_READ_WRITE));
    add_event(slow, 0);
    add_event(quick, 0);
    add_event(quick, 0);
    assert_int_equal(events_after(0, &last), 1);
    assert_int_equal(last, 1);
    assert_int_equal(events_after(last, &last), 0);
    ok(pg_commit(slow));
    assert_int_equal(events_after(last, &last), 3);
    assert_int_equal(last, 4);
    pg_release(slow);
    pg_release(quick);
}

static void events_pass_an_id_that_was_given_up(void **state)
{
    (void)state;
    struct pg *slow = take(), *quick = take();
    int64_t last;
    ok(pg_begin(slow, PG_READ_WRITE));
    add_event(slow, 0);
    add_event(quick, 0);
    assert_int_equal(events_after(0, &last), 0);
    pg_rollback(slow);
    /* other tests' transactions on the server have to end as well */
    int64_t deadline = clock_monotonic_ms() + 30000;
    while (!events_after(0, &last) && clock_monotonic_ms() < deadline)
        continue;
    assert_int_equal(last, 2);
    pg_release(slow);
    pg_release(quick);
}

/* A transaction that never ends does not stop the outbox for good. */
static void events_pass_a_gap_that_is_old(void **state)
{
    (void)state;
    struct pg *slow = take(), *quick = take();
    int64_t last;
    ok(pg_begin(slow, PG_READ_WRITE));
    add_event(slow, 0);
    add_event(quick, 120000);
    assert_int_equal(events_after(0, &last), 1);
    assert_int_equal(last, 2);
    pg_release(slow);
    pg_release(quick);
}

/* ---- walks ---- */

struct seen {
    int count;
    int stop_at;
};

static int see_chunk(void *arg, const struct chunk_row *row)
{
    struct seen *seen = arg;
    char text[32];
    snprintf(text, sizeof text, "text %d", row->ordinal);
    assert_int_equal(row->ordinal, seen->count);
    assert_int_equal(row->length, strlen(text));
    assert_memory_equal(row->text, text, row->length);
    assert_int_equal(row->offset, 10 * row->ordinal);
    return ++seen->count == seen->stop_at ? 77 : 0;
}

static void chunks_come_in_order_over_many_pages(void **state)
{
    (void)state;
    struct pg *c = take();
    struct seen all = {0}, some = {.stop_at = 1200}, none = {0};
    ok(PG_RUN(c,
              "INSERT INTO result (result_id, state, content, settings, text_settings) VALUES "
              "(5, $1, '', '', '')",
              P_INT(1)));
    ok(PG_RUN(c,
              "INSERT INTO chunk (result_id, start_ms, end_ms, byte_offset, ordinal, text, words) "
              "SELECT 5, -1, -1, 10 * i, i, 'text ' || i, '' FROM generate_series(0, $1) i ORDER "
              "BY i DESC",
              P_INT(1999)));
    pg_release(c);
    ok(db.ops->chunks_each(db.ctx, 5, see_chunk, &all));
    assert_int_equal(all.count, 2000);
    assert_int_equal(db.ops->chunks_each(db.ctx, 5, see_chunk, &some), 77);
    assert_int_equal(some.count, 1200);
    assert_int_equal(db.ops->chunks_each(db.ctx, 6, see_chunk, &none), ERR_NOT_FOUND);
    assert_int_equal(none.count, 0);
}

/* ---- prefixes ---- */

static size_t listed(const char *prefix)
{
    struct media_row *rows;
    size_t n;
    ok(db.ops->media_list(db.ctx, &(struct media_filter){.prefix = prefix}, 0, 1000, &arena, &rows,
                          &n));
    return n;
}

static void prefixes_are_found_in_every_bucket(void **state)
{
    (void)state;
    struct pg *c = take();
    ok(PG_RUN(
        c,
        "WITH k (n, key) AS (VALUES (1, 'a/1'), (2, 'a/2'), (3, 'b'), (4, 'a'), (5, 'a0'), "
        "(6, U&'\\D7FF/x'), (7, U&'\\E000'), (8, U&'\\+10FFFF\\+10FFFF'), (9, U&'a/\\00FF')), "
        "m AS (INSERT INTO media (media_id, version_id, job_id, uploaded_ms, event_ms, "
        "bucket, key, collection) SELECT 10 * b + n, 1, 1, 1, 1, 'bucket' || b, key, 'c' FROM "
        "k, generate_series(1, $1) b), v AS (INSERT INTO version (version_id, media_id, "
        "event_ms, size) VALUES (1, 1, 1, 1)) INSERT INTO job (job_id, media_id, version_id, "
        "queued_ms, wake_ms, trace) VALUES (1, 1, 1, 1, 1, '')",
        P_INT(3)));
    pg_release(c);
    assert_int_equal(listed("a/"), 9);
    assert_int_equal(listed("a/1"), 3);
    assert_int_equal(listed("a"), 15);
    assert_int_equal(listed("a/\xc3\xbf"), 3);
    assert_int_equal(listed("\xed\x9f\xbf"), 3);     /* the last before the surrogates */
    assert_int_equal(listed("\xf4\x8f\xbf\xbf"), 3); /* the last of all */
    assert_int_equal(listed("a\xf4\x8f\xbf\xbf"), 0);
    assert_int_equal(listed("\xff"), 0);
    assert_int_equal(listed("zz"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_wait_for_a_lower_id, open_all, close_all),
        cmocka_unit_test_setup_teardown(events_pass_an_id_that_was_given_up, open_all, close_all),
        cmocka_unit_test_setup_teardown(events_pass_a_gap_that_is_old, open_all, close_all),
        cmocka_unit_test_setup_teardown(chunks_come_in_order_over_many_pages, open_all, close_all),
        cmocka_unit_test_setup_teardown(prefixes_are_found_in_every_bucket, open_all, close_all),
    };
    int rc = pg_fixture_start();
    return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
