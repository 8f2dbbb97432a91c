#include "adapters/offline/speech.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "adapters/offline/speech_wire.h"
#include "shared/caps.h"
#include "shared/error.h"

enum {
    LOAD_MS = 60000, /* on a machine that is busy; half a second on one that is not */
    MEMORY = 768 << 20,
};

const char *speech_default_model(void)
{
    return "/usr/share/pocketsphinx/model/en-us";
}

static int start(const char *model, const char *what, int input, int64_t audio_ms,
                 struct child **out)
{
    const char *args[] = {model, what, NULL};
    const struct child_limits limits = {
        .memory = MEMORY,
        .cpu_ms = LOAD_MS + 4 * audio_ms,
        .idle_timeout_ms = LOAD_MS,
    };
    return child_spawn("speech", args, input, &limits, out);
}

static int wait_ready(struct child *child, const struct cancel *cancel, struct buffer *frame)
{
    uint32_t type;
    int rc = child_receive(child, cancel, &type, frame);
    if (!rc && type != SPEECH_READY)
        rc = error_set(ERR_PERMANENT, "parser_crashed", "the speech child ended while loading");
    return rc;
}

/* Segments are collected in a buffer that doubles, in the arena. */
static int add_segment(const struct buffer *frame, struct arena *arena, size_t *capacity,
                       struct transcribe_result *out)
{
    struct speech_segment times;
    if (frame->length <= sizeof times)
        return error_set(ERR_PERMANENT, "parser_crashed", "the speech child sent half a segment");
    if (out->count == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 16;
        struct transcript_segment *segments = arena_array(arena, more, sizeof *segments);
        if (!segments)
            return ERR_NO_MEMORY;
        if (out->count)
            memcpy(segments, out->segments, out->count * sizeof *segments);
        out->segments = segments;
        *capacity = more;
    }
    memcpy(&times, frame->data, sizeof times);
    char *text = arena_strndup(arena, frame->data + sizeof times, frame->length - sizeof times);
    if (!text)
        return ERR_NO_MEMORY;
    out->segments[out->count++] = (struct transcript_segment){
        .start_ms = times.start_ms, .end_ms = times.end_ms, .text = text, .speaker = ""};
    return OK;
}

static int collect(struct child *child, const struct cancel *cancel, struct arena *arena,
                   struct transcribe_result *out)
{
    struct buffer frame;
    size_t capacity = 0;
    uint32_t type = SPEECH_READY;
    buffer_init(&frame, CAP_CHILD_FRAME);
    int rc = wait_ready(child, cancel, &frame);
    while (!rc && type) {
        rc = child_receive(child, cancel, &type, &frame);
        if (!rc && type == SPEECH_SEGMENT)
            rc = add_segment(&frame, arena, &capacity, out);
    }
    buffer_free(&frame);
    return rc;
}

int speech_transcribe(const char *model, const struct transcribe_request *request,
                      const struct cancel *cancel, struct arena *arena,
                      struct transcribe_result *out)
{
    struct child *child;
    *out = (struct transcribe_result){.language = "en"};
    if (*request->language && strcmp(request->language, "en") != 0)
        return error_set(ERR_PERMANENT, "unsupported_language",
                         "the offline speech model knows English, not '%s'; set OPENAI_API_KEY for "
                         "other languages",
                         request->language);
    if (request->duration_ms > SPEECH_LONGEST_MS)
        return error_set(ERR_PERMANENT, "unsupported_audio",
                         "a piece of %lld ms is too long for the offline speech model",
                         (long long)request->duration_ms);
    int rc = start(model, "transcribe", request->fd, request->duration_ms, &child);
    if (rc)
        return rc;
    rc = collect(child, cancel, arena, out);
    child_close(child, NULL);
    return rc;
}

int speech_check(const char *model, const struct cancel *cancel)
{
    struct child *child;
    struct buffer frame;
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0)
        return error_set(ERR_IO, NULL, "cannot open '/dev/null'");
    int rc = start(model, "check", nothing, 0, &child);
    close(nothing);
    if (rc)
        return rc;
    buffer_init(&frame, CAP_CHILD_FRAME);
    rc = wait_ready(child, cancel, &frame);
    buffer_free(&frame);
    child_close(child, NULL);
    return rc;
}
