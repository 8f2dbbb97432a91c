/* Any bytes are written as a JSON string that reads back, and a queue message never crashes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/job_message.h"
#include "shared/json.h"
#include "shared/json_lift.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const char *text, size_t length)
{
    struct buffer out;
    json_error_t error;
    buffer_init(&out, MIB(16));
    if (json_append_string(&out, text, length))
        abort();
    json_t *value = json_loadb(out.data, out.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json_is_string(value))
        abort();
    json_decref(value);
    buffer_free(&out);
}

/* Lifting strings out changes nothing: what it accepts the parser accepts, and reads the same. */
static void parse_both_ways(const char *text, size_t length)
{
    json_t *lifted, *whole;
    if (!json_parse_lifted(text, length, 16, &lifted))
        return;
    if (json_parse_whole(text, length, "the input", &whole) || !json_equal(lifted, whole))
        abort();
    json_decref(lifted);
    json_decref(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job_message message;
    json_t *value;
    const char *text = (const char *)data;
    write_and_read(text, size);
    parse_both_ways(text, size);
    if (job_message_parse(text, size, &message) == 0 && message.job_id <= 0)
        abort();
    if (json_parse(text, size, "the input", &value) == 0) {
        json_at(value, "a.b.c");
        json_decref(value);
    }
    return 0;
}
