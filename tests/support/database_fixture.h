/*
 * database_fixture.h - an open database under a clock that the test sets, and short words for the
 * usual steps. A helper fails the test when a step fails that the test takes for granted.
 */
#ifndef AEGIS_TESTS_DATABASE_FIXTURE_H
#define AEGIS_TESTS_DATABASE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ports/database.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "support/database_conformance.h"

enum { FIXTURE_DIMENSION = 8 };

struct fixture {
    const struct database_harness *harness;
    struct database db;
    struct arena arena;
    atomic_llong now_ms;
    struct clock clock;
    int64_t space_id; /* of fixture_space, 0 until then */
};

int fixture_open(void **state);  /* cmocka set-up: *state is the harness, becomes the fixture */
int fixture_close(void **state); /* cmocka tear-down: *state becomes the harness again */

/* The verbs, spelled short: DB(f, job_get, id, ...) */
#define DB(f, verb, ...) (f)->db.ops->verb((f)->db.ctx, __VA_ARGS__)
#define OKAY(call)       assert_okay((call), #call, __FILE__, __LINE__)
void assert_okay(int rc, const char *what, const char *file, int line);

/* ---- events ---- */

struct media_event event_of(const char *key, const char *etag, int64_t event_ms);
struct event_outcome record(struct fixture *f, struct media_event event);
/* Records and expects a job. */
struct event_outcome upload(struct fixture *f, const char *key, const char *etag, int64_t event_ms);
struct event_outcome remove_key(struct fixture *f, const char *key, int64_t event_ms);

/* ---- jobs ---- */

int start_rc(struct fixture *f, int64_t job_id, int receive_count, int64_t lease_until_ms,
             struct job_work *work);
/* Starts it with a lease of a minute and expects that. */
struct job_work start(struct fixture *f, int64_t job_id);
int end_with(struct fixture *f, const struct job_work *work, enum attempt_outcome outcome,
             const char *reason);
struct job_row job_of(struct fixture *f, int64_t job_id);
enum job_state state_of(struct fixture *f, int64_t job_id);
struct media_row media_of(struct fixture *f, int64_t media_id);
struct totals totals_of(struct fixture *f);
/* Number of outbox rows of this type for this job (0: any). */
size_t life_count(struct fixture *f, const char *type, int64_t job_id);

/* ---- results ---- */

int64_t fixture_space(struct fixture *f);
/* A unit vector that depends on the text alone; `out` has FIXTURE_DIMENSION values. */
void vector_of(const char *text, float *out);
struct digest digest_text(const char *text);

struct simple_result {
    const char *kind, *language, *title, *settings; /* NULL: "text", "en", "", "s1" */
    const char *const *chunks;
    size_t chunk_count;
    const struct model_call *calls;
    size_t call_count;
    bool no_vectors, key_untold; /* result_batch.key */
};
/* Publishes chunks (their texts make the content digest) with vectors, one segment per chunk and a
 * summary whose title is the first chunk. */
int publish_result(struct fixture *f, const struct job_work *work, const struct simple_result *r);
/* upload, start, publish of one chunk; returns the medium. */
int64_t put_text(struct fixture *f, const char *key, const char *text);
int64_t put_media(struct fixture *f, const char *key, const char *collection,
                  const struct simple_result *r);

/* ---- search ---- */

size_t lexical_count(struct fixture *f, const char *query, const struct media_filter *filter);
size_t vector_count(struct fixture *f, const char *text, const struct media_filter *filter);
/* The medium that the best hit belongs to, 0 if there is none. */
int64_t lexical_best(struct fixture *f, const char *query, const struct media_filter *filter);
int64_t vector_best(struct fixture *f, const char *text, const struct media_filter *filter);

#endif
