/* The queue in PostgreSQL when the network, the server or a clock fails it, and who may use it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/postgres/queue_postgres.h"
#include "database/migrations.h"
#include "database/postgres_migrate.h"
#include "database/postgres_roles.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "support/pg_fixture.h"
#include "support/tcp_proxy.h"

enum { LONG_MS = 20000, SOON_MS = 3000, SKEW_S = 600 };

/* This program's wall clock is off by so many seconds; nothing else of this machine is. */
static _Atomic int64_t skew_s;

int clock_gettime(clockid_t id, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, id, out);
    if (rc == 0 && id == CLOCK_REALTIME)
        out->tv_sec += (time_t)atomic_load(&skew_s);
    return rc;
}

/* ---- what the tests share ----------------------------------------------------------------------
 */

struct place {
    struct pg_fixture fixture;
    struct pg_pool *pool;
    struct job_queue queue;
    struct arena arena;
};

static void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

static void open_queue(struct place *p, const char *url)
{
    ok(pg_pool_open(url, NULL, &p->pool));
    ok(postgres_queue_open(&(struct postgres_queue_options){.pool = p->pool, .max_receives = 1000},
                           &p->queue));
    arena_init(&p->arena, MIB(16));
}

static void close_queue(struct place *p)
{
    p->queue.ops->close(p->queue.ctx);
    pg_pool_close(p->pool);
    arena_free(&p->arena);
}

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    pg_fixture_open(&p->fixture);
    open_queue(p, p->fixture.url);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    close_queue(p);
    pg_fixture_close(&p->fixture);
    free(p);
    return 0;
}

static int send_one(struct place *p, const char *body)
{
    struct queue_send s = {.body = body, .length = strlen(body)};
    return p->queue.ops->send(p->queue.ctx, &s, 1, NULL);
}

/* The number received. */
static size_t receive(struct place *p, size_t max, int64_t hide_ms, int64_t wait_ms,
                      struct queue_message **out)
{
    size_t count;
    ok(p->queue.ops->receive(p->queue.ctx, max, hide_ms, wait_ms, NULL, &p->arena, out, &count));
    return count;
}

static int delete_one(struct place *p, const char *receipt)
{
    struct queue_receipt r = {.receipt = receipt};
    ok(p->queue.ops->delete (p->queue.ctx, &r, 1));
    return r.rc;
}

static void script(struct place *p, const char *sql)
{
    struct pg *c;
    ok(pg_acquire(p->pool, LONG_MS, NULL, &c));
    ok(pg_script(c, sql));
    pg_release(c);
}

static int64_t number(struct place *p, const char *sql)
{
    struct pg *c;
    int64_t n;
    ok(pg_acquire(p->pool, LONG_MS, NULL, &c));
    ok(pg_number(c, &n, -1, sql, NULL, 0));
    pg_release(c);
    return n;
}

static int port_of(const char *url)
{
    return atoi(strrchr(url, ':') + 1);
}

/* ---- a receiver that waits ---------------------------------------------------------------------
 */

struct waiter {
    struct place *place;
    struct arena arena;
    pthread_t thread;
    size_t count;
    int rc;
    struct error error;
};

static void *wait_for_one(void *arg)
{
    struct waiter *w = arg;
    struct queue_message *m;
    const struct job_queue *q = &w->place->queue;
    w->rc = q->ops->receive(q->ctx, 1, LONG_MS, LONG_MS, NULL, &w->arena, &m, &w->count);
    w->error = *error_last();
    return NULL;
}

/* Returns when the process has said that it waits. */
static void waiter_start(struct waiter *w, struct place *p)
{
    static const char WAITING[] = "SELECT (last_value > queue_now())::int FROM queue_waiting";
    *w = (struct waiter){.place = p};
    arena_init(&w->arena, MIB(1));
    assert_int_equal(pthread_create(&w->thread, NULL, wait_for_one, w), 0);
    while (number(p, WAITING) != 1)
        sched_yield();
}

static int64_t waiter_join(struct waiter *w, int64_t start)
{
    pthread_join(w->thread, NULL);
    arena_free(&w->arena);
    return clock_monotonic_ms() - start;
}

/* ---- waking ------------------------------------------------------------------------------------
 */

/* Sent by what knows nothing of notifications. */
static void test_a_missed_notification(void **state)
{
    struct place *p = *state;
    struct waiter w;
    waiter_start(&w, p);
    int64_t start = clock_monotonic_ms();
    script(p, "INSERT INTO queue_message (rank, visible_ms, sent_ms, body) VALUES "
              "(1000, 0, 1, 'quiet')");
    int64_t took = waiter_join(&w, start);
    ok(w.rc);
    assert_int_equal(w.count, 1);
    assert_in_range(took, 0, SOON_MS);
}

