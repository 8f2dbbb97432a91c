/*
 * The HTTP engine against a server that speaks the wire byte by byte, so that every way a reply can
 * go wrong is sent for real.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/http.h"
#include "support/wire.h"

static struct http_engine *engine_open(void)
{
    struct http_engine *engine;
    assert_int_equal(http_engine_open(&(struct http_options){.user_agent = "test/1"}, &engine), 0);
    return engine;
}

static void expect_error(int rc, int code, const char *reason)
{
    assert_int_equal(rc, code);
    assert_int_equal(error_last()->code, code);
    assert_string_equal(error_last()->reason, reason);
}

/* One GET on an engine and a server of its own. */
static int get(wire_serve serve, struct http_request request, struct http_response *response)
{
    struct wire *w = wire_open(serve);
    struct http_engine *engine = engine_open();
    request.method = "GET";
    request.url = w->url;
    int rc = http_perform(engine, &request, NULL, response);
    http_engine_close(engine);
    wire_close(w);
    return rc;
}

/* ---- replies that are right --------------------------------------------------------------------
 */

static bool plain(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(
        fd,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing:   some value \r\nEmpty:\r\n\r\nhello");
    return true;
}

static void test_status_body_and_headers(void **state)
{
    (void)state;
    struct http_response r;
    char value[32], tiny[4];
    assert_int_equal(get(plain, (struct http_request){0}, &r), 0);
    assert_int_equal(r.status, 200);
    assert_string_equal(buffer_string(&r.body), "hello");
    assert_true(http_response_header(&r, "x-thing", value, sizeof value));
    assert_string_equal(value, "some value");
    assert_true(http_response_header(&r, "empty", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(http_response_header(&r, "absent", value, sizeof value));
    assert_false(http_response_header(&r, "x-thing", tiny, sizeof tiny));
    assert_true(r.duration_ms >= 0);
    http_response_free(&r);
}

static bool interim(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 103 Early Hints\r\nLink: early\r\n\r\n"
                 "HTTP/1.1 201 Created\r\nFinal: yes\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    return true;
}

static void test_interim_reply_and_chunks(void **state)
{
    (void)state;
    struct http_response r;
    char value[32];
    assert_int_equal(get(interim, (struct http_request){0}, &r), 0);
    assert_int_equal(r.status, 201);
    assert_string_equal(buffer_string(&r.body), "abcdefg");
    assert_false(http_response_header(&r, "link", value, sizeof value));
    assert_true(http_response_header(&r, "final", value, sizeof value));
    http_response_free(&r);
}

static bool gzipped(int fd, const char *request, size_t length, int nth)
{
    (void)length, (void)nth;
    /* printf 'squeezed text' | gzip */
    static const unsigned char body[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
                                         0x03, 0x2b, 0x2e, 0x2c, 0x4d, 0x4d, 0xad, 0x4a, 0x4d,
                                         0x51, 0x28, 0x49, 0xad, 0x28, 0x01, 0x00, 0xb4, 0x9a,
                                         0x9f, 0xb5, 0x0d, 0x00, 0x00, 0x00};
    char head[128];
    assert_non_null(strcasestr(request, "Accept-Encoding: gzip"));
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             sizeof body);
    wire_say(fd, head);
    send(fd, body, sizeof body, MSG_NOSIGNAL);
    return true;
}

static void test_gzip(void **state)
{
    (void)state;
    struct http_response r;
    assert_int_equal(get(gzipped, (struct http_request){0}, &r), 0);
    assert_string_equal(buffer_string(&r.body), "squeezed text");
    http_response_free(&r);
}

static bool moved(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    assert_int_equal(nth, 0);
    wire_say(fd, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
    return true;
}

static void test_redirect_is_not_followed(void **state)
{
    (void)state;
    struct http_response r;
    assert_int_equal(get(moved, (struct http_request){0}, &r), 0);
    assert_int_equal(r.status, 302);
    assert_int_equal(r.body.length, 0);
    http_response_free(&r);
}

static bool failing(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 7\r\n\r\nbusy");
    return true;
}

static void test_any_status_is_success(void **state)
{
    (void)state;
    struct http_response r;
    assert_int_equal(get(failing, (struct http_request){0}, &r), 0);
    assert_int_equal(r.status, 503);
    assert_string_equal(buffer_string(&r.body), "busy");
    http_response_free(&r);
}

/* ---- what is sent ------------------------------------------------------------------------------
 */

static void test_post_and_reuse(void **state)
{
    (void)state;
    struct wire *w = wire_open(plain);
    struct http_engine *engine = engine_open();
    struct http_header headers[] = {{"Content-Type", "application/json"}, {"X-Empty", ""}};
    struct http_request request = {.method = "POST",
                                   .url = w->url,
                                   .headers = headers,
                                   .header_count = 2,
                                   .body = "{\"a\":1}",
                                   .body_length = 7};
    struct http_response r;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
        http_response_free(&r);
    }
    const char *last = wire_last_request(w);
    assert_int_equal(memcmp(last, "POST /thing HTTP/1.1\r\n", 22), 0);
    assert_non_null(strstr(last, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(last, "X-Empty:\r\n"));
    assert_non_null(strstr(last, "User-Agent: test/1\r\n"));
    assert_non_null(strstr(last, "Content-Length: 7\r\n"));
    assert_null(strcasestr(last, "Expect:"));
    assert_string_equal(strstr(last, "\r\n\r\n") + 4, "{\"a\":1}");
    assert_int_equal(atomic_load(&w->connections), 1);

    /* the next request on the same easy handle carries nothing over */
    request = (struct http_request){.method = "DELETE", .url = w->url};
    assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
    http_response_free(&r);
    last = wire_last_request(w);
    assert_int_equal(memcmp(last, "DELETE /thing HTTP/1.1\r\n", 24), 0);
    assert_null(strcasestr(last, "Content-"));
    request = (struct http_request){.method = "POST", .url = w->url};
    assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
    http_response_free(&r);
    assert_non_null(strstr(wire_last_request(w), "Content-Length: 0\r\n"));
    http_engine_close(engine);
    wire_close(w);
}

/* Requests of each kind behind each other kind, on one handle: nothing is carried over. */
static void test_kinds_in_turn(void **state)
{
    (void)state;
    struct http_part part = {.name = "model", .value = "whisper-1"};
    const struct {
        const char *method, *body;
        bool as_is;
        size_t parts;
    } kinds[] = {{"GET", NULL, false, 0},   {"GET", NULL, true, 0},   {"POST", "{}", false, 0},
                 {"POST", "{}", true, 0},   {"POST", NULL, false, 1}, {"PUT", "{}", false, 0},
                 {"DELETE", NULL, false, 0}};
    enum { KINDS = sizeof kinds / sizeof kinds[0] };
    struct wire *w = wire_open(plain);
    struct http_engine *engine = engine_open();
    for (size_t i = 0; i < (size_t)KINDS * KINDS * 2; i++) {
        size_t kind = i % 2 ? i / 2 % KINDS : i / 2 / KINDS;
        struct http_request request = {.method = kinds[kind].method,
                                       .url = w->url,
                                       .body = kinds[kind].body,
                                       .body_length = kinds[kind].body ? 2 : 0,
                                       .as_is = kinds[kind].as_is,
                                       .parts = &part,
                                       .part_count = kinds[kind].parts};
        struct http_response r;
        char line[40];
        assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
        http_response_free(&r);
        const char *last = wire_last_request(w);
        snprintf(line, sizeof line, "%s /thing HTTP/1.1\r\n", kinds[kind].method);
        assert_int_equal(strncmp(last, line, strlen(line)), 0);
        assert_int_equal(strstr(last, "Accept-Encoding: gzip\r\n") != NULL, !kinds[kind].as_is);
        assert_int_equal(strstr(last, "multipart/form-data") != NULL, kinds[kind].parts == 1);
        assert_int_equal(strstr(last, "Content-Length: 2\r\n") != NULL, kinds[kind].body != NULL);
        if (!kinds[kind].parts)
            assert_string_equal(strstr(last, "\r\n\r\n") + 4,
                                kinds[kind].body ? kinds[kind].body : "");
    }
    assert_int_equal(atomic_load(&w->connections), 1);
    http_engine_close(engine);
    wire_close(w);
}

static int temporary(const char *bytes, size_t length)
{
    int fd;
    assert_int_equal(file_temporary("/tmp", &fd), 0);
    assert_int_equal(file_write_all(fd, "temporary", bytes, length), 0);
    return fd;
}

static struct http_request upload(const struct wire *w, const struct http_part *parts, size_t n)
{
    return (struct http_request){.method = "POST", .url = w->url, .parts = parts, .part_count = n};
}

static char *pattern(size_t length)
{
    char *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)('a' + i % 23);
    return bytes;
}

static void check_upload(struct wire *w, const char *bytes, size_t length)
{
    const char *last = wire_last_request(w);
    assert_non_null(strstr(last, "name=\"model\"\r\n\r\nwhisper-1\r\n"));
    assert_non_null(strstr(last, "name=\"file\"; filename=\"piece.wav\"\r\n"));
    assert_non_null(strstr(last, "Content-Type: audio/wav\r\n"));
    assert_null(strcasestr(last, "Transfer-Encoding"));
    assert_non_null(memmem(last, w->seen_length, bytes, length));
}

static void test_multipart_upload(void **state)
{
    (void)state;
    enum { LENGTH = 100000 };
    struct wire *w = wire_open(plain);
    struct http_engine *engine = engine_open();
    char *bytes = pattern(LENGTH);
    int fd = temporary(bytes, LENGTH);
    struct http_part parts[] = {
        {.name = "model", .value = "whisper-1"},
        {.name = "file",
         .fd = fd,
         .size = LENGTH,
         .filename = "piece.wav",
         .content_type = "audio/wav"},
    };
    struct http_request request = upload(w, parts, 2);
    struct http_response r;
    assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
    http_response_free(&r);
    check_upload(w, bytes, LENGTH);

    parts[1].size = LENGTH + 1; /* longer than the file is */
    expect_error(http_perform(engine, &request, NULL, &r), ERR_IO, "");
    http_response_free(&r);
    http_engine_close(engine);
    wire_close(w);
    close(fd);
    free(bytes);
}

/* The first connection serves one request and dies when the second one has come in whole. */
static bool dies_once(int fd, const char *request, size_t length, int nth)
{
    if (nth == 1)
        return false;
    return plain(fd, request, length, nth);
}

static void test_stale_connection_is_replaced(void **state)
{
    (void)state;
    enum { LENGTH = 50000 };
    struct wire *w = wire_open(dies_once);
    struct http_engine *engine = engine_open();
    char *bytes = pattern(LENGTH);
    int fd = temporary(bytes, LENGTH);
    struct http_part parts[] = {
        {.name = "model", .value = "whisper-1"},
        {.name = "file",
         .fd = fd,
         .size = LENGTH,
         .filename = "piece.wav",
         .content_type = "audio/wav"},
    };
    struct http_request request = upload(w, parts, 2);
    struct http_response r;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(http_perform(engine, &request, NULL, &r), 0);
        assert_int_equal(r.status, 200);
        http_response_free(&r);
    }
    check_upload(w, bytes, LENGTH); /* the rewound upload is whole */
    assert_int_equal(atomic_load(&w->connections), 2);
    http_engine_close(engine);
    wire_close(w);
    close(fd);
    free(bytes);
}

static void test_header_injection_is_refused(void **state)
{
    (void)state;
    struct http_engine *engine = engine_open();
    struct http_header headers[] = {{"Authorization", "Bearer sk-secret\r\nX-Evil: 1"}};
    struct http_request request = {
        .method = "GET", .url = "http://127.0.0.1:1/", .headers = headers, .header_count = 1};
    struct http_response r;
    expect_error(http_perform(engine, &request, NULL, &r), ERR_INVALID, "bad_header");
    assert_null(strstr(error_last()->message, "sk-secret"));
    assert_non_null(strstr(error_last()->message, "'Authorization'"));
    http_response_free(&r);
    http_engine_close(engine);
}

/* ---- failures ----------------------------------------------------------------------------------
 */

/* A port where nothing listens: bound and closed again. */
static int dead_port(void)
{
    struct wire *w = wire_open(plain);
    int port = w->port;
    wire_close(w);
    return port;
}

static void test_connection_refused(void **state)
{
    (void)state;
    char url[96];
    snprintf(url, sizeof url, "http://user:hush@127.0.0.1:%d/v1?key=hush", dead_port());
    struct http_engine *engine = engine_open();
    struct http_header headers[] = {{"Authorization", "Bearer hush"}};
    struct http_request request = {
        .method = "GET", .url = url, .headers = headers, .header_count = 1};
    struct http_response r;
    expect_error(http_perform(engine, &request, NULL, &r), ERR_TRANSIENT, "connect_failed");
    assert_null(strstr(error_last()->message, "hush"));
    assert_non_null(strstr(error_last()->message, "'http://127.0.0.1:"));
    assert_int_equal(r.status, 0);
    http_response_free(&r);
    http_engine_close(engine);
}

static void test_unusable_urls(void **state)
{
    (void)state;
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "http://", ""};
    struct http_engine *engine = engine_open();
    for (size_t i = 0; i < 4; i++) {
        struct http_request request = {.method = "GET", .url = urls[i]};
        struct http_response r;
        expect_error(http_perform(engine, &request, NULL, &r), ERR_INVALID, "bad_url");
        http_response_free(&r);
    }
    http_engine_close(engine);
}

