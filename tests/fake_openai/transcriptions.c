#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fake.h"
#include "shared/json.h"

enum { MODEL = 96, SPOKEN_FROM = 1 /* level */ };

static const char formats[] =
    "['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']";

/* The value of a form field; false if it was not sent. */
static bool field(const struct exchange *x, const char *name, char *out, size_t capacity)
{
    size_t length = strlen(name);
    for (const char *line = buffer_string(&x->fields); *line;) {
        size_t end = strcspn(line, "\n");
        if (end > length && memcmp(line, name, length) == 0 && line[length] == '=') {
            snprintf(out, capacity, "%.*s", (int)(end - length - 1), line + length + 1);
            return true;
        }
        line += end + (line[end] == '\n');
    }
    return false;
}

static bool known_field(const char *name, size_t length)
{
    static const char *const known[] = {"model",
                                        "language",
                                        "prompt",
                                        "temperature",
                                        "keywords[]",
                                        "response_format",
                                        "languages[]",
                                        "include[]",
                                        "timestamp_granularities[]",
                                        "stream",
                                        "chunking_strategy",
                                        "known_speaker_names[]",
                                        "known_speaker_references[]",
                                        NULL};
    for (const char *const *k = known; *k; k++)
        if (strlen(*k) == length && memcmp(*k, name, length) == 0)
            return true;
    return false;
}

