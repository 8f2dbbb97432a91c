/*
 * The S3 store against a server that replies what each test scripts: ranges whose connection is
 * cut, buckets elsewhere, refusals, objects that others put.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/aws/store_s3.h"
#include "shared/buffer.h"
#include "shared/error.h"
#include "support/wire.h"

int aws_credentials_get(struct aws_credentials *c, const struct cancel *cancel,
                        struct aws_credential *out)
{
    (void)c, (void)cancel;
    *out = (struct aws_credential){.access_key_id = "AKIDEXAMPLE", .secret_access_key = "secret"};
    return OK;
}

void aws_credentials_refused(struct aws_credentials *c, const struct aws_credential *refused)
{
    (void)c, (void)refused;
}

struct bench {
    struct wire *wire;
    struct http_engine *http;
    struct aws_client *client;
    struct object_store store;
    char spool[32];
};

static void open_store(struct bench *b, const char *endpoint, bool path_style)
{
    struct aws_client_options client = {.http = b->http,
                                        .clock = clock_system(),
                                        .service = "s3",
                                        .region = "us-east-1",
                                        .endpoint = endpoint,
                                        .retry_base_ms = 1};
    assert_int_equal(aws_client_open(&client, &b->client), OK);
    struct s3_store_options options = {.client = b->client,
                                       .clock = clock_system(),
                                       .path_style = path_style,
                                       .home = "home",
                                       .bucket_owner = "123456789012",
                                       .spool_directory = b->spool};
    assert_int_equal(s3_store_open(&options, &b->store), OK);
}

static void begin(struct bench *b, wire_serve serve)
{
    *b = (struct bench){.spool = "/tmp/aegis-spool-XXXXXX"};
    assert_non_null(mkdtemp(b->spool));
    b->wire = wire_open(serve);
    assert_int_equal(http_engine_open(&(struct http_options){0}, &b->http), OK);
    open_store(b, b->wire->origin, true);
}

static void end(struct bench *b)
{
    b->store.ops->close(b->store.ctx);
    aws_client_close(b->client);
    http_engine_close(b->http);
    wire_close(b->wire);
    assert_int_equal(rmdir(b->spool), 0); /* nothing was left in it */
}

static int open_object(struct bench *b, const char *bucket, const char *key, const char *version,
                       struct object *out)
{
    return b->store.ops->open(b->store.ctx, bucket, key, version, "", NULL, out);
}

/* ---- large objects ---- */

enum { LARGE = 600000 };

static char large[LARGE + 1];

static void say_range(int fd, size_t from, size_t to, size_t send)
{
    char head[256];
    snprintf(head, sizeof head,
             "HTTP/1.1 206 Partial Content\r\nContent-Length: %zu\r\nContent-Range: bytes "
             "%zu-%zu/%d\r\nETag: \"e1\"\r\nx-amz-version-id: v1\r\n\r\n",
             to - from + 1, from, to, LARGE);
    wire_say(fd, head);
    char *part = strndup(large + from, send);
    wire_say(fd, part);
    free(part);
}

/* The second answer ends early. */
static bool cut_once(int fd, const char *request, size_t length, int nth)
{
    unsigned long from = 0, to = 0;
    (void)length;
    const char *range = strcasestr(request, "\r\nrange: bytes=");
    if (!range || sscanf(range, "\r\n%*[^=]=%lu-%lu", &from, &to) != 2)
        return false;
    if (to >= LARGE)
        to = LARGE - 1;
    size_t whole = to - from + 1;
    say_range(fd, from, to, nth == 1 ? whole / 2 : whole);
    return nth != 1;
}

static void a_range_that_was_cut_is_asked_for_again(void **state)
{
    struct bench b;
    struct object object;
    struct buffer got;
    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i * 7919 >> 5) % 26);
    begin(&b, cut_once);
    if (open_object(&b, "home", "talk.mp3", "", &object))
        fail_msg("%s", error_last()->message);
    assert_null(object.bytes);
    assert_int_equal(object.info.size, LARGE);
    assert_int_equal(atomic_load(&b.wire->requests), 3);
    const char *last = wire_last_request(b.wire);
    assert_non_null(strcasestr(last, "\r\nrange: bytes=262144-599999\r\n"));
    assert_non_null(strcasestr(last, "\r\nif-match: \"e1\"\r\n"));
    assert_non_null(strstr(last, "?versionId=v1 "));
    buffer_init(&got, LARGE);
    assert_int_equal(file_read_fd(object.fd, "object", &got), OK);
    assert_int_equal(got.length, LARGE);
    assert_memory_equal(got.data, large, LARGE);
    assert_int_equal(write(object.fd, "x", 1), -1);
    buffer_free(&got);
    object_close(&object);
    end(&b);
}

