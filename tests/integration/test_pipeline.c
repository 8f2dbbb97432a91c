/*
 * The job life cycle end to end: RAM store and queue, the real SQLite database, a scripted
 * provider.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/ram/queue_ram.h"
#include "adapters/ram/store_ram.h"
#include "database/sqlite.h"
#include "media/media.h"
#include "processor/fill.h"
#include "processor/processor.h"
#include "shared/error.h"
#include "shared/job_message.h"
#include "support/scripted_provider.h"

enum { DIMENSION = 16, PATIENCE_MS = 20000, LONGEST_FIRST_PROBE_MS = 1000 };

struct world {
    char directory[64];
    struct processor_ports ports;
    struct processor_settings settings;
    struct scripted_provider *provider;
    struct processor *processor;
    struct arena arena;
};

static struct world *world_of(void **state)
{
    return *state;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->directory, sizeof w->directory, "/tmp/aegis-pipeline.XXXXXX");
    assert_non_null(mkdtemp(w->directory));
    arena_init(&w->arena, MIB(64));
    w->ports.clock = clock_system();
    w->provider = scripted_provider_open(DIMENSION, &w->ports.providers);
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

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];
    processor_stop(w->processor);
    w->ports.database.ops->close(w->ports.database.ctx);
    w->ports.queue.ops->close(w->ports.queue.ctx);
    w->ports.store.ops->close(w->ports.store.ctx);
    scripted_provider_close(w->provider);
    arena_free(&w->arena);
    snprintf(command, sizeof command, "rm -rf '%s'", w->directory);
    assert_int_equal(0, system(command));
    free(w);
    return 0;
}

static void start(struct world *w)
{
    assert_int_equal(OK, processor_start(&w->ports, &w->settings, NULL, &w->processor));
}

static void stop(struct world *w)
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

static struct object_info put(struct world *w, const char *key, const char *text)
{
    struct text_reader reader = {.text = text, .left = strlen(text)};
    struct object_source source = {.read = read_text, .ctx = &reader};
    struct object_info info;
    assert_int_equal(
        OK, w->ports.store.ops->put(w->ports.store.ctx, "media", key, NULL, &source, &info));
    return info;
}

static struct event_outcome record(struct world *w, enum event_kind kind,
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

static void send_message(struct world *w, int64_t job_id)
{
    struct job_message m = {.job_id = job_id, .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"};
    char body[JOB_MESSAGE_TEXT];
    struct queue_send s = {.body = body, .length = job_message_format(&m, body)};
    assert_int_equal(OK, w->ports.queue.ops->send(w->ports.queue.ctx, &s, 1, NULL));
}

static struct event_outcome add(struct world *w, const char *key, const char *text)
{
    struct object_info info = put(w, key, text);
    struct event_outcome outcome = record(w, EVENT_CREATED, &info);
    if (outcome.result == EVENT_JOB_QUEUED)
        send_message(w, outcome.job_id);
    return outcome;
}

/* ---- looking at what came out ---- */

