#include "ingestion/event.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/digest.h"
#include "shared/error.h"
#include "shared/json.h"
#include "shared/object_name.h"
#include "shared/random.h"

enum { MAX_NESTING = 8 }; /* EventBridge in SNS in SQS in Lambda is 4 */

struct parser {
    int64_t now_ms;
    const struct trace_context *trace; /* what is read belongs to it; NULL: to none */
    struct arena *arena;
    struct event_document *out;
    size_t records; /* met so far */
    size_t capacity, problem_capacity;
};

/* What both forms say of an object, before it is checked. Borrowed from the JSON. */
struct raw_record {
    enum event_kind kind;
    const char *bucket, *key, *version, *etag, *sequencer, *content_type, *time;
    bool key_encoded;
    int64_t size;
};

static int read_value(struct parser *p, yyjson_val *value, int depth);

static int invalid(const char *text)
{
    return error_set(ERR_INVALID, "invalid_event", "%s", text);
}

/* ---- lists that grow in the arena ---- */

static void *make_room(struct parser *p, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity ? 2 * *capacity : 8;
    void *larger = arena_array(p->arena, wanted, size);
    if (larger && count)
        memcpy(larger, items, count * size);
    if (larger)
        *capacity = wanted;
    return larger;
}

static int add_problem(struct parser *p)
{
    struct event_document *out = p->out;
    struct event_problem *problems = make_room(p, out->problems, out->problem_count,
                                               &p->problem_capacity, sizeof *out->problems);
    const char *reason = problems ? arena_strdup(p->arena, error_last()->message) : NULL;
    if (!reason)
        return ERR_NO_MEMORY;
    out->problems = problems;
    problems[out->problem_count++] = (struct event_problem){.record = p->records, .reason = reason};
    return OK;
}

static int add_event(struct parser *p, const struct media_event *event)
{
    struct event_document *out = p->out;
    struct media_event *events =
        make_room(p, out->events, out->count, &p->capacity, sizeof *out->events);
    if (!events)
        return ERR_NO_MEMORY;
    out->events = events;
    events[out->count++] = *event;
    return OK;
}

static int count_record(struct parser *p)
{
    if (p->records == CAP_EVENT_RECORDS)
        return error_set(ERR_TOO_LARGE, "too_large", "an event document may have %d records",
                         CAP_EVENT_RECORDS);
    p->records++;
    return OK;
}

/* ---- one record ---- */

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* application/x-www-form-urlencoded, as S3 writes keys: "+" is a space, "%XX" a byte. NULL with the
 * error set if an escape is malformed. */
static char *decode_key(struct arena *arena, const char *encoded)
{
    char *out = arena_alloc(arena, strlen(encoded) + 1), *to = out;
    for (const char *from = encoded; out && *from; from++) {
        char c = *from == '+' ? ' ' : *from;
        if (c == '%') {
            if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2])) {
                invalid("a key has a malformed % escape");
                return NULL;
            }
            c = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
            from += 2;
            if (c == '\0') {
                invalid("a key has a NUL character");
                return NULL;
            }
        }
        *to++ = c;
    }
    return out; /* the arena zeroes: the end is there */
}

/* Today's rules, and capitals and "_", which S3 allowed once. */
static bool bucket_ok(const char *bucket)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyz0123456789.-_ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t length = strlen(bucket);
    return length > 0 && length <= CAP_BUCKET && strspn(bucket, allowed) == length;
}

static int check_record(const struct raw_record *raw)
{
    if (!raw->bucket || !bucket_ok(raw->bucket))
        return invalid("a record has no bucket name, or an impossible one");
    if (!raw->key || !raw->key[0])
        return invalid("a record has no object key");
    if (strlen(raw->version) > CAP_VERSION_ID || strlen(raw->etag) > CAP_ETAG)
        return invalid("a version id or ETag is longer than any store makes them");
    return OK;
}