static bool check_fields(struct exchange *x)
{
    for (const char *line = buffer_string(&x->fields); *line;) {
        size_t name = strcspn(line, "=");
        if (!known_field(line, name)) {
            reply_invalid(x, NULL, NULL, "Unrecognized request argument supplied: %.*s", (int)name,
                          line);
            return false;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return true;
}

static bool supported_extension(const char *filename)
{
    static const char *const known[] = {"flac", "m4a", "mp3", "mp4", "mpeg",
                                        "mpga", "oga", "ogg", "wav", "webm"};
    const char *dot = strrchr(filename, '.');
    for (size_t i = 0; dot && i < sizeof known / sizeof known[0]; i++)
        if (strcasecmp(dot + 1, known[i]) == 0)
            return true;
    return false;
}

static bool check_audio(struct exchange *x, const char *model)
{
    if (!x->meter) {
        reply_invalid(x, "file", NULL,
                      "[{'type': 'missing', 'loc': ('body', 'file'), 'msg': "
                      "'Field required'}]");
        return false;
    }
    if (!supported_extension(x->filename) || !meter_format(x->meter)) {
        reply_invalid(x, "file", NULL, "Invalid file format. Supported formats: %s", formats);
        return false;
    }
    int64_t ms = meter_duration_ms(x->meter);
    if (ms < 100) {
        reply_invalid(x, "file", "audio_too_short",
                      "Audio file is too short. Minimum audio length is 0.1 seconds.");
        return false;
    }
    int64_t longest = strncmp(model, "gpt-4o", 6) == 0       ? 1400000
                      : strcmp(model, "gpt-transcribe") == 0 ? 1500000
                                                             : INT64_MAX;
    if (ms <= longest)
        return true;
    reply_invalid(x, NULL, "invalid_value",
                  "audio duration %lld.%lld seconds is longer than %lld seconds which is the "
                  "maximum for this model",
                  (long long)(ms / 1000), (long long)(ms % 1000 / 100),
                  (long long)(longest / 1000));
    return false;
}

static bool check_format(struct exchange *x, const char *model, const char *format)
{
    bool diarize = strstr(model, "diarize") != NULL;
    bool gpt = strncmp(model, "gpt-", 4) == 0;
    bool ok = strcmp(format, "json") == 0 || (strcmp(format, "verbose_json") == 0 && !gpt) ||
              (strcmp(format, "diarized_json") == 0 && diarize);
    if (!ok)
        reply_invalid(x, "response_format", "unsupported_value",
                      "response_format '%s' is not compatible with model '%s'. Use a compatible "
                      "format instead.",
                      format, model);
    return ok;
}

static bool check_model_fields(struct exchange *x, const char *model)
{
    char value[64];
    bool only_new =
        field(x, "languages[]", value, sizeof value) || field(x, "keywords[]", value, sizeof value);
    if (only_new && strcmp(model, "gpt-transcribe") != 0) {
        reply_invalid(x, "languages", "unsupported_parameter",
                      "Unsupported parameter: 'languages' is not supported with this model.");
        return false;
    }
    if (!strstr(model, "diarize"))
        return true;
    if (field(x, "prompt", value, sizeof value)) {
        reply_invalid(x, "prompt", "unsupported_parameter",
                      "Prompt is not supported for diarization models.");
        return false;
    }
    if (meter_duration_ms(x->meter) > 30000 &&
        !field(x, "chunking_strategy", value, sizeof value)) {
        reply_invalid(x, "chunking_strategy", NULL,
                      "chunking_strategy is required for diarization models.");
        return false;
    }
    return true;
}

/* ---- what is "said" ----------------------------------------------------------------------------
 */

static bool is_spoken(const struct exchange *x, size_t window)
{
    return meter_level(x->meter, window) >= SPOKEN_FROM;
}

static size_t say_window(const struct exchange *x, size_t window, char *out, size_t capacity)
{
    return (size_t)snprintf(out, capacity, "At second %zu the level is %d.",
                            window * METER_WINDOW_MS / 1000, meter_level(x->meter, window));
}

static void append_text(struct exchange *x, struct buffer *out)
{
    char line[96];
    struct buffer text;
    int64_t ms = meter_duration_ms(x->meter);
    bool any = false;
    buffer_init(&text, JSON_LIMIT);
    for (size_t i = 0; i < meter_windows(x->meter); i++) {
        if (!is_spoken(x, i))
            continue;
        if (!any)
            buffer_printf(&text, "This recording lasts %lld.%lld seconds.", (long long)(ms / 1000),
                          (long long)(ms % 1000 / 100));
        any = true;
        size_t n = say_window(x, i, line, sizeof line);
        buffer_append_char(&text, ' ');
        buffer_append(&text, line, n);
    }
    json_append_string(out, buffer_string(&text), text.length);
    buffer_free(&text);
}

static void append_segments(struct exchange *x, struct buffer *out, bool speakers)
{
    char line[96];
    bool first = true;
    int64_t ms = meter_duration_ms(x->meter);
    buffer_append_char(out, '[');
    for (size_t i = 0; i < meter_windows(x->meter); i++) {
        int64_t begin = (int64_t)i * METER_WINDOW_MS, end = begin + METER_WINDOW_MS;
        if (!is_spoken(x, i))
            continue;
        say_window(x, i, line, sizeof line);
        end = end < ms ? end : ms;
        buffer_printf(out, "%s{\"id\":", first ? "" : ",");
        buffer_printf(out, speakers ? "\"seg_%zu\"" : "%zu", i);
        buffer_printf(out, ",\"start\":%lld.%03lld,\"end\":%lld.%03lld,\"text\":\" %s\"",
                      (long long)(begin / 1000), (long long)(begin % 1000), (long long)(end / 1000),
                      (long long)(end % 1000), line);
        if (speakers)
            buffer_printf(out, ",\"type\":\"transcript.text.segment\",\"speaker\":\"%c\"}",
                          (char)('A' + i % 2));
        else
            buffer_append_string(out, ",\"seek\":0,\"tokens\":[],\"temperature\":0.0,"
                                      "\"avg_logprob\":-0.2,\"compression_ratio\":1.2,"
                                      "\"no_speech_prob\":0.01}");
        first = false;
    }
    buffer_append_char(out, ']');
}

static void write_reply(struct exchange *x, const char *model, const char *format)
{
    struct buffer *out = &x->reply;
    int64_t seconds = (meter_duration_ms(x->meter) + 999) / 1000;
    char language[16] = "english";
    buffer_append_string(out, "{\"text\":");
    append_text(x, out);
    if (strcmp(format, "verbose_json") == 0) {
        buffer_printf(out, ",\"task\":\"transcribe\",\"language\":\"%s\",\"duration\":%.2f",
                      language, (double)meter_duration_ms(x->meter) / 1000);
        buffer_append_string(out, ",\"segments\":");
        append_segments(x, out, false);
    } else if (strcmp(format, "diarized_json") == 0) {
        buffer_printf(out, ",\"task\":\"transcribe\",\"duration\":%.2f,\"segments\":",
                      (double)meter_duration_ms(x->meter) / 1000);
        append_segments(x, out, true);
    }
    if (strcmp(model, "gpt-transcribe") == 0)
        buffer_append_string(out, ",\"languages\":[{\"code\":\"en\"}]");
    if (strncmp(model, "gpt-4o", 6) == 0)
        buffer_printf(out,
                      ",\"usage\":{\"type\":\"tokens\",\"total_tokens\":%lld,\"input_tokens\":%lld,"
                      "\"input_token_details\":{\"text_tokens\":0,\"audio_tokens\":%lld},"
                      "\"output_tokens\":%lld}}",
                      (long long)seconds * 15, (long long)seconds * 10, (long long)seconds * 10,
                      (long long)seconds * 5);
    else
        buffer_printf(out, ",\"usage\":{\"type\":\"duration\",\"seconds\":%lld}}",
                      (long long)seconds);
    x->billed_tokens = seconds * 10;
    x->status = 200;
}

void transcriptions_create(struct exchange *x)
{
    char model[MODEL], format[32];
    if (x->body_bytes > UPLOAD_LIMIT) {
        reply_error(x, 413, "server_error", NULL, NULL,
                    "413: Maximum content size limit (%d) exceeded (%lld bytes read)", UPLOAD_LIMIT,
                    (long long)x->body_bytes);
        return;
    }
    if (!x->multipart) {
        reply_invalid(x, NULL, NULL, "Could not parse multipart form");
        return;
    }
    if (!field(x, "model", model, sizeof model)) {
        reply_invalid(x, NULL, NULL, "you must provide a model parameter");
        return;
    }
    if (!field(x, "response_format", format, sizeof format))
        snprintf(format, sizeof format, "json");
    if (check_fields(x) && model_accept(x, model, MODEL_TRANSCRIPTION, MODEL_TRANSCRIPTION) &&
        check_audio(x, model) && check_format(x, model, format) && check_model_fields(x, model))
        write_reply(x, model, format);
}
