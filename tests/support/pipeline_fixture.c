#include "support/pipeline_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "adapters/ram/queue_ram.h"
#include "adapters/ram/store_ram.h"
#include "database/sqlite.h"
#include "shared/job_message.h"

const char TEXT[] = "The lighthouse keeper wrote about storms. "
                    "Every night he counted the ships that passed the rocks.\n\n"
                    "In spring the harbour froze and nobody sailed.\n";

struct world *world_of(void **state)
{
    return *state;
}

int world_open(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->directory, sizeof w->directory, "/tmp/aegis-pipeline.XXXXXX");
    assert_non_null(mkdtemp(w->directory));
    arena_init(&w->arena, MIB(64));
    w->ports.clock = clock_system();
    w->provider = scripted_provider_open(WORLD_DIMENSION, &w->ports.providers);
    assert_int_equal(OK, ram_store_open(&w->ports.store));
    assert_int_equal(
        OK, ram_queue_open(&(struct ram_queue_options){.max_receives = 20}, &w->ports.queue));
    assert_int_equal(
        OK, sqlite_database_open(&(struct sqlite_database_options){.directory = w->directory},
                                 &w->ports.database));
    w->settings =
        (struct processor_settings){.workers = 4,
                                    .worker_name = "test:1",
                                    .spool_directory = w->directory,
                                    .retry = {.base_ms = 1, .cap_ms = 5, .max_attempts = 4},
                                    .visibility_ms = 30000,
                                    .drain_ms = 5000,
                                    .chunk_bytes = 400,
                                    .piece_ms = 60000,
                                    .transcribe_window = 2,
                                    .summary_max_bytes = MIB(1)};
    *state = w;
    return 0;
}

int world_close(void **state)
{
    struct world *w = *state;
    char command[128];
    processor_stop(w->processor);
    w->ports.database.ops->close(w->ports.database.ctx);
    w->ports.queue.ops->close(w->ports.queue.ctx);
    w->ports.store.ops->close(w->ports.store.ctx);
    scripted_provider_close(w->provider);
    if (w->other)
        scripted_provider_close(w->other);
    arena_free(&w->arena);
    snprintf(command, sizeof command, "rm -rf '%s'", w->directory);
    assert_int_equal(0, system(command));
    free(w);
    return 0;
}

void world_start(struct world *w)
{
    assert_int_equal(OK, processor_start(&w->ports, &w->settings, NULL, &w->processor));
}

void world_stop(struct world *w)
{
    processor_stop(w->processor);
    w->processor = NULL;
}

/* ---- putting work in ---- */

struct text_reader {
    const char *text;
    size_t left;
};

static int read_text(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    struct text_reader *r = ctx;
    *got = r->left < capacity ? r->left : capacity;
    memcpy(bytes, r->text, *got);
    r->text += *got;
    r->left -= *got;
    return OK;
}

struct object_info put(struct world *w, const char *key, const char *text)
{
    struct text_reader reader = {.text = text, .left = strlen(text)};
    struct object_source source = {.read = read_text, .ctx = &reader};
    struct object_info info;
    assert_int_equal(
        OK, w->ports.store.ops->put(w->ports.store.ctx, "media", key, NULL, &source, &info));
    return info;
}

struct event_outcome world_record(struct world *w, enum event_kind kind,
                                  const struct object_info *info)
{
    struct media_event event = {.kind = kind,
                                .bucket = info->bucket,
                                .key = info->key,
                                .object_version = info->version_id,
                                .etag = info->etag,
                                .sequencer = info->sequencer,
                                .content_type = "",
                                .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                                .size = info->size,
                                .event_ms = clock_now(w->ports.clock),
                                .content = info->content};
    struct event_outcome outcome;
    assert_int_equal(
        OK, w->ports.database.ops->record_events(w->ports.database.ctx, &event, 1, &outcome));
    return outcome;
}

void send_message(struct world *w, int64_t job_id)
{
    struct job_message m = {.job_id = job_id, .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"};
    char body[JOB_MESSAGE_TEXT];
    struct queue_send s = {.body = body, .length = job_message_format(&m, body)};
    assert_int_equal(OK, w->ports.queue.ops->send(w->ports.queue.ctx, &s, 1, NULL));
}

struct event_outcome add(struct world *w, const char *key, const char *text)
{
    struct object_info info = put(w, key, text);
    struct event_outcome outcome = world_record(w, EVENT_CREATED, &info);
    if (outcome.result == EVENT_JOB_QUEUED)
        send_message(w, outcome.job_id);
    return outcome;
}

/* ---- looking at what came out ---- */

struct job_row job(struct world *w, int64_t job_id)
{
    struct job_row row;
    struct attempt_row *attempts;
    size_t count;
    assert_int_equal(OK, w->ports.database.ops->job_get(w->ports.database.ctx, job_id, &w->arena,
                                                        &row, &attempts, &count));
    return row;
}

void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

struct job_row wait_for_state(struct world *w, int64_t job_id, enum job_state wanted)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    struct job_row row = job(w, job_id);
    while (row.state != wanted && clock_monotonic_ms() < deadline) {
        pause_briefly();
        row = job(w, job_id);
    }
    if (row.state != wanted)
        fail_msg("job %lld is %s (%s: %s), not %s", (long long)job_id, job_state_name(row.state),
                 row.reason, row.message, job_state_name(wanted));
    return row;
}

struct media_row media(struct world *w, int64_t media_id)
{
    struct media_row row;
    assert_int_equal(
        OK, w->ports.database.ops->media_get(w->ports.database.ctx, media_id, &w->arena, &row));
    return row;
}

size_t found(struct world *w, const char *query)
{
    struct arm_hit *hits;
    size_t count;
    assert_int_equal(OK, w->ports.database.ops->search_lexical(w->ports.database.ctx, query,
                                                               &(struct media_filter){0}, 10,
                                                               &w->arena, &hits, &count));
    return count;
}

void wait_for_empty_queue(struct world *w)
{
    struct queue_stats s = {.visible = 1};
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    while (s.visible + s.in_flight + s.delayed > 0 && clock_monotonic_ms() < deadline) {
        pause_briefly();
        assert_int_equal(OK, w->ports.queue.ops->stats(w->ports.queue.ctx, &s));
    }
    assert_int_equal(0, s.visible + s.in_flight + s.delayed);
}

int64_t cost(struct world *w)
{
    struct totals totals;
    assert_int_equal(OK, w->ports.database.ops->totals(w->ports.database.ctx, &totals));
    return totals.cost_nanousd;
}
