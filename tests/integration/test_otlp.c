/* What is sent to a collector, when, and what becomes of what it does not take. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/ram/queue_ram.h"
#include "server/otlp.h"
#include "server/otlp_pairs.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/json.h"
#include "support/http_stub.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

enum { PATIENCE_MS = 20000, ANSWERS = 16 };

/* A collector: its answers by number, and the newest request. */
static struct collector {
    pthread_mutex_t lock;
    struct http_stub *stub;
    int statuses[ANSWERS], count; /* 0: no answer at all; after the last 200 */
    const char *body, *header;    /* NULL: none */
    char last[HTTP_STUB_BODY * 4];
} collector = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct http_engine *http;
static struct instruments instruments;
static struct job_queue queue;

static void answer(void *ctx, const char *request, struct http_stub_reply *reply)
{
    struct collector *c = ctx;
    pthread_mutex_lock(&c->lock);
    reply->status = c->count > 0 ? c->statuses[0] : 200;
    if (c->count > 0)
        memmove(c->statuses, c->statuses + 1, (size_t)--c->count * sizeof *c->statuses);
    snprintf(reply->body, sizeof reply->body, "%s", c->body ? c->body : "{}");
    snprintf(reply->header, sizeof reply->header, "%s", c->header ? c->header : "");
    snprintf(c->last, sizeof c->last, "%s", request);
    pthread_mutex_unlock(&c->lock);
}

static void answers(int count, const int *statuses)
{
    pthread_mutex_lock(&collector.lock);
    memcpy(collector.statuses, statuses, (size_t)count * sizeof *statuses);
    collector.count = count;
    pthread_mutex_unlock(&collector.lock);
}

/* The caller's. */
static char *last_request(void)
{
    pthread_mutex_lock(&collector.lock);
    char *copy = strdup(collector.last);
    pthread_mutex_unlock(&collector.lock);
    assert_non_null(copy);
    return copy;
}

static int totals(void *ctx, struct totals *out)
{
    (void)ctx;
    *out = (struct totals){0};
    return OK;
}

static int pause_get(void *ctx, struct arena *arena, const char **reason, const char **message,
                     int64_t *since)
{
    (void)ctx, (void)arena;
    *reason = *message = "";
    *since = 0;
    return OK;
}

static const struct database_ops database_ops = {
    .name = "none", .totals = totals, .pause_get = pause_get};

