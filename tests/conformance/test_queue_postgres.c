#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/postgres/queue_postgres.h"
#include "shared/error.h"
#include "support/pg_fixture.h"
#include "support/queue_conformance.h"

struct place {
    struct pg_fixture fixture;
    struct pg_pool *pool;
};

static int open_in_place(void *ctx, const struct clock *clock, int max_receives,
                         struct job_queue *out)
{
    struct place *p = ctx;
    pg_fixture_open(&p->fixture);
    int rc = pg_pool_open(p->fixture.url, NULL, &p->pool);
    if (rc)
        return rc;
    return postgres_queue_open(&(struct postgres_queue_options){.pool = p->pool,
                                                                .clock = clock,
                                                                .max_receives = max_receives},
                               out);
}

static void discard_place(void *ctx)
{
    struct place *p = ctx;
    pg_pool_close(p->pool);
    pg_fixture_close(&p->fixture);
}

/* ---- its own -----------------------------------------------------------------------------------
 */

static void test_bodies_and_groups(void **state)
{
    struct place p;
    struct job_queue q;
    struct arena arena;
    struct queue_message *m;
    size_t count;
    char group[QUEUE_GROUP_TEXT + 1];
    (void)state;
    memset(group, 'g', sizeof group);
    group[QUEUE_GROUP_TEXT] = '\0';
    arena_init(&arena, 1 << 20);
    assert_int_equal(open_in_place(&p, NULL, 3, &q), OK);
    struct queue_send s[] = {{.body = "good", .length = 4}, {.body = "n\0l", .length = 3}};
    assert_int_equal(q.ops->send(q.ctx, s, 2, NULL), ERR_INVALID);
    s[1] = (struct queue_send){.body = "\xff", .length = 1};
    assert_int_equal(q.ops->send(q.ctx, s, 2, NULL), ERR_INVALID);
    s[1] = (struct queue_send){.body = "x", .length = 1, .group = group};
    assert_int_equal(q.ops->send(q.ctx, s, 2, NULL), ERR_INVALID);
    group[QUEUE_GROUP_TEXT - 1] = '\0';
    s[0] = (struct queue_send){.body = NULL, .length = 0};
    assert_int_equal(q.ops->send(q.ctx, s, 2, NULL), OK);
    assert_int_equal(q.ops->send(q.ctx, s, 0, NULL), OK);
    assert_int_equal(q.ops->receive(q.ctx, 10, 1000, 0, NULL, &arena, &m, &count), OK);
    assert_int_equal(count, 2);
    assert_int_equal(m[0].length, 0);
    assert_string_equal(m[0].body, "");
    q.ops->close(q.ctx);
    discard_place(&p);
    arena_free(&arena);
}

/* However many have died of being received too often, one receive buries them all. */
static void test_many_die_at_once(void **state)
{
    enum { DYING = 2500, BATCH = 500 };
    static struct queue_send s[BATCH];
    struct place p;
    struct job_queue q;
    struct arena arena;
    struct queue_message *m;
    struct queue_stats stats;
    size_t count;
    (void)state;
    assert_int_equal(open_in_place(&p, NULL, 1, &q), OK);
    arena_init(&arena, 1 << 24);
    for (int i = 0; i < BATCH; i++)
        s[i] = (struct queue_send){.body = "x", .length = 1};
    for (int n = 0; n < DYING; n += BATCH) {
        assert_int_equal(q.ops->send(q.ctx, s, BATCH, NULL), OK);
        assert_int_equal(q.ops->receive(q.ctx, BATCH, 0, 0, NULL, &arena, &m, &count), OK);
        assert_int_equal(count, BATCH);
    }
    assert_int_equal(q.ops->receive(q.ctx, 10, 1000, 0, NULL, &arena, &m, &count), OK);
    assert_int_equal(count, 0);
    assert_int_equal(q.ops->stats(q.ctx, &stats), OK);
    assert_int_equal(stats.dead, DYING);
    assert_int_equal(stats.visible + stats.in_flight, 0);
    q.ops->close(q.ctx);
    discard_place(&p);
    arena_free(&arena);
}

int main(void)
{
    static struct place place;
    const struct CMUnitTest own[] = {cmocka_unit_test(test_bodies_and_groups),
                                     cmocka_unit_test(test_many_die_at_once)};
    int why = pg_fixture_start();
    if (why)
        return why;
    int failed = queue_conformance_run(&(struct queue_conformance){.name = "job_queue: postgres",
                                                                   .open = open_in_place,
                                                                   .discard = discard_place,
                                                                   .ctx = &place});
    return failed + cmocka_run_group_tests_name("postgres queue", own, NULL, NULL);
}
