/* The fake server refuses what the real service refuses: otherwise tests against it prove nothing.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base64.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/http.h"
#include "shared/json.h"
#include "support/fake_openai_process.h"

#define KEY "sk-fake"

static struct fake_openai fake;
static struct http_engine *engine;

static int start(void **state)
{
    (void)state;
    fake_openai_start(&fake, (const char *[]){"--key", KEY, NULL});
    return http_engine_open(&(struct http_options){0}, &engine);
}

static int stop(void **state)
{
    (void)state;
    http_engine_close(engine);
    fake_openai_stop(&fake);
    return 0;
}

/* ---- JSON requests -----------------------------------------------------------------------------
 */

static yyjson_doc *ask(const char *method, const char *path, const char *key, const char *body,
                       int *status)
{
    char url[128], authorization[64];
    snprintf(url, sizeof url, "%s%s", fake.base_url, path);
    snprintf(authorization, sizeof authorization, "Bearer %s", key);
    struct http_header headers[] = {{"Content-Type", "application/json"},
                                    {"Authorization", authorization}};
    struct http_request request = {.method = method,
                                   .url = url,
                                   .headers = headers,
                                   .header_count = *key ? 2 : 1,
                                   .body = body,
                                   .body_length = body ? strlen(body) : 0};
    struct http_response r;
    yyjson_doc *root;
    char id[64];
    assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
    assert_int_equal(json_parse(buffer_string(&r.body), r.body.length, "reply", &root), 0);
    assert_true(http_response_header(&r, "x-request-id", id, sizeof id));
    assert_true(http_response_header(&r, "x-ratelimit-remaining-requests", id, sizeof id));
    *status = r.status;
    http_response_free(&r);
    return root;
}

#define CHAT(members)                                                                              \
    "{\"model\":\"gpt-5.4-mini\",\"messages\":[{\"role\":\"user\",\"content\":\""                  \
    "Some text in json.\"}]" members "}"
#define FORMAT(schema)                                                                             \
    CHAT(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\","         \
         "\"strict\":true,\"schema\":" schema "}}")
