/* `aegis` as functions on AWS Lambda: what they tell of jobs, to CloudWatch and to a collector. */
#include "lambda_steps.h"
#include "support/emf_check.h"
#include "support/http_stub.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PROVIDER(both_functions_tell_of_jobs_and_metrics),
        TEST(what_nobody_wants_to_pay_for_is_not_told),
        TEST(spans_are_sent_before_the_answer),
        TEST(a_collector_that_is_away_is_no_matter),
    };
    int status = pg_fixture_start();
    return status ? status
                  : cmocka_run_group_tests_name("lambda_telemetry_postgres", tests, NULL, NULL);
}