static int setup(void **state)
{
    struct database database = {.ops = &database_ops};
    (void)state;
    collector.count = 0;
    collector.body = collector.header = NULL;
    collector.last[0] = '\0';
    collector.stub = http_stub_open(answer, &collector);
    assert_int_equal(http_engine_open(&(struct http_options){.user_agent = "test"}, &http), OK);
    assert_int_equal(ram_queue_open(&(struct ram_queue_options){.clock = clock_system()}, &queue),
                     OK);
    assert_int_equal(instruments_open(&instruments, &database, &queue, 0), OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    instruments_close(&instruments);
    queue.ops->close(queue.ctx);
    http_engine_close(http);
    http_stub_close(collector.stub);
    return 0;
}

static const struct http_header resource[] = {{"service.name", "aegis"}};
static const struct http_header headers[] = {{"x-key", "secret"}};
static char traces_url[128], metrics_url[128];

static struct otlp *open_otlp(bool metrics, int64_t interval_ms)
{
    struct otlp *o;
    struct otlp_options options = {.http = http,
                                   .traces_url = traces_url,
                                   .headers = headers,
                                   .header_count = 1,
                                   .resource = {resource, 1},
                                   .timeout_ms = PATIENCE_MS,
                                   .interval_ms = interval_ms,
                                   .instruments = &instruments,
                                   .gather_ms = 1,
                                   .backoff_ms = 1};
    snprintf(traces_url, sizeof traces_url, "%s/v1/traces", http_stub_url(collector.stub));
    snprintf(metrics_url, sizeof metrics_url, "%s/v1/metrics", http_stub_url(collector.stub));
    if (metrics)
        options.metrics_url = metrics_url;
    assert_int_equal(otlp_open(&options, &o), OK);
    return o;
}

static void span(struct otlp *o, const char *key)
{
    static const struct span_part parts[] = {{"fetch", 1000000, 1000250},
                                             {"extract", 1000250, 1001000}};
    otlp_span(o, &(struct span){.name = "job.attempt",
                                .kind = SPAN_CONSUMER,
                                .trace_id = TRACE,
                                .span_id = SPAN,
                                .began_us = 1000000,
                                .ended_us = 1001000,
                                .job_id = 7,
                                .attempt = 2,
                                .bucket = "media",
                                .key = key,
                                .outcome = "dead",
                                .error = "damaged",
                                .message = "it is \xff broken",
                                .parts = parts,
                                .part_count = 2});
}

static double lost(const char *signal)
{
    struct exposition x = {0};
    char needle[64];
    buffer_init(&x.text, MIB(1));
    metrics_write(instruments.metrics, &x);
    snprintf(needle, sizeof needle, "aegis_telemetry_lost_total{signal=\"%s\"} ", signal);
    const char *at = strstr(buffer_string(&x.text), needle);
    double value = at ? strtod(at + strlen(needle), NULL) : 0;
    buffer_free(&x.text);
    return value;
}

static bool flush(struct otlp *o)
{
    return otlp_flush(o, clock_monotonic_ms() + PATIENCE_MS);
}

/* ---- encoding ---- */

static yyjson_doc *body_of(const char *request)
{
    yyjson_doc *doc;
    const char *body = strstr(request, "\r\n\r\n");
    assert_non_null(body);
    if (json_parse(body + 4, strlen(body + 4), "a request", &doc))
        fail_msg("%s", error_last()->message);
    return doc;
}

static yyjson_val *spans_of(yyjson_doc *doc)
{
    yyjson_val *one = yyjson_arr_get(json_at(yyjson_doc_get_root(doc), "resourceSpans"), 0);
    return json_at(yyjson_arr_get(json_at(one, "scopeSpans"), 0), "spans");
}

static void a_span_is_sent_with_its_parts(void **state)
{
    (void)state;
    struct otlp *o = open_otlp(false, PATIENCE_MS);
    span(o, "talks/a.mp3");
    assert_true(flush(o));
    char *request = last_request();
    assert_memory_equal(request, "POST /v1/traces ", 16);
    assert_non_null(strcasestr(request, "\r\nx-key: secret\r\n"));
    assert_non_null(strcasestr(request, "\r\ncontent-type: application/json\r\n"));
    yyjson_doc *doc = body_of(request);
    yyjson_val *spans = spans_of(doc), *whole = yyjson_arr_get(spans, 0),
               *last = yyjson_arr_get(spans, 2);
    assert_int_equal(yyjson_arr_size(spans), 3);
    assert_string_equal(json_string_at(whole, "traceId", ""), TRACE);
    assert_string_equal(json_string_at(whole, "spanId", ""), SPAN);
    assert_null(json_at(whole, "parentSpanId"));
    assert_string_equal(json_string_at(whole, "startTimeUnixNano", ""), "1000000000");
    assert_string_equal(json_string_at(whole, "endTimeUnixNano", ""), "1001000000");
    assert_int_equal(json_int_at(whole, "kind", 0), 5);
    assert_int_equal(json_int_at(whole, "status.code", 0), 2);
    assert_string_equal(json_string_at(last, "parentSpanId", ""), SPAN);
    assert_string_equal(json_string_at(last, "name", ""), "extract");
    assert_string_equal(json_string_at(last, "status.message", ""), "damaged");
    assert_null(json_at(yyjson_arr_get(spans, 1), "status"));
    assert_non_null(strstr(request, "it is \xef\xbf\xbd broken"));
    yyjson_doc_free(doc);
    free(request);
    otlp_close(o);
}

static void metrics_are_sent_every_interval(void **state)
{
    (void)state;
    struct otlp *o = open_otlp(true, 20);
    metrics_step(instruments.metrics, "job.succeeded", "");
    http_stub_await(collector.stub, 3);
    char *request = last_request();
    assert_memory_equal(request, "POST /v1/metrics ", 17);
    assert_non_null(strstr(request, "aegis_jobs_finished_total"));
    assert_non_null(strstr(request, "\"isMonotonic\":true"));
    assert_non_null(strstr(request, "\"explicitBounds\":[0.01,"));
    free(request);
    otlp_close(o);
}

/* ---- failures ---- */

static void a_collector_without_time_is_asked_again(void **state)
{
    static const int statuses[] = {503, 0, 429, 502, 504, 200};
    (void)state;
    answers(6, statuses);
    struct otlp *o = open_otlp(false, PATIENCE_MS);
    span(o, "a");
    http_stub_await(collector.stub, 6);
    while (!flush(o)) /* the last answer may still be on its way */
        ;
    assert_int_equal(http_stub_requests(collector.stub), 6);
    assert_float_equal(lost("traces"), 0, 0);
    otlp_close(o);
}

/* The backoff of these tests is a millisecond. */
static void it_is_not_asked_before_it_wants_to_be(void **state)
{
    static const int statuses[] = {503};
    (void)state;
    answers(1, statuses);
    collector.header = "Retry-After: 1\r\n";
    int64_t began = clock_monotonic_ms();
    struct otlp *o = open_otlp(false, PATIENCE_MS);
    span(o, "a");
    http_stub_await(collector.stub, 2);
    assert_true(clock_monotonic_ms() - began >= 1000);
    otlp_close(o);
    assert_float_equal(lost("traces"), 0, 0);
}

static void what_it_refuses_is_lost(void **state)
{
    static const int statuses[] = {400, 500};
    (void)state;
    answers(2, statuses);
    struct otlp *o = open_otlp(false, PATIENCE_MS);
    span(o, "a");
    flush(o);
    http_stub_await(collector.stub, 1);
    span(o, "b");
    http_stub_await(collector.stub, 2);
    span(o, "c");
    http_stub_await(collector.stub, 3);
    otlp_close(o);
    assert_int_equal(http_stub_requests(collector.stub), 3);
    assert_float_equal(lost("traces"), 2, 0);
}

static void what_it_takes_in_part_is_lost_in_part(void **state)
{
    (void)state;
    collector.body = "{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"too old\"}}";
    struct otlp *o = open_otlp(false, PATIENCE_MS);
    span(o, "a");
    assert_true(flush(o));
    assert_float_equal(lost("traces"), 2, 0);
    otlp_close(o);
}

/* A collector that is not there, and a queue that is full: who tells of spans does not wait. */
static void a_full_queue_takes_no_more(void **state)
{
    enum { MANY = CAP_OTLP_SPANS + 500 };
    (void)state;
    struct otlp *o;
    struct otlp_options options = {.http = http,
                                   .traces_url = "http://127.0.0.1:9/v1/traces",
                                   .resource = {resource, 1},
                                   .timeout_ms = PATIENCE_MS,
                                   .interval_ms = PATIENCE_MS,
                                   .instruments = &instruments,
                                   .backoff_ms = PATIENCE_MS};
    assert_int_equal(otlp_open(&options, &o), OK);
    int64_t began = clock_monotonic_ms();
    for (int i = 0; i < MANY; i++)
        span(o, "a");
    assert_true(clock_monotonic_ms() - began < PATIENCE_MS / 2);
    assert_true(lost("traces") >= MANY - CAP_OTLP_SPANS - 128);
    assert_false(flush(o));
    otlp_close(o);
    assert_true(clock_monotonic_ms() - began < PATIENCE_MS);
    assert_float_equal(lost("traces"), MANY, 0);
}

static void closing_sends_what_waits(void **state)
{
    (void)state;
    struct otlp *o;
    struct otlp_options options = {.http = http,
                                   .traces_url = traces_url,
                                   .metrics_url = metrics_url,
                                   .resource = {resource, 1},
                                   .timeout_ms = PATIENCE_MS,
                                   .interval_ms = PATIENCE_MS,
                                   .instruments = &instruments,
                                   .gather_ms = PATIENCE_MS};
    snprintf(traces_url, sizeof traces_url, "%s/v1/traces", http_stub_url(collector.stub));
    snprintf(metrics_url, sizeof metrics_url, "%s/v1/metrics", http_stub_url(collector.stub));
    assert_int_equal(otlp_open(&options, &o), OK);
    for (int i = 0; i < 200; i++)
        span(o, "a");
    otlp_close(o);
    assert_true(http_stub_requests(collector.stub) >= 5); /* four of spans, one of metrics */
    assert_float_equal(lost("traces"), 0, 0);
    char *request = last_request();
    assert_memory_equal(request, "POST /v1/metrics ", 17);
    free(request);
}

static void nobody_is_told_nothing(void **state)
{
    (void)state;
    span(NULL, "a");
    assert_true(otlp_flush(NULL, 0));
    otlp_close(NULL);
}

/* ---- lists ---- */

static void lists_are_read(void **state)
{
    struct arena arena;
    struct http_header *pairs;
    size_t count;
    (void)state;
    arena_init(&arena, MIB(1));
    assert_int_equal(otlp_pairs_parse("x", "", &arena, &pairs, &count), OK);
    assert_int_equal(count, 0);
    assert_int_equal(otlp_pairs_parse("x", " a = b c ,, Authorization=Basic%20QQ==,e=,h=%C3%A4",
                                      &arena, &pairs, &count),
                     OK);
    assert_int_equal(count, 4);
    assert_string_equal(pairs[0].name, "a");
    assert_string_equal(pairs[0].value, "b c");
    assert_string_equal(pairs[1].value, "Basic QQ==");
    assert_string_equal(pairs[2].value, "");
    assert_string_equal(pairs[3].value, "ä");
    static const char *const bad[] = {"a",    "=b",    "a=b,c", "a=%",
                                      "a=%4", "a=%zz", "a=%0a", "a=b\n1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(otlp_pairs_parse("otlp.headers", bad[i], &arena, &pairs, &count),
                         ERR_INVALID);
    assert_non_null(strstr(error_last()->message, "otlp.headers: entry 1"));
    arena_free(&arena);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_span_is_sent_with_its_parts),
        CASE(metrics_are_sent_every_interval),
        CASE(a_collector_without_time_is_asked_again),
        CASE(it_is_not_asked_before_it_wants_to_be),
        CASE(what_it_refuses_is_lost),
        CASE(what_it_takes_in_part_is_lost_in_part),
        CASE(a_full_queue_takes_no_more),
        CASE(closing_sends_what_waits),
        CASE(nobody_is_told_nothing),
        cmocka_unit_test(lists_are_read),
    };
    return cmocka_run_group_tests_name("otlp", tests, NULL, NULL);
}
