/*
 * s3_place.h - an S3 store on a test server, with a versioned bucket "media" that is emptied after
 * each case.
 */
#ifndef AEGIS_TESTS_S3_PLACE_H
#define AEGIS_TESTS_S3_PLACE_H

#include "adapters/aws/store_s3.h"
#include "support/aws_fixture.h"

struct s3_place {
    struct http_engine *http;
    struct aws_credentials *credentials;
    struct aws_client *client;
    char spool[64];
};

/* Sets the environment (aws_fixture_setenv). Ends the process where it cannot be opened. */
void s3_place_open(struct s3_place *p, const struct aws_fixture *server);
void s3_place_close(struct s3_place *p);

/* Makes it if it is not there. */
void s3_place_bucket(struct s3_place *p, const char *bucket, bool versioned);
/* A setting of the bucket such as "notification=". */
void s3_place_set(struct s3_place *p, const char *bucket, const char *query, const char *document);
/* How many uploads of several parts are under way. */
size_t s3_place_uploads(struct s3_place *p, const char *bucket);
/* Of struct store_conformance; ctx is the place. */
int s3_place_store(void *ctx, struct object_store *out);
void s3_place_empty(void *ctx);

#endif