static struct job_row job(struct world *w, int64_t job_id)
{
    struct job_row row;
    struct attempt_row *attempts;
    size_t count;
    assert_int_equal(OK, w->ports.database.ops->job_get(w->ports.database.ctx, job_id, &w->arena,
                                                        &row, &attempts, &count));
    return row;
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static struct job_row wait_for_state(struct world *w, int64_t job_id, enum job_state wanted)
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

static struct media_row media(struct world *w, int64_t media_id)
{
    struct media_row row;
    assert_int_equal(
        OK, w->ports.database.ops->media_get(w->ports.database.ctx, media_id, &w->arena, &row));
    return row;
}

static size_t found(struct world *w, const char *query)
{
    struct arm_hit *hits;
    size_t count;
    assert_int_equal(OK, w->ports.database.ops->search_lexical(w->ports.database.ctx, query,
                                                               &(struct media_filter){0}, 10,
                                                               &w->arena, &hits, &count));
    return count;
}

static void wait_for_empty_queue(struct world *w)
{
    struct queue_stats s = {.visible = 1};
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    while (s.visible + s.in_flight + s.delayed > 0 && clock_monotonic_ms() < deadline) {
        pause_briefly();
        assert_int_equal(OK, w->ports.queue.ops->stats(w->ports.queue.ctx, &s));
    }
    assert_int_equal(0, s.visible + s.in_flight + s.delayed);
}

static const char TEXT[] = "The lighthouse keeper wrote about storms. "
                           "Every night he counted the ships that passed the rocks.\n\n"
                           "In spring the harbour froze and nobody sailed.\n";

/* ---- the tests ---- */

static void a_text_becomes_searchable(void **state)
{
    struct world *w = world_of(state);
    start(w);
    struct event_outcome o = add(w, "notes/keeper.txt", TEXT);
    assert_int_equal(EVENT_JOB_QUEUED, o.result);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    struct media_row m = media(w, o.media_id);
    assert_string_equal("text", m.kind);
    assert_string_equal("Scripted title", m.title);
    assert_string_equal("en", m.language);
    assert_int_equal(1, m.chunk_count);
    assert_int_equal(2000, m.cost_nanousd);
    struct summary s;
    assert_int_equal(
        OK, w->ports.database.ops->summary_get(w->ports.database.ctx, o.media_id, &w->arena, &s));
    assert_string_equal("About: The lighthouse keeper wrote about storms", s.abstract);
    assert_int_equal(1, found(w, "lighthouse"));
    assert_int_equal(0, found(w, "submarine"));
    wait_for_empty_queue(w);
}

static void the_same_object_twice_is_one_job(void **state)
{
    struct world *w = world_of(state);
    start(w);
    struct object_info info = put(w, "a.txt", TEXT);
    struct event_outcome first = record(w, EVENT_CREATED, &info),
                         second = record(w, EVENT_CREATED, &info);
    assert_int_equal(EVENT_JOB_QUEUED, first.result);
    assert_int_equal(EVENT_DUPLICATE, second.result);
    assert_int_equal(first.job_id, second.job_id);
    send_message(w, first.job_id);
    send_message(w, first.job_id); /* delivered twice as well */
    wait_for_state(w, first.job_id, JOB_SUCCEEDED);
    wait_for_empty_queue(w);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_EMBED).calls);
}

static void identical_content_is_paid_for_once(void **state)
{
    struct world *w = world_of(state);
    char key[32];
    int64_t jobs[12];
    for (int i = 0; i < 12; i++) {
        snprintf(key, sizeof key, "copy-%d.txt", i);
        jobs[i] = add(w, key, TEXT).job_id;
    }
    start(w); /* all at once: concurrent copies wait for the first */
    for (int i = 0; i < 12; i++)
        wait_for_state(w, jobs[i], JOB_SUCCEEDED);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_EMBED).calls);
}

static void a_transient_failure_is_retried_from_its_stage(void **state)
{
    struct world *w = world_of(state);
    scripted_fail(w->provider, MODEL_EMBED, 0, 2, ERR_TRANSIENT, "server_error");
    start(w);
    struct event_outcome o = add(w, "retry.txt", TEXT);
    struct job_row row = wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    assert_int_equal(3, row.attempts);
    assert_int_equal(3, scripted_counts(w->provider, MODEL_EMBED).calls);
    assert_int_equal(
        1, scripted_counts(w->provider, MODEL_SUMMARISE).calls); /* its checkpoint served */
}

static void attempts_run_out_into_the_dead_letters_and_redrive(void **state)
{
    struct world *w = world_of(state);
    scripted_fail(w->provider, MODEL_SUMMARISE, 0, -1, ERR_TRANSIENT, "server_error");
    start(w);
    struct event_outcome o = add(w, "dead.txt", TEXT);
    struct job_row row = wait_for_state(w, o.job_id, JOB_DEAD);
    assert_int_equal(4, row.attempts);
    assert_string_equal("server_error", row.reason);
    assert_string_equal("summarise", row.stage);
    wait_for_empty_queue(w);
    struct queue_dead_letter *dead;
    size_t count;
    assert_int_equal(
        OK, w->ports.queue.ops->dead_list(w->ports.queue.ctx, "", 10, &w->arena, &dead, &count));
    assert_int_equal(1, count);
    assert_string_equal("server_error", dead[0].reason);

    scripted_heal(w->provider, MODEL_SUMMARISE);
    assert_int_equal(OK, w->ports.database.ops->redrive(w->ports.database.ctx, o.job_id));
    int64_t moved;
    assert_int_equal(OK, w->ports.queue.ops->dead_redrive(w->ports.queue.ctx, NULL, 0, &moved));
    assert_int_equal(1, moved);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
}

