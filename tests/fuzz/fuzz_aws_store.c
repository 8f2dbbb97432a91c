/*
 * What S3 answers: any status, headers and bytes, to every request of the store. Input: two bytes
 * of status and of whether a long answer is cut, header lines up to a zero byte, the body.
 */
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/fault.h"
#include "adapters/aws/store_s3.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const char *head, *body;
static size_t head_length, body_length;
static int status;
static bool is_long;

int aws_perform(struct aws_client *client, const struct aws_request *request,
                const struct cancel *cancel, struct http_response *out, struct aws_fault *fault)
{
    char message[AWS_MESSAGE_TEXT];
    (void)client, (void)cancel;
    *out = (struct http_response){.status = status, .cut = is_long && request->cut_long};
    buffer_init(&out->body, request->max_response);
    buffer_init(&out->header_block, 1 << 20);
    if (buffer_append(&out->body, body, body_length))
        return error_last()->code;
    buffer_append(&out->header_block, head, head_length);
    *fault = (struct aws_fault){0};
    if (status / 100 == 2)
        return OK;
    fault_read(out, fault, message);
    return fault_error(fault, message, "'a request'");
}

static int read_nothing(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    (void)ctx, (void)bytes, (void)capacity;
    *got = 0;
    return OK;
}

static void ask(const struct object_store *s)
{
    struct object_info info, *items;
    struct object object;
    struct arena arena;
    size_t count;
    struct object_source source = {.read = read_nothing};
    arena_init(&arena, 16 << 20);
    if (!s->ops->head(s->ctx, "media", "key", &info))
        REQUIRE(info.size >= 0 && strlen(info.sequencer) >= 16);
    if (!s->ops->open(s->ctx, "media", "key", "v", "", NULL, &object)) {
        REQUIRE(object.fd >= 0 || object.bytes);
        REQUIRE(object.fd >= 0 || object.info.size == (int64_t)body_length);
        object_close(&object);
    }
    if (!s->ops->list(s->ctx, "media", "", "", 3, &arena, &items, &count)) {
        REQUIRE(count <= 3);
        for (size_t i = 0; i < count; i++)
            REQUIRE(memchr(items[i].key, 0, sizeof items[i].key));
    }
    s->ops->remove(s->ctx, "media", "key", NULL);
    s->ops->put(s->ctx, "media", "key", NULL, &source, &info);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct object_store store;
    struct s3_store_options options = {.clock = clock_system(),
                                       .send_checksums = true,
                                       .ask_checksums = true,
                                       .path_style = true,
                                       .home = "media",
                                       .spool_directory = "/tmp"};
    if (size < 2)
        return 0;
    const char *end = (const char *)data + size;
    head = (const char *)data + 2;
    const char *zero = memchr(head, '\0', size - 2);
    body = zero ? zero + 1 : end;
    head_length = (size_t)((zero ? zero : end) - head);
    body_length = (size_t)(end - body);
    is_long = data[1] & 8;
    status = data[0] & 1 ? 200 + (data[1] % 7) : 300 + (data[0] << 8 | data[1]) % 300;
    if (s3_store_open(&options, &store))
        return 0;
    ask(&store);
    store.ops->close(store.ctx);
    return 0;
}
