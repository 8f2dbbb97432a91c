#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "adapters/local/store_shared_keys.h"

static const char hex[] = "0123456789abcdef";

static bool is_plain(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           (c == '.' && !first);
}

/* False if it does not fit. Upper case is written as %xx too: not every file system tells the two
 * cases apart. */
static bool escape(const char *key, char out[NAME_MAX + 1])
{
    size_t n = 0;
    for (const char *p = key; *p; p++) {
        if (n + 3 > NAME_MAX)
            return false;
        if (is_plain(*p, p == key)) {
            out[n++] = *p;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[(unsigned char)*p >> 4];
        out[n++] = hex[(unsigned char)*p & 15];
    }
    out[n] = '\0';
    return true;
}

void shared_key_encode(const char *key, char out[NAME_MAX + 1])
{
    if (escape(key, out))
        return;
    struct digest digest = digest_of(key, strlen(key));
    out[0] = '=';
    digest_format(&digest, out + 1);
}

bool shared_key_decode(const char *name, char key[CAP_KEY + 1])
{
    char again[NAME_MAX + 1];
    size_t n = 0;
    for (const char *p = name; *p; n++) {
        if (n == CAP_KEY)
            return false;
        if (*p != '%') {
            key[n] = *p++;
            continue;
        }
        if (!hex_decode(p + 1, 1, key + n) || !key[n])
            return false;
        p += 3;
    }
    key[n] = '\0';
    return n > 0 && escape(key, again) && strcmp(again, name) == 0;
}

unsigned shared_key_fan(const char *key)
{
    return digest_of(key, strlen(key)).bytes[0];
}

void shared_sequencer_format(uint64_t sequencer, char out[SEQUENCER_TEXT])
{
    snprintf(out, SEQUENCER_TEXT, "%016" PRIX64, sequencer);
}

bool shared_sequencer_parse(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; text[n]; n++) {
        const char *digit = strchr("0123456789ABCDEF", text[n]);
        if (!digit || n == SEQUENCER_TEXT - 1)
            return false;
        value = value << 4 | (uint64_t)(digit - "0123456789ABCDEF");
    }
    *out = value;
    return n == SEQUENCER_TEXT - 1 && value > 0 && value < INT64_MAX;
}

static bool is_id(const char *text, size_t length)
{
    return length == TRACE_ID_TEXT - 1 && strspn(text, hex) >= length;
}

bool shared_version_parse(const char *version_id, uint64_t *sequencer, char id[TRACE_ID_TEXT])
{
    char number[SEQUENCER_TEXT];
    const char *dash = strchr(version_id, '-');
    if (!dash || dash - version_id != SEQUENCER_TEXT - 1 || !is_id(dash + 1, strlen(dash + 1)))
        return false;
    memcpy(number, version_id, SEQUENCER_TEXT - 1);
    number[SEQUENCER_TEXT - 1] = '\0';
    memcpy(id, dash + 1, TRACE_ID_TEXT);
    return shared_sequencer_parse(number, sequencer);
}

void shared_data_name(const char *id, char out[DATA_NAME_TEXT])
{
    snprintf(out, DATA_NAME_TEXT, "%s.data", id);
}

bool shared_data_parse(const char *name, char id[TRACE_ID_TEXT])
{
    const char *dot = strchr(name, '.');
    if (!dot || strcmp(dot, ".data") != 0 || !is_id(name, (size_t)(dot - name)))
        return false;
    memcpy(id, name, TRACE_ID_TEXT - 1);
    id[TRACE_ID_TEXT - 1] = '\0';
    return true;
}