static void a_permanent_failure_is_dead_at_once(void **state)
{
    struct world *w = world_of(state);
    scripted_fail(w->provider, MODEL_SUMMARISE, 0, 1, ERR_PERMANENT, "refused");
    start(w);
    struct event_outcome o = add(w, "refused.txt", TEXT);
    struct job_row row = wait_for_state(w, o.job_id, JOB_DEAD);
    assert_int_equal(1, row.attempts);
    assert_string_equal("refused", row.reason);
    struct event_outcome other = add(w, "fine.txt", "Another text that nobody refuses.");
    wait_for_state(w, other.job_id, JOB_SUCCEEDED);
}

static void a_text_over_the_limit_is_dead_before_anything_is_paid(void **state)
{
    struct world *w = world_of(state);
    w->settings.text_bytes = (int64_t)sizeof TEXT - 2;
    start(w);
    struct job_row row = wait_for_state(w, add(w, "long.txt", TEXT).job_id, JOB_DEAD);
    assert_string_equal("too_large", row.reason);
    assert_string_equal("extract", row.stage);
    assert_int_equal(1, row.attempts);
    assert_int_equal(0, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(0, scripted_counts(w->provider, MODEL_EMBED).calls);
    wait_for_state(w, add(w, "short.txt", TEXT + 20).job_id, JOB_SUCCEEDED);
}

static void a_systemic_failure_pauses_and_burns_no_attempt(void **state)
{
    struct world *w = world_of(state);
    const char *reason, *message;
    int64_t since, jobs[6];
    char key[32], text[64];
    scripted_fail(w->provider, MODEL_SUMMARISE, 0, -1, ERR_SYSTEMIC, "invalid_key");
    start(w);
    for (int i = 0; i < 6; i++) {
        snprintf(key, sizeof key, "paused-%d.txt", i);
        snprintf(text, sizeof text, "Text number %d about the harbour.", i);
        jobs[i] = add(w, key, text).job_id;
    }
    wait_for_state(w, jobs[0], JOB_PAUSED);
    assert_int_equal(OK, w->ports.database.ops->pause_get(w->ports.database.ctx, &w->arena, &reason,
                                                          &message, &since));
    assert_string_equal("invalid_key", reason);
    scripted_heal(w->provider, MODEL_SUMMARISE);
    for (int i = 0; i < 6; i++)
        assert_int_equal(1, wait_for_state(w, jobs[i], JOB_SUCCEEDED).attempts);
    assert_int_equal(OK, w->ports.database.ops->pause_get(w->ports.database.ctx, &w->arena, &reason,
                                                          &message, &since));
    assert_string_equal("", reason);
}

static struct {
    struct database real;
    struct database_ops ops;
    atomic_int resumes;
} slow;

/* Telling of the pause takes longer than the pause lasts, unless its end waits to be told. */
static int pause_set_slowly(void *ctx, const char *reason, const char *message)
{
    int64_t deadline = clock_monotonic_ms() + 2 * LONGEST_FIRST_PROBE_MS;
    if (!reason[0])
        atomic_fetch_add(&slow.resumes, 1);
    while (reason[0] && !atomic_load(&slow.resumes) && clock_monotonic_ms() < deadline)
        pause_briefly();
    return slow.real.ops->pause_set(ctx, reason, message);
}

static void the_end_of_a_pause_is_told_after_its_beginning(void **state)
{
    struct world *w = world_of(state);
    const char *reason, *message;
    int64_t since;
    slow.real = w->ports.database;
    slow.ops = *slow.real.ops;
    slow.ops.pause_set = pause_set_slowly;
    w->ports.database.ops = &slow.ops;
    scripted_fail(w->provider, MODEL_SUMMARISE, 0, 2, ERR_SYSTEMIC, "invalid_key");
    int64_t first = add(w, "first.txt", TEXT).job_id;
    int64_t second = add(w, "second.txt", TEXT + 20).job_id;
    start(w);
    wait_for_state(w, first, JOB_SUCCEEDED);
    wait_for_state(w, second, JOB_SUCCEEDED);
    stop(w);
    w->ports.database = slow.real;
    assert_int_equal(OK, w->ports.database.ops->pause_get(w->ports.database.ctx, &w->arena, &reason,
                                                          &message, &since));
    assert_string_equal("", reason);
}

static void draining_gives_back_what_does_not_finish(void **state)
{
    struct world *w = world_of(state);
    w->settings.drain_ms = 20;
    scripted_close_gate(w->provider, MODEL_SUMMARISE);
    start(w);
    struct event_outcome o = add(w, "slow.txt", TEXT);
    while (scripted_counts(w->provider, MODEL_SUMMARISE).waiting == 0)
        pause_briefly();
    stop(w);
    assert_int_equal(JOB_QUEUED, job(w, o.job_id).state);
    struct queue_stats s;
    assert_int_equal(OK, w->ports.queue.ops->stats(w->ports.queue.ctx, &s));
    assert_int_equal(1, s.visible);
    scripted_open_gate(w->provider, MODEL_SUMMARISE);
    start(w);
    assert_int_equal(1, wait_for_state(w, o.job_id, JOB_SUCCEEDED).attempts);
}

static void a_newer_version_replaces_the_older_when_ready(void **state)
{
    struct world *w = world_of(state);
    start(w);
    struct event_outcome old = add(w, "page.txt", "The old words speak of a windmill.");
    wait_for_state(w, old.job_id, JOB_SUCCEEDED);
    scripted_close_gate(w->provider, MODEL_EMBED);
    struct event_outcome newer = add(w, "page.txt", "The new words speak of a volcano.");
    assert_int_equal(old.media_id, newer.media_id);
    while (scripted_counts(w->provider, MODEL_EMBED).waiting == 0)
        pause_briefly();
    assert_int_equal(1, found(w, "windmill")); /* still served */
    assert_int_equal(0, found(w, "volcano"));
    scripted_open_gate(w->provider, MODEL_EMBED);
    wait_for_state(w, newer.job_id, JOB_SUCCEEDED);
    assert_int_equal(0, found(w, "windmill"));
    assert_int_equal(1, found(w, "volcano"));
}

static void a_removed_object_leaves_the_index(void **state)
{
    struct world *w = world_of(state);
    start(w);
    struct event_outcome o = add(w, "gone.txt", TEXT);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    struct object_info removal;
    assert_int_equal(OK,
                     w->ports.store.ops->remove(w->ports.store.ctx, "media", "gone.txt", &removal));
    assert_int_equal(EVENT_MEDIA_REMOVED, record(w, EVENT_REMOVED, &removal).result);
    assert_int_equal(0, found(w, "lighthouse"));
}

static void an_object_deleted_before_the_fetch_is_a_dead_letter(void **state)
{
    struct world *w = world_of(state);
    struct event_outcome o = add(w, "vanished.txt", TEXT);
    assert_int_equal(OK,
                     w->ports.store.ops->remove(w->ports.store.ctx, "media", "vanished.txt", NULL));
    start(w);
    assert_string_equal("object_missing", wait_for_state(w, o.job_id, JOB_DEAD).reason);
}

static void an_empty_object_is_an_outcome(void **state)
{
    struct world *w = world_of(state);
    start(w);
    struct event_outcome o = add(w, "empty.txt", "");
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    assert_int_equal(OUTCOME_EMPTY, media(w, o.media_id).outcome);
    assert_int_equal(0, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
}

/* About `paragraphs` chunks, no two alike. The caller frees it. */
static char *long_text(int paragraphs)
{
    size_t room = (size_t)paragraphs * 500 + 1, at = 0;
    char *text = malloc(room);
    for (int i = 0; i < paragraphs; i++)
        for (int j = 0; j < 6; j++)
            at += (size_t)snprintf(text + at, room - at,
                                   "Sentence %d of paragraph %d tells about item %d.%s", j, i,
                                   i * 7 + j, j == 5 ? "\n\n" : " ");
    return text;
}

static void a_large_text_resumes_where_it_failed(void **state)
{
    struct world *w = world_of(state);
    char *text = long_text(500);
    scripted_fail(w->provider, MODEL_EMBED, 3, 1, ERR_TRANSIENT, "server_error");
    start(w);
    struct event_outcome o = add(w, "long.txt", text);
    free(text);
    assert_int_equal(2, wait_for_state(w, o.job_id, JOB_SUCCEEDED).attempts);
    struct media_row m = media(w, o.media_id);
    assert_true(m.chunk_count > 200);
    assert_int_equal(m.chunk_count, scripted_counts(w->provider, MODEL_EMBED).inputs);
    assert_true(found(w, "\"paragraph 499\"") >= 1);
}

static void a_new_summary_model_pays_for_summaries_only(void **state)
{
    struct world *w = world_of(state);
    start(w);
    struct event_outcome o = add(w, "switch.txt", TEXT);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    stop(w);
    scripted_set_model(w->provider, MODEL_SUMMARISE, "better");
    struct job_row *rows;
    size_t count;
    assert_int_equal(OK, w->ports.database.ops->reprocess(w->ports.database.ctx,
                                                          &(struct media_filter){0}, 0, 10,
                                                          &w->arena, &rows, &count));
    assert_int_equal(1, count);
    send_message(w, rows[0].job_id);
    start(w);
    wait_for_state(w, rows[0].job_id, JOB_SUCCEEDED);
    assert_int_equal(2, scripted_counts(w->provider, MODEL_SUMMARISE).answered);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_EMBED).answered);
    assert_non_null(strstr(media(w, o.media_id).stages_json, "better"));
    assert_int_equal(1, found(w, "lighthouse"));
}

