/* Trace headers come from whoever sends: what is read has ids that are valid, and is written so
 * that it reads the same again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/digest.h"
#include "shared/trace_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void goes_round(const struct trace_context *c)
{
    unsigned char bytes[16];
    char traceparent[TRACEPARENT_TEXT], xray[XRAY_TEXT];
    struct trace_context again;
    expect(strlen(c->trace_id) == 32 && hex_decode(c->trace_id, 16, bytes));
    expect(!*c->span_id || (strlen(c->span_id) == 16 && hex_decode(c->span_id, 8, bytes)));
    expect(trace_context_parse_xray(trace_context_xray(c, xray), &again));
    expect(!memcmp(c, &again, sizeof again));
    trace_context_traceparent(c, traceparent);
    expect(trace_context_parse_traceparent(traceparent, &again) == (*c->span_id != '\0'));
    expect(!memcmp(c, &again, sizeof again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace_context c;
    char *text = strndup((const char *)data, size);
    expect(text != NULL);
    if (trace_context_parse_traceparent(text, &c)) {
        expect(*c.span_id);
        goes_round(&c);
    }
    if (trace_context_parse_xray(text, &c))
        goes_round(&c);
    free(text);
    return 0;
}
