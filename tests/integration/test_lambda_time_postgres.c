/*
 * `aegis` as functions on AWS Lambda: deadlines, functions that are killed or stand still, and what
 * is done in the background.
 */
#include "lambda_steps.h"

/* ---- time ---- */

/* A job that waits for its provider until it is let go on. */
static void hang(void)
{
    fake_openai_control(
        &fake, "{\"rules\":[{\"path\":\"/v1/embeddings\",\"fault\":\"hang\",\"times\":-1}]}");
}

static void let_go(void)
{
    fake_openai_control(&fake, "{\"reset\":true}");
}

static int64_t summaries_paid(void)
{
    return lambda_number(&lambda, "SELECT count(*) FROM aegis.model_call WHERE operation = 1");
}

static void before_the_deadline_work_is_given_back(void **state)
{
    enum { TIMEOUT_MS = 10000 };
    (void)state;
    hang();
    ingest(one, "\"queued\":1,");
    lambda_launch(&lambda, "processor");
    assert_true(runtime_api_wait_next(lambda.api));
    assert_int_equal(process(NULL, TIMEOUT_MS), 1); /* it was answered: not killed */
    assert_int_equal(lambda_number(&lambda, JOBS_RUNNING), 0);
    assert_int_equal(summaries_paid(), 1);
    let_go();
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 1);
    assert_int_equal(summaries_paid(), 1); /* it went on where it was */
    assert_int_equal(lambda_number(&lambda, "SELECT max(attempt) FROM aegis.job"), 1);
}

static void a_killed_function_is_replaced(void **state)
{
    struct buffer event;
    (void)state;
    hang();
    ingest(one, "\"queued\":1,");
    lambda_launch(&lambda, "processor");
    buffer_init(&event, MIB(1));
    lambda_receive(&lambda, 10000, NULL, &event);
    runtime_api_send(lambda.api, event.data, LAMBDA_LONG_MS);
    becomes(JOBS_RUNNING, 1);
    assert_true(WIFSIGNALED(runtime_api_end(lambda.api, SIGKILL)));
    struct queue_receipt r = {.receipt = lambda.messages[0].receipt};
    assert_int_equal(lambda.queue.ops->change_visibility(lambda.queue.ctx, &r, 1, 0), 0);
    let_go();
    runtime_api_launch(lambda.api, lambda_program(), "processor", lambda.environment, lambda.log);
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 1);
    buffer_free(&event);
}

static void a_signal_gives_back_and_ends_well(void **state)
{
    struct buffer event;
    struct runtime_result result;
    (void)state;
    hang();
    ingest(one, "\"queued\":1,");
    lambda_launch(&lambda, "processor");
    buffer_init(&event, MIB(1));
    lambda_receive(&lambda, 10000, NULL, &event);
    runtime_api_send(lambda.api, event.data, LAMBDA_LONG_MS);
    becomes(JOBS_RUNNING, 1);
    assert_int_equal(kill(runtime_api_pid(lambda.api), SIGTERM), 0);
    runtime_api_wait(lambda.api, &result);
    assert_int_equal(result.outcome, RUNTIME_RESPONSE);
    assert_int_equal(lambda_settle(&lambda, result.body), 1);
    assert_int_equal(lambda_number(&lambda, JOBS_RUNNING), 0);
    assert_int_equal(runtime_api_end(lambda.api, 0), 0);
    free(result.body);
    buffer_free(&event);
}

static void while_it_waits_a_signal_ends_it(void **state)
{
    (void)state;
    lambda_launch(&lambda, "ingestion");
    assert_true(runtime_api_wait_next(lambda.api));
    lambda_end(&lambda);
    logged("\"event\":\"lambda.stopped\"");
}

/* ---- standing still ---- */

static void nothing_is_under_way_while_it_stands_still(void **state)
{
    char sql[400];
    (void)state;
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND pid <> "
             "pg_backend_pid() AND state <> 'idle'",
             lambda.database.name);
    ingest(three, "\"queued\":3,");
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_true(runtime_api_is_frozen(lambda.api));
    assert_int_equal(lambda_number(&lambda, sql), 0);
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname "
             "= '%s' AND a.pid <> pg_backend_pid()",
             lambda.database.name);
    assert_int_equal(lambda_number(&lambda, sql), 0);
}

static void what_broke_while_it_stood_still_is_mended(void **state)
{
    static const char *const again[] = {"Another lighthouse stands in the north.", NULL};
    char sql[400];
    (void)state;
    ingest(one, "\"queued\":1,");
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_true(runtime_api_is_frozen(lambda.api));
    struct buffer event;
    buffer_init(&event, MIB(1));
    lambda_put(&lambda, "later.txt", again[0], &event);
    lambda_event_end(&event);
    char path[700], command[1024];
    snprintf(path, sizeof path, "%s/event.json", lambda.place.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(event.data, file);
    fclose(file);
    buffer_free(&event);
    snprintf(command, sizeof command, "ingest-event '%s'", path);
    free(lambda_aegis(&lambda, command));
    snprintf(sql, sizeof sql,
             "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '%s' "
             "AND pid <> pg_backend_pid() AND application_name = 'aegis'",
             lambda.database.name);
    assert_true(lambda_number(&lambda, sql) > 0);
    assert_true(runtime_api_is_frozen(lambda.api));
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    finds("north", "later.txt");
}

/* ---- upkeep ---- */

/* As if the ingestion had died between its job and the message, long ago. */
static void lose_a_message(void)
{
    struct job_queue *q = &lambda.queue;
    assert_int_equal(q->ops->receive(q->ctx, 1, 600000, 10000, NULL, &lambda.arena,
                                     &lambda.messages, &lambda.message_count),
                     0);
    struct queue_receipt r = {.receipt = lambda.messages[0].receipt};
    assert_int_equal(q->ops->delete (q->ctx, &r, 1), 0);
    pg_fixture_script(&lambda.database, "UPDATE aegis.job SET wake_ms = 1");
}

static void a_schedule_does_what_a_service_does_in_the_background(void **state)
{
    (void)state;
    ingest(three, "\"queued\":3,");
    lose_a_message();
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_int_equal(lambda_number(&lambda, MESSAGES), 0);
    invoke("{\"version\":\"0\",\"detail-type\":\"Scheduled Event\",\"source\":\"aws.events\","
           "\"detail\":{}}",
           "{\"more\":false}");
    assert_int_equal(lambda_number(&lambda, MESSAGES), 1);
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0); /* the lost message came again */
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 3);
    assert_true(lambda_number(&lambda, "SELECT count(*) FROM aegis.chunk_fresh") > 0);
    invoke("{\"aegis\":\"upkeep\"}", "{\"more\":false}");
    assert_int_equal(lambda_number(&lambda, "SELECT count(*) FROM aegis.chunk_fresh"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PROVIDER(before_the_deadline_work_is_given_back),
        TEST_PROVIDER(a_killed_function_is_replaced),
        TEST_PROVIDER(a_signal_gives_back_and_ends_well),
        TEST(while_it_waits_a_signal_ends_it),
        TEST(nothing_is_under_way_while_it_stands_still),
        TEST(what_broke_while_it_stood_still_is_mended),
        TEST(a_schedule_does_what_a_service_does_in_the_background),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests_name("lambda_time_postgres", tests, NULL, NULL);
}