static void a_budget_pauses(void **state)
{
    struct world *w = world_of(state);
    w->settings.budget_nanousd = 2000; /* one text */
    start(w);
    struct event_outcome o = add(w, "first.txt", TEXT);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    struct event_outcome next = add(w, "second.txt", "Something else entirely.");
    assert_string_equal("budget_reached", wait_for_state(w, next.job_id, JOB_PAUSED).reason);
    stop(w);
    w->settings.budget_nanousd = 0;
    start(w);
    wait_for_state(w, next.job_id, JOB_SUCCEEDED);
}

static void a_lost_message_is_sent_again(void **state)
{
    struct world *w = world_of(state);
    w->settings.visibility_ms = 50;
    struct object_info info = put(w, "stranded.txt", TEXT);
    struct event_outcome o = record(w, EVENT_CREATED, &info); /* and no message */
    start(w);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
}

/* Counts what the keeper does about messages that the queue gave up on. */
static struct watched {
    struct database database;
    struct job_queue queue;
    struct database_ops database_ops;
    struct job_queue_ops queue_ops;
    atomic_int marks, looks;
    atomic_llong now_ms;
} watched;

static int64_t watched_now(void *ctx)
{
    (void)ctx;
    return atomic_load(&watched.now_ms);
}

static int watched_mark_dead(void *ctx, int64_t job_id, const char *reason, const char *message)
{
    atomic_fetch_add(&watched.marks, 1);
    return watched.database.ops->mark_dead(ctx, job_id, reason, message);
}

