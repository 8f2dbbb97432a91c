#include "support/openai_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/error.h"

struct fake_openai openai_fake;
struct http_engine *openai_engine;

#define TEXT                                                                                       \
    "The harbour was rebuilt in 1974. Ann promised to send the plans. The bridge costs nine "      \
    "million. Nobody asked why. The end is near."

const char *const openai_three[3] = {"the quick brown fox jumps", "lazy dogs sleep all day long",
                                     "quick brown foxes jump again"};

static int64_t fixed_now(void *ctx)
{
    (void)ctx;
    return 1700000000000;
}

const struct clock openai_clock = {.now = fixed_now};

int openai_fixture_start(void **state)
{
    (void)state;
    fake_openai_start(&openai_fake,
                      (const char *[]){"--key", OPENAI_KEY, "--model", "local", NULL});
    return http_engine_open(&(struct http_options){0}, &openai_engine);
}

int openai_fixture_stop(void **state)
{
    (void)state;
    http_engine_close(openai_engine);
    fake_openai_stop(&openai_fake);
    return 0;
}

struct openai_options openai_fixture_options(void)
{
    struct openai_options o = {.reasoning_effort = "low",
                               .timeout_ms = 20000,
                               .connect_timeout_ms = 2000,
                               .clock = &openai_clock};
    for (int i = 0; i < MODEL_OPERATIONS; i++)
        o.operations[i] =
            (struct openai_operation){.base_url = openai_fake.base_url, .api_key = OPENAI_KEY};
    return o;
}

void openai_fixture_open_with(struct openai_fixture *f, const struct openai_options *options)
{
    assert_int_equal(openai_provider_open(options, openai_engine, &f->provider), 0);
    arena_init(&f->arena, 64 << 20);
    f->calls = (struct model_calls){.arena = &f->arena};
    fake_openai_control(&openai_fake, "{\"reset\":true,\"record\":true}");
}

void openai_fixture_open(struct openai_fixture *f)
{
    struct openai_options o = openai_fixture_options();
    openai_fixture_open_with(f, &o);
}

void openai_fixture_open_model(struct openai_fixture *f, enum model_operation operation,
                               const char *model)
{
    struct openai_options o = openai_fixture_options();
    o.operations[operation].model = model;
    openai_fixture_open_with(f, &o);
}

void openai_fixture_close(struct openai_fixture *f)
{
    f->provider.ops->close(f->provider.ctx);
    arena_free(&f->arena);
}

/* A rule for the next request. */
void openai_fixture_fault(const char *rule)
{
    char json[4096];
    snprintf(json, sizeof json, "{\"rules\":[%s]}", rule);
    fake_openai_control(&openai_fake, json);
}

/* The body of the newest request, as JSON. */
yyjson_doc *openai_fixture_last_request(void)
{
    char *text = fake_openai_get(&openai_fake, "/__control/last");
    yyjson_doc *record, *body;
    assert_int_equal(json_parse(text, strlen(text), "record", &record), 0);
    const char *sent = json_string_at(yyjson_doc_get_root(record), "body", "");
    assert_int_equal(json_parse(sent, strlen(sent), "request", &body), 0);
    yyjson_doc_free(record);
    free(text);
    return body;
}

int64_t openai_fixture_requests_to(const char *path)
{
    char *text = fake_openai_get(&openai_fake, "/__control/stats");
    yyjson_doc *stats;
    assert_int_equal(json_parse(text, strlen(text), "stats", &stats), 0);
    yyjson_val *all = yyjson_obj_get(yyjson_doc_get_root(stats), "endpoints");
    yyjson_val *endpoint = yyjson_obj_get(all, path);
    int64_t n = json_int_at(endpoint, "requests", 0);
    yyjson_doc_free(stats);
    free(text);
    return n;
}

void openai_fixture_expect(int rc, int code, const char *reason)
{
    if (rc != code || strcmp(error_last()->reason, reason) != 0)
        fail_msg("%s '%s' (%s) instead of %s '%s'", error_code_name(rc), error_last()->reason,
                 error_last()->message, error_code_name(code), reason);
    assert_null(strstr(error_last()->message, OPENAI_KEY));
}

int openai_fixture_summarise(struct openai_fixture *f, struct summary *out)
{
    struct summarise_request r = {.part = SUMMARY_WHOLE,
                                  .text = TEXT,
                                  .length = strlen(TEXT),
                                  .title_hint = "harbour.txt",
                                  .language = "en"};
    return f->provider.ops->summarise(f->provider.ctx, &r, NULL, &f->arena, &f->calls, out);
}

int openai_fixture_embed(struct openai_fixture *f, const char *const *texts, size_t count,
                         struct embed_result *out)
{
    size_t *lengths = calloc(count, sizeof *lengths);
    assert_non_null(lengths);
    for (size_t i = 0; i < count; i++)
        lengths[i] = strlen(texts[i]);
    struct embed_request r = {.texts = texts, .lengths = lengths, .count = count};
    int rc = f->provider.ops->embed(f->provider.ctx, &r, NULL, &f->arena, &f->calls, out);
    free(lengths);
    return rc;
}
