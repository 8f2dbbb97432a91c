#include "server/otlp_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "shared/caps.h"
#include "shared/digest.h"
#include "shared/error.h"
#include "shared/json.h"

enum { KIND_INTERNAL = 1, STATUS_ERROR = 2, CUMULATIVE = 2 };

/* ---- values ---- */

/* What is not UTF-8 in it becomes U+FFFD. */
static yyjson_mut_val *text_value(yyjson_mut_doc *doc, const char *text)
{
    struct buffer literal;
    size_t length = strlen(text);
    if (!u8_check((const uint8_t *)text, length))
        return yyjson_mut_strncpy(doc, text, length);
    buffer_init(&literal, KIB(64));
    yyjson_mut_val *value = json_append_string(&literal, text, length)
                                ? yyjson_mut_str(doc, "")
                                : yyjson_mut_rawcpy(doc, buffer_string(&literal));
    buffer_free(&literal);
    return value;
}

static void put_int64(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    yyjson_mut_obj_add_strcpy(doc, to, name, text);
}

static void put_time(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *name, int64_t us)
{
    put_int64(doc, to, name, us * 1000);
}

static yyjson_mut_val *add_attribute(yyjson_mut_doc *doc, yyjson_mut_val *attributes,
                                     const char *key)
{
    yyjson_mut_val *attribute = yyjson_mut_arr_add_obj(doc, attributes);
    yyjson_mut_obj_add_val(doc, attribute, "key", text_value(doc, key));
    return yyjson_mut_obj_add_obj(doc, attribute, "value");
}

static void put_text(yyjson_mut_doc *doc, yyjson_mut_val *attributes, const char *key,
                     const char *value)
{
    if (value && *value)
        yyjson_mut_obj_add_val(doc, add_attribute(doc, attributes, key), "stringValue",
                               text_value(doc, value));
}

static void put_number(yyjson_mut_doc *doc, yyjson_mut_val *attributes, const char *key,
                       int64_t value)
{
    if (value)
        put_int64(doc, add_attribute(doc, attributes, key), "intValue", value);
}

/* ---- the document ---- */

/* `{"resourceSpans":[{"resource":..,"scopeSpans":[{"scope":..,"spans":[]}]}]}` and the same of
 * metrics. Returns the innermost array. */
static yyjson_mut_val *begin(yyjson_mut_doc *doc, const struct otlp_resource *resource,
                             const char *resources, const char *scopes, const char *items)
{
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *one = yyjson_mut_arr_add_obj(doc, yyjson_mut_obj_add_arr(doc, root, resources));
    yyjson_mut_val *attributes =
        yyjson_mut_obj_add_arr(doc, yyjson_mut_obj_add_obj(doc, one, "resource"), "attributes");
    for (size_t i = 0; i < resource->count; i++)
        put_text(doc, attributes, resource->attributes[i].name, resource->attributes[i].value);
    yyjson_mut_val *within = yyjson_mut_arr_add_obj(doc, yyjson_mut_obj_add_arr(doc, one, scopes));
    yyjson_mut_val *scope = yyjson_mut_obj_add_obj(doc, within, "scope");
    yyjson_mut_obj_add_str(doc, scope, "name", "aegis");
    yyjson_mut_obj_add_str(doc, scope, "version", AEGIS_VERSION);
    return yyjson_mut_obj_add_arr(doc, within, items);
}

/* Frees the document. */
static int end(yyjson_mut_doc *doc, struct buffer *out)
{
    size_t length;
    char *text = yyjson_mut_write(doc, 0, &length);
    yyjson_mut_doc_free(doc);
    if (!text)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for telemetry");
    int rc = buffer_append(out, text, length);
    free(text);
    return rc;
}

static int no_document(void)
{
    return error_set(ERR_NO_MEMORY, NULL, "out of memory for telemetry");
}

/* ---- traces ---- */

static char *new_span_id(char out[SPAN_ID_TEXT])
{
    unsigned char bytes[(SPAN_ID_TEXT - 1) / 2];
    random_bytes(bytes, sizeof bytes);
    bytes[0] |= 1; /* not all zero */
    hex_encode(bytes, sizeof bytes, out);
    return out;
}