static int watched_dead_since(void *ctx, int64_t since_ms, const char *after, size_t limit,
                              struct arena *arena, struct queue_dead_letter **out, size_t *count)
{
    atomic_fetch_add(&watched.looks, 1);
    return watched.queue.ops->dead_since(ctx, since_ms, after, limit, arena, out, count);
}

static void watch(struct world *w)
{
    static const struct clock clock = {.now = watched_now};
    struct ram_queue_options options = {.max_receives = 20, .clock = &clock};
    atomic_store(&watched.now_ms, clock_now(clock_system()));
    atomic_store(&watched.marks, 0);
    atomic_store(&watched.looks, 0);
    w->ports.queue.ops->close(w->ports.queue.ctx);
    assert_int_equal(OK, ram_queue_open(&options, &w->ports.queue));
    watched.database = w->ports.database;
    watched.queue = w->ports.queue;
    watched.database_ops = *w->ports.database.ops;
    watched.queue_ops = *w->ports.queue.ops;
    watched.database_ops.mark_dead = watched_mark_dead;
    watched.queue_ops.dead_since = watched_dead_since;
    w->ports.database.ops = &watched.database_ops;
    w->ports.queue.ops = &watched.queue_ops;
}

static int64_t give_up(struct world *w, const char *key)
{
    struct queue_message *m;
    size_t count;
    int64_t job_id = add(w, key, TEXT).job_id;
    assert_int_equal(OK, w->ports.queue.ops->receive(w->ports.queue.ctx, 1, 60000, 0, NULL,
                                                     &w->arena, &m, &count));
    assert_int_equal(1, count);
    assert_int_equal(
        OK, w->ports.queue.ops->bury(w->ports.queue.ctx, m[0].receipt, "max_receives", ""));
    return job_id;
}

