#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/ram/queue_ram.h"
#include "shared/error.h"
#include "support/queue_conformance.h"

static int open_queue(void *ctx, const struct clock *clock, int max_receives, struct job_queue *out)
{
    (void)ctx;
    return ram_queue_open(&(struct ram_queue_options){.clock = clock, .max_receives = max_receives},
                          out);
}

/* A full queue takes nothing of a batch, and goes on when there is room. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    static char body[4096];
    struct job_queue q;
    struct arena arena;
    struct queue_message *m;
    size_t count;
    struct queue_stats stats;
    memset(body, 'x', sizeof body);
    struct queue_send s[] = {{.body = body, .length = sizeof body},
                             {.body = body, .length = sizeof body},
                             {.body = body, .length = sizeof body}};
    arena_init(&arena, 1 << 20);
    assert_int_equal(ram_queue_open(&(struct ram_queue_options){.max_bytes = 16384}, &q), OK);
    assert_int_equal(q.ops->send(q.ctx, s, 2, NULL), OK);
    assert_int_equal(q.ops->send(q.ctx, s, 3, NULL), ERR_DISK_FULL);
    assert_int_equal(q.ops->stats(q.ctx, &stats), OK);
    assert_int_equal(stats.visible, 2);
    assert_int_equal(q.ops->receive(q.ctx, 2, 1000, 0, NULL, &arena, &m, &count), OK);
    assert_int_equal(count, 2);
    struct queue_receipt r[] = {{.receipt = m[0].receipt}, {.receipt = m[1].receipt}};
    assert_int_equal(q.ops->delete (q.ctx, r, 2), OK);
    assert_int_equal(q.ops->send(q.ctx, s, 3, NULL), OK);
    q.ops->close(q.ctx);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_memory_is_bounded)};
    int failed = queue_conformance_run(
        &(struct queue_conformance){.name = "job_queue: ram", .open = open_queue});
    return failed + cmocka_run_group_tests_name("ram queue", own, NULL, NULL);
}
