#include "support/queue_suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/error.h"

const struct queue_conformance *suite_adapter; /* cmocka's setup takes no argument of ours */

static int64_t suite_now(void *ctx)
{
    struct suite *t = ctx;
    return atomic_load(&t->now);
}

void suite_let_pass(struct suite *t, int64_t ms)
{
    if (!suite_adapter->own_clock) {
        atomic_fetch_add(&t->now, ms);
        return;
    }
    struct timespec d = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&d, NULL);
}

int suite_open(void **state)
{
    struct suite *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->clock = (struct clock){.now = suite_now, .ctx = t};
    atomic_store(&t->now, START_MS);
    arena_init(&t->arena, MIB(64));
    if (suite_adapter->open(suite_adapter->ctx, &t->clock, MAX_RECEIVES, &t->queue))
        fail_msg("open: %s", error_last()->message);
    t->queue.ops->limits(t->queue.ctx, &t->limits);
    *state = t;
    return 0;
}

int suite_close(void **state)
{
    struct suite *t = *state;
    t->queue.ops->close(t->queue.ctx);
    if (suite_adapter->discard)
        suite_adapter->discard(suite_adapter->ctx);
    arena_free(&t->arena);
    free(t);
    return 0;
}

/* ---- the verbs, asserting success --------------------------------------------------------------
 */

void suite_check(int rc)
{
    if (rc)
        fail_msg("%s: %s", error_code_name((enum error_code)rc), error_last()->message);
}

void suite_send(struct suite *t, const char *body, int64_t delay_ms)
{
    struct queue_send m = {.body = body, .length = strlen(body), .delay_ms = delay_ms};
    suite_check(t->queue.ops->send(t->queue.ctx, &m, 1, NULL));
}

size_t suite_receive(struct suite *t, size_t max, int64_t hide_ms, struct queue_message **out)
{
    size_t count;
    suite_check(t->queue.ops->receive(t->queue.ctx, max, hide_ms, 0, NULL, &t->arena, out, &count));
    assert_true(count <= max);
    return count;
}

struct queue_message suite_receive_one(struct suite *t, int64_t hide_ms)
{
    struct queue_message *m;
    assert_int_equal(suite_receive(t, 1, hide_ms, &m), 1);
    return *m;
}

void suite_assert_nothing_visible(struct suite *t)
{
    struct queue_message *m;
    assert_int_equal(suite_receive(t, 1, HIDE_MS, &m), 0);
}

int suite_delete(struct suite *t, const char *receipt)
{
    struct queue_receipt r = {.receipt = receipt, .rc = -1};
    suite_check(t->queue.ops->delete (t->queue.ctx, &r, 1));
    return r.rc;
}

int suite_hide(struct suite *t, const char *receipt, int64_t ms)
{
    struct queue_receipt r = {.receipt = receipt, .rc = -1};
    suite_check(t->queue.ops->change_visibility(t->queue.ctx, &r, 1, ms));
    return r.rc;
}

void suite_assert_void(int rc)
{
    if (!suite_adapter->void_looks_valid || rc != OK)
        assert_int_equal(rc, ERR_CONFLICT);
}

struct queue_stats suite_stats(struct suite *t)
{
    struct queue_stats s;
    suite_check(t->queue.ops->stats(t->queue.ctx, &s));
    return s;
}

size_t suite_list_dead(struct suite *t, const char *after, size_t limit,
                       struct queue_dead_letter **out)
{
    size_t count;
    suite_check(t->queue.ops->dead_list(t->queue.ctx, after, limit, &t->arena, out, &count));
    return count;
}

size_t suite_dead_since(struct suite *t, int64_t since_ms, const char *after,
                        struct queue_dead_letter **out)
{
    size_t count;
    suite_check(
        t->queue.ops->dead_since(t->queue.ctx, since_ms, after, 10, &t->arena, out, &count));
    return count;
}

/* Sends "<first>", "<first + 1>", ... in batches as large as allowed. */
void suite_send_numbers(struct suite *t, int first, int count)
{
    int batch = t->limits.max_batch < count ? t->limits.max_batch : count;
    struct queue_send *m = calloc((size_t)batch, sizeof *m);
    char(*text)[16] = calloc((size_t)batch, sizeof *text);
    assert_non_null(m);
    assert_non_null(text);
    for (int sent = 0, n; sent < count; sent += n) {
        n = count - sent < batch ? count - sent : batch;
        for (int i = 0; i < n; i++) {
            int length = snprintf(text[i], sizeof text[i], "%d", first + sent + i);
            m[i] = (struct queue_send){.body = text[i], .length = (size_t)length};
        }
        suite_check(t->queue.ops->send(t->queue.ctx, m, (size_t)n, NULL));
    }
    free(m);
    free(text);
}

void suite_bury_number(struct suite *t, int number, const char *reason)
{
    char body[16];
    snprintf(body, sizeof body, "%d", number);
    suite_send(t, body, 0);
    struct queue_message m = suite_receive_one(t, HIDE_MS);
    assert_string_equal(m.body, body);
    suite_check(t->queue.ops->bury(t->queue.ctx, m.receipt, reason, "as told"));
}
