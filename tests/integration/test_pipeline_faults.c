/* What goes wrong around the jobs: provider, queue, database, the end of the process. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "adapters/ram/queue_ram.h"
#include "media/media.h"
#include "shared/file.h"
#include "shared/log.h"
#include "support/pipeline_fixture.h"

enum { LONGEST_FIRST_PROBE_MS = 1000 };

/* ---- the pause ---- */

static void a_systemic_failure_pauses_and_burns_no_attempt(void **state)
{
    struct world *w = world_of(state);
    const char *reason, *message;
    int64_t since, jobs[6];
    char key[32], text[64];
    scripted_fail(w->provider, MODEL_SUMMARISE, 0, -1, ERR_SYSTEMIC, "invalid_key");
    world_start(w);
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
    world_start(w);
    wait_for_state(w, first, JOB_SUCCEEDED);
    wait_for_state(w, second, JOB_SUCCEEDED);
    world_stop(w);
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
    world_start(w);
    struct event_outcome o = add(w, "slow.txt", TEXT);
    while (scripted_counts(w->provider, MODEL_SUMMARISE).waiting == 0)
        pause_briefly();
    world_stop(w);
    assert_int_equal(JOB_QUEUED, job(w, o.job_id).state);
    struct queue_stats s;
    assert_int_equal(OK, w->ports.queue.ops->stats(w->ports.queue.ctx, &s));
    assert_int_equal(1, s.visible);
    scripted_open_gate(w->provider, MODEL_SUMMARISE);
    world_start(w);
    assert_int_equal(1, wait_for_state(w, o.job_id, JOB_SUCCEEDED).attempts);
}

static void a_budget_pauses(void **state)
{
    struct world *w = world_of(state);
    w->settings.budget_nanousd = 2000; /* one text */
    world_start(w);
    struct event_outcome o = add(w, "first.txt", TEXT);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    struct event_outcome next = add(w, "second.txt", "Something else entirely.");
    assert_string_equal("budget_reached", wait_for_state(w, next.job_id, JOB_PAUSED).reason);
    world_stop(w);
    w->settings.budget_nanousd = 0;
    world_start(w);
    wait_for_state(w, next.job_id, JOB_SUCCEEDED);
}

/* ---- the queue ---- */

static void a_lost_message_is_sent_again(void **state)
{
    struct world *w = world_of(state);
    w->settings.visibility_ms = 50;
    struct object_info info = put(w, "stranded.txt", TEXT);
    struct event_outcome o = world_record(w, EVENT_CREATED, &info); /* and no message */
    world_start(w);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
}

/* As when the database was restored and is older than the queue. */
static void a_message_of_no_job_is_told_and_goes(void **state)
{
    struct world *w = world_of(state);
    struct buffer log;
    char path[] = "/tmp/aegis-log-XXXXXX";
    int fd = mkstemp(path);
    bool visible = true, any = true;
    assert_true(fd >= 0);
    log_configure(LOG_INFO, LOG_JSON, fd);
    send_message(w, 424242);
    world_start(w);
    while (any) {
        pause_briefly();
        assert_int_equal(w->ports.queue.ops->pending(w->ports.queue.ctx, &visible, &any), OK);
    }
    world_stop(w);
    log_configure(LOG_INFO, LOG_TEXT, STDERR_FILENO);
    buffer_init(&log, KIB(64));
    assert_int_equal(file_read(path, &log), OK);
    assert_non_null(strstr(buffer_string(&log), "\"event\":\"message.orphaned\",\"job\":424242"));
    buffer_free(&log);
    close(fd);
    unlink(path);
}

/* Counts what the keeper does about messages that the queue gave up on. */
static struct watched {
    struct database database;
    struct job_queue queue;
    struct database_ops database_ops;
    struct job_queue_ops queue_ops;
    atomic_int marks, looks, turns;
    bool dear;
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

/* The keeper asks at each of its turns. */
static void watched_limits(void *ctx, struct queue_limits *out)
{
    watched.queue.ops->limits(ctx, out);
    out->dear_letters = watched.dear;
    atomic_fetch_add(&watched.turns, 1);
}

static void watch(struct world *w)
{
    static const struct clock clock = {.now = watched_now};
    struct ram_queue_options options = {.max_receives = 20, .clock = &clock};
    atomic_store(&watched.now_ms, clock_now(clock_system()));
    atomic_store(&watched.marks, 0);
    atomic_store(&watched.looks, 0);
    atomic_store(&watched.turns, 0);
    watched.dear = false;
    w->ports.queue.ops->close(w->ports.queue.ctx);
    assert_int_equal(OK, ram_queue_open(&options, &w->ports.queue));
    watched.database = w->ports.database;
    watched.queue = w->ports.queue;
    watched.database_ops = *w->ports.database.ops;
    watched.queue_ops = *w->ports.queue.ops;
    watched.database_ops.mark_dead = watched_mark_dead;
    watched.queue_ops.dead_since = watched_dead_since;
    watched.queue_ops.limits = watched_limits;
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
    world_start(w);
    assert_string_equal("max_receives", wait_for_state(w, first, JOB_DEAD).reason);
    wait_for_state(w, second, JOB_DEAD);
    wait_for_state(w, third, JOB_DEAD);
    wait_for_looks(2); /* all three have been seen; the last minutes' are looked at again */
    int marks = atomic_load(&watched.marks), looks = atomic_load(&watched.looks);
    wait_for_looks(5);
    world_stop(w);
    assert_true(atomic_load(&watched.marks) - marks <= atomic_load(&watched.looks) - looks + 1);
}

static void dear_dead_letters_are_seldom_listed(void **state)
{
    enum { TURNS = 45, ONE_OF = 20 };
    struct world *w = world_of(state);
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    watch(w);
    watched.dear = true;
    w->settings.rescue_ms = 1;
    world_start(w);
    while (atomic_load(&watched.turns) < TURNS && clock_monotonic_ms() < deadline)
        pause_briefly();
    world_stop(w);
    assert_true(atomic_load(&watched.turns) >= TURNS);
    assert_true(atomic_load(&watched.looks) >= 1);
    assert_true(atomic_load(&watched.looks) <= atomic_load(&watched.turns) / ONE_OF + 1);
}

/* ---- the publication ---- */

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
    world_start(w);
    struct job_row row = wait_for_state(w, add(w, "unlucky.txt", TEXT).job_id, JOB_SUCCEEDED);
    world_stop(w);
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

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_systemic_failure_pauses_and_burns_no_attempt),
        WORLD_TEST(the_end_of_a_pause_is_told_after_its_beginning),
        WORLD_TEST(draining_gives_back_what_does_not_finish),
        WORLD_TEST(a_budget_pauses),
        WORLD_TEST(a_lost_message_is_sent_again),
        WORLD_TEST(a_message_of_no_job_is_told_and_goes),
        WORLD_TEST(what_the_queue_gave_up_on_is_marked_dead_once),
        WORLD_TEST(dear_dead_letters_are_seldom_listed),
        WORLD_TEST(a_publication_is_tried_again_within_its_attempt),
        WORLD_TEST(a_summary_outlives_an_attempt_that_could_not_publish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
