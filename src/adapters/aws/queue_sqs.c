#include "adapters/aws/queue_sqs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"

enum {
    DEFAULT_MAX_RECEIVES = 20,
    ATTRIBUTES_RESERVE = 2048, /* bytes that aegis.* may take of a message */
    OLD_REQUEST = 256 << 10,   /* all bodies of a request, before 2025 */
    /* A connection that died without a word is given up, and the call made again on another, before
     * the messages that a heartbeat is late for become visible (30 s, a beat every 10). */
    SILENCE_MS = 10000,
    MAX_VISIBILITY_MS = 12 * 60 * 60 * 1000,
    MAX_DELAY_MS = 7 * 24 * 60 * 60 * 1000,
};

/* ---- attributes ---- */

static int get_attributes(struct sqs_queue *q, const char *url, yyjson_doc **doc)
{
    struct buffer body;
    buffer_init(&body, KIB(4));
    int rc = buffer_append_char(&body, '{');
    if (!rc)
        rc = sqs_put(&body, "QueueUrl", url);
    if (!rc)
        rc = buffer_append_string(&body, ",\"AttributeNames\":[\"All\"]}");
    *doc = NULL;
    if (!rc)
        rc = sqs_call(q, "GetQueueAttributes", &body, NULL, doc);
    buffer_free(&body);
    return rc;
}

/* Numbers come as text. */
static int64_t attribute_number(yyjson_doc *doc, const char *name)
{
    char path[96];
    snprintf(path, sizeof path, "Attributes.%s", name);
    yyjson_val *v = json_at(yyjson_doc_get_root(doc), path);
    return yyjson_is_int(v) ? yyjson_get_sint(v)
                            : strtoll(yyjson_get_str(v) ? yyjson_get_str(v) : "0", NULL, 10);
}

struct counts {
    int64_t visible, in_flight, delayed;
};

static int get_counts(struct sqs_queue *q, const char *url, struct counts *out)
{
    yyjson_doc *doc;
    int rc = get_attributes(q, url, &doc);
    *out = (struct counts){
        .visible = attribute_number(doc, "ApproximateNumberOfMessages"),
        .in_flight = attribute_number(doc, "ApproximateNumberOfMessagesNotVisible"),
        .delayed = attribute_number(doc, "ApproximateNumberOfMessagesDelayed"),
    };
    yyjson_doc_free(doc);
    return rc;
}

static int queue_stats(void *ctx, struct queue_stats *out)
{
    struct sqs_queue *q = ctx;
    struct counts live, dead = {0};
    int rc = get_counts(q, q->url, &live);
    if (!rc)
        rc = get_counts(q, q->dead_url, &dead);
    *out = (struct queue_stats){.visible = live.visible,
                                .in_flight = live.in_flight,
                                .delayed = live.delayed,
                                .dead = dead.visible + dead.in_flight + dead.delayed};
    return rc;
}

static int queue_pending(void *ctx, bool *visible, bool *any)
{
    struct sqs_queue *q = ctx;
    struct counts live;
    int rc = get_counts(q, q->url, &live);
    *visible = !rc && live.visible > 0;
    *any = !rc && live.visible + live.in_flight + live.delayed > 0;
    return rc;
}

/* ---- opening ---- */

static int get_url(struct sqs_queue *q, const char *name, const char *account, int account_length)
{
    struct buffer body;
    yyjson_doc *doc = NULL;
    buffer_init(&body, KIB(4));
    int rc = buffer_append_char(&body, '{');
    if (!rc)
        rc = sqs_put(&body, "QueueName", name);
    if (!rc)
        rc = sqs_put_text(&body, "QueueOwnerAWSAccountId", account, (size_t)account_length);
    if (!rc)
        rc = buffer_append_char(&body, '}');
    if (!rc)
        rc = sqs_call(q, "GetQueueUrl", &body, NULL, &doc);
    const char *url = json_string_at(yyjson_doc_get_root(doc), "QueueUrl", "");
    if (!rc && (!*url || strlen(url) >= sizeof q->dead_url))
        rc = error_set(ERR_SYSTEMIC, "aws_no_such_resource",
                       "SQS has no usable URL of the dead-letter queue '%s'", name);
    if (!rc)
        snprintf(q->dead_url, sizeof q->dead_url, "%s", url);
    yyjson_doc_free(doc);
    buffer_free(&body);
    return rc;
}

