/* `aegis` as functions on AWS Lambda: from an S3 event to a search, and what goes wrong between. */
#include "lambda_steps.h"

/* ---- from an event to a search ---- */

static void an_upload_becomes_searchable(void **state)
{
    (void)state;
    ingest(three, "{\"batchItemFailures\":[],\"events\":3,\"queued\":3,");
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 3);
    assert_int_equal(lambda_number(&lambda, MESSAGES), 0);
    finds("windmill", "text-1.txt");
    lambda_end(&lambda);
}

static void events_come_in_any_wrapping_and_more_than_once(void **state)
{
    struct buffer event, wrapped;
    (void)state;
    buffer_init(&event, MIB(1));
    buffer_init(&wrapped, MIB(1));
    lambda_put(&lambda, "a.txt", one[0], &event);
    lambda_event_end(&event);
    lambda_launch(&lambda, "ingestion");
    invoke(event.data, "\"queued\":1,");
    invoke(event.data, "\"queued\":0,");
    for (const char *p = event.data; *p; p++) /* as the body of a message of SQS */
        buffer_printf(&wrapped, *p == '"' ? "\\%c" : "%c", *p);
    char *sqs = NULL;
    assert_true(asprintf(&sqs,
                         "{\"Records\":[{\"messageId\":\"1\",\"receiptHandle\":\"2\",\"body\":"
                         "\"%s\",\"eventSource\":\"aws:sqs\"}]}",
                         wrapped.data) > 0);
    invoke(sqs, "{\"batchItemFailures\":[],\"events\":1,\"queued\":0,");
    invoke("{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\",\"Bucket\":\"media\"}",
           "\"tests\":1");
    assert_int_equal(lambda_number(&lambda, MESSAGES), 1);
    free(sqs);
    buffer_free(&wrapped);
    buffer_free(&event);
}

static void what_is_no_event_is_told_once(void **state)
{
    (void)state;
    lambda_launch(&lambda, "ingestion");
    invoke("{\"what\":\"is this\"}", "\"unreadable\":\"");
    logged("\"event\":\"ingest.unreadable\"");
    invoke("{\"Records\":[{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\"s3\":"
           "{\"bucket\":{\"name\":\"media\"},\"object\":{}}}]}",
           "\"problems\":1}");
}

/* ---- failures ---- */

static void one_bad_message_returns_alone(void **state)
{
    (void)state;
    ingest(three, "\"queued\":3,");
    lambda_launch(&lambda, "processor");
    struct buffer event;
    buffer_init(&event, MIB(1));
    lambda_receive(&lambda, 10000, "this is no job", &event);
    char *answer = lambda_invoke(&lambda, event.data, LAMBDA_LONG_MS);
    assert_string_equal(answer, "{\"batchItemFailures\":[{\"itemIdentifier\":\"foreign\"}]}");
    free(answer);
    buffer_free(&event);
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 3);
}

static void what_can_never_succeed_is_buried(void **state)
{
    static const char *const texts[] = {"%PDF-1.4\nthis is none", "Whales pass the coast.", NULL};
    (void)state;
    ingest(texts, "\"queued\":2,");
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 1);
    assert_int_equal(lambda_number(&lambda, MESSAGES), 0);
    assert_int_equal(lambda_number(&lambda, "SELECT count(*) FROM aegis.queue_dead"), 1);
    assert_int_equal(lambda_number(&lambda, "SELECT count(*) FROM aegis.job WHERE state = 5"), 1);
    logged("\"event\":\"message.dead\"");
    logged("\"event\":\"job.dead\"");
}

static void what_failed_comes_again_after_its_delay(void **state)
{
    (void)state;
    lambda_set(&lambda, "AEGIS_RETRY_BASE=50ms");
    fake_openai_control(&fake, "{\"rules\":[{\"path\":\"/v1/embeddings\",\"status\":400,\"body\":"
                               "{\"error\":{\"message\":\"later\",\"type\":\"server_error\"}},"
                               "\"fault\":\"reset\",\"times\":1}]}");
    lambda_set(&lambda, "AEGIS_OPENAI_TIMEOUT=1s");
    ingest(one, "\"queued\":1,");
    lambda_launch(&lambda, "processor");
    for (int tries = 0; tries < 5 && process(NULL, LAMBDA_LONG_MS); tries++)
        ; /* it was made visible after its delay, not after the ten minutes it was received for */
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 1);
    assert_int_equal(lambda_number(&lambda, MESSAGES), 0);
}