#define EMBED(members) "{\"model\":\"text-embedding-3-small\"" members "}"

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *key, *body;
        int status;
        const char *code, *param, *message;
    } table[] = {
        {"GET", "/models", "", NULL, 401, NULL, NULL, "didn't provide an API key"},
        {"GET", "/models", "sk-x", NULL, 401, "invalid_api_key", NULL, "Incorrect API key"},
        {"GET", "/models/nope", KEY, NULL, 404, "model_not_found", "model", "does not exist"},
        {"GET", "/nothing", KEY, NULL, 404, NULL, NULL, "Invalid URL (GET /v1/nothing)"},
        {"GET", "/embeddings", KEY, NULL, 405, "method_not_supported", NULL, "Not allowed"},
        {"POST", "/chat/completions", KEY, "{\"model\":", 400, NULL, NULL, "could not parse"},
        {"POST", "/chat/completions", KEY, "[]", 400, NULL, NULL, "could not parse"},
        {"POST", "/chat/completions", KEY,
         "{\"model\":\"gpt-5.4-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"a long text "
         "with a bad escape \\q in it, longer than what is lifted out of the document\"}]}",
         400, NULL, NULL, "could not parse"},
        {"POST", "/chat/completions", KEY, "{}", 400, NULL, NULL, "must provide a model"},
        {"POST", "/chat/completions", KEY, "{\"model\":\"gpt-9\",\"messages\":[]}", 404,
         "model_not_found", NULL, "gpt-9"},
        {"POST", "/chat/completions", KEY, "{\"model\":\"gpt-5.4-mini\",\"messages\":[]}", 400,
         "empty_array", "messages", "empty array"},
        {"POST", "/chat/completions", KEY,
         "{\"model\":\"gpt-5.4-mini\",\"messages\":[{\"role\":\"robot\",\"content\":\"x\"}]}", 400,
         "invalid_value", "messages", "messages[0]"},
        {"POST", "/chat/completions", KEY, CHAT(",\"temperature\":0.2"), 400,
         "unsupported_parameter", "temperature", "not supported with this model"},
        {"POST", "/chat/completions", KEY, CHAT(",\"max_tokens\":9"), 400, "unsupported_parameter",
         "max_tokens", "max_completion_tokens"},
        {"POST", "/chat/completions", KEY,
         "{\"model\":\"gpt-4.1-mini\",\"reasoning_effort\":\"low\",\"messages\":[{\"role\":"
         "\"user\",\"content\":\"x\"}]}",
         400, "unsupported_parameter", "reasoning_effort", "not supported"},
        {"POST", "/chat/completions", KEY, CHAT(",\"tempo\":1"), 400, "unknown_parameter", "tempo",
         "Unknown parameter"},
        {"POST", "/chat/completions", KEY, FORMAT("{\"type\":\"string\"}"), 400, NULL,
         "response_format", "type: \"object\""},
        {"POST", "/chat/completions", KEY,
         FORMAT("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":["
                "\"a\"]}"),
         400, NULL, "response_format", "additionalProperties"},
        {"POST", "/chat/completions", KEY,
         FORMAT("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[]"
                ",\"additionalProperties\":false}"),
         400, NULL, "response_format", "'required'"},
        {"POST", "/chat/completions", KEY,
         FORMAT("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{"
                "\"type\":\"object\",\"properties\":{}}}},\"required\":[\"a\"],"
                "\"additionalProperties\":false}"),
         400, NULL, "response_format", "context=('a')"},
        {"POST", "/chat/completions", KEY,
         "{\"model\":\"gpt-5.4-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
         "\"response_format\":{\"type\":\"json_object\"}}",
         400, NULL, "messages", "must contain the word 'json'"},
        {"POST", "/chat/completions", KEY, "{\"model\":\"text-embedding-3-small\"}", 404, NULL,
         "model", "not a model supported"},
        {"POST", "/responses", KEY, "{\"model\":\"gpt-5.4-mini\",\"messages\":[]}", 400,
         "unknown_parameter", "messages", "Unknown parameter"},
        {"POST", "/embeddings", KEY, EMBED(",\"input\":\"\""), 400, NULL, "input", "empty string"},
        {"POST", "/embeddings", KEY, EMBED(",\"input\":[\"a\",\"\"]"), 400, NULL, "input",
         "input[1]"},
        {"POST", "/embeddings", KEY, EMBED(",\"input\":[]"), 400, NULL, "input", "'$.input'"},
        {"POST", "/embeddings", KEY, EMBED(""), 400, NULL, "input", "'$.input'"},
        {"POST", "/embeddings", KEY, EMBED(",\"input\":\"a\",\"dimensions\":1537"), 400, NULL,
         "dimensions", "1537"},
        {"POST", "/embeddings", KEY, EMBED(",\"input\":\"a\",\"encoding_format\":\"hex\""), 400,
         NULL, "encoding_format", "hex"},
        {"POST", "/embeddings", KEY, EMBED(",\"input\":\"a\",\"speed\":1"), 400, NULL, NULL,
         "Unrecognized request argument supplied: speed"},
        {"POST", "/embeddings", KEY,
         "{\"model\":\"text-embedding-ada-002\",\"input\":\"a\",\"dimensions\":9}", 400, NULL,
         "dimensions", "does not support"},
        {"POST", "/audio/transcriptions", KEY, "{}", 400, NULL, NULL, "multipart"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int status;
        yyjson_doc *r_doc =
            ask(table[i].method, table[i].path, table[i].key, table[i].body, &status);
        yyjson_val *r = yyjson_doc_get_root(r_doc);
        yyjson_val *e = yyjson_obj_get(r, "error");
        const char *code = json_string_at(e, "code", NULL),
                   *param = json_string_at(e, "param", NULL);
        const char *message = json_string_at(e, "message", "");
        bool same_code = table[i].code ? code && !strcmp(code, table[i].code) : !code;
        bool same_param = table[i].param ? param && !strcmp(param, table[i].param) : !param;
        if (status != table[i].status || !same_code || !same_param ||
            !strstr(message, table[i].message) ||
            strcmp(json_string_at(e, "type", ""), "invalid_request_error") != 0)
            fail_msg("row %zu (%s): status %d code %s param %s: %s", i, table[i].path, status,
                     code ? code : "null", param ? param : "null", message);
        yyjson_doc_free(r_doc);
    }
}

/* {"model":..., "input":[text x count]} with texts of so many bytes */
static char *inputs(size_t count, size_t bytes)
{
    struct buffer b;
    buffer_init(&b, 64 << 20);
    buffer_append_string(&b, "{\"model\":\"text-embedding-3-small\",\"dimensions\":2,\"input\":[");
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(&b, i ? ",\"" : "\"");
        for (size_t k = 0; k < bytes; k++)
            buffer_append_char(&b, 'x');
        buffer_append_char(&b, '"');
    }
    buffer_append_string(&b, "]}");
    return buffer_take(&b);
}