static bool replaced_between(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    if (nth == 0)
        say_range(fd, 0, S3_FIRST_BYTES - 1, S3_FIRST_BYTES);
    else
        wire_say(fd, "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n");
    return true;
}

static void another_version_between_two_ranges_is_a_conflict(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, replaced_between);
    assert_int_equal(open_object(&b, "home", "talk.mp3", "", &object), ERR_CONFLICT);
    assert_int_equal(object.fd, -1);
    end(&b);
}

/* ---- what others put ---- */

static bool plain_object(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes "
                 "0-4/5\r\nETag: \"5d41402abc4b2a76b9719d911017c592\"\r\nContent-Type: "
                 "text/plain\r\nContent-Encoding: gzip\r\n"
                 "Last-Modified: Wed, 22 Jul 2015 14:00:28 GMT\r\n"
                 "x-amz-meta-aegis-sha256: "
                 "0000000000000000000000000000000000000000000000000000000000000001\r\n\r\nhello");
    return true;
}

static void a_strangers_object_is_described(void **state)
{
    struct bench b;
    struct object object;
    struct digest digest = digest_of("hello", 5);
    (void)state;
    begin(&b, plain_object);
    assert_int_equal(open_object(&b, "home", "a/../b c+d", "", &object), OK);
    assert_memory_equal(object.bytes, "hello", 5); /* as it is stored, whatever its coding */
    assert_string_equal(object.info.version_id, "");
    assert_string_equal(object.info.etag, "5d41402abc4b2a76b9719d911017c592");
    assert_int_equal(object.info.modified_ms, 1437573628000);
    assert_string_equal(object.info.sequencer, "0055AFA1FC00000000");
    /* that of an event in S3's documentation, of the day before */
    assert_true(strcmp("0055AED6DCD90281E5", object.info.sequencer) < 0);
    assert_true(digest_equal(&object.info.content, &digest)); /* not what its metadata says */
    assert_memory_equal(wire_last_request(b.wire), "GET /home/a/../b%20c%2Bd HTTP/1.1", 33);
    assert_non_null(
        strcasestr(wire_last_request(b.wire), "\r\nx-amz-expected-bucket-owner: 123456789012\r\n"));
    object_close(&object);
    end(&b);
}

static bool empty_object(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    wire_say(fd, nth == 0 ? "HTTP/1.1 416 Range\r\nContent-Length: 0\r\n\r\n"
                          : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n");
    return true;
}

static void an_empty_object_has_no_range(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, empty_object);
    assert_int_equal(open_object(&b, "home", "a", "", &object), OK);
    assert_int_equal(object.info.size, 0);
    assert_non_null(object.bytes);
    object_close(&object);
    end(&b);
}

/* ---- elsewhere, and refused ---- */

static bool in_ireland(int fd, const char *request, size_t length, int nth)
{
    (void)length, (void)nth;
    wire_say(fd, strstr(request, "/eu-west-1/s3/aws4_request")
                     ? "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"e\"\r\n\r\n"
                     : "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\n"
                       "Content-Length: 0\r\n\r\n");
    return !strncmp(request, "GET", 3) || !strstr(request, "eu-west-1");
}

static void a_bucket_in_another_region_is_followed_there(void **state)
{
    struct bench b;
    struct object_info info;
    (void)state;
    begin(&b, in_ireland);
    assert_int_equal(b.store.ops->head(b.store.ctx, "home", "a", &info), OK);
    assert_int_equal(atomic_load(&b.wire->requests), 2);
    assert_int_equal(b.store.ops->head(b.store.ctx, "home", "a", &info), OK);
    assert_int_equal(atomic_load(&b.wire->requests), 3); /* it is remembered */
    end(&b);
}

static struct wire *crowded;

/* The first hears of it only when a second one was sent to the wrong region too. */
static bool in_ireland_for_two(int fd, const char *request, size_t length, int nth)
{
    struct pollfd other = {.fd = crowded->listener, .events = POLLIN};
    if (nth == 0)
        assert_int_equal(poll(&other, 1, 60000), 1);
    in_ireland(fd, request, length, nth);
    return false;
}