static bool hang_up(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return false;
}

static bool half(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it");
    return false;
}

static bool nonsense(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
    return false;
}

static void test_broken_replies(void **state)
{
    (void)state;
    struct http_response r;
    expect_error(get(hang_up, (struct http_request){0}, &r), ERR_TRANSIENT, "connection_reset");
    http_response_free(&r);
    expect_error(get(half, (struct http_request){0}, &r), ERR_TRANSIENT, "incomplete_body");
    http_response_free(&r);
    expect_error(get(nonsense, (struct http_request){0}, &r), ERR_TRANSIENT, "malformed_reply");
    http_response_free(&r);
}

static bool silent(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    char byte;
    wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    while (recv(fd, &byte, 1, 0) > 0) /* until the client gives up */
        ;
    return false;
}

static bool dripping(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    struct timeval patience = {.tv_usec = 20000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char byte;
    while (recv(fd, &byte, 1, 0) != 0) /* one byte every 20 ms, until the client gives up */
        wire_say(fd, "x");
    return false;
}

static void test_timeouts(void **state)
{
    (void)state;
    struct http_response r;
    expect_error(get(silent, (struct http_request){.idle_timeout_ms = 100}, &r), ERR_TIMEOUT,
                 "idle_timeout");
    http_response_free(&r);
    expect_error(
        get(dripping, (struct http_request){.idle_timeout_ms = 5000, .timeout_ms = 250}, &r),
        ERR_TIMEOUT, "timeout");
    assert_true(r.body.length > 0);
    http_response_free(&r);
}

static bool late(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    struct timeval patience = {.tv_usec = 300000}; /* longer than the engine's own rhythm */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char byte;
    if (recv(fd, &byte, 1, 0) != 0)
        wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    return false;
}

static void test_no_timeouts(void **state)
{
    (void)state;
    struct http_response r;
    assert_int_equal(get(late, (struct http_request){.idle_timeout_ms = -1, .timeout_ms = -1}, &r),
                     OK);
    assert_string_equal(buffer_string(&r.body), "ok");
    http_response_free(&r);
}

static bool endless(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    char block[1024];
    memset(block, 'x', sizeof block);
    wire_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (send(fd, block, sizeof block, MSG_NOSIGNAL) > 0)
        ;
    return false;
}

static bool endless_headers(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20000; i++)
        wire_say(fd, "X-Filler: 0123456789012345678901234567890123456789\r\n");
    return false;
}

