/*
 * bench_s3 - one object to or from S3, as a worker does it.
 *
 *   bench_s3 bucket BUCKET            makes the bucket
 *   bench_s3 put BUCKET KEY FILE
 *   bench_s3 get BUCKET KEY DIRECTORY spools it there
 *
 * Server and credentials are those of the environment (AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID,
 * ...).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/aws/store_s3.h"
#include "aws_client.h"

static void make_bucket(struct aws_client *client, const char *bucket)
{
    char path[80];
    struct http_response response;
    snprintf(path, sizeof path, "/%s", bucket);
    struct aws_request request = {.method = "PUT", .path = path, .body = "", .length = 0};
    must(aws_perform(client, &request, NULL, &response, NULL));
    http_response_free(&response);
}

static int read_file(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    ssize_t n = read(*(int *)ctx, bytes, capacity);
    *got = n > 0 ? (size_t)n : 0;
    return n < 0 ? error_set_errno(5, "cannot read the input") : OK;
}

int main(int argc, char **argv)
{
    struct object_store store;
    struct object_info info;
    struct object object;
    if (argc < 3)
        return 2;
    struct aws_client *client = open_client("s3", "AWS_ENDPOINT_URL_S3");
    struct s3_store_options options = {.client = client,
                                       .clock = clock_system(),
                                       .send_checksums = true,
                                       .ask_checksums = true,
                                       .path_style = true,
                                       .spool_directory = argc > 4 ? argv[4] : "/tmp"};
    must(s3_store_open(&options, &store));
    if (!strcmp(argv[1], "bucket")) {
        make_bucket(client, argv[2]);
    } else if (!strcmp(argv[1], "put") && argc == 5) {
        int fd = open(argv[4], O_RDONLY);
        struct object_source source = {.read = read_file, .ctx = &fd};
        must(store.ops->put(store.ctx, argv[2], argv[3], NULL, &source, &info));
    } else if (!strcmp(argv[1], "get") && argc == 5) {
        must(store.ops->open(store.ctx, argv[2], argv[3], "", "", NULL, &object));
        printf("%lld\n", (long long)object.info.size);
        object_close(&object);
    }
    return 0;
}
