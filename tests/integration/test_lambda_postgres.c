/* `aegis` as functions on AWS Lambda: from an S3 event to a search, and what goes wrong between. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "shared/condition.h"
#include "support/emf_check.h"
#include "support/fake_openai_process.h"
#include "support/http_stub.h"
#include "support/lambda_fixture.h"

static struct lambda lambda;
static struct fake_openai fake;

static int set_up(void **state)
{
    (void)state;
    lambda_open(&lambda, false);
    return 0;
}

static int set_up_empty(void **state)
{
    (void)state;
    lambda_open(&lambda, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lambda_close(&lambda);
    return 0;
}

static int set_up_with_provider(void **state)
{
    char variable[200];
    set_up(state);
    fake_openai_start(&fake, NULL);
    snprintf(variable, sizeof variable, "OPENAI_BASE_URL=%s", fake.base_url);
    lambda_set(&lambda, variable);
    lambda_set(&lambda, "OPENAI_API_KEY=sk-test-0123456789");
    return 0;
}

static int tear_down_with_provider(void **state)
{
    tear_down(state);
    fake_openai_stop(&fake);
    return 0;
}

/* ---- steps ---- */

static void says(const char *text, const char *needle)
{
    if (!strstr(text, needle))
        fail_msg("'%s' is not in:\n%s", needle, text);
}

/* The answer must have this in it. */
static void invoke(const char *payload, const char *expected)
{
    char *answer = lambda_invoke(&lambda, payload, LAMBDA_LONG_MS);
    says(answer, expected);
    free(answer);
}

/* Objects with these texts, through the ingestion function, which ends then. */
static void ingest(const char *const *texts, const char *expected)
{
    struct buffer event;
    char key[64];
    buffer_init(&event, MIB(1));
    for (size_t i = 0; texts[i]; i++) {
        snprintf(key, sizeof key, "text-%zu.txt", i);
        lambda_put(&lambda, key, texts[i], &event);
    }
    lambda_event_end(&event);
    lambda_launch(&lambda, "ingestion");
    invoke(event.data, expected);
    buffer_free(&event);
}

/* What is in the queue goes through the processor that runs; how much is reported. */
static size_t process(const char *extra, int64_t timeout_ms)
{
    struct buffer event;
    buffer_init(&event, MIB(1));
    lambda_receive(&lambda, 10000, extra, &event);
    char *answer = lambda_invoke(&lambda, event.data, timeout_ms);
    size_t reported = lambda_settle(&lambda, answer);
    free(answer);
    buffer_free(&event);
    return reported;
}

static void finds(const char *words, const char *key)
{
    char arguments[256];
    snprintf(arguments, sizeof arguments, "search --json '%s'", words);
    char *output = lambda_aegis(&lambda, arguments);
    says(output, key);
    free(output);
}

static void logged(const char *needle)
{
    char *log = lambda_logged(&lambda);
    says(log, needle);
    free(log);
}

/* Waits until a number of the database is what it should be. */
static void becomes(const char *sql, int64_t expected)
{
    int64_t number, deadline = clock_monotonic_ms() + 20000;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    while ((number = lambda_number(&lambda, sql)) != expected && clock_monotonic_ms() < deadline) {
        pthread_mutex_lock(&lock);
        condition_wait_for(&never, &lock, 20);
        pthread_mutex_unlock(&lock);
    }
    assert_int_equal(number, expected);
}

static const char JOBS_SUCCEEDED[] = "SELECT count(*) FROM aegis.job WHERE state = 4";
static const char JOBS_RUNNING[] = "SELECT count(*) FROM aegis.job WHERE state = 1";
static const char MESSAGES[] = "SELECT count(*) FROM aegis.queue_message";
static const char *const one[] = {"A lighthouse stands at the cape.", NULL};
static const char *const three[] = {"A lighthouse stands at the cape.",
                                    "The windmill turns in the west wind.",
                                    "Whales pass the coast in April.", NULL};

/* ---- what is logged of it ---- */

static void assert_sum(const char *log, const char *metric, double expected)
{
    double sum = emf_sum(log, NULL, NULL, metric);
    if (sum != expected)
        fail_msg("%s is %g, not %g, in:\n%s", metric, sum, expected, log);
}

