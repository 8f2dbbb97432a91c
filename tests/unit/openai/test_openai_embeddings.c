/* Embeddings: what is sent, how it is divided, and what is made of the replies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/file.h"
#include "support/openai_fixture.h"

static double dot(const struct embed_result *r, size_t a, size_t b)
{
    double sum = 0;
    for (int i = 0; i < r->dimension; i++)
        sum += (double)r->vectors[a * (size_t)r->dimension + (size_t)i] *
               r->vectors[b * (size_t)r->dimension + (size_t)i];
    return sum;
}

static void check_three(const struct embed_result *r)
{
    assert_int_equal(r->dimension, 1536);
    for (size_t i = 0; i < 3; i++)
        assert_true(fabs(dot(r, i, i) - 1) < 1e-5);
    assert_true(dot(r, 0, 2) > dot(r, 0, 1) + 0.2); /* in the order of the texts */
}

static void test_embeddings(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result r;
    openai_fixture_open(&f);
    assert_int_equal(openai_fixture_embed(&f, openai_three, 3, &r), 0);
    check_three(&r);
    yyjson_doc *sent_doc = openai_fixture_last_request();
    yyjson_val *sent = yyjson_doc_get_root(sent_doc);
    assert_string_equal(json_string_at(sent, "encoding_format", ""), "base64");
    assert_string_equal(json_string_at(sent, "model", ""), "text-embedding-3-small");
    assert_null(yyjson_obj_get(sent, "dimensions")); /* its own size is not asked for */
    yyjson_doc_free(sent_doc);
    assert_int_equal(f.calls.count, 1);
    assert_int_equal(f.calls.items[0].cost_nanousd, f.calls.items[0].input_tokens * 20);
    openai_fixture_fault("{\"fault\":\"reversed\"}");
    assert_int_equal(openai_fixture_embed(&f, openai_three, 3, &r), 0);
    check_three(&r);
    openai_fixture_close(&f);
}

static void test_embedding_dimensions(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result r;
    struct openai_options o = openai_fixture_options();
    o.embed_dimensions = 256;
    openai_fixture_open_with(&f, &o);
    assert_int_equal(openai_fixture_embed(&f, openai_three, 3, &r), 0);
    assert_int_equal(r.dimension, 256);
    yyjson_doc *sent_doc = openai_fixture_last_request();
    yyjson_val *sent = yyjson_doc_get_root(sent_doc);
    assert_int_equal(json_int_at(sent, "dimensions", 0), 256);
    yyjson_doc_free(sent_doc);
    openai_fixture_close(&f);
}

static void test_odd_embeddings(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result r;
    openai_fixture_open(&f);
    openai_fixture_fault("{\"fault\":\"wrong_dimension\"}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &r), ERR_SYSTEMIC,
                          "wrong_dimension");
    assert_non_null(strstr(error_last()->message, "768"));
    openai_fixture_fault("{\"fault\":\"missing_item\"}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &r), ERR_TRANSIENT,
                          "malformed_reply");
    openai_fixture_fault("{\"fault\":\"not_finite\"}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &r), ERR_TRANSIENT,
                          "malformed_reply");
    openai_fixture_fault("{\"fault\":\"invalid_json\"}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &r), ERR_TRANSIENT,
                          "malformed_reply");
    assert_int_equal(f.calls.count, 4);
    openai_fixture_close(&f);
}

static void test_server_without_base64(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result r;
    openai_fixture_open(&f);
    openai_fixture_fault(
        "{\"contains\":\"encoding_format\",\"times\":-1,\"status\":400,\"body\":{\"error\":"
        "{\"message\":\"Unrecognized request argument supplied: encoding_format\"}}}");
    assert_int_equal(openai_fixture_embed(&f, openai_three, 3, &r), 0);
    check_three(&r);
    assert_int_equal(openai_fixture_embed(&f, openai_three, 3, &r), 0);
    assert_int_equal(openai_fixture_requests_to("/v1/embeddings"), 3);
    openai_fixture_close(&f);
}

static void test_input_limit(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static const char *texts[COUNT];
    struct openai_fixture f;
    struct embed_result r;
    struct openai_options o = openai_fixture_options();
    o.embed_dimensions = 16;
    openai_fixture_open_with(&f, &o);
    for (size_t i = 0; i < COUNT; i++)
        texts[i] = i % 2 ? "odd and even" : "sun and moon";
    assert_int_equal(openai_fixture_embed(&f, texts, COUNT, &r), 0);
    assert_int_equal(openai_fixture_requests_to("/v1/embeddings"), 3); /* 2,048 each */
    assert_true(dot(&r, 0, 4998) > 0.999);
    assert_true(dot(&r, 1, 4999) > 0.999);
    assert_true(dot(&r, 0, 4999) < 0.999);
    openai_fixture_close(&f);
}

static char *repeat(const char *word, size_t length)
{
    char *text = malloc(length + 1);
    assert_non_null(text);
    for (size_t i = 0; i < length; i++)
        text[i] = word[i % strlen(word)];
    text[length] = '\0';
    return text;
}

static void test_token_limits(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result r;
    struct openai_options o = openai_fixture_options();
    o.embed_dimensions = 16;
    openai_fixture_open_with(&f, &o);
    char *longest = repeat("word ", 200000), *page = repeat("word ", 16000);
    const char *texts[100];
    for (size_t i = 0; i < 100; i++)
        texts[i] = page;
    texts[50] = longest; /* 50,000 tokens as the fake counts them: cut to fewer than 8,192 */
    assert_int_equal(openai_fixture_embed(&f, texts, 100, &r), 0);
    assert_true(openai_fixture_requests_to("/v1/embeddings") >= 2); /* 400,000 tokens in all */
    assert_true(dot(&r, 0, 99) > 0.999);
    int64_t tokens = 0;
    for (size_t i = 0; i < f.calls.count; i++)
        tokens += f.calls.items[i].input_tokens;
    assert_in_range(tokens, 99 * 4000, 99 * 4000 + 8192);
    free(longest);
    free(page);
    openai_fixture_close(&f);
}

/* A server that takes less than OpenAI does says so, and is asked for less. */
static void test_smaller_server(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result r;
    openai_fixture_open(&f);
    openai_fixture_fault("{\"times\":3,\"status\":400,\"body\":{\"error\":{\"message\":"
                         "\"the input is longer than the maximum context length\"}}}");
    assert_int_equal(openai_fixture_embed(&f, openai_three, 3, &r), 0);
    check_three(&r);
    openai_fixture_fault("{\"times\":-1,\"status\":400,\"body\":{\"error\":{\"message\":"
                         "\"the input is longer than the maximum context length\"}}}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &r), ERR_PERMANENT,
                          "context_length_exceeded");
    openai_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embeddings),     cmocka_unit_test(test_embedding_dimensions),
        cmocka_unit_test(test_odd_embeddings), cmocka_unit_test(test_server_without_base64),
        cmocka_unit_test(test_input_limit),    cmocka_unit_test(test_token_limits),
        cmocka_unit_test(test_smaller_server),
    };
    return cmocka_run_group_tests(tests, openai_fixture_start, openai_fixture_stop);
}
