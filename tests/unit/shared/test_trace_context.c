#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/trace_context.h"

#define TRACE     "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN      "00f067aa0ba902b7"
#define XRAY_ROOT "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736"

static void assert_context(const struct trace_context *c, const char *span, bool sampled)
{
    assert_string_equal(c->trace_id, TRACE);
    assert_string_equal(c->span_id, span);
    assert_int_equal(c->sampled, sampled);
}

static void reads_traceparent(void **state)
{
    static const struct {
        const char *text;
        bool sampled;
    } rows[] = {{"00-" TRACE "-" SPAN "-01", true},      {"00-" TRACE "-" SPAN "-00", false},
                {"00-" TRACE "-" SPAN "-03", true},      {"00-" TRACE "-" SPAN "-fe", false},
                {"01-" TRACE "-" SPAN "-01", true},      {"cc-" TRACE "-" SPAN "-01-more", true},
                {"cc-" TRACE "-" SPAN "-01-.what", true}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct trace_context c;
        assert_true(trace_context_parse_traceparent(rows[i].text, &c));
        assert_context(&c, SPAN, rows[i].sampled);
    }
}

/* The cases of the standard's own test suite that are about one header. */
static void refuses_what_is_no_traceparent(void **state)
{
    static const char *const texts[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-1",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-01-more",
        "00-" TRACE "-" SPAN "-012",
        "cc-" TRACE "-" SPAN "-01.more",
        "ff-" TRACE "-" SPAN "-01",
        "0x-" TRACE "-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473.-" SPAN "-01",
        "00-" TRACE "-00f067aa0ba902bx-01",
        "00-" TRACE "-" SPAN "-0x",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        " 00-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-01 ",
    };
    (void)state;
    struct trace_context c, before = {.trace_id = "untouched"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        c = before;
        if (trace_context_parse_traceparent(texts[i], &c))
            fail_msg("'%s' was taken", texts[i]);
        assert_memory_equal(&c, &before, sizeof c);
    }
    assert_false(trace_context_parse_traceparent(NULL, &c));
}