static void *head_object(void *ctx)
{
    struct object_store *store = ctx;
    struct object_info info;
    return (void *)(intptr_t)store->ops->head(store->ctx, "home", "a", &info);
}

static void two_at_once_follow_a_bucket_to_its_region(void **state)
{
    struct bench b;
    pthread_t threads[2];
    (void)state;
    begin(&b, in_ireland_for_two);
    crowded = b.wire;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, head_object, &b.store), 0);
    for (int i = 0; i < 2; i++) {
        void *rc;
        pthread_join(threads[i], &rc);
        assert_int_equal((intptr_t)rc, OK);
    }
    assert_int_equal(atomic_load(&b.wire->requests), 4);
    end(&b);
}

static bool in_no_region(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: x@evil.example#\r\n"
                 "Content-Length: 0\r\n\r\n");
    return true;
}

static void what_is_no_region_is_not_followed(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, in_no_region);
    assert_int_equal(open_object(&b, "home", "a", "", &object), ERR_INVALID);
    assert_int_equal(atomic_load(&b.wire->requests), 1);
    end(&b);
}

static bool denied(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: "
                 "72\r\n\r\n<Error><Code>AccessDenied</Code><Message>Access "
                 "Denied</Message></Error>\n");
    return true;
}

static void a_strangers_bucket_does_not_stop_the_pipeline(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, denied);
    assert_int_equal(open_object(&b, "strange", "a", "", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "bucket_denied");
    assert_int_equal(open_object(&b, "home", "a", "", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "aws_access_denied");
    end(&b);
}

/* One object of somebody else's, and from the third request on all of them. */
static bool denies_one_then_all(int fd, const char *request, size_t length, int nth)
{
    bool is_good = strstr(request, "/home/good") && nth < 3;
    if (!is_good)
        return denied(fd, request, length, nth);
    wire_say(fd, "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: bytes "
                 "0-0/1\r\nETag: \"e\"\r\n\r\nx");
    return true;
}

static void one_denied_object_does_not_stop_the_pipeline(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, denies_one_then_all);
    assert_int_equal(open_object(&b, "home", "good", "", &object), OK);
    object_close(&object);
    assert_int_equal(open_object(&b, "home", "bad", "v1", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "object_denied");
    assert_int_equal(atomic_load(&b.wire->requests), 3); /* one asked for the good one again */
    assert_int_equal(open_object(&b, "home", "bad", "v1", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "aws_access_denied");
    assert_int_equal(open_object(&b, "home", "good", "", &object), ERR_SYSTEMIC);
    end(&b);
}

/* A bucket has a host of its own, and any name may be in an event. */
static void a_bucket_without_an_address_does_not_stop_the_pipeline(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, denied);
    b.store.ops->close(b.store.ctx);
    aws_client_close(b.client);
    open_store(&b, "http://s3.invalid", false);
    assert_int_equal(open_object(&b, "strange", "a", "", &object), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "dns");
    assert_int_equal(open_object(&b, "home", "a", "", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "store_unreachable");
    end(&b);
}

static void a_store_out_of_reach_uses_up_no_attempts(void **state)
{
    struct bench b;
    struct object object;
    struct object_info info;
    (void)state;
    begin(&b, denied);
    b.store.ops->close(b.store.ctx);
    aws_client_close(b.client);
    open_store(&b, "http://127.0.0.1:1", true);
    assert_int_equal(open_object(&b, "home", "a", "", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "store_unreachable");
    assert_int_equal(b.store.ops->head(b.store.ctx, "home", "a", &info), ERR_SYSTEMIC);
    assert_int_equal(open_object(&b, "elsewhere", "a", "", &object), ERR_TRANSIENT);
    end(&b);
}

static bool disabled(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: "
                 "48\r\n\r\n<Error><Code>AllAccessDisabled</Code></Error>    ");
    return true;
}

static void a_bucket_that_aws_disabled_does_not_stop_the_pipeline(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, disabled);
    assert_int_equal(open_object(&b, "strange", "a", "", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "bucket_denied");
    assert_int_equal(open_object(&b, "home", "a", "", &object), ERR_SYSTEMIC);
    end(&b);
}

static bool archived(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 110\r\n\r\n<Error><Code>"
                 "InvalidObjectState</Code><Message>The operation is not valid for the object's "
                 "state</Message></Error>   ");
    return true;
}

static void an_archived_object_does_not_stop_the_pipeline(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, archived);
    assert_int_equal(open_object(&b, "home", "a", "v1", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "object_archived");
    end(&b);
}

static bool slow_then_good(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    wire_say(fd, nth < 2 ? "HTTP/1.1 503 Slow Down\r\nContent-Length: "
                           "41\r\n\r\n<Error><Code>SlowDown</Code></Error>      "
                         : "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: "
                           "bytes 0-0/1\r\nETag: \"e\"\r\n\r\nx");
    return true;
}

static void slow_down_is_waited_out(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, slow_then_good);
    assert_int_equal(open_object(&b, "home", "a", "", &object), OK);
    object_close(&object);
    assert_int_equal(atomic_load(&b.wire->requests), 3);
    end(&b);
}