static void check_inputs(size_t count, size_t bytes, int expected, const char *message)
{
    int status;
    char *body = inputs(count, bytes);
    yyjson_doc *r_doc = ask("POST", "/embeddings", KEY, body, &status);
    yyjson_val *r = yyjson_doc_get_root(r_doc);
    assert_int_equal(status, expected);
    if (message)
        assert_non_null(strstr(json_string_at(r, "error.message", ""), message));
    else
        assert_int_equal(yyjson_arr_size(yyjson_obj_get(r, "data")), count);
    yyjson_doc_free(r_doc);
    free(body);
}

static void test_embedding_limits(void **state)
{
    (void)state;
    check_inputs(2048, 4, 200, NULL);
    check_inputs(2049, 4, 400, "array too long");
    check_inputs(1, 8192 * 4, 200, NULL);
    check_inputs(1, 8192 * 4 + 1, 400, "maximum context length is 8192 tokens");
    check_inputs(50, 6000 * 4, 200, NULL);
    check_inputs(51, 6000 * 4, 400, "max 300000 tokens per request");
}

static void test_schema_is_followed(void **state)
{
    (void)state;
    int status;
    yyjson_doc *r_doc = ask(
        "POST", "/chat/completions", KEY,
        FORMAT("{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\"},\"kind\":{"
               "\"enum\":[\"b\",\"a\"]},\"n\":{\"type\":\"integer\"},\"deep\":{\"$ref\":"
               "\"#/$defs/d\"},\"maybe\":{\"anyOf\":[{\"type\":\"boolean\"},{\"type\":\"null\"}]}}"
               ",\"required\":[\"title\",\"kind\",\"n\",\"deep\",\"maybe\"],"
               "\"additionalProperties\":false,\"$defs\":{\"d\":{\"type\":\"object\","
               "\"properties\":{\"x\":{\"type\":\"number\"}},\"required\":[\"x\"],"
               "\"additionalProperties\":false}}}"),
        &status);
    yyjson_val *r = yyjson_doc_get_root(r_doc);
    assert_int_equal(status, 200);
    yyjson_val *message =
        json_at(yyjson_arr_get(yyjson_obj_get(r, "choices"), 0), "message.content");
    assert_string_equal(yyjson_get_str(message),
                        "{\"title\":\"Some text in json.\",\"kind\":\"b\",\"n\":1,\"deep\":{\"x\":"
                        "0.5},\"maybe\":true}");
    assert_true(json_int_at(r, "usage.total_tokens", 0) > 0);
    yyjson_doc_free(r_doc);
}

static void test_output_limit_truncates(void **state)
{
    (void)state;
    int status;
    yyjson_doc *r_doc =
        ask("POST", "/chat/completions", KEY, CHAT(",\"max_completion_tokens\":1"), &status);
    yyjson_val *r = yyjson_doc_get_root(r_doc);
    assert_int_equal(status, 200);
    yyjson_val *choice = yyjson_arr_get(yyjson_obj_get(r, "choices"), 0);
    assert_string_equal(json_string_at(choice, "finish_reason", ""), "length");
    yyjson_doc_free(r_doc);
}

