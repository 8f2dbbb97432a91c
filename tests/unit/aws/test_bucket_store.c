/*
 * The S3 store against a server that replies what each test scripts: ranges whose connection is
 * cut, buckets elsewhere, refusals, objects that others put.
 */
#include <poll.h>
#include <pthread.h>

#include "store_place.h"

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

/* All of it, of which the client wants the head. */
static bool say_head(int fd)
{
    char head[256];
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: \"e1\"\r\n"
             "x-amz-version-id: v1\r\n\r\n",
             LARGE);
    wire_say(fd, head);
    wire_say(fd, "the first bytes");
    return false;
}

/* The first range ends early. */
static bool cut_once(int fd, const char *request, size_t length, int nth)
{
    unsigned long from = 0, to = 0;
    (void)length;
    const char *range = strcasestr(request, "\r\nrange: bytes=");
    if (!range)
        return say_head(fd);
    if (sscanf(range, "\r\n%*[^=]=%lu-%lu", &from, &to) != 2)
        return false;
    size_t whole = to - from + 1;
    say_range(fd, from, to, nth == 1 ? whole / 2 : whole);
    return nth != 1;
}

static void a_range_that_was_cut_is_asked_for_again(void **state)
{
    struct place p;
    struct object object;
    struct buffer got;
    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i * 7919 >> 5) % 26);
    place_begin(&p, cut_once);
    if (place_open(&p, "home", "talk.mp3", "", &object))
        fail_msg("%s", error_last()->message);
    assert_null(object.bytes);
    assert_int_equal(object.info.size, LARGE);
    assert_int_equal(atomic_load(&p.wire->requests), 3);
    const char *last = wire_last_request(p.wire);
    assert_non_null(strcasestr(last, "\r\nrange: bytes=0-599999\r\n"));
    assert_non_null(strcasestr(last, "\r\nif-match: \"e1\"\r\n"));
    assert_non_null(strstr(last, "?versionId=v1 "));
    buffer_init(&got, LARGE);
    assert_int_equal(file_read_fd(object.fd, "object", &got), OK);
    assert_int_equal(got.length, LARGE);
    assert_memory_equal(got.data, large, LARGE);
    assert_int_equal(write(object.fd, "x", 1), -1);
    buffer_free(&got);
    object_close(&object);
    place_end(&p);
}

static bool replaced_between(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    if (nth == 0)
        return say_head(fd);
    wire_say(fd, "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n");
    return true;
}

static void another_version_between_two_ranges_is_a_conflict(void **state)
{
    struct place p;
    struct object object;
    (void)state;
    place_begin(&p, replaced_between);
    assert_int_equal(place_open(&p, "home", "talk.mp3", "", &object), ERR_CONFLICT);
    assert_int_equal(object.fd, -1);
    place_end(&p);
}

static bool ignores_ranges(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    char head[128];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: \"e1\"\r\n\r\n",
             2 * S3_PART_BYTES);
    wire_say(fd, head);
    wire_say(fd, "a");
    return false;
}

static void a_server_that_ignores_ranges_is_named(void **state)
{
    struct place p;
    struct object object;
    (void)state;
    place_begin(&p, ignores_ranges);
    assert_int_equal(place_open(&p, "home", "talk.mp3", "", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "range_ignored");
    assert_non_null(strstr(error_last()->message, p.wire->origin));
    place_end(&p);
}

/* ---- what others put ---- */

static bool plain_object(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length, (void)nth;
    wire_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "
                 "\"5d41402abc4b2a76b9719d911017c592\"\r\nContent-Type: "
                 "text/plain\r\nContent-Encoding: gzip\r\n"
                 "Last-Modified: Wed, 22 Jul 2015 14:00:28 GMT\r\n"
                 "x-amz-meta-aegis-sha256: "
                 "0000000000000000000000000000000000000000000000000000000000000001\r\n\r\nhello");
    return true;
}

