#include "shared/trace_context.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/digest.h"

enum { TRACE_DIGITS = TRACE_ID_TEXT - 1, SPAN_DIGITS = SPAN_ID_TEXT - 1, TIME_DIGITS = 8 };

static bool are_digits(const char *text, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++)
        if (!text[i] || !strchr(digits, text[i]))
            return false;
    return true;
}

/* An id of all zeros is none. */
static bool is_id(const char *text, size_t count)
{
    return are_digits(text, count) && strspn(text, "0") < count;
}

static bool is_short(const char *text)
{
    return text && strnlen(text, CAP_TRACE_HEADER + 1) <= CAP_TRACE_HEADER;
}

/* ---- W3C ---- */

/* "00-" trace "-" span "-" flags; later versions may go on behind another "-". */
enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, WHOLE = TRACEPARENT_TEXT - 1 };

static bool ends_well(const char *text)
{
    bool first_version = text[0] == '0' && text[1] == '0';
    return !text[WHOLE] || (!first_version && text[WHOLE] == '-');
}

bool trace_context_parse_traceparent(const char *text, struct trace_context *out)
{
    if (!is_short(text) || !are_digits(text, 2) || !strncmp(text, "ff", 2) ||
        strlen(text) < WHOLE || !ends_well(text))
        return false;
    if (text[2] != '-' || text[SPAN_AT - 1] != '-' || text[FLAGS_AT - 1] != '-' ||
        !is_id(text + TRACE_AT, TRACE_DIGITS) || !is_id(text + SPAN_AT, SPAN_DIGITS) ||
        !are_digits(text + FLAGS_AT, 2))
        return false;
    unsigned char flags;
    hex_decode(text + FLAGS_AT, 1, &flags);
    *out = (struct trace_context){.sampled = flags & 1};
    memcpy(out->trace_id, text + TRACE_AT, TRACE_DIGITS);
    memcpy(out->span_id, text + SPAN_AT, SPAN_DIGITS);
    return true;
}

char *trace_context_traceparent(const struct trace_context *c, char out[TRACEPARENT_TEXT])
{
    *out = '\0';
    if (*c->span_id)
        snprintf(out, TRACEPARENT_TEXT, "00-%s-%s-%02x", c->trace_id, c->span_id, c->sampled);
    return out;
}

/* ---- X-Ray ---- */

static bool read_root(const char *value, size_t length, struct trace_context *c)
{
    enum { SECOND = 2 + TIME_DIGITS, REST = TRACE_DIGITS - TIME_DIGITS };
    if (*c->trace_id || length != SECOND + 1 + REST || strncmp(value, "1-", 2) != 0 ||
        value[SECOND] != '-')
        return false;
    memcpy(c->trace_id, value + 2, TIME_DIGITS);
    memcpy(c->trace_id + TIME_DIGITS, value + SECOND + 1, REST);
    return is_id(c->trace_id, TRACE_DIGITS);
}

static bool read_parent(const char *value, size_t length, struct trace_context *c)
{
    if (*c->span_id || length != SPAN_DIGITS || !is_id(value, SPAN_DIGITS))
        return false;
    memcpy(c->span_id, value, SPAN_DIGITS);
    return true;
}

/* "?" asks whoever comes next to decide. */
static bool read_sampled(const char *value, size_t length, struct trace_context *c)
{
    c->sampled = length == 1 && *value == '1';
    return length == 1 && strchr("01?", *value);
}

static bool read_field(const char *field, size_t length, struct trace_context *c)
{
    static const struct {
        const char *name;
        bool (*read)(const char *value, size_t length, struct trace_context *c);
    } known[] = {{"Root=", read_root}, {"Parent=", read_parent}, {"Sampled=", read_sampled}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t name = strlen(known[i].name);
        if (length >= name && !strncmp(field, known[i].name, name))
            return known[i].read(field + name, length - name, c);
    }
    return true;
}

bool trace_context_parse_xray(const char *text, struct trace_context *out)
{
    struct trace_context c = {0};
    if (!is_short(text))
        return false;
    for (const char *field = text; *field;) {
        field += strspn(field, "; ");
        size_t length = strcspn(field, "; ");
        if (!read_field(field, length, &c))
            return false;
        field += length;
    }
    if (!*c.trace_id)
        return false;
    *out = c;
    return true;
}

char *trace_context_xray(const struct trace_context *c, char out[XRAY_TEXT])
{
    snprintf(out, XRAY_TEXT, "Root=1-%.*s-%s%s%s;Sampled=%d", TIME_DIGITS, c->trace_id,
             c->trace_id + TIME_DIGITS, *c->span_id ? ";Parent=" : "", c->span_id, c->sampled);
    return out;
}

/* ---- both ---- */

bool trace_context_parse_either(const char *traceparent, const char *xray,
                                struct trace_context *out)
{
    return trace_context_parse_traceparent(traceparent, out) || trace_context_parse_xray(xray, out);
}

void trace_context_of_job(const char *trace_id, int64_t job_id, bool sampled,
                          struct trace_context *out)
{
    char job[24];
    snprintf(job, sizeof job, "%" PRId64, job_id);
    struct digest d = digest_of_strings("aegis span: ingest", trace_id, job, NULL);
    d.bytes[SPAN_DIGITS / 2 - 1] |= 1; /* not all zero */
    *out = (struct trace_context){.sampled = sampled};
    snprintf(out->trace_id, sizeof out->trace_id, "%s", trace_id);
    hex_encode(d.bytes, SPAN_DIGITS / 2, out->span_id);
}
