/* Counters, the text they are told in, and the looks behind the gauges. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "server/lookout.h"
#include "server/metrics.h"
#include "server/process_figures.h"
#include "shared/caps.h"

static char *told_by(struct metrics *m)
{
    struct exposition x = {0};
    buffer_init(&x.text, MIB(1));
    metrics_write(m, &x);
    assert_false(x.full);
    return buffer_take(&x.text);
}

/* Whole lines. */
static void tells(struct metrics *m, const char *line)
{
    char *text = told_by(m), wanted[600];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    if (!strstr(text, wanted))
        fail_msg("not told: %s\nin: %s", line, text);
    free(text);
}

static struct metrics *open(void)
{
    struct metrics *m;
    assert_int_equal(0, metrics_open(&m));
    return m;
}

static void event(struct metrics *m, const char *type, const char *detail)
{
    metrics_event(m, &(struct life_event){.type = type, .detail_json = detail});
}

static void life_events_are_counted_by_outcome_class_and_reason(void **state)
{
    struct metrics *m = open();
    (void)state;
    tells(m, "aegis_jobs_finished_total{outcome=\"succeeded\"} 0");
    event(m, "job.succeeded", "{\"times\":{}}");
    event(m, "job.succeeded", NULL);
    event(m, "job.started", "");
    event(m, "job.retrying", "{\"stage\":\"embed\",\"reason\":\"rate_limited\"}");
    event(m, "job.paused", "{\"reason\":\"invalid_key\"}");
    event(m, "job.dead", "{\"reason\":\"damaged\"}");
    event(m, "job.dead", "no JSON");
    tells(m, "aegis_jobs_finished_total{outcome=\"succeeded\"} 2");
    tells(m, "aegis_jobs_finished_total{outcome=\"dead\"} 2");
    tells(m, "aegis_attempts_failed_total{class=\"transient\",reason=\"rate_limited\"} 1");
    tells(m, "aegis_attempts_failed_total{class=\"systemic\",reason=\"invalid_key\"} 1");
    tells(m, "aegis_attempts_failed_total{class=\"final\",reason=\"damaged\"} 1");
    tells(m, "aegis_attempts_failed_total{class=\"final\",reason=\"\"} 1");
    metrics_close(m);
}

static void calls_are_counted_in_base_units(void **state)
{
    struct metrics *m = open();
    struct model_call call = {.provider = "openai",
                              .model = "a\"b\\c\nd",
                              .operation = MODEL_TRANSCRIBE,
                              .input_tokens = 10,
                              .output_tokens = 3,
                              .audio_ms = 1500,
                              .cost_nanousd = 250000000};
    (void)state;
    metrics_call(m, &call, "ok");
    metrics_call(m, &call, "ok");
    call.cost_nanousd = -1;
    metrics_call(m, &call, "truncated_reply");
#define MODEL "operation=\"transcribe\",provider=\"openai\",model=\"a\\\"b\\\\c\\nd\""
    tells(m, "aegis_provider_calls_total{" MODEL ",outcome=\"ok\"} 2");
    tells(m, "aegis_provider_calls_total{" MODEL ",outcome=\"truncated_reply\"} 1");
    tells(m, "aegis_provider_tokens_total{" MODEL ",kind=\"input\"} 30");
    tells(m, "aegis_provider_tokens_total{" MODEL ",kind=\"output\"} 9");
    tells(m, "aegis_provider_audio_seconds_total{" MODEL "} 4.5");
    tells(m, "aegis_provider_cost_usd_total{" MODEL "} 0.5");
    tells(m, "aegis_provider_unpriced_calls_total{" MODEL "} 1");
    metrics_close(m);
}

static void durations_fall_into_cumulative_buckets(void **state)
{
    struct metrics *m = open();
    (void)state;
    metrics_duration(m, MODEL_EMBED, 50000); /* at a bound: within it */
    metrics_duration(m, MODEL_EMBED, 750000);
    metrics_duration(m, MODEL_EMBED, INT64_C(1000000000));
#define NAME "aegis_provider_call_duration_seconds"
    tells(m, NAME "_bucket{operation=\"embed\",le=\"0.01\"} 0");
    tells(m, NAME "_bucket{operation=\"embed\",le=\"0.05\"} 1");
    tells(m, NAME "_bucket{operation=\"embed\",le=\"1\"} 2");
    tells(m, NAME "_bucket{operation=\"embed\",le=\"300\"} 2");
    tells(m, NAME "_bucket{operation=\"embed\",le=\"+Inf\"} 3");
    tells(m, NAME "_sum{operation=\"embed\"} 1000.8");
    tells(m, NAME "_count{operation=\"embed\"} 3");
    metrics_close(m);
}