/* "arn:aws:sqs:REGION:ACCOUNT:NAME" */
static int url_of_arn(struct sqs_queue *q, const char *arn)
{
    const char *part = arn;
    for (int i = 0; part && i < 4; i++)
        part = (part = strchr(part, ':')) ? part + 1 : NULL;
    const char *name = part ? strchr(part, ':') : NULL;
    if (!name || !name[1])
        return error_set(ERR_SYSTEMIC, "aws_no_such_resource",
                         "the redrive policy of '%s' names '%.200s', which is no queue", q->url,
                         arn);
    return get_url(q, name + 1, part, (int)(name - part));
}

/* What died must be found where it is looked for. */
static int check_dead(struct sqs_queue *q, const char *policy_arn)
{
    yyjson_doc *doc;
    int rc = get_attributes(q, q->dead_url, &doc);
    const char *arn = json_string_at(yyjson_doc_get_root(doc), "Attributes.QueueArn", "");
    if (!rc && *policy_arn && *arn && strcmp(arn, policy_arn) != 0)
        rc = error_set(ERR_INVALID, "dead_letter_queue",
                       "the dead-letter queue '%s' is not that of the redrive policy of '%s', "
                       "which is '%.160s'; leave queue.dead_letter_url empty",
                       q->dead_url, q->url, policy_arn);
    yyjson_doc_free(doc);
    return rc;
}

static int find_dead(struct sqs_queue *q, const char *policy_arn)
{
    int rc = OK;
    if (!*q->dead_url && !*policy_arn)
        return error_set(ERR_SYSTEMIC, "dead_letter_queue",
                         "queue '%s' has no dead-letter queue; give it a redrive policy, or set "
                         "queue.dead_letter_url",
                         q->url);
    if (!*q->dead_url)
        rc = url_of_arn(q, policy_arn);
    if (!rc)
        rc = check_dead(q, policy_arn);
    size_t n = strlen(q->dead_url);
    q->dead_fifo = n > 5 && !strcmp(q->dead_url + n - 5, ".fifo");
    return rc;
}

/* A JSON document in a string. */
static int read_policy(struct sqs_queue *q, const char *policy, char arn[SQS_ARN])
{
    yyjson_doc *doc;
    arn[0] = '\0';
    if (!*policy)
        return OK;
    int rc = json_parse(policy, strlen(policy), "the queue's redrive policy", &doc);
    if (rc)
        return rc;
    yyjson_val *root = yyjson_doc_get_root(doc), *most = json_at(root, "maxReceiveCount");
    int64_t count = yyjson_is_int(most)
                        ? yyjson_get_sint(most)
                        : strtoll(json_string_at(root, "maxReceiveCount", "0"), NULL, 10);
    snprintf(arn, SQS_ARN, "%s", json_string_at(root, "deadLetterTargetArn", ""));
    if (*arn && count > 0 && count <= 1000) {
        q->redrives = true;
        q->max_receives = (int)count;
    }
    yyjson_doc_free(doc);
    return OK;
}

static void set_sizes(struct sqs_queue *q, int64_t longest, size_t max_inline)
{
    size_t most = longest > ATTRIBUTES_RESERVE ? (size_t)longest : OLD_REQUEST;
    q->max_request = most > OLD_REQUEST ? most : OLD_REQUEST;
    q->max_inline = most - ATTRIBUTES_RESERVE;
    if (max_inline && max_inline < q->max_inline)
        q->max_inline = max_inline;
    q->max_body =
        q->payloads || q->max_inline > CAP_MESSAGE_BODY ? CAP_MESSAGE_BODY : q->max_inline;
}