static void nonsense_makes_the_invocation_fail(void **state)
{
    (void)state;
    lambda_launch(&lambda, "processor");
    lambda_invoke_fails(&lambda, "{\"Records\":[]}", "Aegis.invalid_event");
    lambda_invoke_fails(&lambda, "[]", "Aegis.invalid_event");
}

static void without_the_database_an_event_comes_again(void **state)
{
    struct buffer event;
    char script[512];
    struct pg_fixture server = lambda.database;
    (void)state;
    snprintf(server.url, sizeof server.url, "%s", pg_fixture_server());
    buffer_init(&event, MIB(1));
    lambda_put(&lambda, "a.txt", one[0], &event);
    lambda_event_end(&event);
    lambda_launch(&lambda, "ingestion");
    assert_true(runtime_api_wait_next(lambda.api));
    snprintf(script, sizeof script,
             "ALTER DATABASE %s ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM "
             "pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()",
             lambda.database.name, lambda.database.name);
    pg_fixture_script(&server, script);
    lambda_invoke_fails(&lambda, event.data, "Aegis.database_error");
    snprintf(script, sizeof script, "ALTER DATABASE %s ALLOW_CONNECTIONS true",
             lambda.database.name);
    pg_fixture_script(&server, script);
    invoke(event.data, "\"queued\":1,");
    buffer_free(&event);
}

/* ---- the schema ---- */

static void the_schema_is_migrated(void **state)
{
    (void)state;
    lambda_launch(&lambda, "migrate");
    char *answer = lambda_invoke(&lambda, "{}", LAMBDA_LONG_MS);
    int applied = 0;
    assert_int_equal(sscanf(answer, "{\"applied\":%d}", &applied), 1);
    assert_true(applied > 0);
    free(answer);
    invoke("null", "{\"applied\":0}");
    lambda_end(&lambda);
}

static void an_image_is_told_by_its_command(void **state)
{
    char *arguments[] = {"aegis", "lambda", "ingestion", NULL};
    struct buffer event;
    (void)state;
    buffer_init(&event, MIB(1));
    lambda_put(&lambda, "a.txt", one[0], &event);
    lambda_event_end(&event);
    runtime_api_launch_image(lambda.api, lambda_program(), arguments, lambda.environment,
                             lambda.log);
    invoke(event.data, "\"queued\":1,");
    buffer_free(&event);
}

/* ---- what keeps it from starting ---- */

static void fails_to_start(const char *handler, const char *type)
{
    runtime_api_launch(lambda.api, lambda_program(), handler, lambda.environment, lambda.log);
    int status = runtime_api_end(lambda.api, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    says(runtime_api_init_error(lambda.api), type);
}

static void what_keeps_it_from_starting_is_told(void **state)
{
    (void)state;
    fails_to_start("index.handler", "\"errorType\":\"Aegis.unknown_handler\"");
    fails_to_start("processor", "\"errorType\":\"Aegis.database_schema\"");
    lambda_set(&lambda, "DATABASE_URL=");
    fails_to_start("ingestion", "\"errorType\":\"Aegis.no_database\"");
    fails_to_start("migrate", "\"errorType\":\"Aegis.no_database\"");
    lambda_set(&lambda, "AEGIS_WORKERS=many");
    fails_to_start("ingestion", "AEGIS_WORKERS");
}

static void elsewhere_it_says_so(void **state)
{
    (void)state;
    char *output = lambda_aegis_fails(&lambda, "lambda", 1);
    says(output, "AWS_LAMBDA_RUNTIME_API");
    free(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_upload_becomes_searchable),
        TEST(events_come_in_any_wrapping_and_more_than_once),
        TEST(an_image_is_told_by_its_command),
        TEST(what_is_no_event_is_told_once),
        TEST(one_bad_message_returns_alone),
        TEST(what_can_never_succeed_is_buried),
        TEST_PROVIDER(what_failed_comes_again_after_its_delay),
        TEST(nonsense_makes_the_invocation_fail),
        TEST(without_the_database_an_event_comes_again),
        TEST_EMPTY(the_schema_is_migrated),
        TEST_EMPTY(what_keeps_it_from_starting_is_told),
        TEST_EMPTY(elsewhere_it_says_so),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests_name("lambda_postgres", tests, NULL, NULL);
}