static void wait_for_looks(int more)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    int wanted = atomic_load(&watched.looks) + more;
    while (atomic_load(&watched.looks) < wanted && clock_monotonic_ms() < deadline)
        pause_briefly();
    assert_true(atomic_load(&watched.looks) >= wanted);
}

static void what_the_queue_gave_up_on_is_marked_dead_once(void **state)
{
    struct world *w = world_of(state);
    watch(w);
    w->settings.rescue_ms = 10;
    int64_t first = give_up(w, "first.txt"), second = give_up(w, "second.txt");
    atomic_fetch_add(&watched.now_ms, 600000);
    int64_t third = give_up(w, "third.txt");
    start(w);
    assert_string_equal("max_receives", wait_for_state(w, first, JOB_DEAD).reason);
    wait_for_state(w, second, JOB_DEAD);
    wait_for_state(w, third, JOB_DEAD);
    wait_for_looks(2); /* all three have been seen; the last minutes' are looked at again */
    int marks = atomic_load(&watched.marks), looks = atomic_load(&watched.looks);
    wait_for_looks(5);
    stop(w);
    assert_true(atomic_load(&watched.marks) - marks <= atomic_load(&watched.looks) - looks + 1);
}

static void many_jobs_are_each_done_once(void **state)
{
    struct world *w = world_of(state);
    enum { COUNT = 300 };
    static int64_t jobs[COUNT];
    char key[32], text[64];
    w->settings.workers = 32;
    struct processor *other;
    struct processor_settings settings = w->settings;
    settings.worker_name = "test:2";
    start(w);
    assert_int_equal(OK, processor_start(&w->ports, &settings, NULL, &other));
    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "many/%d.txt", i);
        snprintf(text, sizeof text, "Document number %d of many.", i);
        jobs[i] = add(w, key, text).job_id;
    }
    for (int i = 0; i < COUNT; i++)
        wait_for_state(w, jobs[i], JOB_SUCCEEDED);
    processor_stop(other);
    assert_int_equal(COUNT, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(COUNT, scripted_counts(w->provider, MODEL_EMBED).calls);
    wait_for_empty_queue(w);
}

/* ---- checkpoints that wait for the publication ---- */

static int64_t cost(struct world *w)
{
    struct totals totals;
    assert_int_equal(OK, w->ports.database.ops->totals(w->ports.database.ctx, &totals));
    return totals.cost_nanousd;
}

static void a_summary_is_kept_while_its_embeddings_take_long(void **state)
{
    struct world *w = world_of(state);
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    w->settings.drain_ms = 0;
    scripted_close_gate(w->provider, MODEL_EMBED);
    start(w);
    struct event_outcome o = add(w, "slow.txt", TEXT);
    while (cost(w) == 0 && clock_monotonic_ms() < deadline)
        pause_briefly(); /* what the summary cost is recorded with its checkpoint */
    assert_int_equal(1000, cost(w));
    assert_int_equal(JOB_RUNNING, job(w, o.job_id).state);
    stop(w); /* gives it back */
    scripted_open_gate(w->provider, MODEL_EMBED);
    start(w);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(2000, cost(w));
}