static void both_functions_tell_of_jobs_and_metrics(void **state)
{
    static const char trace[] = "\"trace_id\":\"5bef4de7000000000000000000000001\"";
    (void)state;
    fake_openai_control(&fake, "{\"rules\":[{\"path\":\"/v1/embeddings\",\"status\":429,\"body\":"
                               "{\"error\":{\"message\":\"slow down\"}},\"times\":1}]}");
    lambda_set(&lambda, "AWS_LAMBDA_FUNCTION_NAME=aegis-test");
    ingest(one, "\"queued\":1,");
    char *log = lambda_logged(&lambda);
    says(log, trace);
    assert_int_equal(emf_check(log), 1);
    assert_sum(log, "EventsQueued", 1);
    assert_true(emf_sum(log, NULL, NULL, "Duration") >= 0);
    free(log);
    lambda_launch(&lambda, "processor");
    assert_int_equal(process("this is no job", LAMBDA_LONG_MS), 1);
    log = lambda_logged(&lambda);
    says(log, "\"FunctionName\":\"aegis-test\"");
    says(log, "\"event\":\"job.succeeded\"");
    says(log, trace);
    says(log, "\"times\":{\"fetch\":");
    assert_true(emf_check(log) >= 3); /* of ingestion, of the processor, of each model */
    assert_sum(log, "Messages", 2);
    assert_sum(log, "MessagesReturned", 1);
    assert_sum(log, "JobsSucceeded", 1);
    assert_true(emf_sum(log, NULL, NULL, "ProviderCalls") >= 2);
    assert_true(emf_sum(log, NULL, NULL, "InputTokens") > 0);
    assert_true(emf_sum(log, NULL, NULL, "CostUSD") > 0);
    assert_true(emf_sum(log, "summarise", "gpt-5.4-mini", "ProviderCalls") == 1);
    free(log);
}

/* ---- spans for a collector ---- */

static void keep_request(void *ctx, const char *request, struct http_stub_reply *reply)
{
    char *last = ctx;
    snprintf(last, HTTP_STUB_BODY, "%s", request);
    snprintf(reply->body, sizeof reply->body, "{}");
}

/* While the process stands still nothing is sent: what happened is told before the answer. */
static void spans_are_sent_before_the_answer(void **state)
{
    static char request[HTTP_STUB_BODY];
    char variable[200];
    (void)state;
    struct http_stub *collector = http_stub_open(keep_request, request);
    snprintf(variable, sizeof variable, "OTEL_EXPORTER_OTLP_ENDPOINT=%s", http_stub_url(collector));
    lambda_set(&lambda, variable);
    ingest(one, "\"queued\":1,");
    assert_int_equal(http_stub_requests(collector), 1);
    says(request, "\"name\":\"job.ingest\"");
    says(request,
         "\"parentSpanId\":\"9a9197af755a6419\""); /* the invocation's, by X-Ray's header */
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_int_equal(http_stub_requests(collector), 2);
    says(request, "\"traceId\":\"5bef4de7000000000000000000000001\"");
    says(request, "\"name\":\"job.attempt\"");
    says(request, "\"name\":\"publish\"");
    lambda_end(&lambda);
    http_stub_close(collector);
}

/* A collector that is away costs neither the answer nor a second line. */
static void a_collector_that_is_away_is_no_matter(void **state)
{
    (void)state;
    lambda_set(&lambda, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9");
    ingest(one, "\"queued\":1,");
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    assert_int_equal(lambda_number(&lambda, JOBS_SUCCEEDED), 1);
    logged("\"event\":\"otlp.failed\"");
}

static void what_nobody_wants_to_pay_for_is_not_told(void **state)
{
    (void)state;
    lambda_set(&lambda, "AEGIS_METRICS_CLOUDWATCH=false");
    ingest(one, "\"queued\":1,");
    lambda_launch(&lambda, "processor");
    assert_int_equal(process(NULL, LAMBDA_LONG_MS), 0);
    char *log = lambda_logged(&lambda);
    assert_int_equal(emf_check(log), 0);
    says(log, "\"event\":\"job.succeeded\"");
    free(log);
}

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

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_EMPTY(name) cmocka_unit_test_setup_teardown(name, set_up_empty, tear_down)
#define TEST_PROVIDER(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, set_up_with_provider, tear_down_with_provider)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_upload_becomes_searchable),
        TEST_PROVIDER(both_functions_tell_of_jobs_and_metrics),
        TEST(what_nobody_wants_to_pay_for_is_not_told),
        TEST(spans_are_sent_before_the_answer),
        TEST(a_collector_that_is_away_is_no_matter),
        TEST(events_come_in_any_wrapping_and_more_than_once),
        TEST(what_is_no_event_is_told_once),
        TEST(one_bad_message_returns_alone),
        TEST(what_can_never_succeed_is_buried),
        TEST_PROVIDER(what_failed_comes_again_after_its_delay),
        TEST(nonsense_makes_the_invocation_fail),
        TEST(without_the_database_an_event_comes_again),
        TEST_PROVIDER(before_the_deadline_work_is_given_back),
        TEST_PROVIDER(a_killed_function_is_replaced),
        TEST_PROVIDER(a_signal_gives_back_and_ends_well),
        TEST(while_it_waits_a_signal_ends_it),
        TEST(nothing_is_under_way_while_it_stands_still),
        TEST(what_broke_while_it_stood_still_is_mended),
        TEST(a_schedule_does_what_a_service_does_in_the_background),
        TEST_EMPTY(the_schema_is_migrated),
        TEST_EMPTY(what_keeps_it_from_starting_is_told),
        TEST_EMPTY(elsewhere_it_says_so),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests_name("lambda_postgres", tests, NULL, NULL);
}
