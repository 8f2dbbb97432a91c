/*
 * store_place.h - an S3 store before a server that replies what a test scripts.
 */
#ifndef AEGIS_TESTS_STORE_PLACE_H
#define AEGIS_TESTS_STORE_PLACE_H

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

struct place {
    struct wire *wire;
    struct http_engine *http;
    struct aws_client *client;
    struct object_store store;
    char spool[32];
};

static inline void place_store(struct place *p, const char *endpoint, bool path_style)
{
    struct aws_client_options client = {.http = p->http,
                                        .clock = clock_system(),
                                        .service = "s3",
                                        .region = "us-east-1",
                                        .endpoint = endpoint,
                                        .retry_base_ms = 1};
    assert_int_equal(aws_client_open(&client, &p->client), OK);
    struct s3_store_options options = {.client = p->client,
                                       .clock = clock_system(),
                                       .send_checksums = true,
                                       .ask_checksums = true,
                                       .path_style = path_style,
                                       .home = "home",
                                       .bucket_owner = "123456789012",
                                       .spool_directory = p->spool};
    assert_int_equal(s3_store_open(&options, &p->store), OK);
}

static inline void place_begin(struct place *p, wire_serve serve)
{
    *p = (struct place){.spool = "/tmp/aegis-spool-XXXXXX"};
    assert_non_null(mkdtemp(p->spool));
    p->wire = wire_open(serve);
    assert_int_equal(http_engine_open(&(struct http_options){0}, &p->http), OK);
    place_store(p, p->wire->origin, true);
}

static inline void place_end(struct place *p)
{
    p->store.ops->close(p->store.ctx);
    aws_client_close(p->client);
    http_engine_close(p->http);
    wire_close(p->wire);
    assert_int_equal(rmdir(p->spool), 0); /* nothing was left in it */
}

static inline int place_open(struct place *p, const char *bucket, const char *key,
                             const char *version, struct object *out)
{
    return p->store.ops->open(p->store.ctx, bucket, key, version, "", NULL, out);
}

#endif
