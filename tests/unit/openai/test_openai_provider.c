/* The provider in trouble; its identity, its check, its options. */
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

/* ---- trouble -----------------------------------------------------------------------------------
 */

static void test_wrong_key(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct summary s;
    struct embed_result e;
    struct openai_options o = openai_fixture_options();
    o.operations[MODEL_SUMMARISE].api_key = "sk-wrong-key-000";
    o.operations[MODEL_EMBED].api_key = "";
    openai_fixture_open_with(&f, &o);
    openai_fixture_expect(openai_fixture_summarise(&f, &s), ERR_SYSTEMIC, "invalid_key");
    assert_null(strstr(error_last()->message, "sk-wrong-key-000"));
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_SYSTEMIC,
                          "invalid_key");
    assert_non_null(strstr(error_last()->message, "no key is set"));
    assert_int_equal(f.calls.count, 2);
    assert_int_equal(f.calls.items[0].http_status, 401);
    assert_int_equal(f.calls.items[0].cost_nanousd, 0);
    openai_fixture_close(&f);
}

/* A source of keys that may be mended. */
struct key_holder {
    const char *key, *next; /* `next` takes its place once it was refused */
    int rc, gets, refusals;
};

static int holder_get(void *ctx, enum model_operation operation, char *out, size_t capacity)
{
    struct key_holder *h = ctx;
    (void)operation;
    h->gets++;
    if (h->rc)
        return error_set(h->rc, "secrets_unreadable", "cannot read the keys");
    snprintf(out, capacity, "%s", h->key);
    return 0;
}

static void holder_refused(void *ctx, enum model_operation operation)
{
    struct key_holder *h = ctx;
    assert_int_equal(operation, MODEL_SUMMARISE);
    h->refusals++;
    h->key = h->next;
}

static void test_a_key_is_mended_while_open(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct summary s;
    struct key_holder holder = {.key = "sk-wrong-key-000", .next = "two words"};
    struct openai_options o = openai_fixture_options();
    o.keys = (struct openai_keys){.get = holder_get, .refused = holder_refused, .ctx = &holder};
    openai_fixture_open_with(&f, &o);
    openai_fixture_expect(openai_fixture_summarise(&f, &s), ERR_SYSTEMIC, "invalid_key");
    assert_null(strstr(error_last()->message, "sk-wrong-key-000"));
    assert_int_equal(holder.refusals, 1);
    holder.next = " " OPENAI_KEY "\n";
    openai_fixture_expect(openai_fixture_summarise(&f, &s), ERR_SYSTEMIC,
                          "invalid_key"); /* not sent: no key has blanks in it */
    assert_null(strstr(error_last()->message, "two words"));
    assert_int_equal(holder.refusals, 2);
    assert_int_equal(f.calls.count, 1);
    assert_int_equal(openai_fixture_summarise(&f, &s), 0);
    assert_int_equal(f.provider.ops->check(f.provider.ctx, MODEL_SUMMARISE, NULL), 0);
    assert_int_equal(holder.refusals, 2);
    holder.rc = ERR_SYSTEMIC;
    openai_fixture_expect(openai_fixture_summarise(&f, &s), ERR_SYSTEMIC, "secrets_unreadable");
    assert_int_equal(f.calls.count, 2);
    openai_fixture_close(&f);
}

static void test_unknown_model(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct summary s;
    openai_fixture_open_model(&f, MODEL_SUMMARISE, "gpt-9-maxi");
    openai_fixture_expect(openai_fixture_summarise(&f, &s), ERR_SYSTEMIC, "model_not_found");
    assert_non_null(strstr(error_last()->message, "gpt-9-maxi"));
    openai_fixture_close(&f);
}