static void test_response_caps(void **state)
{
    (void)state;
    struct http_response r;
    expect_error(get(endless, (struct http_request){.max_response = 50000}, &r), ERR_TOO_LARGE,
                 "response_too_large");
    assert_true(r.body.length <= 50000);
    http_response_free(&r);
    expect_error(get(half, (struct http_request){.max_response = 99}, &r), ERR_TOO_LARGE,
                 "response_too_large");
    http_response_free(&r);
    int rc = get(endless_headers, (struct http_request){0}, &r);
    assert_true(rc == ERR_TOO_LARGE || rc == ERR_TRANSIENT);
    assert_true(r.header_block.length <= CAP_HTTP_HEADERS);
    http_response_free(&r);
}

static bool many_bytes_twice(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    char block[1000];
    memset(block, 'x', sizeof block);
    wire_say(fd, nth == 0 ? "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 1000\r\n\r\n"
                          : "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n");
    return send(fd, block, sizeof block, MSG_NOSIGNAL) > 0 && nth == 0;
}

/* With its length announced, and without. */
static void a_long_response_is_cut_where_that_is_wanted(void **state)
{
    (void)state;
    struct http_response r;
    struct wire *w = wire_open(many_bytes_twice);
    struct http_engine *engine;
    char value[8];
    assert_int_equal(http_engine_open(&(struct http_options){0}, &engine), OK);
    for (int i = 0; i < 2; i++) {
        struct http_request request = {
            .method = "GET", .url = w->url, .max_response = 999, .cut_long = true};
        assert_int_equal(http_perform(engine, &request, NULL, &r), OK);
        assert_true(r.cut);
        assert_int_equal(r.status, 200);
        assert_true(r.body.length <= 999);
        assert_true(http_response_header(&r, "x-a", value, sizeof value));
        http_response_free(&r);
    }
    http_engine_close(engine);
    wire_close(w);
}

