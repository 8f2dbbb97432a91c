/*
 * What an earlier attempt paid for is found on PostgreSQL, where a job whose content has no
 * checkpoint is not asked for one.
 */
#include "database/postgres.h"
#include "support/pg_fixture.h"
#include "support/pipeline_fixture.h"

static struct pg_fixture fixture;

static int open_world(void **state)
{
    if (world_open(state))
        return -1;
    struct world *w = world_of(state);
    pg_fixture_open(&fixture);
    w->ports.database.ops->close(w->ports.database.ctx);
    return postgres_database_open(&(struct postgres_database_options){.url = fixture.url},
                                  &w->ports.database);
}

static int close_world(void **state)
{
    int rc = world_close(state);
    pg_fixture_close(&fixture);
    return rc;
}

static int summaries(struct world *w)
{
    return scripted_counts(w->provider, MODEL_SUMMARISE).calls;
}

static void a_retry_finds_its_summary(void **state)
{
    struct world *w = world_of(state);
    scripted_fail(w->provider, MODEL_EMBED, 0, 2, ERR_TRANSIENT, "server_error");
    world_start(w);
    struct event_outcome o = add(w, "retry.txt", TEXT);
    assert_int_equal(wait_for_state(w, o.job_id, JOB_SUCCEEDED).attempts, 3);
    assert_int_equal(summaries(w), 1);
}

static void another_job_finds_the_summary_of_a_dead_one(void **state)
{
    struct world *w = world_of(state);
    scripted_fail(w->provider, MODEL_EMBED, 0, 1, ERR_PERMANENT, "refused");
    world_start(w);
    struct event_outcome first = add(w, "one/notes.txt", TEXT);
    wait_for_state(w, first.job_id, JOB_DEAD);
    struct event_outcome second = add(w, "two/notes.txt", TEXT);
    wait_for_state(w, second.job_id, JOB_SUCCEEDED);
    assert_int_equal(summaries(w), 1);
    assert_int_equal(media(w, second.media_id).cost_nanousd, 1000); /* its embeddings alone */
}

static void another_text_pays_for_its_own(void **state)
{
    struct world *w = world_of(state);
    scripted_fail(w->provider, MODEL_EMBED, 0, 1, ERR_PERMANENT, "refused");
    world_start(w);
    wait_for_state(w, add(w, "one/notes.txt", TEXT).job_id, JOB_DEAD);
    wait_for_state(w, add(w, "two/notes.txt", "Another text.").job_id, JOB_SUCCEEDED);
    assert_int_equal(summaries(w), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_retry_finds_its_summary),
        TEST(another_job_finds_the_summary_of_a_dead_one),
        TEST(another_text_pays_for_its_own),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
