/* Metrics for CloudWatch: each line by the specification, and the figures in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/emf.h"
#include "shared/caps.h"
#include "support/emf_check.h"

enum { NOW_MS = 1700000000 };

struct fixture {
    struct emf *emf;
    struct metrics *metrics;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(emf_open("aegis-processor", &f->emf), 0);
    assert_int_equal(metrics_open(&f->metrics), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    emf_close(f->emf);
    metrics_close(f->metrics);
    free(f);
    return 0;
}

static char *written(struct fixture *f)
{
    struct buffer out;
    buffer_init(&out, MIB(1));
    emf_add_metrics(f->emf, f->metrics);
    assert_int_equal(emf_write(f->emf, NOW_MS, &out), 0);
    buffer_append_string(&out, "");
    return buffer_take(&out);
}

static void nothing_is_no_line(void **state)
{
    struct fixture *f = *state;
    emf_add(f->emf, "Messages", "Count", 0);
    emf_add(NULL, "Messages", "Count", 1);
    assert_false(emf_any(f->emf));
    struct buffer out;
    buffer_init(&out, MIB(1));
    emf_add_metrics(f->emf, f->metrics); /* counters at 0 */
    assert_false(emf_any(f->emf));
    assert_int_equal(emf_write(f->emf, NOW_MS, &out), 0);
    assert_int_equal(out.length, 0);
    buffer_free(&out);
}

static void a_line_looks_as_documented(void **state)
{
    struct fixture *f = *state;
    emf_add(f->emf, "Messages", "Count", 2);
    emf_add(f->emf, "Messages", "Count", 1);
    metrics_step(f->metrics, "job.succeeded", "");
    metrics_step(f->metrics, "job.succeeded", "");
    metrics_step(f->metrics, "job.retrying", "rate_limited");
    metrics_step(f->metrics, "job.dead", "damaged");
    char *text = written(f);
    assert_string_equal(
        text, "{\"_aws\":{\"Timestamp\":1700000000,\"CloudWatchMetrics\":[{\"Namespace\":\"Aegis\","
              "\"Dimensions\":[[\"FunctionName\"]],\"Metrics\":[{\"Name\":\"Messages\",\"Unit\":"
              "\"Count\"},{\"Name\":\"JobsSucceeded\",\"Unit\":\"Count\"},{\"Name\":\"JobsDead\","
              "\"Unit\":\"Count\"},{\"Name\":\"JobsRetried\",\"Unit\":\"Count\"}]}]},"
              "\"FunctionName\":\"aegis-processor\",\"Messages\":3,\"JobsSucceeded\":2,"
              "\"JobsDead\":1,\"JobsRetried\":1}\n");
    assert_int_equal(emf_check(text), 1);
    free(text);
}

static struct model_call call(const char *model)
{
    struct model_call c = {.provider = "openai",
                           .operation = MODEL_SUMMARISE,
                           .input_tokens = 100,
                           .output_tokens = 20,
                           .cost_nanousd = 1500000};
    snprintf(c.model, sizeof c.model, "%s", model);
    return c;
}

static void calls_are_told_in_all_and_by_model(void **state)
{
    struct fixture *f = *state;
    struct model_call one = call("gpt-5.4-mini"), other = call("other");
    metrics_call(f->metrics, &one, "ok");
    metrics_call(f->metrics, &one, "rate_limited");
    metrics_call(f->metrics, &other, "ok");
    other.cost_nanousd = -1;
    metrics_call(f->metrics, &other, "ok");
    char *text = written(f);
    assert_int_equal(emf_check(text), 3);
    assert_float_equal(emf_sum(text, NULL, NULL, "ProviderCalls"), 4, 0);
    assert_float_equal(emf_sum(text, NULL, NULL, "ProviderFailures"), 1, 0);
    assert_float_equal(emf_sum(text, NULL, NULL, "CostUSD"), 0.0045, 1e-9);
    assert_float_equal(emf_sum(text, "summarise", "gpt-5.4-mini", "ProviderCalls"), 2, 0);
    assert_float_equal(emf_sum(text, "summarise", "gpt-5.4-mini", "ProviderFailures"), 1, 0);
    assert_float_equal(emf_sum(text, "summarise", "gpt-5.4-mini", "InputTokens"), 200, 0);
    assert_float_equal(emf_sum(text, "summarise", "gpt-5.4-mini", "CostUSD"), 0.003, 1e-9);
    assert_float_equal(emf_sum(text, "summarise", "other", "UnpricedCalls"), 1, 0);
    assert_float_equal(emf_sum(text, "summarise", "other", "OutputTokens"), 40, 0);
    free(text);
}

/* Names come from whoever runs the server of models. */
static void any_name_of_a_model_is_a_dimension(void **state)
{
    static const char *const names[] = {":colon", "two words", "n\xc3\xa4me", "tab\t\"quote\"", ""};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct model_call c = call(names[i]);
        metrics_call(f->metrics, &c, "ok");
    }
    char *text = written(f);
    assert_int_equal(emf_check(text), 1 + sizeof names / sizeof names[0]);
    assert_float_equal(emf_sum(text, "summarise", "_colon", "ProviderCalls"), 1, 0);
    assert_float_equal(emf_sum(text, "summarise", "unknown", "ProviderCalls"), 1, 0);
    free(text);
}

static void too_many_models_are_told_in_all_only(void **state)
{
    struct fixture *f = *state;
    enum { MODELS = CAP_EMF_LINES + 10 };
    for (int i = 0; i < MODELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "model-%d", i);
        struct model_call c = {.operation = MODEL_EMBED, .cost_nanousd = 0};
        snprintf(c.model, sizeof c.model, "%s", name);
        metrics_call(f->metrics, &c, "ok");
    }
    char *text = written(f);
    assert_int_equal(emf_check(text), CAP_EMF_LINES);
    assert_float_equal(emf_sum(text, NULL, NULL, "ProviderCalls"), MODELS, 0);
    free(text);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nothing_is_no_line),
        CASE(a_line_looks_as_documented),
        CASE(calls_are_told_in_all_and_by_model),
        CASE(any_name_of_a_model_is_a_dimension),
        CASE(too_many_models_are_told_in_all_only),
    };
    return cmocka_run_group_tests_name("emf", tests, NULL, NULL);
}