static void what_fits_is_not_cut(void **state)
{
    (void)state;
    struct http_response r;
    assert_int_equal(
        get(late, (struct http_request){.max_response = 2, .cut_long = true, .idle_timeout_ms = -1},
            &r),
        OK);
    assert_false(r.cut);
    assert_string_equal(buffer_string(&r.body), "ok");
    http_response_free(&r);
}

/* ---- cancelling --------------------------------------------------------------------------------
 */

struct background {
    struct http_engine *engine;
    struct http_request request;
    struct cancel cancel;
    int rc;
    pthread_t thread;
};

static void *run_background(void *ctx)
{
    struct background *b = ctx;
    struct http_response r;
    b->rc = http_perform(b->engine, &b->request, &b->cancel, &r);
    http_response_free(&r);
    return NULL;
}

static void wait_for_request(struct wire *w)
{
    while (atomic_load(&w->requests) == 0)
        sched_yield();
}

static void test_cancel(void **state)
{
    (void)state;
    struct wire *w = wire_open(silent);
    struct background b = {.engine = engine_open(), .request = {.method = "GET", .url = w->url}};
    struct http_response r;
    pthread_create(&b.thread, NULL, run_background, &b);
    wait_for_request(w);
    int64_t asked = clock_monotonic_ms();
    cancel_request(&b.cancel);
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, ERR_CANCELLED);
    assert_true(clock_monotonic_ms() - asked < 5000);
    /* and before it begins */
    assert_int_equal(http_perform(b.engine, &b.request, &b.cancel, &r), ERR_CANCELLED);
    http_response_free(&r);
    http_engine_close(b.engine);
    wire_close(w);
}