/* Upper-case hex, as S3 writes it; EventBridge uses lower case. "" if it is not hex. */
static const char *read_sequencer(struct arena *arena, const char *text)
{
    size_t length = strlen(text);
    if (length > CAP_SEQUENCER || strspn(text, "0123456789abcdefABCDEF") != length)
        return "";
    char *copy = arena_strdup(arena, text);
    for (char *c = copy; c && *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return copy;
}

static const char *read_etag(struct arena *arena, const char *text)
{
    size_t length = strlen(text);
    bool quoted = length >= 2 && text[0] == '"' && text[length - 1] == '"';
    return arena_strndup(arena, text + quoted, length - 2 * quoted);
}

/* "null" is the id of every version in a bucket without versioning: it tells versions apart no more
 * than "" does. */
static const char *read_version(struct arena *arena, const char *text)
{
    return arena_strdup(arena, strcmp(text, "null") == 0 ? "" : text);
}

static int read_time(const struct parser *p, const struct raw_record *raw, int64_t *out)
{
    *out = p->now_ms;
    return raw->time ? clock_parse(raw->time, out) : OK;
}

static bool is_folder_placeholder(const struct media_event *event)
{
    return event->kind == EVENT_CREATED && event->size == 0 &&
           event->key[strlen(event->key) - 1] == '/';
}

static int set_trace(const struct parser *p, struct media_event *event)
{
    char *trace_id = arena_alloc(p->arena, TRACE_ID_TEXT);
    if (trace_id && p->trace)
        snprintf(trace_id, TRACE_ID_TEXT, "%s", p->trace->trace_id);
    else if (trace_id)
        random_trace_id(trace_id);
    event->trace_id = trace_id;
    event->parent_span = arena_strdup(p->arena, p->trace ? p->trace->span_id : "");
    event->unsampled = p->trace && !p->trace->sampled;
    return trace_id && event->parent_span ? OK : ERR_NO_MEMORY;
}

static int add_record(struct parser *p, const struct raw_record *raw)
{
    int rc = check_record(raw);
    if (rc)
        return rc;
    struct media_event event = {
        .kind = raw->kind,
        .bucket = arena_strdup(p->arena, raw->bucket),
        .key = raw->key_encoded ? decode_key(p->arena, raw->key) : arena_strdup(p->arena, raw->key),
        .object_version = read_version(p->arena, raw->version),
        .etag = read_etag(p->arena, raw->etag),
        .sequencer = read_sequencer(p->arena, raw->sequencer),
        .content_type =
            strlen(raw->content_type) <= CAP_ETAG ? arena_strdup(p->arena, raw->content_type) : "",
        .size = raw->kind == EVENT_CREATED ? raw->size : -1,
    };
    rc = set_trace(p, &event);
    if (rc || !event.bucket || !event.object_version || !event.etag || !event.sequencer ||
        !event.content_type)
        return ERR_NO_MEMORY;
    if (!event.key)
        return error_last()->code;
    rc = object_key_check(event.key);
    if (!rc)
        rc = read_time(p, raw, &event.event_ms);
    if (rc)
        return rc;
    if (!is_folder_placeholder(&event))
        return add_event(p, &event);
    p->out->ignored++;
    return OK;
}

/* ---- the S3 notification ---- */

static bool has_class(const char *name, const char *class)
{
    size_t n = strlen(class);
    return strncmp(name, class, n) == 0 && (name[n] == ':' || name[n] == '\0');
}

/* False for what asks for nothing: restores, tags, replication, and names yet unknown. `name` may
 * have the prefix "s3:", which other stores than Amazon's send. */
static bool classify(const char *name, enum event_kind *kind, bool *marker)
{
    if (strncmp(name, "s3:", 3) == 0)
        name += 3;
    const char *detail = strchr(name, ':');
    *marker = detail && strcmp(detail, ":DeleteMarkerCreated") == 0;
    *kind = has_class(name, "ObjectCreated") ? EVENT_CREATED : EVENT_REMOVED;
    return *kind == EVENT_CREATED || has_class(name, "ObjectRemoved") ||
           has_class(name, "LifecycleExpiration");
}

static int read_notification(struct parser *p, yyjson_val *record)
{
    const char *name = json_string_at(record, "eventName", "");
    struct raw_record raw = {
        .bucket = json_string_at(record, "s3.bucket.name", NULL),
        .key = json_string_at(record, "s3.object.key", NULL),
        .key_encoded = true,
        .etag = json_string_at(record, "s3.object.eTag", ""),
        .sequencer = json_string_at(record, "s3.object.sequencer", ""),
        .content_type = json_string_at(record, "s3.object.contentType", ""),
        .size = json_int_at(record, "s3.object.size", -1),
        .time = json_string_at(record, "eventTime", NULL),
    };
    bool marker;
    if (!classify(name, &raw.kind, &marker)) {
        p->out->ignored++;
        return OK;
    }
    /* the version of a delete marker is the marker's own */
    raw.version = marker ? "" : json_string_at(record, "s3.object.versionId", "");
    return add_record(p, &raw);
}

/* ---- the EventBridge form ---- */

static int read_eventbridge(struct parser *p, yyjson_val *event)
{
    const char *type = json_string_at(event, "detail-type", "");
    bool created = strcmp(type, "Object Created") == 0;
    bool removed = strcmp(type, "Object Deleted") == 0;
    bool marker =
        strcmp(json_string_at(event, "detail.deletion-type", ""), "Delete Marker Created") == 0;
    if (strcmp(json_string_at(event, "source", ""), "aws.s3") != 0 || (!created && !removed)) {
        p->out->ignored++;
        return OK;
    }
    return add_record(
        p, &(struct raw_record){
               .kind = created ? EVENT_CREATED : EVENT_REMOVED,
               .bucket = json_string_at(event, "detail.bucket.name", NULL),
               .key = json_string_at(event, "detail.object.key", NULL),
               .version = marker ? "" : json_string_at(event, "detail.object.version-id", ""),
               .etag = json_string_at(event, "detail.object.etag", ""),
               .sequencer = json_string_at(event, "detail.object.sequencer", ""),
               .content_type = "",
               .size = json_int_at(event, "detail.object.size", -1),
               .time = json_string_at(event, "time", NULL),
           });
}

/* ---- wrappings ---- */

/* A document inside a string. */
static int read_text(struct parser *p, yyjson_val *text, int depth)
{
    yyjson_doc *inner;
    if (!yyjson_is_str(text))
        return invalid("a message has no text inside");
    int rc = json_parse(yyjson_get_str(text), yyjson_get_len(text), "a message inside", &inner);
    if (rc)
        return rc;
    rc = read_value(p, yyjson_doc_get_root(inner), depth + 1);
    yyjson_doc_free(inner);
    return rc;
}

/* A message of SQS in one of its two forms. */
static int read_message(struct parser *p, yyjson_val *body, const char *traceparent,
                        const char *xray, int depth)
{
    struct trace_context own;
    const struct trace_context *around = p->trace;
    if (trace_context_parse_either(traceparent, xray, &own))
        p->trace = &own;
    int rc = read_text(p, body, depth);
    p->trace = around;
    return rc;
}

/* Each element for itself: a bad one is a problem of its own, the others are read. */
static int read_array(struct parser *p, yyjson_val *array, int depth)
{
    size_t i, max;
    yyjson_val *element;
    yyjson_arr_foreach(array, i, max, element)
    {
        size_t before = p->records;
        int rc = read_value(p, element, depth + 1);
        if (rc == ERR_INVALID && p->records == before)
            rc = count_record(p) ? ERR_TOO_LARGE : ERR_INVALID;
        if (rc == ERR_INVALID)
            rc = add_problem(p);
        if (rc)
            return rc;
    }
    return OK;
}

/* Something that tells of one object, or of none. */
static int read_leaf(struct parser *p, yyjson_val *object,
                     int (*read)(struct parser *p, yyjson_val *object))
{
    int rc = count_record(p);
    return rc ? rc : read(p, object);
}

static int read_test(struct parser *p, yyjson_val *object)
{
    (void)object;
    p->out->tests++;
    return OK;
}

static int read_nothing(struct parser *p, yyjson_val *object)
{
    (void)object;
    p->out->ignored++;
    return OK;
}

static int read_object(struct parser *p, yyjson_val *o, int depth)
{
    const char *type = json_string_at(o, "Type", "");
    if (yyjson_is_arr(json_at(o, "Records"))) /* S3; SNS and SQS as Lambda gets them */
        return read_array(p, json_at(o, "Records"), depth);
    if (yyjson_is_arr(json_at(o, "Messages"))) /* SQS's ReceiveMessage */
        return read_array(p, json_at(o, "Messages"), depth);
    if (json_at(o, "requestPayload")) /* Lambda's record of a call that failed */
        return read_value(p, json_at(o, "requestPayload"), depth + 1);
    if (yyjson_is_obj(json_at(o, "s3")))
        return read_leaf(p, o, read_notification);
    if (json_at(o, "detail-type"))
        return read_leaf(p, o, read_eventbridge);
    if (strcmp(json_string_at(o, "Event", ""), "s3:TestEvent") == 0)
        return read_leaf(p, o, read_test);
    if (strcmp(type, "Notification") == 0)
        return read_text(p, json_at(o, "Message"), depth);
    if (strcmp(type, "SubscriptionConfirmation") == 0 ||
        strcmp(type, "UnsubscribeConfirmation") == 0)
        return read_leaf(p, o, read_nothing);
    if (yyjson_is_obj(json_at(o, "Sns")))
        return read_text(p, json_at(o, "Sns.Message"), depth);
    if (json_at(o, "body"))
        return read_message(p, json_at(o, "body"),
                            json_string_at(o, "messageAttributes.traceparent.stringValue", ""),
                            json_string_at(o, "attributes.AWSTraceHeader", ""), depth);
    if (json_at(o, "Body"))
        return read_message(p, json_at(o, "Body"),
                            json_string_at(o, "MessageAttributes.traceparent.StringValue", ""),
                            json_string_at(o, "Attributes.AWSTraceHeader", ""), depth);
    return invalid("this is no form of event document known to Aegis; see docs/event-formats.md");
}

static int read_value(struct parser *p, yyjson_val *value, int depth)
{
    if (depth > MAX_NESTING)
        return invalid("an event document is wrapped in too many others");
    if (yyjson_is_arr(value))
        return read_array(p, value, depth);
    if (yyjson_is_obj(value))
        return read_object(p, value, depth);
    return invalid("an event document is a JSON object");
}

int event_parse(const char *text, size_t length, int64_t now_ms, const struct trace_context *around,
                struct arena *arena, struct event_document *out)
{
    struct parser p = {.now_ms = now_ms, .trace = around, .arena = arena, .out = out};
    yyjson_doc *doc;
    *out = (struct event_document){0};
    if (length > CAP_EVENT_DOCUMENT)
        return error_set(ERR_TOO_LARGE, "too_large",
                         "an event document may have %zu bytes, this one has %zu",
                         CAP_EVENT_DOCUMENT, length);
    int rc = json_parse(text, length, "the event document", &doc);
    if (rc)
        return error_set(rc, "invalid_event", "%s", error_last()->message);
    rc = read_value(&p, yyjson_doc_get_root(doc), 0);
    yyjson_doc_free(doc);
    return rc;
}