static yyjson_mut_val *put_span(yyjson_mut_doc *doc, yyjson_mut_val *spans, const char *trace_id,
                                const char *span_id, const char *parent_id,
                                const struct span_part *part, int kind)
{
    yyjson_mut_val *span = yyjson_mut_arr_add_obj(doc, spans);
    yyjson_mut_obj_add_strcpy(doc, span, "traceId", trace_id);
    yyjson_mut_obj_add_strcpy(doc, span, "spanId", span_id);
    if (parent_id && *parent_id)
        yyjson_mut_obj_add_strcpy(doc, span, "parentSpanId", parent_id);
    yyjson_mut_obj_add_str(doc, span, "name", part->name);
    yyjson_mut_obj_add_int(doc, span, "kind", kind);
    put_time(doc, span, "startTimeUnixNano", part->began_us);
    put_time(doc, span, "endTimeUnixNano", part->ended_us);
    return span;
}

/* The status's text is the code: it can be grouped by. What happened is an attribute. */
static void put_error(yyjson_mut_doc *doc, yyjson_mut_val *span, yyjson_mut_val *attributes,
                      const struct span *s)
{
    if (!s->error || !*s->error)
        return;
    put_text(doc, attributes, "error.type", s->error);
    put_text(doc, attributes, "aegis.message", s->message);
    yyjson_mut_val *status = yyjson_mut_obj_add_obj(doc, span, "status");
    yyjson_mut_obj_add_val(doc, status, "message", text_value(doc, s->error));
    yyjson_mut_obj_add_int(doc, status, "code", STATUS_ERROR);
}

static void put_parts(yyjson_mut_doc *doc, yyjson_mut_val *spans, const struct span *s,
                      const char *parent_id)
{
    char id[SPAN_ID_TEXT];
    for (size_t i = 0; i < s->part_count; i++) {
        yyjson_mut_val *span = put_span(doc, spans, s->trace_id, new_span_id(id), parent_id,
                                        &s->parts[i], KIND_INTERNAL);
        yyjson_mut_val *attributes = yyjson_mut_obj_add_arr(doc, span, "attributes");
        put_number(doc, attributes, "aegis.job.id", s->job_id);
        if (i + 1 == s->part_count)
            put_error(doc, span, attributes, s);
    }
}

static void put_whole(yyjson_mut_doc *doc, yyjson_mut_val *spans, const struct span *s)
{
    char own[SPAN_ID_TEXT];
    const struct span_part whole = {s->name, s->began_us, s->ended_us};
    const char *id = s->span_id && *s->span_id ? s->span_id : new_span_id(own);
    yyjson_mut_val *span =
        put_span(doc, spans, s->trace_id, id, s->parent_id, &whole, (int)s->kind);
    yyjson_mut_val *attributes = yyjson_mut_obj_add_arr(doc, span, "attributes");
    put_number(doc, attributes, "aegis.job.id", s->job_id);
    put_number(doc, attributes, "aegis.media.id", s->media_id);
    put_number(doc, attributes, "aegis.attempt", s->attempt);
    put_text(doc, attributes, "aegis.bucket", s->bucket);
    put_text(doc, attributes, "aegis.key", s->key);
    put_text(doc, attributes, "aegis.outcome", s->outcome);
    put_error(doc, span, attributes, s);
    put_parts(doc, spans, s, id);
}

int otlp_json_spans(const struct otlp_resource *resource, const struct span *const *spans,
                    size_t count, struct buffer *out)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (!doc)
        return no_document();
    yyjson_mut_val *array = begin(doc, resource, "resourceSpans", "scopeSpans", "spans");
    for (size_t i = 0; i < count; i++)
        put_whole(doc, array, spans[i]);
    return end(doc, out);
}

/* ---- metrics ---- */

struct metric_writer {
    yyjson_mut_doc *doc;
    yyjson_mut_val *metrics;
    int64_t began_us, now_us;
    char name[128], help[256], type[16]; /* of the family told last, which is there once it has a
                                            point */
    yyjson_mut_val *points;
};

