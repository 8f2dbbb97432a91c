/*
 * lambda_steps.h - what the tests of the functions on AWS Lambda do: one function at a time, with a
 * provider or without.
 */
#ifndef AEGIS_TESTS_LAMBDA_STEPS_H
#define AEGIS_TESTS_LAMBDA_STEPS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "shared/condition.h"
#include "support/fake_openai_process.h"
#include "support/lambda_fixture.h"

static struct lambda lambda;
static struct fake_openai fake;

static inline int set_up(void **state)
{
    (void)state;
    lambda_open(&lambda, false);
    return 0;
}

static inline int set_up_empty(void **state)
{
    (void)state;
    lambda_open(&lambda, true);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    lambda_close(&lambda);
    return 0;
}

static inline int set_up_with_provider(void **state)
{
    char variable[200];
    set_up(state);
    fake_openai_start(&fake, NULL);
    snprintf(variable, sizeof variable, "OPENAI_BASE_URL=%s", fake.base_url);
    lambda_set(&lambda, variable);
    lambda_set(&lambda, "OPENAI_API_KEY=sk-test-0123456789");
    return 0;
}

static inline int tear_down_with_provider(void **state)
{
    tear_down(state);
    fake_openai_stop(&fake);
    return 0;
}

/* ---- steps ---- */

static inline void says(const char *text, const char *needle)
{
    if (!strstr(text, needle))
        fail_msg("'%s' is not in:\n%s", needle, text);
}

/* The answer must have this in it. */
static inline void invoke(const char *payload, const char *expected)
{
    char *answer = lambda_invoke(&lambda, payload, LAMBDA_LONG_MS);
    says(answer, expected);
    free(answer);
}

/* Objects with these texts, through the ingestion function, which ends then. */
static inline void ingest(const char *const *texts, const char *expected)
{
    struct buffer event;
    char key[64];
    buffer_init(&event, MIB(1));
    for (size_t i = 0; texts[i]; i++) {
        snprintf(key, sizeof key, "text-%zu.txt", i);
        lambda_put(&lambda, key, texts[i], &event);
    }
    lambda_event_end(&event);
    lambda_launch(&lambda, "ingestion");
    invoke(event.data, expected);
    buffer_free(&event);
}

/* What is in the queue goes through the processor that runs; how much is reported. */
static inline size_t process(const char *extra, int64_t timeout_ms)
{
    struct buffer event;
    buffer_init(&event, MIB(1));
    lambda_receive(&lambda, 10000, extra, &event);
    char *answer = lambda_invoke(&lambda, event.data, timeout_ms);
    size_t reported = lambda_settle(&lambda, answer);
    free(answer);
    buffer_free(&event);
    return reported;
}

static inline void finds(const char *words, const char *key)
{
    char arguments[256];
    snprintf(arguments, sizeof arguments, "search --json '%s'", words);
    char *output = lambda_aegis(&lambda, arguments);
    says(output, key);
    free(output);
}

static inline void logged(const char *needle)
{
    char *log = lambda_logged(&lambda);
    says(log, needle);
    free(log);
}

/* Waits until a number of the database is what it should be. */
static inline void becomes(const char *sql, int64_t expected)
{
    int64_t number, deadline = clock_monotonic_ms() + 20000;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    while ((number = lambda_number(&lambda, sql)) != expected && clock_monotonic_ms() < deadline) {
        pthread_mutex_lock(&lock);
        condition_wait_for(&never, &lock, 20);
        pthread_mutex_unlock(&lock);
    }
    assert_int_equal(number, expected);
}

static const char JOBS_SUCCEEDED[] = "SELECT count(*) FROM aegis.job WHERE state = 4";
static const char JOBS_RUNNING[] = "SELECT count(*) FROM aegis.job WHERE state = 1";
static const char MESSAGES[] = "SELECT count(*) FROM aegis.queue_message";
static const char *const one[] = {"A lighthouse stands at the cape.", NULL};
static const char *const three[] = {"A lighthouse stands at the cape.",
                                    "The windmill turns in the west wind.",
                                    "Whales pass the coast in April.", NULL};

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_EMPTY(name) cmocka_unit_test_setup_teardown(name, set_up_empty, tear_down)
#define TEST_PROVIDER(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, set_up_with_provider, tear_down_with_provider)

#endif
