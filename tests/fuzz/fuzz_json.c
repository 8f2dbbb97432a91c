/* Any bytes are written as a JSON string that reads back, and a queue message never crashes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/job_message.h"
#include "shared/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const char *text, size_t length)
{
    struct buffer out;
    buffer_init(&out, MIB(16));
    if (json_append_string(&out, text, length))
        abort();
    yyjson_doc *doc = yyjson_read(out.data, out.length, YYJSON_READ_NOFLAG);
    if (!yyjson_is_str(yyjson_doc_get_root(doc)))
        abort();
    yyjson_doc_free(doc);
    buffer_free(&out);
}

/* In place and with a copy the same is accepted and read. */
static void parse_both_ways(const char *text, size_t length)
{
    struct buffer body;
    yyjson_doc *copied, *in_place;
    buffer_init(&body, MIB(16));
    if (buffer_append(&body, text, length))
        abort();
    int rc = json_parse(text, length, "the input", &copied);
    if (json_parse_in_place(&body, "the input", &in_place) != rc)
        abort();
    if (!rc && !yyjson_equals(yyjson_doc_get_root(copied), yyjson_doc_get_root(in_place)))
        abort();
    json_at(yyjson_doc_get_root(copied), "a.b.c");
    yyjson_doc_free(copied);
    yyjson_doc_free(in_place);
    buffer_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job_message message;
    const char *text = (const char *)data;
    write_and_read(text, size);
    parse_both_ways(text, size);
    if (job_message_parse(text, size, &message) == 0 && message.job_id <= 0)
        abort();
    return 0;
}