static bool bad_version(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: "
                 "44\r\n\r\n<Error><Code>InvalidArgument</Code></Error>  ");
    return true;
}

static void a_version_that_cannot_be_is_not_found(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, bad_version);
    assert_int_equal(open_object(&b, "home", "a", "nonsense", &object), ERR_NOT_FOUND);
    end(&b);
}

static bool expired(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: "
                 "42\r\n\r\n<Error><Code>ExpiredToken</Code></Error>   ");
    return true;
}

/* S3 refuses that with 400 too: the object is where it was. */
static void a_version_is_not_missing_because_a_token_expired(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, expired);
    assert_int_equal(open_object(&b, "home", "a", "v1", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "aws_credentials");
    end(&b);
}

static bool lies_about_length(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Range: bytes 0-3/9\r\nETag: "
                 "\"e\"\r\n\r\nhalf");
    return true;
}

static void less_than_was_said_is_no_object(void **state)
{
    struct bench b;
    struct object object;
    (void)state;
    begin(&b, lies_about_length);
    assert_int_equal(open_object(&b, "home", "a", "", &object), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "incomplete_body");
    end(&b);
}

/* ---- addresses ---- */

static bool in_the_host(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"e\"\r\n\r\n");
    return false;
}

static void the_bucket_is_in_the_host_or_the_path(void **state)
{
    struct bench b;
    struct object_info info;
    char endpoint[64], host[64];
    (void)state;
    begin(&b, in_the_host);
    b.store.ops->close(b.store.ctx);
    aws_client_close(b.client);
    snprintf(endpoint, sizeof endpoint, "http://localhost:%d", b.wire->port);
    open_store(&b, endpoint, false);
    assert_int_equal(b.store.ops->head(b.store.ctx, "home", "a", &info), OK);
    snprintf(host, sizeof host, "\r\nHost: home.localhost:%d\r\n", b.wire->port);
    assert_non_null(strstr(wire_last_request(b.wire), host));
    assert_memory_equal(wire_last_request(b.wire), "HEAD /a HTTP", 12);
    assert_int_equal(b.store.ops->head(b.store.ctx, "with.dots", "a", &info), OK);
    assert_memory_equal(wire_last_request(b.wire), "HEAD /with.dots/a HTTP", 22);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_that_was_cut_is_asked_for_again),
        cmocka_unit_test(another_version_between_two_ranges_is_a_conflict),
        cmocka_unit_test(a_strangers_object_is_described),
        cmocka_unit_test(an_empty_object_has_no_range),
        cmocka_unit_test(a_bucket_in_another_region_is_followed_there),
        cmocka_unit_test(two_at_once_follow_a_bucket_to_its_region),
        cmocka_unit_test(what_is_no_region_is_not_followed),
        cmocka_unit_test(a_strangers_bucket_does_not_stop_the_pipeline),
        cmocka_unit_test(one_denied_object_does_not_stop_the_pipeline),
        cmocka_unit_test(a_store_out_of_reach_uses_up_no_attempts),
        cmocka_unit_test(a_bucket_without_an_address_does_not_stop_the_pipeline),
        cmocka_unit_test(a_bucket_that_aws_disabled_does_not_stop_the_pipeline),
        cmocka_unit_test(an_archived_object_does_not_stop_the_pipeline),
        cmocka_unit_test(slow_down_is_waited_out),
        cmocka_unit_test(a_version_that_cannot_be_is_not_found),
        cmocka_unit_test(a_version_is_not_missing_because_a_token_expired),
        cmocka_unit_test(less_than_was_said_is_no_object),
        cmocka_unit_test(the_bucket_is_in_the_host_or_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