static void take_family(void *ctx, const char *name, const char *type, const char *help)
{
    struct metric_writer *w = ctx;
    snprintf(w->name, sizeof w->name, "%s", name);
    snprintf(w->type, sizeof w->type, "%s", type);
    snprintf(w->help, sizeof w->help, "%s", help);
    w->points = NULL;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

/* Prometheus's names end with the unit; here it has a place of its own as well (UCUM). */
static const char *unit_of(const char *name)
{
    static const struct {
        const char *end, *unit;
    } units[] = {{"_seconds", "s"},
                 {"_seconds_total", "s"},
                 {"_bytes", "By"},
                 {"_usd", "{USD}"},
                 {"_usd_total", "{USD}"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (ends_with(name, units[i].end))
            return units[i].unit;
    return "1";
}

static void put_metric(struct metric_writer *w)
{
    bool histogram = !strcmp(w->type, "histogram"), counter = !strcmp(w->type, "counter");
    yyjson_mut_val *metric = yyjson_mut_arr_add_obj(w->doc, w->metrics);
    yyjson_mut_obj_add_strcpy(w->doc, metric, "name", w->name);
    yyjson_mut_obj_add_strcpy(w->doc, metric, "description", w->help);
    yyjson_mut_obj_add_str(w->doc, metric, "unit", unit_of(w->name));
    yyjson_mut_val *data = yyjson_mut_obj_add_obj(w->doc, metric,
                                                  histogram ? "histogram"
                                                  : counter ? "sum"
                                                            : "gauge");
    if (histogram || counter)
        yyjson_mut_obj_add_int(w->doc, data, "aggregationTemporality", CUMULATIVE);
    if (counter)
        yyjson_mut_obj_add_bool(w->doc, data, "isMonotonic", true);
    w->points = yyjson_mut_obj_add_arr(w->doc, data, "dataPoints");
}

static yyjson_mut_val *add_point(struct metric_writer *w, const char *labels)
{
    char name[LABEL_NAME_TEXT], value[LABELS_TEXT];
    if (!w->points)
        put_metric(w);
    yyjson_mut_val *point = yyjson_mut_arr_add_obj(w->doc, w->points);
    yyjson_mut_val *attributes = yyjson_mut_obj_add_arr(w->doc, point, "attributes");
    while (labels_next(&labels, name, value))
        put_text(w->doc, attributes, name, value);
    if (strcmp(w->type, "gauge") != 0)
        put_time(w->doc, point, "startTimeUnixNano", w->began_us);
    put_time(w->doc, point, "timeUnixNano", w->now_us);
    return point;
}

static void take_sample(void *ctx, const char *labels, double value)
{
    struct metric_writer *w = ctx;
    if (isfinite(value))
        yyjson_mut_obj_add_real(w->doc, add_point(w, labels), "asDouble", value);
}

static void take_histogram(void *ctx, const char *labels, const struct exposition_histogram *h)
{
    struct metric_writer *w = ctx;
    char text[24];
    int64_t count = 0;
    yyjson_mut_val *point = add_point(w, labels);
    yyjson_mut_val *buckets = yyjson_mut_obj_add_arr(w->doc, point, "bucketCounts");
    for (size_t i = 0; i <= h->bound_count; i++) {
        count += h->buckets[i];
        snprintf(text, sizeof text, "%" PRId64, h->buckets[i]);
        yyjson_mut_arr_add_strcpy(w->doc, buckets, text);
    }
    yyjson_mut_val *bounds = yyjson_mut_obj_add_arr(w->doc, point, "explicitBounds");
    for (size_t i = 0; i < h->bound_count; i++)
        yyjson_mut_arr_add_real(w->doc, bounds, h->bounds[i]);
    put_int64(w->doc, point, "count", count);
    yyjson_mut_obj_add_real(w->doc, point, "sum", h->sum);
}

int otlp_json_metrics(const struct otlp_resource *resource,
                      void (*write)(void *ctx, struct exposition *x), void *ctx, int64_t began_us,
                      int64_t now_us, struct buffer *out)
{
    struct metric_writer w = {
        .doc = yyjson_mut_doc_new(NULL), .began_us = began_us, .now_us = now_us};
    struct exposition_sink sink = {
        .family = take_family, .sample = take_sample, .histogram = take_histogram, .ctx = &w};
    struct exposition x = {.sink = &sink};
    if (!w.doc)
        return no_document();
    w.metrics = begin(w.doc, resource, "resourceMetrics", "scopeMetrics", "metrics");
    write(ctx, &x);
    return end(w.doc, out);
}

/* ---- replies ---- */

/* Numbers of 64 bits are text, but a collector may send them as numbers. */
static int64_t rejected_at(yyjson_val *root, const char *path)
{
    yyjson_val *v = json_at(root, path);
    int64_t n =
        yyjson_is_int(v) ? yyjson_get_sint(v) : strtoll(json_string_at(root, path, "0"), NULL, 10);
    return n < 0 ? 0 : n < INT32_MAX ? n : INT32_MAX;
}

bool otlp_json_rejected(const char *reply, size_t length, int64_t *count, char *why, size_t size)
{
    yyjson_doc *doc;
    *count = 0;
    if (length == 0 || json_parse(reply, length, "a collector's reply", &doc))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    *count = rejected_at(root, "partialSuccess.rejectedSpans") +
             rejected_at(root, "partialSuccess.rejectedDataPoints");
    snprintf(why, size, "%s", json_string_at(root, "partialSuccess.errorMessage", ""));
    yyjson_doc_free(doc);
    return *count > 0;
}
