#include "adapters/aws/sqs_event.h"

#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

static int not_ours(const char *why)
{
    return error_set(ERR_INVALID, "invalid_event", "the invocation is no event of SQS: %s", why);
}

/* Numbers come as strings. */
static int64_t number_at(yyjson_val *record, const char *path, int64_t most, int64_t fallback)
{
    const char *text = json_string_at(record, path, "");
    char *end;
    long long value = strtoll(text, &end, 10);
    return *text && !*end && value > 0 && value <= most ? value : fallback;
}

static int copy_attributes(yyjson_val *record, struct arena *arena, struct sqs_record *out)
{
    yyjson_val *all = json_at(record, "messageAttributes"), *key, *value;
    size_t i, count = yyjson_is_obj(all) ? yyjson_obj_size(all) : 0;
    out->attributes = arena_array(arena, count + 1, sizeof *out->attributes);
    if (!out->attributes)
        return ERR_NO_MEMORY;
    if (count == 0) /* the loop would take a step from NULL */
        return OK;
    yyjson_obj_foreach(all, i, count, key, value)
    {
        const char *text = json_string_at(value, "stringValue", NULL);
        struct sqs_attribute *a = &out->attributes[out->attribute_count];
        if (!text)
            continue;
        *a = (struct sqs_attribute){arena_strdup(arena, yyjson_get_str(key)),
                                    arena_strdup(arena, text)};
        if (!a->name || !a->value)
            return ERR_NO_MEMORY;
        out->attribute_count++;
    }
    return OK;
}

static int copy_record(yyjson_val *from, struct arena *arena, struct sqs_record *out)
{
    const char *id = json_string_at(from, "messageId", ""), *body,
               *handle = json_string_at(from, "receiptHandle", "");
    if (strcmp(json_string_at(from, "eventSource", ""), "aws:sqs") != 0)
        return not_ours("a record's eventSource is not 'aws:sqs'");
    if (!*id || !*handle)
        return not_ours("a record has no messageId or no receiptHandle");
    body = json_string_at(from, "body", "");
    *out = (struct sqs_record){
        .message_id = arena_strdup(arena, id),
        .receipt_handle = arena_strdup(arena, handle),
        .body = arena_strdup(arena, body),
        .length = strlen(body),
        .receive_count = (int)number_at(from, "attributes.ApproximateReceiveCount", INT32_MAX, 1),
        .sent_ms = number_at(from, "attributes.SentTimestamp", INT64_MAX, 0),
        .group = arena_strdup(arena, json_string_at(from, "attributes.MessageGroupId", "")),
        .trace = arena_strdup(arena, json_string_at(from, "attributes.AWSTraceHeader", "")),
    };
    if (!out->message_id || !out->receipt_handle || !out->body || !out->group || !out->trace)
        return ERR_NO_MEMORY;
    return copy_attributes(from, arena, out);
}

static int copy_records(yyjson_val *records, struct arena *arena, struct sqs_event *out)
{
    size_t i, count = yyjson_arr_size(records);
    yyjson_val *record;
    if (!count)
        return not_ours("it has no member 'Records' with messages");
    if (count > CAP_EVENT_RECORDS)
        return error_set(ERR_TOO_LARGE, NULL, "%zu messages in one invocation; the cap is %d",
                         count, CAP_EVENT_RECORDS);
    out->records = arena_array(arena, count, sizeof *out->records);
    if (!out->records)
        return ERR_NO_MEMORY;
    yyjson_arr_foreach(records, i, count, record)
    {
        int rc = copy_record(record, arena, &out->records[i]);
        if (rc)
            return rc;
    }
    out->count = count;
    return OK;
}

int sqs_event_parse(const char *text, size_t length, struct arena *arena, struct sqs_event *out)
{
    yyjson_doc *doc;
    *out = (struct sqs_event){0};
    if (json_parse(text, length, "the invocation", &doc))
        return error_last()->code == ERR_NO_MEMORY ? ERR_NO_MEMORY
                                                   : not_ours("it is not valid JSON");
    int rc = copy_records(json_at(yyjson_doc_get_root(doc), "Records"), arena, out);
    yyjson_doc_free(doc);
    return rc;
}

bool sqs_record_trace(const struct sqs_record *r, struct trace_context *out)
{
    const char *traceparent = "";
    for (size_t i = 0; i < r->attribute_count; i++)
        if (!strcmp(r->attributes[i].name, "traceparent"))
            traceparent = r->attributes[i].value;
    return trace_context_parse_either(traceparent, r->trace, out);
}

int sqs_event_answer(const char *const *failed_ids, size_t count, struct buffer *out)
{
    int rc = buffer_append_string(out, "{\"batchItemFailures\":[");
    for (size_t i = 0; !rc && i < count; i++) {
        rc = buffer_append_string(out, i ? ",{\"itemIdentifier\":" : "{\"itemIdentifier\":");
        if (!rc)
            rc = json_append_string(out, failed_ids[i], strlen(failed_ids[i]));
        if (!rc)
            rc = buffer_append_char(out, '}');
    }
    return rc ? rc : buffer_append_string(out, "]}");
}
