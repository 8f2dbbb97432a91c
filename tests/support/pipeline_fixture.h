/*
 * pipeline_fixture.h - a processor with RAM store and queue, the real SQLite database and a
 * scripted provider, and short words for what tests do with it. A helper fails the test when a step
 * fails that the test takes for granted.
 */
#ifndef AEGIS_TESTS_PIPELINE_FIXTURE_H
#define AEGIS_TESTS_PIPELINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "processor/processor.h"
#include "shared/error.h"
#include "support/scripted_provider.h"

enum { WORLD_DIMENSION = 16, PATIENCE_MS = 20000 };

/* Settings and ports may be changed until world_start. */
struct world {
    char directory[64];
    struct processor_ports ports;
    struct processor_settings settings;
    struct scripted_provider *provider;
    struct scripted_provider *other; /* for tests of two models, closed with the first; NULL */
    struct model_providers other_providers;
    struct processor *processor; /* NULL: not started */
    struct arena arena;
};

struct world *world_of(void **state);
int world_open(void **state);  /* cmocka set-up: *state becomes the world */
int world_close(void **state); /* cmocka tear-down */
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

void world_start(struct world *w);
void world_stop(struct world *w);

/* ---- putting work in ---- */

extern const char TEXT[]; /* of one chunk */

struct object_info put(struct world *w, const char *key, const char *text);
struct event_outcome world_record(struct world *w, enum event_kind kind,
                                  const struct object_info *info);
void send_message(struct world *w, int64_t job_id);
/* Puts, records, and sends the message of the job that comes of it. */
struct event_outcome add(struct world *w, const char *key, const char *text);

/* ---- looking at what came out ---- */

struct job_row job(struct world *w, int64_t job_id);
void pause_briefly(void); /* between two looks at something that is waited for */
struct job_row wait_for_state(struct world *w, int64_t job_id, enum job_state wanted);
struct media_row media(struct world *w, int64_t media_id);
size_t found(struct world *w, const char *query); /* hits of the lexical arm, at most 10 */
void wait_for_empty_queue(struct world *w);
int64_t cost(struct world *w); /* of everything, in billionths of a dollar */

#endif
