#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"

/* ---- replies ---- */

/* A message as SQS gives it (v), or as Lambda does (record). */
struct source {
    yyjson_val *v;
    const struct sqs_record *record;
};

/* A message attribute's text; "" if it is not there. */
static const char *attribute(const struct source *s, const char *name)
{
    const struct sqs_record *r = s->record;
    for (size_t i = 0; r && i < r->attribute_count; i++)
        if (!strcmp(r->attributes[i].name, name))
            return r->attributes[i].value;
    yyjson_val *all = r ? NULL : yyjson_obj_get(s->v, "MessageAttributes");
    const char *text = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(all, name), "StringValue"));
    return text ? text : "";
}

/* Negative, malformed or missing: 0. */
static int64_t number(const char *text)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    return *end || value < 0 ? 0 : value;
}

static int64_t system_number(yyjson_val *message, const char *path)
{
    yyjson_val *value = json_at(message, path); /* text on SQS, a number on some servers */
    return yyjson_is_int(value) ? yyjson_get_sint(value)
                                : number(json_string_at(message, path, ""));
}

static int small(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : (int)value;
}

/* Lines are what a receipt is made of. */
static const char *one_line(const char *text)
{
    return strchr(text, '\n') ? "" : text;
}

/* Its id and time of arrival are those that SQS gave it. */
static void read_attributes(const struct source *v, struct sqs_message *m)
{
    const char *id = one_line(attribute(v, "aegis.id"));
    if (*id)
        snprintf(m->id, sizeof m->id, "%s", id);
    int64_t sent = number(attribute(v, "aegis.sent_ms"));
    m->sent_ms = sent ? sent : m->arrived_ms;
    m->not_before_ms = number(attribute(v, "aegis.not_before_ms"));
    m->payload = *attribute(v, "aegis.payload");
    m->newer = number(attribute(v, "aegis.version")) > SQS_VERSION;
    const char *group = one_line(attribute(v, "aegis.group"));
    if (*group)
        m->group = group;
    m->traceparent = one_line(attribute(v, "traceparent"));
    m->reason = attribute(v, "aegis.reason");
    m->detail = attribute(v, "aegis.detail");
    m->dead_count = small(number(attribute(v, "aegis.receive_count")));
}

static bool read_message(yyjson_val *v, struct sqs_message *m)
{
    yyjson_val *body = yyjson_obj_get(v, "Body");
    *m = (struct sqs_message){
        .handle = one_line(json_string_at(v, "ReceiptHandle", "")),
        .body = yyjson_is_str(body) ? yyjson_get_str(body) : "",
        .length = yyjson_get_len(body),
        .receive_count = small(system_number(v, "Attributes.ApproximateReceiveCount")),
        .group = one_line(json_string_at(v, "Attributes.MessageGroupId", "")),
        .trace = one_line(json_string_at(v, "Attributes.AWSTraceHeader", "")),
    };
    if (!yyjson_is_str(body))
        m->length = 0;
    if (m->receive_count == 0)
        m->receive_count = 1;
    snprintf(m->id, sizeof m->id, "%s", json_string_at(v, "MessageId", ""));
    m->arrived_ms = system_number(v, "Attributes.SentTimestamp");
    read_attributes(&(struct source){.v = v}, m);
    return *m->handle && *one_line(m->id);
}

bool sqs_message_of_record(const struct sqs_record *r, struct sqs_message *m)
{
    *m = (struct sqs_message){.handle = one_line(r->receipt_handle),
                              .body = r->body,
                              .length = r->length,
                              .receive_count = r->receive_count,
                              .arrived_ms = r->sent_ms,
                              .group = one_line(r->group),
                              .trace = one_line(r->trace)};
    snprintf(m->id, sizeof m->id, "%s", r->message_id);
    read_attributes(&(struct source){.record = r}, m);
    return *m->handle && *one_line(m->id);
}

size_t sqs_messages_parse(yyjson_val *reply, struct sqs_message out[SQS_BATCH])
{
    size_t i, n, count = 0;
    yyjson_val *v;
    yyjson_arr_foreach(yyjson_obj_get(reply, "Messages"), i, n, v)
    {
        if (count < SQS_BATCH && read_message(v, &out[count]))
            count++;
    }
    return count;
}

static int write_receive(struct buffer *out, const char *url, size_t max, int64_t visibility_s,
                         int64_t wait_s)
{
    int rc = buffer_append_char(out, '{');
    if (!rc)
        rc = sqs_put(out, "QueueUrl", url);
    if (!rc)
        rc = sqs_put_int(out, "MaxNumberOfMessages", (int64_t)max);
    if (!rc)
        rc = sqs_put_int(out, "VisibilityTimeout", visibility_s);
    if (!rc)
        rc = sqs_put_int(out, "WaitTimeSeconds", wait_s);
    if (!rc)
        rc = buffer_append_string(
            out, ",\"AttributeNames\":[\"ApproximateReceiveCount\",\"SentTimestamp\","
                 "\"MessageGroupId\",\"AWSTraceHeader\"],\"MessageAttributeNames\":[\"All\"]}");
    return rc;
}

int sqs_receive(struct sqs_queue *q, const char *url, size_t max, int64_t visibility_s,
                int64_t wait_s, const struct cancel *cancel, yyjson_doc **doc,
                struct sqs_message out[SQS_BATCH], size_t *count)
{
    struct buffer body;
    buffer_init(&body, KIB(8));
    *doc = NULL;
    *count = 0;
    int rc = write_receive(&body, url, max, visibility_s, wait_s);
    if (!rc)
        rc = sqs_call(q, "ReceiveMessage", &body, cancel, doc);
    if (!rc)
        *count = sqs_messages_parse(yyjson_doc_get_root(*doc), out);
    buffer_free(&body);
    return rc;
}

/* ---- receipts ---- */

/* Lines: version, handle, id, receives, sent, group, trace, traceparent, payload; then the body. */
enum { LINES = 9 };

char *sqs_receipt_format(struct arena *arena, const struct sqs_message *m, const char **body)
{
    char *text = arena_printf(arena, "sqs%d\n%s\n%s\n%d\n%" PRId64 "\n%s\n%s\n%s\n%d\n%s",
                              SQS_VERSION, m->handle, m->id, m->receive_count, m->sent_ms, m->group,
                              m->trace, m->traceparent, m->payload, m->body);
    if (text)
        *body = text + strlen(text) - m->length;
    return text;
}

int sqs_receipt_parse(const char *receipt, char **storage, struct sqs_message *out)
{
    char *line[LINES], version[16];
    char *p = *storage = strdup(receipt);
    if (!p)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a receipt");
    for (int i = 0; i < LINES && p; i++) {
        line[i] = p;
        p = strchr(p, '\n');
        if (p)
            *p++ = '\0';
    }
    snprintf(version, sizeof version, "sqs%d", SQS_VERSION);
    if (!p || strcmp(line[0], version) != 0 || !*line[1] || !*line[2])
        return error_set(ERR_INVALID, NULL, "'%.40s' is no receipt of this queue", receipt);
    *out = (struct sqs_message){.handle = line[1],
                                .receive_count = small(number(line[3])),
                                .sent_ms = number(line[4]),
                                .group = line[5],
                                .trace = line[6],
                                .traceparent = line[7],
                                .payload = *line[8] == '1',
                                .body = p,
                                .length = strlen(p),
                                .reason = "",
                                .detail = ""};
    snprintf(out->id, sizeof out->id, "%s", line[2]);
    return OK;
}
