/*
 * lambda_fixture.h - `aegis` as a function on AWS Lambda for tests: the real binary under the
 * Runtime API, a PostgreSQL of its own for database and queue, a shared folder for objects.
 *
 * The test is the mapping between queue and function: it receives messages, makes events of them,
 * and deletes what an answer does not report. What fails here fails the test.
 */
#ifndef AEGIS_TESTS_LAMBDA_FIXTURE_H
#define AEGIS_TESTS_LAMBDA_FIXTURE_H

#include "ports/job_queue.h"
#include "ports/object_store.h"
#include "shared/buffer.h"
#include "support/database_place.h"
#include "support/pg_fixture.h"
#include "support/runtime_api.h"

enum { LAMBDA_VARIABLES = 24, LAMBDA_MESSAGES = 10, LAMBDA_LONG_MS = 60000 };

struct pg_pool;

struct lambda {
    struct pg_fixture database;
    struct pg_pool *pool;
    struct job_queue queue;
    struct object_store store;
    struct place place;
    struct runtime_api *api;
    char variables[LAMBDA_VARIABLES][700];
    const char *environment[LAMBDA_VARIABLES + 1];
    char log[600];

    struct arena arena;
    struct queue_message *messages; /* received last, up to the next lambda_receive */
    size_t message_count;
};

/* `empty`: a database without a schema, so neither queue nor store are there. */
void lambda_open(struct lambda *l, bool empty);
void lambda_close(struct lambda *l);

/* What is launched: AEGIS_TEST_BOOTSTRAP, else the binary that was built. */
const char *lambda_program(void);
/* "NAME=value" instead of what is there under this name, for functions launched from now on. */
void lambda_set(struct lambda *l, const char *variable);
/* Ends the function that runs, if one does, and starts one with this handler. */
void lambda_launch(struct lambda *l, const char *handler);
/* SIGTERM to the function: it must exit with 0. */
void lambda_end(struct lambda *l);

/* One invocation that must be answered; the answer is the caller's. */
char *lambda_invoke(struct lambda *l, const char *payload, int64_t timeout_ms);
/* One that must fail with this error type. */
void lambda_invoke_fails(struct lambda *l, const char *payload, const char *error_type);

/* What was logged so far; the caller's. */
char *lambda_logged(const struct lambda *l);

/* Puts an object and appends its record to an event under construction ("" at first), which
 * lambda_event_end makes whole. */
void lambda_put(struct lambda *l, const char *key, const char *text, struct buffer *event);
void lambda_event_end(struct buffer *event);

/* Receives up to ten messages, waiting up to wait_ms for the first, and makes an event of them.
 * `extra` (NULL: none) is the body of one more message, which this queue knows nothing of. */
void lambda_receive(struct lambda *l, int64_t wait_ms, const char *extra, struct buffer *event);
/* Deletes what the answer does not report. Returns how many it reports. */
size_t lambda_settle(struct lambda *l, const char *answer);

/* `aegis` with these arguments on the fixture's database; its output, the caller's. */
char *lambda_aegis(struct lambda *l, const char *arguments);
char *lambda_aegis_fails(struct lambda *l, const char *arguments, int status);
/* A number from the database. */
int64_t lambda_number(struct lambda *l, const char *sql);

#endif
