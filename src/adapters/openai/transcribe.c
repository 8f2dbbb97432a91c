#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

enum {
    PARTS = 8,
    PROMPT = 800, /* bytes of context; Whisper looks at its last 224 tokens */
};

/* ---- asking ------------------------------------------------------------------------------------
 */

enum flavour { FLAVOUR_GPT_TRANSCRIBE, FLAVOUR_GPT_4O, FLAVOUR_DIARIZE, FLAVOUR_WHISPER };

static enum flavour flavour_of(const char *model)
{
    if (strstr(model, "diarize"))
        return FLAVOUR_DIARIZE;
    if (strncmp(model, "gpt-4o", 6) == 0)
        return FLAVOUR_GPT_4O;
    return strncmp(model, "gpt-", 4) == 0 ? FLAVOUR_GPT_TRANSCRIBE : FLAVOUR_WHISPER;
}

static const char *response_format(const struct call *call, enum flavour flavour)
{
    if (flavour == FLAVOUR_DIARIZE)
        return "diarized_json";
    if (flavour == FLAVOUR_WHISPER && !call_lacks(call, LACKS_VERBOSE_JSON))
        return "verbose_json";
    return "json";
}

/* The end of the context, whole characters. */
static const char *prompt_tail(const char *prompt)
{
    size_t length = strlen(prompt);
    if (length <= PROMPT)
        return prompt;
    prompt += length - PROMPT;
    while ((*prompt & 0xc0) == 0x80)
        prompt++;
    return prompt;
}

static size_t fill_parts(const struct call *call, const struct transcribe_request *r,
                         struct http_part parts[PARTS])
{
    enum flavour flavour = flavour_of(call->at->model);
    const char *format = response_format(call, flavour);
    size_t n = 0;
    parts[n++] = (struct http_part){.name = "model", .value = call->at->model};
    parts[n++] = (struct http_part){.name = "response_format", .value = format};
    if (strcmp(format, "verbose_json") == 0)
        parts[n++] = (struct http_part){.name = "timestamp_granularities[]", .value = "segment"};
    if (flavour == FLAVOUR_DIARIZE)
        parts[n++] = (struct http_part){.name = "chunking_strategy", .value = "auto"};
    if (r->language && r->language[0])
        parts[n++] = (struct http_part){.name = flavour == FLAVOUR_GPT_TRANSCRIBE ? "languages[]"
                                                                                  : "language",
                                        .value = r->language};
    if (r->prompt && r->prompt[0] && flavour != FLAVOUR_DIARIZE)
        parts[n++] = (struct http_part){.name = "prompt", .value = prompt_tail(r->prompt)};
    parts[n++] = (struct http_part){.name = "file",
                                    .fd = r->fd,
                                    .size = r->size,
                                    .filename = "audio.wav",
                                    .content_type = "audio/wav"};
    return n;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static int64_t to_ms(double seconds, int64_t duration_ms)
{
    if (!(seconds > 0))
        return 0;
    double ms = round(seconds * 1000);
    return ms < (double)duration_ms ? (int64_t)ms : duration_ms;
}

/* Without the blank that models put in front. */
static char *trimmed(struct arena *arena, const char *text)
{
    text += strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length && strchr(" \t\r\n", text[length - 1]))
        length--;
    return arena_strndup(arena, text, length);
}

/* Whisper's own rule for a segment that it made up out of silence: no_speech_threshold and
 * logprob_threshold of whisper/transcribe.py. */
static bool is_silence(yyjson_val *segment)
{
    return json_number_at(segment, "no_speech_prob", 0) > 0.6 &&
           json_number_at(segment, "avg_logprob", 0) < -1;
}

static int add_segment(struct transcribe_result *out, struct arena *arena, int64_t start,
                       int64_t end, const char *text, const char *speaker)
{
    struct transcript_segment *s = &out->segments[out->count];
    s->start_ms = start;
    s->end_ms = end < start ? start : end;
    s->text = trimmed(arena, text);
    s->speaker = arena_strdup(arena, speaker);
    if (!s->text || !s->speaker)
        return ERR_NO_MEMORY;
    if (s->text[0])
        out->count++;
    return OK;
}

static int read_segments(yyjson_val *segments, int64_t duration_ms, struct arena *arena,
                         struct transcribe_result *out)
{
    size_t n = yyjson_arr_size(segments), i, max;
    yyjson_val *s;
    if (n > CAP_SEGMENTS)
        return error_set(ERR_INVALID, "malformed_reply", "%zu segments in one piece of audio", n);
    out->segments = arena_array(arena, n ? n : 1, sizeof *out->segments);
    if (!out->segments)
        return ERR_NO_MEMORY;
    yyjson_arr_foreach(segments, i, max, s)
    {
        if (is_silence(s))
            continue;
        int rc = add_segment(out, arena, to_ms(json_number_at(s, "start", 0), duration_ms),
                             to_ms(json_number_at(s, "end", 0), duration_ms),
                             json_string_at(s, "text", ""), json_string_at(s, "speaker", ""));
        if (rc)
            return rc;
    }
    return OK;
}

