/*
 * The job life cycle end to end: RAM store and queue, the real SQLite database, a scripted
 * provider.
 */
#include <stdio.h>
#include <stdlib.h>

#include "media/media.h"
#include "processor/fill.h"
#include "support/pipeline_fixture.h"

static void a_text_becomes_searchable(void **state)
{
    struct world *w = world_of(state);
    world_start(w);
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
    world_start(w);
    struct object_info info = put(w, "a.txt", TEXT);
    struct event_outcome first = world_record(w, EVENT_CREATED, &info),
                         second = world_record(w, EVENT_CREATED, &info);
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
    world_start(w); /* all at once: concurrent copies wait for the first */
    for (int i = 0; i < 12; i++)
        wait_for_state(w, jobs[i], JOB_SUCCEEDED);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_EMBED).calls);
}

static void a_transient_failure_is_retried_from_its_stage(void **state)
{
    struct world *w = world_of(state);
    scripted_fail(w->provider, MODEL_EMBED, 0, 2, ERR_TRANSIENT, "server_error");
    world_start(w);
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
    world_start(w);
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
    world_start(w);
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
    w->settings.text_bytes = (int64_t)strlen(TEXT) - 1;
    world_start(w);
    struct job_row row = wait_for_state(w, add(w, "long.txt", TEXT).job_id, JOB_DEAD);
    assert_string_equal("too_large", row.reason);
    assert_string_equal("extract", row.stage);
    assert_int_equal(1, row.attempts);
    assert_int_equal(0, scripted_counts(w->provider, MODEL_SUMMARISE).calls);
    assert_int_equal(0, scripted_counts(w->provider, MODEL_EMBED).calls);
    wait_for_state(w, add(w, "short.txt", TEXT + 20).job_id, JOB_SUCCEEDED);
}

static void a_newer_version_replaces_the_older_when_ready(void **state)
{
    struct world *w = world_of(state);
    world_start(w);
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
    world_start(w);
    struct event_outcome o = add(w, "gone.txt", TEXT);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    struct object_info removal;
    assert_int_equal(OK,
                     w->ports.store.ops->remove(w->ports.store.ctx, "media", "gone.txt", &removal));
    assert_int_equal(EVENT_MEDIA_REMOVED, world_record(w, EVENT_REMOVED, &removal).result);
    assert_int_equal(0, found(w, "lighthouse"));
}

static void an_object_deleted_before_the_fetch_is_a_dead_letter(void **state)
{
    struct world *w = world_of(state);
    struct event_outcome o = add(w, "vanished.txt", TEXT);
    assert_int_equal(OK,
                     w->ports.store.ops->remove(w->ports.store.ctx, "media", "vanished.txt", NULL));
    world_start(w);
    assert_string_equal("object_missing", wait_for_state(w, o.job_id, JOB_DEAD).reason);
}

static void an_empty_object_is_an_outcome(void **state)
{
    struct world *w = world_of(state);
    world_start(w);
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
    world_start(w);
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
    world_start(w);
    struct event_outcome o = add(w, "switch.txt", TEXT);
    wait_for_state(w, o.job_id, JOB_SUCCEEDED);
    world_stop(w);
    scripted_set_model(w->provider, MODEL_SUMMARISE, "better");
    struct job_row *rows;
    size_t count;
    assert_int_equal(OK, w->ports.database.ops->reprocess(w->ports.database.ctx,
                                                          &(struct media_filter){0}, 0, 10,
                                                          &w->arena, &rows, &count));
    assert_int_equal(1, count);
    send_message(w, rows[0].job_id);
    world_start(w);
    wait_for_state(w, rows[0].job_id, JOB_SUCCEEDED);
    assert_int_equal(2, scripted_counts(w->provider, MODEL_SUMMARISE).answered);
    assert_int_equal(1, scripted_counts(w->provider, MODEL_EMBED).answered);
    assert_non_null(strstr(media(w, o.media_id).stages_json, "better"));
    assert_int_equal(1, found(w, "lighthouse"));
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
    world_start(w);
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

static void a_summary_is_kept_while_its_embeddings_take_long(void **state)
{
    struct world *w = world_of(state);
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    w->settings.drain_ms = 0;
    scripted_close_gate(w->provider, MODEL_EMBED);
    world_start(w);
    struct event_outcome o = add(w, "slow.txt", TEXT);
    while (cost(w) == 0 && clock_monotonic_ms() < deadline)
        pause_briefly(); /* what the summary cost is recorded with its checkpoint */
    assert_int_equal(1000, cost(w));
    assert_int_equal(JOB_RUNNING, job(w, o.job_id).state);
    world_stop(w); /* gives it back */
    scripted_open_gate(w->provider, MODEL_EMBED);
    world_start(w);
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
    world_start(w);
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

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_text_becomes_searchable),
        WORLD_TEST(the_same_object_twice_is_one_job),
        WORLD_TEST(identical_content_is_paid_for_once),
        WORLD_TEST(a_transient_failure_is_retried_from_its_stage),
        WORLD_TEST(a_summary_is_kept_while_its_embeddings_take_long),
        WORLD_TEST(another_embedding_model_does_not_pay_for_the_summary),
        WORLD_TEST(attempts_run_out_into_the_dead_letters_and_redrive),
        WORLD_TEST(a_permanent_failure_is_dead_at_once),
        WORLD_TEST(a_text_over_the_limit_is_dead_before_anything_is_paid),
        WORLD_TEST(a_newer_version_replaces_the_older_when_ready),
        WORLD_TEST(a_removed_object_leaves_the_index),
        WORLD_TEST(an_object_deleted_before_the_fetch_is_a_dead_letter),
        WORLD_TEST(an_empty_object_is_an_outcome),
        WORLD_TEST(a_large_text_resumes_where_it_failed),
        WORLD_TEST(a_new_summary_model_pays_for_summaries_only),
        WORLD_TEST(many_jobs_are_each_done_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