/* The connection that listens gets no answer, and says nothing of it. */
static void test_a_listener_that_hears_nothing(void **state)
{
    static const char STUCK[] = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = "
                                "'Lock' AND query LIKE '%queue_look%' AND pid <> pg_backend_pid()";
    struct place *p = *state;
    struct pg *holder;
    struct waiter w = {.place = p};
    ok(pg_acquire(p->pool, LONG_MS, NULL, &holder));
    ok(pg_script(holder,
                 "BEGIN; SELECT setval('queue_waiting', 0); ALTER SEQUENCE queue_waiting CACHE 2"));
    arena_init(&w.arena, MIB(1));
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_one, &w), 0);
    while (number(p, STUCK) != 1)
        sched_yield();
    int64_t start = clock_monotonic_ms();
    script(p, "INSERT INTO queue_message (rank, visible_ms, sent_ms, body) VALUES "
              "(1000, 0, 1, 'quiet')");
    assert_in_range(waiter_join(&w, start), 0, SOON_MS + 1000);
    ok(w.rc);
    assert_int_equal(w.count, 1);
    ok(pg_script(holder, "ROLLBACK"));
    pg_release(holder);
}

/* Sent with a delay, or given back with one, by another process. */
static void test_a_delay_ends_while_another_waits(void **state)
{
    struct place *p = *state, other = {0};
    struct queue_message *m;
    struct waiter w;
    struct queue_send s = {.body = "later", .length = 5, .delay_ms = 700};
    open_queue(&other, p->fixture.url);
    waiter_start(&w, p);
    int64_t start = clock_monotonic_ms();
    ok(other.queue.ops->send(other.queue.ctx, &s, 1, NULL));
    assert_in_range(waiter_join(&w, start), 700, 700 + SOON_MS);
    assert_int_equal(w.count, 1);
    ok(send_one(&other, "back"));
    assert_int_equal(receive(&other, 1, LONG_MS, 0, &m), 1);
    script(p, "SELECT setval('queue_waiting', 0)");
    waiter_start(&w, p);
    struct queue_receipt r = {.receipt = m->receipt};
    start = clock_monotonic_ms();
    ok(other.queue.ops->change_visibility(other.queue.ctx, &r, 1, 700));
    assert_in_range(waiter_join(&w, start), 600, 700 + SOON_MS);
    assert_int_equal(w.count, 1);
    close_queue(&other);
}

/* A sender notifies once for each time that somebody waits, and not at all if nobody does. */
static void test_nobody_waits_nobody_is_notified(void **state)
{
    static const char STATE[] = "SELECT last_value FROM queue_waiting";
    struct place *p = *state;
    struct pg *c;
    struct queue_message *m;
    int came = -1;
    ok(pg_acquire(p->pool, LONG_MS, NULL, &c));
    ok(pg_script(c, "LISTEN aegis_queue"));
    for (int i = 0; i < 5; i++)
        ok(send_one(p, "a"));
    ok(pg_wait_notify(c, 0, -1, NULL, &came));
    assert_int_equal(came, 0);
    assert_int_equal(receive(p, 10, LONG_MS, 0, &m), 5);
    script(p, "SELECT ready FROM queue_look(NULL, 60000)");
    assert_true(number(p, STATE) > 1);
    for (int i = 0; i < 5; i++)
        ok(send_one(p, "a"));
    ok(pg_wait_notify(c, LONG_MS, -1, NULL, &came));
    ok(pg_number(c, &(int64_t){0}, 0, "SELECT 1", NULL, 0));
    int more;
    ok(pg_wait_notify(c, 0, -1, NULL, &more));
    assert_int_equal(came + more, 1);
    pg_release(c);
}

/* ---- the network and the server ----------------------------------------------------------------
 */

