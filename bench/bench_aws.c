/*
 * bench_aws.c - bench_aws FOLDER: S3 and SQS that answer at once, for measuring what calls them.
 * Prints its URL when it listens, on loopback.
 *
 *   GET /BUCKET/NAME   the file FOLDER/NAME
 *   POST / of SQS      (X-Amz-Target) SendMessageBatch takes everything and keeps it in memory;
 *                      GetQueueAttributes; other batches: every entry succeeds
 *   GET /sent/N        what was sent so far as events of SQS for Lambda, N messages each, one event
 *                      a line; it is forgotten then
 *
 * Signatures are not looked at.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "yyjson.h"

enum { REQUEST_MOST = 2 << 20, SENT_MOST = 1 << 30, HEX = 2 * 16 + 1 };

struct aws {
    const char *folder;
    pthread_mutex_t lock;
    yyjson_mut_doc *sent; /* an array of records */
    long count;           /* of all messages ever sent */
};

typedef yyjson_mut_val value;

/* ---- replies ---- */

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             struct MHD_Response *response)
{
    MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result rc = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned status, char *text)
{
    return reply(connection, status, "application/x-amz-json-1.0",
                 MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
}

/* ---- S3 ---- */

static enum MHD_Result serve_object(const struct aws *aws, struct MHD_Connection *connection,
                                    const char *url)
{
    char path[4096];
    struct stat st;
    const char *name = strchr(url + 1, '/');
    snprintf(path, sizeof path, "%s%s", aws->folder, name ? name : "/");
    int fd = name && !strstr(name, "..") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st))
        return reply_text(connection, MHD_HTTP_NOT_FOUND,
                          strdup("<Error><Code>NoSuchKey</Code></Error>"));
    struct MHD_Response *r = MHD_create_response_from_fd((uint64_t)st.st_size, fd);
    MHD_add_response_header(r, "ETag", "\"0123456789abcdef0123456789abcdef\"");
    MHD_add_response_header(r, "Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    return reply(connection, MHD_HTTP_OK, "text/plain", r);
}

/* ---- SQS ---- */

static void md5(const char *text, size_t length, char out[HEX])
{
    unsigned char digest[16] = {0};
    EVP_Digest(text, length, digest, NULL, EVP_md5(), NULL);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* In an event names begin with small letters. */
static void copy_attributes(yyjson_mut_doc *doc, value *record, yyjson_val *entry)
{
    yyjson_val *name, *attribute;
    size_t i, n;
    value *all = yyjson_mut_obj_add_obj(doc, record, "messageAttributes");
    yyjson_obj_foreach(yyjson_obj_get(entry, "MessageAttributes"), i, n, name, attribute)
    {
        value *one = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_strcpy(doc, one, "stringValue",
                                  yyjson_get_str(yyjson_obj_get(attribute, "StringValue")));
        yyjson_mut_obj_add_str(doc, one, "dataType", "String");
        yyjson_mut_obj_add(all, yyjson_val_mut_copy(doc, name), one);
    }
}

static void keep(struct aws *aws, yyjson_val *entry, const char *id)
{
    yyjson_mut_doc *doc = aws->sent;
    value *record = yyjson_mut_arr_add_obj(doc, yyjson_mut_doc_get_root(doc));
    yyjson_mut_obj_add_strcpy(doc, record, "messageId", id);
    yyjson_mut_obj_add_strcpy(doc, record, "receiptHandle", id);
    yyjson_mut_obj_add_strcpy(doc, record, "body",
                              yyjson_get_str(yyjson_obj_get(entry, "MessageBody")));
    value *attributes = yyjson_mut_obj_add_obj(doc, record, "attributes");
    yyjson_mut_obj_add_str(doc, attributes, "ApproximateReceiveCount", "1");
    yyjson_mut_obj_add_str(doc, attributes, "SentTimestamp", "1767225600000");
    copy_attributes(doc, record, entry);
    yyjson_mut_obj_add_str(doc, record, "eventSource", "aws:sqs");
    yyjson_mut_obj_add_str(doc, record, "eventSourceARN",
                           "arn:aws:sqs:us-east-1:123456789012:jobs");
    yyjson_mut_obj_add_str(doc, record, "awsRegion", "us-east-1");
}

static void take(struct aws *aws, yyjson_mut_doc *out, value *one, yyjson_val *entry)
{
    char id[64], digest[HEX];
    yyjson_val *body = yyjson_obj_get(entry, "MessageBody");
    md5(yyjson_get_str(body), yyjson_get_len(body), digest);
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012ld", ++aws->count);
    keep(aws, entry, id);
    yyjson_mut_obj_add_strcpy(out, one, "MessageId", id);
    yyjson_mut_obj_add_strcpy(out, one, "MD5OfMessageBody", digest);
}

static char *batch(struct aws *aws, yyjson_val *request, bool send)
{
    yyjson_mut_doc *out = yyjson_mut_doc_new(NULL);
    value *root = yyjson_mut_obj(out);
    yyjson_val *entry;
    size_t i, n;
    yyjson_mut_doc_set_root(out, root);
    value *done = yyjson_mut_obj_add_arr(out, root, "Successful");
    yyjson_arr_foreach(yyjson_obj_get(request, "Entries"), i, n, entry)
    {
        value *one = yyjson_mut_arr_add_obj(out, done);
        yyjson_mut_obj_add(one, yyjson_mut_str(out, "Id"),
                           yyjson_val_mut_copy(out, yyjson_obj_get(entry, "Id")));
        if (send)
            take(aws, out, one, entry);
    }
    char *text = yyjson_mut_write(out, 0, NULL);
    yyjson_mut_doc_free(out);
    return text;
}

static char *attributes_of(yyjson_val *request)
{
    char text[512];
    const char *url = yyjson_get_str(yyjson_obj_get(request, "QueueUrl"));
    const char *slash = url ? strrchr(url, '/') : NULL;
    snprintf(text, sizeof text,
             "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:us-east-1:123456789012:%.80s\","
             "\"VisibilityTimeout\":\"900\",\"MaximumMessageSize\":\"1048576\"}}",
             slash ? slash + 1 : "");
    return strdup(text);
}

static enum MHD_Result serve_queue(struct aws *aws, struct MHD_Connection *connection,
                                   const struct buffer *body)
{
    const char *target = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Amz-Target");
    const char *action = target ? strchr(target, '.') : NULL;
    yyjson_doc *doc = yyjson_read(buffer_string(body), body->length, 0);
    yyjson_val *request = yyjson_doc_get_root(doc);
    pthread_mutex_lock(&aws->lock);
    char *text = action && !strcmp(action, ".GetQueueAttributes")
                     ? attributes_of(request)
                     : batch(aws, request, action && !strcmp(action, ".SendMessageBatch"));
    pthread_mutex_unlock(&aws->lock);
    yyjson_doc_free(doc);
    return reply_text(connection, MHD_HTTP_OK, text);
}

/* ---- what was sent ---- */

static void write_event(value **next, size_t count, struct buffer *out)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    value *root = yyjson_mut_obj(doc), *records = yyjson_mut_obj_add_arr(doc, root, "Records");
    yyjson_mut_doc_set_root(doc, root);
    for (size_t i = 0; i < count; i++, *next = (*next)->next)
        yyjson_mut_arr_append(records, yyjson_mut_val_mut_copy(doc, *next));
    char *text = yyjson_mut_write(doc, 0, NULL);
    buffer_printf(out, "%s\n", text);
    free(text);
    yyjson_mut_doc_free(doc);
}