static void labels_without_end_do_not_grow_it(void **state)
{
    struct metrics *m = open();
    char name[32];
    (void)state;
    for (int i = 0; i < 2 * CAP_METRIC_SERIES; i++) {
        snprintf(name, sizeof name, "reason-%d", i);
        metrics_file(m, name);
    }
    event(m, "job.succeeded", "");
    tells(m, "aegis_files_total{result=\"reason-100\"} 1");
    tells(m, "aegis_jobs_finished_total{outcome=\"succeeded\"} 1");
    char *text = told_by(m), *dropped = strstr(text, "\naegis_metrics_dropped_total ");
    assert_non_null(dropped);
    assert_in_range(atoi(strchr(dropped, ' ')), CAP_METRIC_SERIES, CAP_METRIC_SERIES + 8);
    free(text);
    metrics_close(m);
}

static void a_label_longer_than_its_place_is_cut_within_its_value(void **state)
{
    char labels[LABELS_TEXT] = "", value[2 * LABELS_TEXT];
    (void)state;
    memset(value, '"', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    labels_add(labels, "a", value);
    size_t length = strlen(labels);
    assert_true(length < LABELS_TEXT);
    assert_memory_equal("a=\"\\\"", labels, 5);
    assert_memory_equal("\\\"\"", labels + length - 3, 3);
    labels_add(labels, "b", "x"); /* no room: as it was */
    assert_int_equal(length, strlen(labels));
}

static void labels_are_read_as_they_were_added(void **state)
{
    static const char *const values[] = {"plain", "", "a\"b\\c\nd", "\\", "x=\"y\",z=\"\""};
    char labels[LABELS_TEXT] = "", name[LABEL_NAME_TEXT], value[LABELS_TEXT], wanted[8];
    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "n%d", i);
        labels_add(labels, name, values[i]);
    }
    const char *at = labels;
    for (int i = 0; i < 5; i++) {
        assert_true(labels_next(&at, name, value));
        snprintf(wanted, sizeof wanted, "n%d", i);
        assert_string_equal(name, wanted);
        assert_string_equal(value, values[i]);
    }
    assert_false(labels_next(&at, name, value));
    assert_true(labels_find(labels, "n2", value));
    assert_string_equal(value, values[2]);
    assert_false(labels_find(labels, "n", value));
    assert_string_equal(value, "");
    assert_false(labels_find("", "n", value));
}

static void a_text_at_its_cap_ends_with_a_whole_line(void **state)
{
    struct exposition x = {0};
    (void)state;
    buffer_init(&x.text, 100);
    for (int i = 0; i < 50; i++)
        exposition_sample(&x, "some_name", "label=\"value\"", i);
    assert_true(x.full);
    assert_true(x.text.length <= 100);
    assert_int_equal('\n', x.text.data[x.text.length - 1]);
    buffer_free(&x.text);
}

static void this_process_has_figures(void **state)
{
    struct exposition x = {0};
    double value;
    (void)state;
    buffer_init(&x.text, MIB(1));
    process_figures_write(&x, process_start_time());
    const char *start = strstr(x.text.data, "\nprocess_start_time_seconds ");
    const char *memory = strstr(x.text.data, "\nprocess_resident_memory_bytes ");
    assert_non_null(start);
    assert_int_equal(1, sscanf(strchr(start, ' '), "%lf", &value));
    assert_in_range((int64_t)value, time(NULL) - 600, time(NULL));
    assert_non_null(memory);
    assert_int_equal(1, sscanf(strchr(memory, ' '), "%lf", &value));
    assert_true(value > 100e3 && value < 100e9);
    assert_non_null(strstr(x.text.data, "\nprocess_open_fds "));
    buffer_free(&x.text);
}

/* ---- the lookout ---- */

static struct {
    atomic_int looks;
    atomic_bool hang;
} seen;

static void look(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&seen.looks, 1);
    while (atomic_load(&seen.hang))
        sched_yield();
}

static void many_who_ask_make_one_look(void **state)
{
    struct lookout l = {.look = look, .max_age_ms = 60000};
    (void)state;
    atomic_store(&seen.looks, 0);
    assert_int_equal(0, lookout_start(&l));
    for (int i = 0; i < 1000; i++)
        assert_true(lookout_ask(&l, 20000));
    assert_int_equal(1, atomic_load(&seen.looks));
    lookout_stop(&l);
}

static void a_look_that_hangs_is_not_waited_for(void **state)
{
    struct lookout l = {.look = look, .max_age_ms = 60000};
    (void)state;
    atomic_store(&seen.hang, true);
    assert_int_equal(0, lookout_start(&l));
    assert_false(lookout_ask(&l, 10));
    assert_false(lookout_ask(&l, 10));
    atomic_store(&seen.hang, false);
    assert_true(lookout_ask(&l, 20000));
    lookout_stop(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life_events_are_counted_by_outcome_class_and_reason),
        cmocka_unit_test(calls_are_counted_in_base_units),
        cmocka_unit_test(durations_fall_into_cumulative_buckets),
        cmocka_unit_test(labels_without_end_do_not_grow_it),
        cmocka_unit_test(a_label_longer_than_its_place_is_cut_within_its_value),
        cmocka_unit_test(labels_are_read_as_they_were_added),
        cmocka_unit_test(a_text_at_its_cap_ends_with_a_whole_line),
        cmocka_unit_test(this_process_has_figures),
        cmocka_unit_test(many_who_ask_make_one_look),
        cmocka_unit_test(a_look_that_hangs_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
