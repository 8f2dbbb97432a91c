/*
 * queue_suite.h - what the files of the queue conformance suite share.
 */
#ifndef AEGIS_TESTS_QUEUE_SUITE_H
#define AEGIS_TESTS_QUEUE_SUITE_H

#include <stdatomic.h>

#include "support/queue_conformance.h"

enum {
    MAX_RECEIVES = 3,
    HIDE_MS = 30000,
    LONG_WAIT_MS = 20000, /* a wait that only a bug lets pass */
    START_MS = 1000000,   /* the suite's clock at the start of a test */
    MANY = 400,
    THREADS = 4,
};

extern const struct queue_conformance *suite_adapter;

struct suite {
    struct job_queue queue;
    struct queue_limits limits;
    struct clock clock;
    _Atomic int64_t now;
    struct arena arena;
};

/* cmocka's setup and teardown: a fresh queue for each test. */
#define QUEUE_TEST(f) cmocka_unit_test_setup_teardown(f, suite_open, suite_close)
int suite_open(void **state);
int suite_close(void **state);

void suite_let_pass(struct suite *t, int64_t ms);

/* The verbs, asserting success. */
void suite_check(int rc);
void suite_send(struct suite *t, const char *body, int64_t delay_ms);
size_t suite_receive(struct suite *t, size_t max, int64_t hide_ms, struct queue_message **out);
struct queue_message suite_receive_one(struct suite *t, int64_t hide_ms);
void suite_assert_nothing_visible(struct suite *t);
struct queue_stats suite_stats(struct suite *t);
size_t suite_list_dead(struct suite *t, const char *after, size_t limit,
                       struct queue_dead_letter **out);
/* At most ten. */
size_t suite_dead_since(struct suite *t, int64_t since_ms, const char *after,
                        struct queue_dead_letter **out);

/* The outcome of one receipt. */
int suite_delete(struct suite *t, const char *receipt);
int suite_hide(struct suite *t, const char *receipt, int64_t ms);

/* The outcome of a void receipt. */
void suite_assert_void(int rc);

/* Sends "<first>", "<first + 1>", ... in batches as large as allowed. */
void suite_send_numbers(struct suite *t, int first, int count);

/* Sends, receives and buries it; the queue must be empty. */
void suite_bury_number(struct suite *t, int number, const char *reason);

/* The groups: each the number of failed tests. */
int queue_messages_tests(void);
int queue_dead_tests(void);
int queue_waiting_tests(void);
int queue_model_tests(void);

#endif