static void forget(struct aws *aws)
{
    yyjson_mut_doc_free(aws->sent);
    aws->sent = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(aws->sent, yyjson_mut_arr(aws->sent));
}

static enum MHD_Result serve_sent(struct aws *aws, struct MHD_Connection *connection, size_t each)
{
    struct buffer out;
    buffer_init(&out, SENT_MOST);
    pthread_mutex_lock(&aws->lock);
    value *all = yyjson_mut_doc_get_root(aws->sent), *next = yyjson_mut_arr_get_first(all);
    for (size_t left = yyjson_mut_arr_size(all), n; left > 0 && each > 0; left -= n) {
        n = left < each ? left : each;
        write_event(&next, n, &out);
    }
    forget(aws);
    pthread_mutex_unlock(&aws->lock);
    enum MHD_Result rc = reply_text(connection, MHD_HTTP_OK, strdup(buffer_string(&out)));
    buffer_free(&out);
    return rc;
}

/* ---- serving ---- */

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    struct aws *aws = ctx;
    struct buffer *body = *state;
    (void)version;
    if (!body) {
        *state = body = malloc(sizeof *body);
        if (body)
            buffer_init(body, REQUEST_MOST);
        return body ? MHD_YES : MHD_NO;
    }
    if (*size) {
        enum MHD_Result rc = buffer_append(body, data, *size) ? MHD_NO : MHD_YES;
        *size = 0;
        return rc;
    }
    if (!strcmp(method, "POST"))
        return serve_queue(aws, connection, body);
    if (!strncmp(url, "/sent/", 6))
        return serve_sent(aws, connection, strtoul(url + 6, NULL, 10));
    return serve_object(aws, connection, url);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)ctx, (void)connection, (void)why;
    if (*state)
        buffer_free(*state);
    free(*state);
}

int main(int argc, char **argv)
{
    struct aws aws = {.folder = argv[argc > 1 ? 1 : 0], .lock = PTHREAD_MUTEX_INITIALIZER};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (argc != 2) {
        fprintf(stderr, "usage: bench_aws FOLDER\n");
        return 2;
    }
    forget(&aws);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL,
                         NULL, on_request, &aws, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        perror("bench_aws");
        return 1;
    }
    printf("http://127.0.0.1:%d\n", info->port);
    fflush(stdout);
    for (;;)
        pause();
}
