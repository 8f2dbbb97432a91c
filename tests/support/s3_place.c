#include "support/s3_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/error.h"

static void must(int rc, const char *what)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", what, error_last()->message);
    exit(1);
}

void s3_place_open(struct s3_place *p, const struct aws_fixture *server)
{
    *p = (struct s3_place){.spool = "/tmp/aegis-s3-XXXXXX"};
    aws_fixture_setenv(server);
    struct http_options http = {0};
    must(http_engine_open(&http, &p->http), "HTTP engine");
    struct aws_credentials_options credentials = {.http = p->http, .clock = clock_system()};
    must(aws_credentials_open(&credentials, &p->credentials), "credentials");
    struct aws_client_options client = {.http = p->http,
                                        .credentials = p->credentials,
                                        .clock = clock_system(),
                                        .service = "s3",
                                        .region = server->region,
                                        .endpoint = server->endpoint};
    must(aws_client_open(&client, &p->client), "client");
    if (!mkdtemp(p->spool))
        must(error_set_errno(1, "cannot make '%s'", p->spool), "spool");
}

void s3_place_close(struct s3_place *p)
{
    aws_client_close(p->client);
    aws_credentials_close(p->credentials);
    http_engine_close(p->http);
    rmdir(p->spool);
}

static int put_document(struct s3_place *p, const char *bucket, const char *query, const char *body)
{
    char path[80];
    struct http_response response;
    struct aws_fault fault;
    struct http_header type = {"Content-Type", "application/xml"};
    snprintf(path, sizeof path, "/%s", bucket);
    struct aws_request request = {.method = "PUT",
                                  .path = path,
                                  .query = query,
                                  .headers = &type,
                                  .header_count = 1,
                                  .body = body,
                                  .length = strlen(body)};
    int rc = aws_perform(p->client, &request, NULL, &response, &fault);
    http_response_free(&response);
    return !strcmp(fault.code, "BucketAlreadyOwnedByYou") ||
                   !strcmp(fault.code, "BucketAlreadyExists")
               ? OK
               : rc;
}

void s3_place_bucket(struct s3_place *p, const char *bucket, bool versioned)
{
    must(put_document(p, bucket, NULL, ""), bucket);
    if (versioned)
        must(put_document(p, bucket, "versioning=",
                          "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/"
                          "2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>"),
             bucket);
}

void s3_place_set(struct s3_place *p, const char *bucket, const char *query, const char *document)
{
    must(put_document(p, bucket, query, document), bucket);
}

size_t s3_place_uploads(struct s3_place *p, const char *bucket)
{
    char path[80];
    struct http_response response;
    size_t count = 0;
    snprintf(path, sizeof path, "/%s", bucket);
    struct aws_request request = {.method = "GET", .path = path, .query = "uploads="};
    must(aws_perform(p->client, &request, NULL, &response, NULL), "uploads");
    const char *at = buffer_string(&response.body);
    while ((at = strstr(at, "<UploadId>"))) {
        at++;
        count++;
    }
    http_response_free(&response);
    return count;
}

int s3_place_store(void *ctx, struct object_store *out)
{
    struct s3_place *p = ctx;
    struct s3_store_options options = {.client = p->client,
                                       .clock = clock_system(),
                                       .send_checksums = true,
                                       .ask_checksums = true,
                                       .path_style = true,
                                       .home = "media",
                                       .spool_directory = p->spool};
    s3_place_bucket(p, "media", true);
    return s3_store_open(&options, out);
}

void s3_place_empty(void *ctx)
{
    struct object_store store;
    struct object_info *items;
    size_t count;
    struct arena arena;
    arena_init(&arena, MIB(8));
    must(s3_place_store(ctx, &store), "store");
    must(store.ops->list(store.ctx, "media", "", "", 1000, &arena, &items, &count), "list");
    for (size_t i = 0; i < count; i++)
        must(store.ops->remove(store.ctx, "media", items[i].key, NULL), items[i].key);
    store.ops->close(store.ctx);
    arena_free(&arena);
}