static void test_cut_connections(void **state)
{
    struct place *p = *state, far = {0};
    struct tcp_proxy proxy;
    struct queue_message *m;
    struct waiter w;
    char url[512];
    tcp_proxy_start(&proxy, port_of(p->fixture.url));
    snprintf(url, sizeof url, "postgresql://postgres@127.0.0.1:%d/%s", proxy.port, p->fixture.name);
    open_queue(&far, url);
    for (int i = 0; i < 5; i++) {
        waiter_start(&w, &far);
        tcp_proxy_cut(&proxy);
        int64_t start = clock_monotonic_ms();
        ok(send_one(p, "after a cut")); /* through another connection */
        int64_t took = waiter_join(&w, start);
        if (w.rc)
            fail_msg("%s", w.error.message);
        assert_int_equal(w.count, 1);
        assert_in_range(took, 0, SOON_MS);
        script(p, "SELECT setval('queue_waiting', 0)");
    }
    struct pg *held[4]; /* so that there are as many to be cut at once */
    for (int i = 0; i < 4; i++)
        ok(pg_acquire(far.pool, LONG_MS, NULL, &held[i]));
    for (int i = 0; i < 4; i++)
        pg_release(held[i]);
    tcp_proxy_cut(&proxy);
    ok(send_one(&far, "through a cut"));
    tcp_proxy_cut(&proxy);
    assert_int_equal(receive(&far, 10, LONG_MS, 0, &m), 1);
    tcp_proxy_cut(&proxy);
    assert_int_equal(delete_one(&far, m->receipt), OK);
    close_queue(&far);
    tcp_proxy_stop(&proxy);
}

static void migrate(const char *url)
{
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    ok(postgres_migrate(url, migrations_postgres, migrations_postgres_count, &options, &done));
}

/* A crash may undo claims, as they were not waited for (that of the round before too), but nothing
 * else. */
static void finish_after(struct place *p, struct queue_message *m, bool crash)
{
    int rc = delete_one(p, m->receipt);
    if (crash && rc == ERR_CONFLICT) {
        assert_int_equal(receive(p, 1, LONG_MS, 0, &m), 1);
        if (strcmp(m->body, "after") == 0)
            assert_int_equal(receive(p, 1, LONG_MS, 0, &m), 1);
        assert_string_equal(m->body, "before");
        rc = delete_one(p, m->receipt);
    }
    assert_int_equal(rc, OK);
}

static void test_server_halted_and_started_again(void **state)
{
    (void)state;
    struct pg_own_server own;
    struct place p = {0};
    struct waiter w;
    struct queue_message *m;
    if (!pg_own_start(&own, NULL))
        skip();
    migrate(own.url);
    open_queue(&p, own.url);
    for (int kill = 0; kill < 2; kill++) {
        ok(send_one(&p, "before"));
        assert_int_equal(receive(&p, 1, LONG_MS, 0, &m), 1);
        waiter_start(&w, &p);
        int64_t start = clock_monotonic_ms();
        if (kill)
            pg_own_kill(&own);
        else
            pg_own_halt(&own);
        assert_in_range(waiter_join(&w, start), 0, LONG_MS - 1000);
        assert_int_equal(w.rc, ERR_SYSTEMIC);
        assert_string_equal(w.error.reason, "database_unreachable");
        assert_int_equal(w.count, 0);
        pg_own_again(&own, NULL);
        finish_after(&p, m, kill);
        waiter_start(&w, &p);
        start = clock_monotonic_ms();
        ok(send_one(&p, "after"));
        assert_in_range(waiter_join(&w, start), 0, SOON_MS);
        ok(w.rc);
        assert_int_equal(w.count, 1);
    }
    close_queue(&p);
    pg_own_stop(&own);
}

