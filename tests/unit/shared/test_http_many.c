/*
 * The HTTP engine with many requests under way at once, and over TLS.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/http.h"
#include "support/fake_openai_process.h"

static struct http_engine *engine_open(void)
{
    struct http_engine *engine;
    assert_int_equal(http_engine_open(&(struct http_options){0}, &engine), 0);
    return engine;
}

/* ---- many at once ------------------------------------------------------------------------------
 */

enum { CALLERS = 300, ROUNDS = 4 };

static struct http_engine *crowd_engine;
static struct fake_openai crowd_fake;
static atomic_int crowd_right;

/* Each caller embeds a text of its own length and checks the count of tokens it gets back. */
static void *run_caller(void *ctx)
{
    int length = 4 * ((int)(intptr_t)ctx + 1);
    char url[96], body[2048], expected[64];
    snprintf(url, sizeof url, "%s/embeddings", crowd_fake.base_url);
    int n = snprintf(body, sizeof body,
                     "{\"model\":\"text-embedding-3-small\",\"dimensions\":4,"
                     "\"encoding_format\":\"base64\",\"input\":\"%0*d\"}",
                     length, 7);
    snprintf(expected, sizeof expected, "\"prompt_tokens\":%d,", length / 4);
    struct http_request request = {
        .method = "POST", .url = url, .body = body, .body_length = (size_t)n};
    for (int i = 0; i < ROUNDS; i++) {
        struct http_response r;
        if (http_perform(crowd_engine, &request, NULL, &r) == 0 && r.status == 200 &&
            strstr(buffer_string(&r.body), expected))
            atomic_fetch_add(&crowd_right, 1);
        http_response_free(&r);
    }
    return NULL;
}

static void test_many_at_once(void **state)
{
    (void)state;
    pthread_t threads[CALLERS];
    pthread_attr_t attributes;
    fake_openai_start(&crowd_fake, (const char *[]){"--latency-ms", "20", NULL});
    crowd_engine = engine_open();
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    for (intptr_t i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], &attributes, run_caller, (void *)i), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd_right), CALLERS * ROUNDS);
    http_engine_close(crowd_engine);
    fake_openai_stop(&crowd_fake);
}

/* ---- TLS ---------------------------------------------------------------------------------------
 */

struct tls_server {
    char directory[64];
    char certificate[96];
    FILE *out;
    int pid, port;
};

/* Starts `server` in a directory with a certificate made for the occasion and reads its port from
 * the line that begins with "ACCEPT". */
static bool tls_start(struct tls_server *s, const char *server)
{
    char command[512], line[256];
    strcpy(s->directory, "/tmp/aegis-tls-XXXXXX");
    assert_non_null(mkdtemp(s->directory));
    snprintf(s->certificate, sizeof s->certificate, "%s/cert.pem", s->directory);
    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
             "-keyout key.pem -out cert.pem -days 2 -subj /CN=localhost "
             "-addext subjectAltName=IP:127.0.0.1 2>/dev/null && "
             "echo $$ && exec %s 2>&1",
             s->directory, server);
    s->out = popen(command, "r");
    assert_non_null(s->out);
    if (fscanf(s->out, "%d", &s->pid) != 1)
        return false;
    while (fgets(line, sizeof line, s->out))
        if (sscanf(line, "ACCEPT 127.0.0.1:%d", &s->port) == 1)
            return true;
    return false;
}

static void tls_stop(struct tls_server *s)
{
    char command[160];
    kill(s->pid, SIGTERM);
    pclose(s->out);
    snprintf(command, sizeof command, "rm -rf '%s'", s->directory);
    assert_int_equal(system(command), 0);
}

static int tls_get(const struct tls_server *s, const char *ca_file, const char *path,
                   struct http_response *r)
{
    struct http_engine *engine;
    char url[96];
    assert_int_equal(http_engine_open(&(struct http_options){.ca_file = ca_file}, &engine), 0);
    snprintf(url, sizeof url, "https://127.0.0.1:%d/%s", s->port, path);
    struct http_request request = {.method = "GET", .url = url};
    int rc = http_perform(engine, &request, NULL, r);
    http_engine_close(engine);
    return rc;
}

static void test_tls(void **state)
{
    (void)state;
    struct tls_server s;
    struct http_response r;
    assert_true(tls_start(&s, "openssl s_server -accept 127.0.0.1:0 -key key.pem -cert cert.pem "
                              "-www"));
    assert_int_equal(tls_get(&s, NULL, "", &r), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "tls");
    http_response_free(&r);
    assert_int_equal(tls_get(&s, s.certificate, "", &r), 0);
    assert_int_equal(r.status, 200);
    http_response_free(&r);
    tls_stop(&s);
}

/* ---- HTTP/2 ------------------------------------------------------------------------------------
 * Streams that share a connection, each with a body of its own that has to come out unmixed.
 */

enum { STREAMS = 60, STREAM_ROUNDS = 5 };

static struct tls_server h2_server;
static struct http_engine *h2_engine;
static atomic_int h2_right;

static uint32_t next(uint32_t *x)
{
    return *x = *x * 1664525u + 1013904223u;
}

static bool is_pattern(const struct buffer *body, uint32_t seed, size_t length)
{
    if (body->length != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)body->data[i] != next(&seed) >> 24)
            return false;
    return true;
}

static void *run_stream(void *ctx)
{
    static const char upload[100000];
    uint32_t random = (uint32_t)(intptr_t)ctx + 1;
    char url[96], got[16];
    for (int i = 0; i < STREAM_ROUNDS; i++) {
        uint32_t seed = next(&random);
        size_t length = next(&random) % 100000, sent = next(&random) % sizeof upload;
        struct http_response r;
        snprintf(url, sizeof url, "https://127.0.0.1:%d/%zu/%u", h2_server.port, length, seed);
        struct http_request request = {
            .method = "POST", .url = url, .body = upload, .body_length = sent};
        if (http_perform(h2_engine, &request, NULL, &r) == 0 && r.status == 200 &&
            http_response_header(&r, "x-got", got, sizeof got) && (size_t)atoll(got) == sent &&
            is_pattern(&r.body, seed, length))
            atomic_fetch_add(&h2_right, 1);
        http_response_free(&r);
    }
    return NULL;
}

static void test_http2(void **state)
{
    (void)state;
    pthread_t threads[STREAMS];
    if (system("command -v node >/dev/null"))
        skip();
    assert_true(tls_start(&h2_server, "node " TEST_SOURCE_DIR "/tests/support/h2_server.mjs"));
    struct http_options options = {.ca_file = h2_server.certificate};
    assert_int_equal(http_engine_open(&options, &h2_engine), 0);
    for (intptr_t i = 0; i < STREAMS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_stream, (void *)i), 0);
    for (int i = 0; i < STREAMS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&h2_right), STREAMS * STREAM_ROUNDS);
    http_engine_close(h2_engine);
    tls_stop(&h2_server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_http2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