static void test_limits_and_server_errors(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result e;
    openai_fixture_open(&f);
    openai_fixture_fault(
        "{\"status\":429,\"headers\":{\"retry-after-ms\":\"50\"},\"body\":{\"error\":"
        "{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_TRANSIENT,
                          "rate_limited");
    assert_int_equal(error_last()->retry_after_ms, 50);
    openai_fixture_fault(
        "{\"status\":429,\"headers\":{\"retry-after\":\"Tue, 14 Nov 2023 22:13:25 GMT\"}}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_TRANSIENT,
                          "rate_limited");
    assert_int_equal(error_last()->retry_after_ms, 5000);
    openai_fixture_fault("{\"status\":429,\"body\":{\"error\":{\"message\":\"quota\",\"code\":"
                         "\"insufficient_quota\"}}}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_SYSTEMIC,
                          "quota_exhausted");
    openai_fixture_fault("{\"status\":500}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_TRANSIENT,
                          "server_error");
    openai_fixture_fault("{\"status\":503,\"headers\":{\"retry-after\":\"2\"}}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_TRANSIENT,
                          "server_error");
    assert_int_equal(error_last()->retry_after_ms, 2000);
    assert_int_equal(f.calls.count, 5);
    openai_fixture_close(&f);
}

static void test_broken_connections(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result e;
    struct openai_options o = openai_fixture_options();
    o.idle_timeout_ms = 300;
    openai_fixture_open_with(&f, &o);
    openai_fixture_fault(
        "{\"fault\":\"reset\",\"times\":2}"); /* a kept connection that breaks is replaced once */
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_TRANSIENT,
                          "connection_reset");
    fake_openai_control(&openai_fake, "{\"reset\":true}");
    openai_fixture_fault("{\"fault\":\"half_body\"}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_TRANSIENT,
                          "incomplete_body");
    openai_fixture_fault("{\"fault\":\"hang\"}");
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_TRANSIENT,
                          "idle_timeout");
    assert_int_equal(f.calls.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f.calls.items[i].http_status, 0);
        assert_int_equal(f.calls.items[i].cost_nanousd, -1); /* nobody knows */
    }
    openai_fixture_close(&f);
}

static void test_server_that_is_not_there(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result e;
    struct fake_openai gone;
    fake_openai_start(&gone, NULL);
    fake_openai_stop(&gone);
    struct openai_options o = openai_fixture_options();
    o.operations[MODEL_EMBED].base_url = gone.base_url;
    openai_fixture_open_with(&f, &o);
    openai_fixture_expect(openai_fixture_embed(&f, openai_three, 3, &e), ERR_SYSTEMIC,
                          "provider_unreachable");
    assert_int_equal(f.calls.count, 0); /* reached nobody */
    openai_fixture_expect(f.provider.ops->check(f.provider.ctx, MODEL_EMBED, NULL), ERR_SYSTEMIC,
                          "provider_unreachable");
    assert_non_null(strstr(error_last()->message, "is it running"));
    openai_fixture_close(&f);
}

static void test_cancel(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct embed_result e;
    struct cancel cancel = {0};
    openai_fixture_open(&f);
    cancel_request(&cancel);
    struct embed_request r = {.texts = openai_three, .lengths = (size_t[]){5, 5, 5}, .count = 3};
    assert_int_equal(f.provider.ops->embed(f.provider.ctx, &r, &cancel, &f.arena, &f.calls, &e),
                     ERR_CANCELLED);
    openai_fixture_close(&f);
}

/* ---- identity, check, options ------------------------------------------------------------------
 */

static void test_identity(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct model_identity a, b;
    openai_fixture_open(&f);
    assert_int_equal(f.provider.ops->identify(f.provider.ctx, MODEL_SUMMARISE, &a), 0);
    assert_string_equal(a.provider, "openai");
    assert_string_equal(a.model, "gpt-5.4-mini");
    assert_true(a.max_input >= 100000);
    assert_false(a.cpu_heavy || a.draft);
    assert_int_equal(f.provider.ops->identify(f.provider.ctx, MODEL_EMBED, &b), 0);
    assert_int_equal(b.dimension, 1536);
    assert_int_equal(b.max_batch, 2048);
    assert_int_equal(f.provider.ops->identify(f.provider.ctx, MODEL_TRANSCRIBE, &b), 0);
    assert_string_equal(b.model, "gpt-transcribe");
    assert_int_equal(b.max_ms, 1300000);
    assert_true(b.max_bytes < 26214400 && b.max_bytes > 26200000);
    openai_fixture_close(&f);

    struct openai_options o = openai_fixture_options(); /* another effort is another revision */
    o.reasoning_effort = "high";
    openai_fixture_open_with(&f, &o);
    assert_int_equal(f.provider.ops->identify(f.provider.ctx, MODEL_SUMMARISE, &b), 0);
    assert_string_not_equal(a.revision, b.revision);
    openai_fixture_close(&f);
}