/* A job has nothing to do, for the old model serves; filling pays for the embeddings alone. */
static void another_embedding_model_does_not_pay_for_the_summary(void **state)
{
    struct world *w = world_of(state);
    struct job_row *jobs;
    struct serving_space serving;
    struct fill_state filled;
    struct fill_options options = {.ports = &w->ports, .settings = &w->settings};
    size_t count;
    start(w);
    struct event_outcome o = add(w, "again.txt", TEXT);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    scripted_set_model(w->provider, MODEL_EMBED, "another");
    assert_int_equal(OK, w->ports.database.ops->reprocess(w->ports.database.ctx,
                                                          &(struct media_filter){0}, 0, 10,
                                                          &w->arena, &jobs, &count));
    assert_int_equal(1, count);
    send_message(w, jobs[0].job_id);
    wait_for_state(w, jobs[0].job_id, JOB_SUCCEEDED);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_EMBED).calls);
    assert_int_equal(OK, embedder_configured(&w->ports.providers, &options.embedder));
    assert_int_equal(OK, fill_run(&options, &filled));
    assert_int_equal(1, filled.calls);
    assert_int_equal(OK, w->ports.database.ops->space_serving(w->ports.database.ctx, &serving));
    assert_string_equal("another", serving.space.model);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(2, scripted_counts(w->provider, MODEL_EMBED).calls);
    assert_string_equal("Scripted title", media(w, o.media_id).title);
    assert_int_equal(1000, media(w, o.media_id).summary_coverage_permille);
    assert_int_equal(3000, cost(w));
}

/* The database as it is, but for publications that fail. */
static struct {
    struct database real;
    struct database_ops ops;
    int failures; /* left */
} failing;

static int publish_or_fail(void *ctx, const struct publication *publication)
{
    if (failing.failures > 0) {
        failing.failures--;
        return error_set(ERR_TRANSIENT, "database_busy", "not now");
    }
    return failing.real.ops->publish(ctx, publication);
}

static struct job_row publish_after_failures(struct world *w, int failures)
{
    failing.real = w->ports.database;
    failing.ops = *failing.real.ops;
    failing.ops.publish = publish_or_fail;
    failing.failures = failures;
    w->ports.database.ops = &failing.ops;
    start(w);
    struct job_row row = wait_for_state(w, add(w, "unlucky.txt", TEXT).job_id, JOB_SUCCEEDED);
    stop(w);
    w->ports.database = failing.real;
    return row;
}

static void a_publication_is_tried_again_within_its_attempt(void **state)
{
    struct world *w = world_of(state);
    assert_int_equal(1, publish_after_failures(w, 3).attempts);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_EMBED).calls);
    assert_int_equal(2000, cost(w));
}

static void a_summary_outlives_an_attempt_that_could_not_publish(void **state)
{
    struct world *w = world_of(state);
    assert_int_equal(2, publish_after_failures(w, 4).attempts);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(2, scripted_counts(w->provider, MODEL_EMBED).calls);
    assert_int_equal(3000, cost(w));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        TEST(a_text_becomes_searchable),
        TEST(the_same_object_twice_is_one_job),
        TEST(identical_content_is_paid_for_once),
        TEST(a_transient_failure_is_retried_from_its_stage),
        TEST(a_summary_is_kept_while_its_embeddings_take_long),
        TEST(another_embedding_model_does_not_pay_for_the_summary),
        TEST(a_publication_is_tried_again_within_its_attempt),
        TEST(a_summary_outlives_an_attempt_that_could_not_publish),
        TEST(attempts_run_out_into_the_dead_letters_and_redrive),
        TEST(a_permanent_failure_is_dead_at_once),
        TEST(a_text_over_the_limit_is_dead_before_anything_is_paid),
        TEST(a_systemic_failure_pauses_and_burns_no_attempt),
        TEST(the_end_of_a_pause_is_told_after_its_beginning),
        TEST(draining_gives_back_what_does_not_finish),
        TEST(a_newer_version_replaces_the_older_when_ready),
        TEST(a_removed_object_leaves_the_index),
        TEST(an_object_deleted_before_the_fetch_is_a_dead_letter),
        TEST(an_empty_object_is_an_outcome),
        TEST(a_large_text_resumes_where_it_failed),
        TEST(a_new_summary_model_pays_for_summaries_only),
        TEST(a_budget_pauses),
        TEST(a_lost_message_is_sent_again),
        TEST(what_the_queue_gave_up_on_is_marked_dead_once),
        TEST(many_jobs_are_each_done_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