static void read_usage(yyjson_val *root, struct transcribe_usage *usage)
{
    yyjson_val *u = yyjson_obj_get(root, "usage");
    *usage = (struct transcribe_usage){.audio_ms = -1,
                                       .input_tokens = json_int_at(u, "input_tokens", -1),
                                       .output_tokens = json_int_at(u, "output_tokens", -1)};
    double seconds = json_number_at(u, "seconds", -1);
    if (seconds >= 0 && seconds < 1e9)
        usage->audio_ms = (int64_t)(seconds * 1000);
}

static void read_language(yyjson_val *root, struct transcribe_result *out)
{
    yyjson_val *first = yyjson_arr_get(yyjson_obj_get(root, "languages"), 0);
    const char *name = json_string_at(root, "language", json_string_at(first, "code", ""));
    snprintf(out->language, sizeof out->language, "%s", language_code(name));
}

static int read_root(yyjson_val *root, int64_t duration_ms, struct arena *arena,
                     struct transcribe_result *out)
{
    const char *text = json_string_at(root, "text", NULL);
    yyjson_val *segments = yyjson_obj_get(root, "segments");
    if (!text && !yyjson_is_arr(segments))
        return error_set(ERR_INVALID, "malformed_reply", "the reply has no text");
    read_language(root, out);
    int rc = read_segments(segments, duration_ms, arena, out);
    if (rc || yyjson_arr_size(segments) > 0)
        return rc;
    return add_segment(out, arena, 0, duration_ms, text ? text : "", "");
}

int transcribe_read(const char *body, size_t length, int64_t duration_ms, struct arena *arena,
                    struct transcribe_result *out, struct transcribe_usage *usage)
{
    yyjson_doc *doc;
    *out = (struct transcribe_result){0};
    *usage = (struct transcribe_usage){-1, -1, -1};
    int rc = json_parse(body, length, "the reply", &doc);
    if (rc)
        return rc;
    yyjson_val *root = yyjson_doc_get_root(doc);
    read_usage(root, usage);
    rc = read_root(root, duration_ms, arena, out);
    yyjson_doc_free(doc);
    return rc;
}

/* ---- the operation -----------------------------------------------------------------------------
 */

static int read_reply(struct call *call, const struct transcribe_request *request,
                      const struct http_response *reply, struct transcribe_result *out)
{
    struct transcribe_usage usage;
    int rc = transcribe_read(buffer_string(&reply->body), reply->body.length, request->duration_ms,
                             call->arena, out, &usage);
    if (rc == ERR_INVALID)
        rc = call_malformed(call, error_last()->message);
    call->record.audio_ms = usage.audio_ms >= 0 ? usage.audio_ms : request->duration_ms;
    call->record.input_tokens = usage.input_tokens > 0 ? usage.input_tokens : 0;
    call->record.output_tokens = usage.output_tokens > 0 ? usage.output_tokens : 0;
    return call_record(call, rc);
}

static int transcribe_once(struct call *call, const struct transcribe_request *request,
                           struct transcribe_result *out, bool *again)
{
    struct http_part parts[PARTS];
    struct http_response reply;
    size_t n = fill_parts(call, request, parts);
    int rc = call_post_parts(call, "/audio/transcriptions", parts, n, &reply);
    bool format = call_refused_parameter(&reply, "response_format") ||
                  call_refused_parameter(&reply, "verbose_json") ||
                  call_refused_parameter(&reply, "timestamp_granularities");
    *again = rc == ERR_PERMANENT && flavour_of(call->at->model) == FLAVOUR_WHISPER && format &&
             call_remember(call, LACKS_VERBOSE_JSON);
    if (!rc)
        rc = read_reply(call, request, &reply, out);
    http_response_free(&reply);
    return rc;
}

int openai_transcribe(void *ctx, const struct transcribe_request *request,
                      const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                      struct transcribe_result *out)
{
    struct call call = call_begin(ctx, MODEL_TRANSCRIBE, cancel, arena, calls);
    bool again;
    *out = (struct transcribe_result){0};
    if (request->size > OPENAI_UPLOAD_LIMIT - OPENAI_UPLOAD_FRAMING)
        return error_set(ERR_PERMANENT, "too_large",
                         "a piece of audio of %lld bytes is more than the API takes at a time",
                         (long long)request->size);
    int rc = transcribe_once(&call, request, out, &again);
    return again ? transcribe_once(&call, request, out, &again) : rc;
}