static void a_strangers_object_is_described(void **state)
{
    struct place p;
    struct object object;
    struct digest digest = digest_of("hello", 5);
    (void)state;
    place_begin(&p, plain_object);
    assert_int_equal(place_open(&p, "home", "a/../b c+d", "", &object), OK);
    assert_memory_equal(object.bytes, "hello", 5); /* as it is stored, whatever its coding */
    assert_string_equal(object.info.version_id, "");
    assert_string_equal(object.info.etag, "5d41402abc4b2a76b9719d911017c592");
    assert_int_equal(object.info.modified_ms, 1437573628000);
    assert_string_equal(object.info.sequencer, "0055AFA1FC00000000");
    /* that of an event in S3's documentation, of the day before */
    assert_true(strcmp("0055AED6DCD90281E5", object.info.sequencer) < 0);
    assert_true(digest_equal(&object.info.content, &digest)); /* not what its metadata says */
    assert_memory_equal(wire_last_request(p.wire), "GET /home/a/../b%20c%2Bd HTTP/1.1", 33);
    assert_non_null(
        strcasestr(wire_last_request(p.wire), "\r\nx-amz-expected-bucket-owner: 123456789012\r\n"));
    object_close(&object);
    place_end(&p);
}

static bool empty_object(int fd, const char *request, size_t length, int nth)
{
    (void)length, (void)nth;
    wire_say(fd, strcasestr(request, "\r\nrange:")
                     ? "HTTP/1.1 416 Range\r\nContent-Length: 0\r\n\r\n"
                     : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n");
    return true;
}

static void an_empty_object_has_no_range(void **state)
{
    struct place p;
    struct object object;
    (void)state;
    place_begin(&p, empty_object);
    assert_int_equal(place_open(&p, "home", "a", "", &object), OK);
    assert_int_equal(object.info.size, 0);
    assert_non_null(object.bytes);
    object_close(&object);
    place_end(&p);
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
    struct place p;
    struct object_info info;
    (void)state;
    place_begin(&p, in_ireland);
    assert_int_equal(p.store.ops->head(p.store.ctx, "home", "a", &info), OK);
    assert_int_equal(atomic_load(&p.wire->requests), 2);
    assert_int_equal(p.store.ops->head(p.store.ctx, "home", "a", &info), OK);
    assert_int_equal(atomic_load(&p.wire->requests), 3); /* it is remembered */
    place_end(&p);
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
    struct place b;
    pthread_t threads[2];
    (void)state;
    place_begin(&b, in_ireland_for_two);
    crowded = b.wire;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, head_object, &b.store), 0);
    for (int i = 0; i < 2; i++) {
        void *rc;
        pthread_join(threads[i], &rc);
        assert_int_equal((intptr_t)rc, OK);
    }
    assert_int_equal(atomic_load(&b.wire->requests), 4);
    place_end(&b);
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
    struct place b;
    struct object object;
    (void)state;
    place_begin(&b, in_no_region);
    assert_int_equal(place_open(&b, "home", "a", "", &object), ERR_INVALID);
    assert_int_equal(atomic_load(&b.wire->requests), 1);
    place_end(&b);
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
    struct place p;
    struct object object;
    (void)state;
    place_begin(&p, denied);
    assert_int_equal(place_open(&p, "strange", "a", "", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "bucket_denied");
    assert_int_equal(place_open(&p, "home", "a", "", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "aws_access_denied");
    place_end(&p);
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
    struct place b;
    struct object object;
    (void)state;
    place_begin(&b, denies_one_then_all);
    assert_int_equal(place_open(&b, "home", "good", "", &object), OK);
    object_close(&object);
    assert_int_equal(place_open(&b, "home", "bad", "v1", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "object_denied");
    assert_int_equal(atomic_load(&b.wire->requests), 3); /* one asked for the good one again */
    assert_int_equal(place_open(&b, "home", "bad", "v1", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "aws_access_denied");
    assert_int_equal(place_open(&b, "home", "good", "", &object), ERR_SYSTEMIC);
    place_end(&b);
}

/* A bucket has a host of its own, and any name may be in an event. */
static void a_bucket_without_an_address_does_not_stop_the_pipeline(void **state)
{
    struct place b;
    struct object object;
    (void)state;
    place_begin(&b, denied);
    b.store.ops->close(b.store.ctx);
    aws_client_close(b.client);
    place_store(&b, "http://s3.invalid", false);
    assert_int_equal(place_open(&b, "strange", "a", "", &object), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "dns");
    assert_int_equal(place_open(&b, "home", "a", "", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "store_unreachable");
    place_end(&b);
}

static void a_store_out_of_reach_uses_up_no_attempts(void **state)
{
    struct place b;
    struct object object;
    struct object_info info;
    (void)state;
    place_begin(&b, denied);
    b.store.ops->close(b.store.ctx);
    aws_client_close(b.client);
    place_store(&b, "http://127.0.0.1:1", true);
    assert_int_equal(place_open(&b, "home", "a", "", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "store_unreachable");
    assert_int_equal(b.store.ops->head(b.store.ctx, "home", "a", &info), ERR_SYSTEMIC);
    assert_int_equal(place_open(&b, "elsewhere", "a", "", &object), ERR_TRANSIENT);
    place_end(&b);
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
    struct place b;
    struct object object;
    (void)state;
    place_begin(&b, disabled);
    assert_int_equal(place_open(&b, "strange", "a", "", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "bucket_denied");
    assert_int_equal(place_open(&b, "home", "a", "", &object), ERR_SYSTEMIC);
    place_end(&b);
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
    struct place b;
    struct object object;
    (void)state;
    place_begin(&b, archived);
    assert_int_equal(place_open(&b, "home", "a", "v1", &object), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "object_archived");
    place_end(&b);
}

static bool slow_then_good(int fd, const char *request, size_t length, int nth)
{
    (void)request, (void)length;
    wire_say(fd, nth < 2 ? "HTTP/1.1 503 Slow Down\r\nContent-Length: "
                           "41\r\n\r\n<Error><Code>SlowDown</Code></Error>      "
                         : "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nETag: \"e\"\r\n\r\nx");
    return true;
}

static void slow_down_is_waited_out(void **state)
{
    struct place p;
    struct object object;
    (void)state;
    place_begin(&p, slow_then_good);
    assert_int_equal(place_open(&p, "home", "a", "", &object), OK);
    object_close(&object);
    assert_int_equal(atomic_load(&p.wire->requests), 3);
    place_end(&p);
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
    struct place p;
    struct object object;
    (void)state;
    place_begin(&p, bad_version);
    assert_int_equal(place_open(&p, "home", "a", "nonsense", &object), ERR_NOT_FOUND);
    place_end(&p);
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
    struct place b;
    struct object object;
    (void)state;
    place_begin(&b, expired);
    assert_int_equal(place_open(&b, "home", "a", "v1", &object), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "aws_credentials");
    place_end(&b);
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
    struct place p;
    struct object object;
    (void)state;
    place_begin(&p, lies_about_length);
    assert_int_equal(place_open(&p, "home", "a", "", &object), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "incomplete_body");
    place_end(&p);
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
    struct place p;
    struct object_info info;
    char endpoint[64], host[64];
    (void)state;
    place_begin(&p, in_the_host);
    p.store.ops->close(p.store.ctx);
    aws_client_close(p.client);
    snprintf(endpoint, sizeof endpoint, "http://localhost:%d", p.wire->port);
    place_store(&p, endpoint, false);
    assert_int_equal(p.store.ops->head(p.store.ctx, "home", "a", &info), OK);
    snprintf(host, sizeof host, "\r\nHost: home.localhost:%d\r\n", p.wire->port);
    assert_non_null(strstr(wire_last_request(p.wire), host));
    assert_memory_equal(wire_last_request(p.wire), "HEAD /a HTTP", 12);
    assert_int_equal(p.store.ops->head(p.store.ctx, "with.dots", "a", &info), OK);
    assert_memory_equal(wire_last_request(p.wire), "HEAD /with.dots/a HTTP", 22);
    place_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_that_was_cut_is_asked_for_again),
        cmocka_unit_test(another_version_between_two_ranges_is_a_conflict),
        cmocka_unit_test(a_server_that_ignores_ranges_is_named),
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