static void test_close_cancels(void **state)
{
    (void)state;
    struct wire *w = wire_open(silent);
    struct background b = {.engine = engine_open(), .request = {.method = "GET", .url = w->url}};
    pthread_create(&b.thread, NULL, run_background, &b);
    wait_for_request(w);
    /* http_engine_close may only be called when nobody will use the engine any more: the caller
     * under way is let go first, which is what is tested */
    http_engine_close(b.engine);
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, ERR_CANCELLED);
    wire_close(w);
}

static void test_plain_server_where_tls_was_expected(void **state)
{
    (void)state;
    struct wire *w = wire_open(nonsense);
    struct http_engine *engine = engine_open();
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", w->port);
    struct http_request request = {.method = "GET", .url = url};
    struct http_response r;
    expect_error(http_perform(engine, &request, NULL, &r), ERR_TRANSIENT, "connect_failed");
    http_response_free(&r);
    http_engine_close(engine);
    wire_close(w);
}

static void test_urls_that_others_can_read(void **state)
{
    static const char *const open[] = {"http://example.com", "HTTP://10.0.0.1:9000/x",
                                       "http://127.0.0.1@example.com/", "http://[::2]",
                                       "http://127.0.0.1.example.com"};
    static const char *const closed[] = {"https://example.com",
                                         "http://127.0.0.1:9000",
                                         "http://127.9.9.9",
                                         "http://localhost/x",
                                         "http://[::1]:1",
                                         "",
                                         "example"};
    (void)state;
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        if (!http_url_is_open(open[i]))
            fail_msg("'%s' can be read on the way", open[i]);
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++)
        if (http_url_is_open(closed[i]))
            fail_msg("'%s' cannot be read on the way", closed[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls_that_others_can_read),
        cmocka_unit_test(test_status_body_and_headers),
        cmocka_unit_test(test_interim_reply_and_chunks),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_redirect_is_not_followed),
        cmocka_unit_test(test_any_status_is_success),
        cmocka_unit_test(test_post_and_reuse),
        cmocka_unit_test(test_kinds_in_turn),
        cmocka_unit_test(test_multipart_upload),
        cmocka_unit_test(test_stale_connection_is_replaced),
        cmocka_unit_test(test_header_injection_is_refused),
        cmocka_unit_test(test_connection_refused),
        cmocka_unit_test(test_unusable_urls),
        cmocka_unit_test(test_broken_replies),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_no_timeouts),
        cmocka_unit_test(test_response_caps),
        cmocka_unit_test(a_long_response_is_cut_where_that_is_wanted),
        cmocka_unit_test(what_fits_is_not_cut),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_close_cancels),
        cmocka_unit_test(test_plain_server_where_tls_was_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