static void reads_xray(void **state)
{
    static const struct {
        const char *text, *span;
        bool sampled;
    } rows[] = {
        {XRAY_ROOT ";Parent=" SPAN ";Sampled=1", SPAN, true},
        {XRAY_ROOT ";Parent=" SPAN ";Sampled=0", SPAN, false},
        {XRAY_ROOT ";Parent=" SPAN ";Sampled=?", SPAN, false},
        {XRAY_ROOT ";Parent=" SPAN, SPAN, false},
        {XRAY_ROOT, "", false},
        {"Sampled=1;Parent=" SPAN ";" XRAY_ROOT, SPAN, true},
        {XRAY_ROOT "; Parent=" SPAN "; Sampled=1;", SPAN, true},
        {"Self=1-67891234-12456789abcdef012345678;" XRAY_ROOT ";Sampled=1;Lineage=a:b", "", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct trace_context c;
        assert_true(trace_context_parse_xray(rows[i].text, &c));
        assert_context(&c, rows[i].span, rows[i].sampled);
    }
}

static void refuses_what_is_no_xray_header(void **state)
{
    static const char *const texts[] = {
        "",
        "Parent=" SPAN ";Sampled=1",
        "Root=",
        "Root=2-4bf92f35-77b34da6a3ce929d0e0e4736",
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e473",
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e47366",
        "Root=1-4bf92f35_77b34da6a3ce929d0e0e4736",
        "Root=1-4BF92F35-77b34da6a3ce929d0e0e4736",
        "Root=1-00000000-000000000000000000000000",
        XRAY_ROOT ";" XRAY_ROOT,
        XRAY_ROOT ";Parent=0000000000000000",
        XRAY_ROOT ";Parent=00f067aa0ba902b",
        XRAY_ROOT ";Parent=",
        XRAY_ROOT ";Sampled=",
        XRAY_ROOT ";Sampled=2",
        XRAY_ROOT ";Sampled=10",
    };
    (void)state;
    struct trace_context c;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (trace_context_parse_xray(texts[i], &c))
            fail_msg("'%s' was taken", texts[i]);
    assert_false(trace_context_parse_xray(NULL, &c));
}

static void has_a_cap(void **state)
{
    enum { MORE = 10 };
    (void)state;
    struct trace_context c;
    char *text = malloc(CAP_TRACE_HEADER + MORE + 1);
    assert_non_null(text);
    memset(text, 'a', CAP_TRACE_HEADER + MORE);
    text[CAP_TRACE_HEADER + MORE] = '\0';
    memcpy(text, XRAY_ROOT ";Lineage=", strlen(XRAY_ROOT ";Lineage="));
    assert_false(trace_context_parse_xray(text, &c));
    memcpy(text, "01-" TRACE "-" SPAN "-01-", strlen("01-" TRACE "-" SPAN "-01-"));
    assert_false(trace_context_parse_traceparent(text, &c));
    text[CAP_TRACE_HEADER] = '\0';
    assert_true(trace_context_parse_traceparent(text, &c));
    memcpy(text, XRAY_ROOT ";Lineage=", strlen(XRAY_ROOT ";Lineage="));
    assert_true(trace_context_parse_xray(text, &c));
    free(text);
}

static void is_written_as_documented(void **state)
{
    struct trace_context c = {.trace_id = TRACE, .span_id = SPAN, .sampled = true};
    char text[TRACEPARENT_TEXT], xray[XRAY_TEXT];
    (void)state;
    assert_string_equal(trace_context_traceparent(&c, text), "00-" TRACE "-" SPAN "-01");
    assert_string_equal(trace_context_xray(&c, xray), XRAY_ROOT ";Parent=" SPAN ";Sampled=1");
    c.sampled = false;
    assert_string_equal(trace_context_traceparent(&c, text), "00-" TRACE "-" SPAN "-00");
    c.span_id[0] = '\0';
    assert_string_equal(trace_context_xray(&c, xray), XRAY_ROOT ";Sampled=0");
    assert_string_equal(trace_context_traceparent(&c, text), "");
}

static void traceparent_counts_first(void **state)
{
    struct trace_context c;
    (void)state;
    assert_true(trace_context_parse_either("00-" TRACE "-" SPAN "-01", "Root=1-1-1", &c));
    assert_context(&c, SPAN, true);
    assert_true(trace_context_parse_either("00-" TRACE "-" SPAN "-01",
                                           "Root=1-11111111-111111111111111111111111", &c));
    assert_context(&c, SPAN, true);
    assert_true(trace_context_parse_either("no", XRAY_ROOT, &c));
    assert_context(&c, "", false);
    assert_false(trace_context_parse_either("", "", &c));
    assert_false(trace_context_parse_either(NULL, NULL, &c));
}

static void a_job_has_one_span(void **state)
{
    struct trace_context one, again, other;
    char text[TRACEPARENT_TEXT];
    (void)state;
    trace_context_of_job(TRACE, 12, true, &one);
    trace_context_of_job(TRACE, 12, false, &again);
    trace_context_of_job(TRACE, 13, true, &other);
    assert_string_equal(one.trace_id, TRACE);
    assert_string_equal(one.span_id, again.span_id);
    assert_string_not_equal(one.span_id, other.span_id);
    assert_true(trace_context_parse_traceparent(trace_context_traceparent(&one, text), &again));
    assert_string_equal(again.span_id, one.span_id);
    assert_string_equal(one.span_id, "0cab4800b07571ff");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_traceparent),
        cmocka_unit_test(refuses_what_is_no_traceparent),
        cmocka_unit_test(reads_xray),
        cmocka_unit_test(refuses_what_is_no_xray_header),
        cmocka_unit_test(has_a_cap),
        cmocka_unit_test(is_written_as_documented),
        cmocka_unit_test(traceparent_counts_first),
        cmocka_unit_test(a_job_has_one_span),
    };
    return cmocka_run_group_tests_name("trace_context", tests, NULL, NULL);
}