static void test_embeddings_are_the_same_either_way(void **state)
{
    (void)state;
    int status;
    yyjson_doc *a_doc = ask("POST", "/embeddings", KEY,
                            EMBED(",\"dimensions\":3,\"input\":\"hello world\""), &status);
    yyjson_val *a = yyjson_doc_get_root(a_doc);
    assert_int_equal(status, 200);
    yyjson_doc *b_doc =
        ask("POST", "/embeddings", KEY,
            EMBED(",\"dimensions\":3,\"encoding_format\":\"base64\",\"input\":[\"hello "
                  "world\"]"),
            &status);
    yyjson_val *b = yyjson_doc_get_root(b_doc);
    assert_int_equal(status, 200);
    yyjson_val *floats = yyjson_obj_get(yyjson_arr_get(yyjson_obj_get(a, "data"), 0), "embedding");
    double sum = 0;
    for (size_t i = 0; i < 3; i++) {
        double v = yyjson_get_num(yyjson_arr_get(floats, i));
        sum += v * v;
    }
    assert_true(sum > 0.9999 && sum < 1.0001);
    yyjson_val *text = yyjson_obj_get(yyjson_arr_get(yyjson_obj_get(b, "data"), 0), "embedding");
    float decoded[3];
    assert_int_equal(yyjson_get_len(text), 16);
    assert_true(base64_groups(yyjson_get_str(text), 4, decoded));
    for (size_t i = 0; i < 3; i++)
        assert_true((float)yyjson_get_num(yyjson_arr_get(floats, i)) == decoded[i]);
    yyjson_doc_free(a_doc);
    yyjson_doc_free(b_doc);
}

static double dot(yyjson_val *data, size_t a, size_t b)
{
    yyjson_val *x = yyjson_obj_get(yyjson_arr_get(data, a), "embedding");
    yyjson_val *y = yyjson_obj_get(yyjson_arr_get(data, b), "embedding");
    double sum = 0;
    assert_int_equal(yyjson_arr_size(x), 1536);
    for (size_t i = 0; i < 1536; i++)
        sum += yyjson_get_num(yyjson_arr_get(x, i)) * yyjson_get_num(yyjson_arr_get(y, i));
    return sum;
}

/* Four components for each word, so that texts without a word in common hardly meet. */
static void test_texts_that_share_words_are_near(void **state)
{
    (void)state;
    int status;
    yyjson_doc *r_doc = ask("POST", "/embeddings", KEY,
                            EMBED(",\"input\":[\"harbour cranes unload copper\","
                                  "\"Copper, unload: HARBOUR cranes!\","
                                  "\"harbour cranes paint bridges\","
                                  "\"choirs rehearse at midnight\",\"...\","
                                  "\"the harbour of cranes\",\"the choirs of midnight\"]"),
                            &status);
    assert_int_equal(status, 200);
    yyjson_val *data = yyjson_obj_get(yyjson_doc_get_root(r_doc), "data");
    for (size_t i = 0; i < 7; i++)
        assert_true(fabs(dot(data, i, i) - 1) < 1e-5);
    assert_true(dot(data, 0, 1) > 0.9999); /* order, case and marks count for nothing */
    assert_true(fabs(dot(data, 0, 2) - 0.5) < 0.1);
    assert_true(fabs(dot(data, 0, 3)) < 0.1);
    assert_true(fabs(dot(data, 0, 4)) < 0.1); /* a text without words has a vector all the same */
    assert_true(dot(data, 0, 5) > 0.6);
    assert_true(dot(data, 5, 6) < 0.2); /* short words say little */
    yyjson_doc_free(r_doc);
}

static void test_a_vector_of_one_number_is_not_finite(void **state)
{
    (void)state;
    int status;
    fake_openai_control(&fake, "{\"rules\":[{\"fault\":\"not_finite\"}]}");
    yyjson_doc *r_doc =
        ask("POST", "/embeddings", KEY,
            EMBED(",\"dimensions\":1,\"encoding_format\":\"base64\",\"input\":\"a\""), &status);
    yyjson_val *data = yyjson_obj_get(yyjson_doc_get_root(r_doc), "data");
    assert_int_equal(status, 200);
    assert_string_equal(json_string_at(yyjson_arr_get(data, 0), "embedding", ""), "AADAfw==");
    yyjson_doc_free(r_doc);
}

/* ---- uploads -----------------------------------------------------------------------------------
 */

