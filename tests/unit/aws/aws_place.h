/*
 * aws_place.h - where a test of the AWS credentials happens: no variable of AWS set but those of
 * the test, a HOME of its own, a clock that stands still, and a server that plays every endpoint.
 */
#ifndef AEGIS_TESTS_AWS_PLACE_H
#define AEGIS_TESTS_AWS_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "adapters/aws/credentials.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/http.h"
#include "shared/sigv4.h"
#include "support/http_stub.h"
#include "support/tree.h"

extern char **environ;

struct place {
    char home[32];
    struct http_engine *http;
    struct http_stub *stub;
    _Atomic int64_t now;
    struct clock clock;
    struct aws_credentials *credentials;
    /* What the server answers, and what it was asked last; set while no request is under way. */
    int status;
    char body[HTTP_STUB_BODY];
    char asked[HTTP_STUB_BODY];
    int64_t expires_ms;
    void (*before)(struct place *p); /* each answer */
    void *before_ctx;
};

static const char time_of_tests[] = "2026-03-01T12:00:00Z";

static inline int64_t place_now(void *ctx)
{
    return atomic_load(&((struct place *)ctx)->now);
}

static inline int place_open(void **state, http_stub_fn *answer)
{
    struct place *p = calloc(1, sizeof *p);
    int64_t now;
    assert_non_null(p);
    for (char **v = environ; *v;) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*v, "="), *v);
        if (!strncmp(name, "AWS_", 4) && !unsetenv(name))
            v = environ;
        else
            v++;
    }
    snprintf(p->home, sizeof p->home, "/tmp/aegis-aws-XXXXXX");
    assert_non_null(mkdtemp(p->home));
    assert_int_equal(setenv("HOME", p->home, 1), 0);
    /* What may answer there is not the test's. */
    assert_int_equal(setenv("AWS_EC2_METADATA_DISABLED", "true", 1), 0);
    assert_int_equal(clock_parse(time_of_tests, &now), OK);
    atomic_init(&p->now, now);
    p->clock = (struct clock){place_now, p};
    p->status = 200;
    assert_int_equal(http_engine_open(&(struct http_options){.user_agent = "test/1"}, &p->http),
                     OK);
    p->stub = http_stub_open(answer, p);
    *state = p;
    return 0;
}

static inline int place_close(void **state)
{
    struct place *p = *state;
    aws_credentials_close(p->credentials);
    http_engine_close(p->http);
    http_stub_close(p->stub);
    assert_int_equal(tree_remove(p->home), 0);
    free(p);
    return 0;
}

static inline void place_set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

/* A variable that is the server's URL and more. */
static inline void place_set_url(struct place *p, const char *name, const char *path)
{
    char url[256];
    snprintf(url, sizeof url, "%s%s", http_stub_url(p->stub), path);
    place_set(name, url);
}

/* A file below HOME; its path is in `out` of 128 bytes if not NULL. */
static inline void place_write(struct place *p, const char *name, const char *text, char *out)
{
    char path[128];
    snprintf(path, sizeof path, "%s/.aws", p->home);
    assert_int_equal(file_make_directory(path), OK);
    snprintf(path, sizeof path, "%s/%s", p->home, name);
    assert_int_equal(file_replace(path, text, strlen(text), 0600), OK);
    if (out)
        memcpy(out, path, sizeof path);
}

static inline int place_get(struct place *p, struct aws_credential *out)
{
    if (!p->credentials)
        assert_int_equal(aws_credentials_open(
                             &(struct aws_credentials_options){.http = p->http, .clock = &p->clock},
                             &p->credentials),
                         OK);
    return aws_credentials_get(p->credentials, NULL, out);
}

/* The same with nothing remembered. */
static inline int place_get_anew(struct place *p, struct aws_credential *out)
{
    aws_credentials_close(p->credentials);
    p->credentials = NULL;
    return place_get(p, out);
}

static inline void place_expect_source(struct place *p, const char *expected)
{
    char source[512];
    aws_credentials_source(p->credentials, source, sizeof source);
    assert_string_equal(source, expected);
}

/* Fails with that code, and a text that has `part` in it. */
static inline void place_refused(struct place *p, int code, const char *part)
{
    struct aws_credential got;
    assert_int_equal(place_get_anew(p, &got), code);
    if (!strstr(error_last()->message, part))
        fail_msg("'%s' is not in '%s'", part, error_last()->message);
    if (code == ERR_SYSTEMIC)
        assert_string_equal(error_last()->reason, "aws_credentials");
}

#endif