static int look_up(struct sqs_queue *q, const struct sqs_queue_options *o)
{
    yyjson_doc *doc;
    char arn[SQS_ARN] = "";
    int rc = get_attributes(q, q->url, &doc);
    if (!rc)
        rc = read_policy(
            q, json_string_at(yyjson_doc_get_root(doc), "Attributes.RedrivePolicy", ""), arn);
    if (!rc)
        set_sizes(q, attribute_number(doc, "MaximumMessageSize"), o->max_inline);
    yyjson_doc_free(doc);
    return rc ? rc : find_dead(q, arn);
}

static int take_url(const char *url, char out[SQS_URL])
{
    if ((strncmp(url, "https://", 8) && strncmp(url, "http://", 7)) || strlen(url) >= SQS_URL)
        return error_set(ERR_INVALID, "bad_url",
                         "'%.200s' is not the URL of a queue, such as "
                         "https://sqs.eu-central-1.amazonaws.com/123456789012/name",
                         url);
    snprintf(out, SQS_URL, "%s", url);
    return OK;
}

static int configure(struct sqs_queue *q, const struct sqs_queue_options *o)
{
    q->client = o->client;
    q->clock = o->clock ? o->clock : clock_system();
    q->payloads = o->payloads;
    q->fair = o->fair;
    q->short_dead_poll = o->short_dead_poll;
    q->silence_ms = o->silence_ms ? o->silence_ms : SILENCE_MS;
    q->max_receives = o->max_receives > 0 ? o->max_receives : DEFAULT_MAX_RECEIVES;
    snprintf(q->payload_bucket, sizeof q->payload_bucket, "%s",
             o->payload_bucket ? o->payload_bucket : "");
    int rc = take_url(o->url, q->url);
    if (!rc && o->dead_letter_url && *o->dead_letter_url)
        rc = take_url(o->dead_letter_url, q->dead_url);
    size_t n = strlen(q->url);
    q->fifo = n > 5 && !strcmp(q->url + n - 5, ".fifo");
    return rc;
}

/* ---- the port ---- */

static void queue_limits(void *ctx, struct queue_limits *out)
{
    struct sqs_queue *q = ctx;
    *out = (struct queue_limits){.max_batch = SQS_BATCH,
                                 .max_body = q->max_body,
                                 .max_delay_ms = q->fifo ? MAX_VISIBILITY_MS : MAX_DELAY_MS,
                                 .max_visibility_ms = MAX_VISIBILITY_MS,
                                 .max_receives = q->max_receives,
                                 .dear_letters = true};
}

static void queue_close(void *ctx)
{
    struct sqs_queue *q = ctx;
    pthread_mutex_destroy(&q->dead_lock);
    free(q);
}

static const struct job_queue_ops queue_ops = {
    .name = "sqs",
    .close = queue_close,
    .limits = queue_limits,
    .send = sqs_send,
    .receive = sqs_queue_receive,
    .delete = sqs_delete,
    .change_visibility = sqs_change_visibility,
    .bury = sqs_bury,
    .dead_list = sqs_dead_list,
    .dead_since = sqs_dead_since,
    .dead_redrive = sqs_dead_redrive,
    .dead_drop = sqs_dead_drop,
    .stats = queue_stats,
    .pending = queue_pending,
};

int sqs_queue_open(const struct sqs_queue_options *options, struct job_queue *out)
{
    struct sqs_queue *q = calloc(1, sizeof *q);
    if (!q)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the queue '%.200s'", options->url);
    pthread_mutex_init(&q->dead_lock, NULL);
    int rc = configure(q, options);
    if (!rc && options->send_only)
        set_sizes(q, 0, options->max_inline);
    else if (!rc)
        rc = look_up(q, options);
    if (rc) {
        queue_close(q);
        return rc;
    }
    *out = (struct job_queue){.ops = &queue_ops, .ctx = q};
    return OK;
}