static int upload(const char *bytes, size_t length, const char *filename, const char *model,
                  const char *format, yyjson_doc **out)
{
    char url[128];
    int fd;
    assert_int_equal(file_temporary("/tmp", &fd), 0);
    assert_int_equal(file_write_all(fd, "upload", bytes, length), 0);
    snprintf(url, sizeof url, "%s/audio/transcriptions", fake.base_url);
    struct http_part parts[] = {
        {.name = "file", .fd = fd, .size = (int64_t)length, .filename = filename},
        {.name = "model", .value = model},
        {.name = "response_format", .value = format},
    };
    struct http_header header = {"Authorization", "Bearer " KEY};
    struct http_request request = {.method = "POST",
                                   .url = url,
                                   .headers = &header,
                                   .header_count = 1,
                                   .parts = parts,
                                   .part_count = format ? 3 : 2};
    struct http_response r;
    assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
    assert_int_equal(json_parse(buffer_string(&r.body), r.body.length, "reply", out), 0);
    int status = r.status;
    http_response_free(&r);
    close(fd);
    return status;
}

static void check_upload(const char *bytes, size_t length, const char *filename, const char *model,
                         const char *format, int expected, const char *message)
{
    yyjson_doc *r_doc;
    assert_int_equal(upload(bytes, length, filename, model, format, &r_doc), expected);
    yyjson_val *r = yyjson_doc_get_root(r_doc);
    const char *found = json_string_at(r, "error.message", json_string_at(r, "text", ""));
    if (!strstr(found, message))
        fail_msg("'%s' is not in '%s'", message, found);
    yyjson_doc_free(r_doc);
}

/* One second of loud PCM, then whatever `bytes` leaves room for. */
static char *loud_wav(size_t length)
{
    char *bytes = malloc(length);
    assert_non_null(bytes);
    memset(bytes, 0x11, length);
    memcpy(bytes,
           "RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\xff"
           "\xff\xff\x7f",
           44);
    return bytes;
}

static void test_uploads(void **state)
{
    (void)state;
    enum { SECOND = 32000, TOO_LARGE = 26214400 };
    char *wav = loud_wav(TOO_LARGE);
    check_upload(wav, 44 + SECOND, "a.wav", "gpt-transcribe", NULL, 200, "lasts 1.0 seconds");
    check_upload(wav, 44 + SECOND, "a.txt", "gpt-transcribe", NULL, 400, "Invalid file format");
    check_upload("random bytes", 12, "a.wav", "whisper-1", NULL, 400, "Invalid file format");
    check_upload("", 0, "a.wav", "whisper-1", NULL, 400, "");
    check_upload(wav, 44, "a.wav", "whisper-1", NULL, 400, "too short");
    check_upload(wav, 44 + SECOND, "a.wav", "whisper-2", NULL, 404, "whisper-2");
    check_upload(wav, 44 + SECOND, "a.wav", "gpt-transcribe", "verbose_json", 400,
                 "not compatible");
    check_upload(wav, 44 + SECOND, "a.wav", "whisper-1", "verbose_json", 200, "lasts 1.0");
    check_upload(wav, 44 + 31 * SECOND, "a.wav", "gpt-4o-transcribe-diarize", NULL, 400,
                 "chunking_strategy");
    /* the framing counts: the file alone is just as large as is allowed */
    check_upload(wav, TOO_LARGE, "a.wav", "whisper-1", NULL, 413, "Maximum content size limit");
    check_upload(wav, TOO_LARGE - 1000, "a.wav", "whisper-1", NULL, 200, "lasts 819.1");
    check_upload("ID3 not really", 14, "a.mp3", "whisper-1", NULL, 400, "too short");
    free(wav);
}

static void test_error_rate(void **state)
{
    (void)state;
    fake_openai_control(&fake, "{\"error_rate\":0.5}");
    int failed = 0, status;
    for (int i = 0; i < 200; i++) {
        yyjson_doc_free(ask("GET", "/models", KEY, NULL, &status));
        failed += status != 200;
    }
    fake_openai_control(&fake, "{\"error_rate\":0}");
    assert_in_range(failed, 60, 140);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_embedding_limits),
        cmocka_unit_test(test_schema_is_followed),
        cmocka_unit_test(test_output_limit_truncates),
        cmocka_unit_test(test_embeddings_are_the_same_either_way),
        cmocka_unit_test(test_texts_that_share_words_are_near),
        cmocka_unit_test(test_a_vector_of_one_number_is_not_finite),
        cmocka_unit_test(test_uploads),
        cmocka_unit_test(test_error_rate),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