static void test_a_read_only_server(void **state)
{
    struct place *p = *state, other = {0};
    struct queue_message *m;
    size_t count;
    char sql[160];
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET default_transaction_read_only = on",
             p->fixture.name);
    script(p, sql);
    open_queue(&other, p->fixture.url);
    assert_int_equal(send_one(&other, "a"), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_read_only");
    assert_int_equal(
        other.queue.ops->receive(other.queue.ctx, 1, 1000, 0, NULL, &other.arena, &m, &count),
        ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_read_only");
    close_queue(&other);
}

/* ---- clocks ------------------------------------------------------------------------------------
 */

static void test_a_workers_clock_is_off(void **state)
{
    struct place *p = *state;
    struct queue_message *m, *again;
    static const int64_t skews[] = {SKEW_S, -SKEW_S};
    for (int i = 0; i < 2; i++) {
        ok(send_one(p, "a"));
        atomic_store(&skew_s, skews[i]);
        assert_int_equal(receive(p, 1, 1500, 0, &m), 1);
        int64_t start = clock_monotonic_ms();
        atomic_store(&skew_s, -skews[i]); /* the next worker's is off the other way */
        assert_int_equal(receive(p, 1, LONG_MS, 0, &again), 0);
        assert_int_equal(receive(p, 1, LONG_MS, LONG_MS, &again), 1);
        assert_in_range(clock_monotonic_ms() - start, 1400, 1500 + SOON_MS);
        assert_string_equal(again->id, m->id);
        assert_int_equal(again->receive_count, 2);
        atomic_store(&skew_s, 0);
        assert_in_range(m->sent_ms, clock_now(clock_system()) - 60000,
                        clock_now(clock_system()) + 60000);
        assert_int_equal(delete_one(p, again->receipt), OK);
    }
}

/* ---- the positions where claims begin ----------------------------------------------------------
 */

/* A sender that has not committed keeps them from moving past what it sent. */
static void test_a_slow_sender_is_not_overtaken(void **state)
{
    struct place *p = *state;
    struct queue_message *m;
    struct pg *slow;
    static const char ADVANCE[] = "SELECT queue_advance(NULL, 0)::int";
    ok(pg_acquire(p->pool, LONG_MS, NULL, &slow));
    ok(pg_script(slow, "BEGIN; SELECT queue_send(ARRAY['slow'], ARRAY[''], ARRAY[0], NULL)"));
    for (int i = 0; i < 20; i++) {
        ok(send_one(p, "fast"));
        assert_int_equal(receive(p, 1, LONG_MS, 0, &m), 1);
        assert_string_equal(m->body, "fast");
        assert_int_equal(delete_one(p, m->receipt), OK);
    }
    int64_t head = number(p, "SELECT last_value FROM queue_head");
    assert_int_equal(number(p, ADVANCE), 0);
    assert_int_equal(number(p, "SELECT last_value FROM queue_head"), head);
    ok(pg_script(slow, "COMMIT"));
    pg_release(slow);
    assert_int_equal(number(p, ADVANCE), 1);
    assert_int_equal(receive(p, 1, LONG_MS, 0, &m), 1);
    assert_string_equal(m->body, "slow");
    assert_int_equal(number(p, ADVANCE), 1);
    assert_true(number(p, "SELECT last_value FROM queue_head") > head);
}

/* How many index entries and rows a claim of nothing looks at, as EXPLAIN counts its pages. */
static int64_t pages_of_a_claim(struct place *p)
{
    static const char SQL[] =
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM queue_receive(1, 1, 1000, 20, NULL)";
    struct pg *c;
    struct pg_rows rows = {0};
    ok(pg_acquire(p->pool, LONG_MS, NULL, &c));
    ok(pg_script(c, "SELECT * FROM queue_receive(1, 1, 1000, 20, NULL)")); /* its plans are made */
    ok(pg_query_once(c, &rows, SQL, NULL, 0));
    const char *text = strstr(pg_peek(&rows, 0, 0), "\"Shared Hit Blocks\": ");
    assert_non_null(text);
    int64_t pages = strtoll(strchr(text, ':') + 1, NULL, 10);
    pg_rows_free(&rows);
    pg_release(c);
    return pages;
}

/* While an old snapshot keeps VACUUM from removing anything, claims cost what they cost before. */
static void test_an_old_snapshot_does_not_slow_claims(void **state)
{
    struct place *p = *state;
    struct pg *old;
    enum { BATCH = 500, BATCHES = 40 };
    static struct queue_send sends[BATCH];
    static struct queue_receipt receipts[BATCH];
    struct queue_message *m;
    for (int i = 0; i < BATCH; i++)
        sends[i] = (struct queue_send){.body = "x", .length = 1, .group = "g"};
    ok(pg_acquire(p->pool, LONG_MS, NULL, &old));
    ok(pg_begin(old, PG_SNAPSHOT));
    ok(pg_query(old, NULL, "SELECT 1", NULL, 0));
    int64_t before = pages_of_a_claim(p);
    for (int i = 0; i < BATCHES; i++) {
        ok(p->queue.ops->send(p->queue.ctx, sends, BATCH, NULL));
        size_t n = receive(p, BATCH, 500, 0, &m);
        assert_int_equal(n, BATCH);
        for (size_t k = 0; k < n; k++)
            receipts[k].receipt = m[k].receipt;
        ok(p->queue.ops->delete (p->queue.ctx, receipts, n));
        arena_free(&p->arena);
    }
    assert_int_equal(receive(p, 1, LONG_MS, 600, &m), 0); /* until the last timeout has passed */
    assert_int_equal(number(p, "SELECT queue_advance(NULL, 0)::int"), 1);
    script(p, "VACUUM queue_message");
    int64_t after = pages_of_a_claim(p);
    if (after > before + 50)
        fail_msg("a claim looks at %lld pages, %lld before", (long long)after, (long long)before);
    pg_release(old);
}

/* ---- roles -------------------------------------------------------------------------------------
 */

static void open_as(struct place *p, struct place *out, const char *what, const char *role,
                    char *name, size_t size)
{
    char sql[256], url[512];
    snprintf(name, size, "%s_%s", p->fixture.name, what);
    snprintf(sql, sizeof sql, "CREATE ROLE %s LOGIN IN ROLE %s", name, role);
    script(p, sql);
    pg_fixture_url_for(&p->fixture, name, "", url, sizeof url);
    open_queue(out, url);
}

static void close_as(struct place *p, struct place *other, const char *name)
{
    char sql[256];
    close_queue(other);
    snprintf(sql, sizeof sql, "DROP OWNED BY %s; DROP ROLE %s", name, name);
    script(p, sql);
}

static void may_not(struct place *p, const char *sql)
{
    struct pg *c;
    ok(pg_acquire(p->pool, LONG_MS, NULL, &c));
    if (!pg_script(c, sql))
        fail_msg("this role may %s", sql);
    assert_string_equal(pg_sqlstate(c), "42501");
    pg_release(c);
}

static void test_roles(void **state)
{
    struct place *p = *state, ingest = {0}, process = {0}, read = {0};
    char names[3][96];
    struct pg *c;
    struct queue_message *m;
    struct queue_stats stats;
    size_t count;
    int64_t moved;
    ok(pg_acquire(p->pool, LONG_MS, NULL, &c));
    ok(postgres_roles_make(c));
    pg_release(c);
    open_as(p, &ingest, "in", "aegis_ingest", names[0], sizeof names[0]);
    open_as(p, &process, "process", "aegis_process", names[1], sizeof names[1]);
    open_as(p, &read, "read", "aegis_read", names[2], sizeof names[2]);

    ok(send_one(&ingest, "from ingest"));
    assert_int_equal(
        ingest.queue.ops->receive(ingest.queue.ctx, 1, 1000, 0, NULL, &ingest.arena, &m, &count),
        ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "database_access");
    may_not(&ingest, "SELECT body FROM queue_message");
    may_not(&ingest, "DELETE FROM queue_message");
    may_not(&ingest,
            "INSERT INTO queue_message (rank, visible_ms, sent_ms, body) VALUES (1,0,1,'')");
    may_not(&ingest, "SELECT setval('queue_head', 1000000)");
    may_not(&ingest, "SELECT nextval('queue_head')");
    may_not(&ingest, "SELECT queue_advance(NULL, 0)");

    ok(read.queue.ops->stats(read.queue.ctx, &stats));
    assert_int_equal(stats.visible, 1);
    assert_int_equal(send_one(&read, "x"), ERR_SYSTEMIC);
    may_not(&read, "SELECT * FROM queue_receive(1, 1, 1, 1, NULL)");

    assert_int_equal(receive(&process, 1, LONG_MS, LONG_MS, &m), 1);
    assert_string_equal(m->body, "from ingest");
    struct queue_receipt r = {.receipt = m->receipt};
    ok(process.queue.ops->change_visibility(process.queue.ctx, &r, 1, LONG_MS));
    assert_int_equal(r.rc, OK);
    ok(process.queue.ops->bury(process.queue.ctx, m->receipt, "why", "so"));
    ok(process.queue.ops->dead_redrive(process.queue.ctx, NULL, 0, &moved));
    assert_int_equal(moved, 1);
    assert_int_equal(receive(&process, 1, LONG_MS, 0, &m), 1);
    assert_int_equal(delete_one(&process, m->receipt), OK);
    assert_int_equal(number(&process, "SELECT queue_advance(NULL, 0)::int"), 1);
    ok(send_one(&process, "x"));

    close_as(p, &ingest, names[0]);
    close_as(p, &process, names[1]);
    close_as(p, &read, names[2]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_missed_notification),
        TEST(test_a_listener_that_hears_nothing),
        TEST(test_a_delay_ends_while_another_waits),
        TEST(test_nobody_waits_nobody_is_notified),
        TEST(test_cut_connections),
        cmocka_unit_test(test_server_halted_and_started_again),
        TEST(test_a_read_only_server),
        TEST(test_a_workers_clock_is_off),
        TEST(test_a_slow_sender_is_not_overtaken),
        TEST(test_an_old_snapshot_does_not_slow_claims),
        TEST(test_roles),
    };
    int why = pg_fixture_start();
    if (why)
        return why;
    return cmocka_run_group_tests_name("the queue in PostgreSQL: faults", tests, NULL, NULL);
}
