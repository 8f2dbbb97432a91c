/* The JSON of media, jobs, attempts and summaries; under AddressSanitizer also that it frees what
 * it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "commands/views.h"

/* Whether the document of `row` is `expected`, written without spaces. Frees `doc`. */
static void expect_json(yyjson_mut_doc *doc, yyjson_mut_val *row, const char *expected)
{
    char *text = yyjson_mut_val_write(row, 0, NULL);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    yyjson_mut_doc_free(doc);
}

static struct media_row recording(void)
{
    return (struct media_row){.media_id = 12,
                              .result_id = 5,
                              .job_id = 9,
                              .bucket = "media",
                              .key = "talk \"one\".mp3",
                              .collection = "talks",
                              .state = JOB_SUCCEEDED,
                              .kind = "audio",
                              .format = "mp3",
                              .language = "en",
                              .title = "",
                              .reason = "",
                              .message = "",
                              .size = 1000,
                              .duration_ms = 61000,
                              .text_bytes = 70,
                              .chunk_count = 2,
                              .segment_count = 3,
                              .summary_coverage_permille = 500,
                              .cost_nanousd = 2500000,
                              .cost_known = true,
                              .uploaded_ms = 1000,
                              .published_ms = 2000,
                              .stages_json = "{\"embed\":{\"model\":\"m\"}}"};
}

static void test_media(void **state)
{
    (void)state;
    struct media_row m = recording();
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    expect_json(doc, media_json(doc, &m),
                "{\"id\":12,\"bucket\":\"media\",\"key\":\"talk \\\"one\\\".mp3\","
                "\"collection\":\"talks\",\"state\":\"succeeded\",\"kind\":\"audio\","
                "\"format\":\"mp3\",\"language\":\"en\",\"title\":null,\"outcome\":\"content\","
                "\"draft\":false,\"incomplete\":false,\"missing_ms\":0,\"size\":1000,"
                "\"duration_ms\":61000,\"text_bytes\":70,\"chunks\":2,\"segments\":3,"
                "\"summary_coverage\":0.5,\"uploaded\":\"1970-01-01T00:00:01.000Z\","
                "\"published\":\"1970-01-01T00:00:02.000Z\",\"job\":9,\"reason\":null,"
                "\"message\":null,\"cost_usd\":0.0025,\"made_by\":{\"embed\":{\"model\":\"m\"}}}");
}

static void test_media_without_a_result(void **state)
{
    (void)state;
    struct media_row m = recording();
    m.result_id = 0;
    m.stages_json = "{\"broken\":"; /* what was stored is not trusted */
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = media_json(doc, &m);
    assert_true(yyjson_mut_is_null(yyjson_mut_obj_get(o, "outcome")));
    assert_true(yyjson_mut_is_null(yyjson_mut_obj_get(o, "missing_ms")));
    assert_true(yyjson_mut_is_null(yyjson_mut_obj_get(o, "duration_ms")));
    assert_true(yyjson_mut_is_null(yyjson_mut_obj_get(o, "made_by")));
    yyjson_mut_doc_free(doc);
}

static void test_job(void **state)
{
    (void)state;
    struct job_row j = {.job_id = 9,
                        .media_id = 12,
                        .bucket = "media",
                        .key = "a.txt",
                        .collection = "media",
                        .trace_id = "0af7651916cd43dd8448eb211c80319c",
                        .state = JOB_RETRYING,
                        .attempts = 2,
                        .queued_ms = 1000,
                        .started_ms = 2000,
                        .due_ms = 3000,
                        .stage = "embed",
                        .reason = "server_error",
                        .message = "status 500",
                        .worker = ""};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    expect_json(doc, job_json(doc, &j),
                "{\"id\":9,\"media\":12,\"bucket\":\"media\",\"key\":\"a.txt\","
                "\"collection\":\"media\",\"state\":\"retrying\",\"attempts\":2,"
                "\"stage\":\"embed\",\"reason\":\"server_error\",\"message\":\"status 500\","
                "\"queued\":\"1970-01-01T00:00:01.000Z\",\"started\":\"1970-01-01T00:00:02.000Z\","
                "\"finished\":null,\"due\":\"1970-01-01T00:00:03.000Z\",\"worker\":null,"
                "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"}");
}

static void test_attempt(void **state)
{
    (void)state;
    struct attempt_row a = {.attempt = 1,
                            .started_ms = 1000,
                            .ended_ms = 0,
                            .worker = "w1",
                            .outcome = "running",
                            .stage = NULL,
                            .reason = NULL,
                            .message = NULL,
                            .stage_times_json = "{\"fetch\":1.5}"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    expect_json(doc, attempt_json(doc, &a),
                "{\"attempt\":1,\"outcome\":\"running\",\"started\":\"1970-01-01T00:00:01.000Z\","
                "\"ended\":null,\"worker\":\"w1\",\"stage\":null,\"reason\":null,\"message\":null,"
                "\"stage_ms\":{\"fetch\":1.5}}");
}

static void test_summary(void **state)
{
    (void)state;
    struct action_item items[] = {{"write it up", "Ada"}, {"send it", ""}};
    const char *points[] = {"one", "two"};
    struct summary s = {.title = "T",
                        .abstract = "A\n",
                        .language = "",
                        .key_points = points,
                        .key_point_count = 2,
                        .action_items = items,
                        .action_item_count = 2};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    expect_json(doc, summary_json(doc, &s),
                "{\"title\":\"T\",\"abstract\":\"A\\n\",\"language\":null,"
                "\"key_points\":[\"one\",\"two\"],\"topics\":[],\"entities\":[],"
                "\"action_items\":[{\"text\":\"write it up\",\"owner\":\"Ada\"},"
                "{\"text\":\"send it\",\"owner\":null}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_media),   cmocka_unit_test(test_media_without_a_result),
        cmocka_unit_test(test_job),     cmocka_unit_test(test_attempt),
        cmocka_unit_test(test_summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