static void test_check(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct openai_options o = openai_fixture_options();
    o.operations[MODEL_SUMMARISE].api_key = "sk-wrong";
    o.operations[MODEL_EMBED].model = "no-such-model";
    openai_fixture_open_with(&f, &o);
    assert_int_equal(f.provider.ops->check(f.provider.ctx, MODEL_TRANSCRIBE, NULL), 0);
    openai_fixture_expect(f.provider.ops->check(f.provider.ctx, MODEL_SUMMARISE, NULL),
                          ERR_SYSTEMIC, "invalid_key");
    openai_fixture_expect(f.provider.ops->check(f.provider.ctx, MODEL_EMBED, NULL), ERR_SYSTEMIC,
                          "model_not_found");
    assert_non_null(strstr(error_last()->message, "it has gpt-5.4-mini"));
    /* a server that lists models but knows no single one */
    openai_fixture_fault(
        "{\"path\":\"/v1/models/no-such-model\",\"status\":404,\"body\":\"Not Found\"}");
    openai_fixture_fault("{\"path\":\"/v1/models\",\"status\":200,\"body\":{\"data\":[{\"id\":"
                         "\"no-such-model:latest\"}]}}");
    assert_int_equal(f.provider.ops->check(f.provider.ctx, MODEL_EMBED, NULL), 0);
    openai_fixture_close(&f);

    struct openai_options bare = {0};
    openai_fixture_open_with(&f, &bare);
    openai_fixture_expect(f.provider.ops->check(f.provider.ctx, MODEL_EMBED, NULL), ERR_SYSTEMIC,
                          "invalid_key");
    assert_non_null(strstr(error_last()->message, "OPENAI_API_KEY"));
    openai_fixture_close(&f);
}

static int open_rc(const char *url, const char *key, const char *api)
{
    struct model_provider p;
    struct openai_options o = {.summary_api = api};
    o.operations[MODEL_EMBED] = (struct openai_operation){.base_url = url, .api_key = key};
    int rc = openai_provider_open(&o, openai_engine, &p);
    if (!rc)
        p.ops->close(p.ctx);
    return rc;
}

static void test_options_are_checked(void **state)
{
    (void)state;
    assert_int_equal(open_rc("http://localhost:11434/v1/", " sk-a \n", "responses"), 0);
    static const char *const bad[] = {"localhost:11434", "ftp://x/v1",         "http://",
                                      "http://a b/v1",   "http://u:hush@h/v1", "http://h/v1?k=v"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        openai_fixture_expect(open_rc(bad[i], "", NULL), ERR_INVALID, "bad_url");
        assert_null(strstr(error_last()->message, "hush"));
    }
    openai_fixture_expect(open_rc(NULL, "sk-a b", NULL), ERR_INVALID, "invalid_key");
    assert_null(strstr(error_last()->message, "sk-a"));
    assert_int_equal(open_rc(NULL, NULL, "carrier pigeon"), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_a_key_is_mended_while_open),
        cmocka_unit_test(test_unknown_model),
        cmocka_unit_test(test_limits_and_server_errors),
        cmocka_unit_test(test_broken_connections),
        cmocka_unit_test(test_server_that_is_not_there),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_options_are_checked),
    };
    return cmocka_run_group_tests(tests, openai_fixture_start, openai_fixture_stop);
}
