/* cues.c - media_extract_subtitles: the parent's side. */
#include <inttypes.h>
#include <string.h>

#include "media/frames.h"
#include "media/media.h"
#include "media/utf8.h"
#include "shared/caps.h"

enum { CPU_MS = 120000 };

/* The frame's two texts, made into strings in place: the speaker's bytes move down by one for its
 * NUL's sake (the header before them is copied out first). */
static int take_cue(struct buffer *payload, const struct subtitle_sink *sink)
{
    struct cue_frame head;
    char *data = payload->data;
    if (payload->length < sizeof head)
        goto malformed;
    memcpy(&head, data, sizeof head);
    size_t speaker = head.speaker_length, text = head.text_length;
    if (payload->length != sizeof head + speaker + text)
        goto malformed;
    char *says = data + sizeof head - 1;
    memmove(says, says + 1, speaker);
    says[speaker] = '\0';
    char *said = says + speaker + 1;
    if (!utf8_valid(says, speaker, false) || !utf8_valid(said, text, false) ||
        strlen(says) != speaker || strlen(said) != text || head.start_ms < 0 ||
        head.end_ms < head.start_ms)
        goto malformed;
    return sink->cue(sink->ctx, head.start_ms, head.end_ms, says, said);

malformed:
    return error_set(ERR_PERMANENT, "parser_crashed", "the subtitle parser sent a malformed cue");
}

static int receive_cues(struct child *child, const struct cancel *cancel,
                        const struct subtitle_sink *sink)
{
    struct buffer payload;
    uint32_t type;
    int rc;
    buffer_init(&payload, CAP_CHILD_FRAME);
    for (;;) {
        rc = child_receive(child, cancel, &type, &payload);
        if (rc || type == 0)
            break;
        rc = type == FRAME_CUE ? take_cue(&payload, sink) : OK;
        if (rc)
            break;
    }
    buffer_free(&payload);
    return rc;
}

int media_extract_subtitles(int fd, int64_t size, const struct media_identity *identity,
                            const struct media_limits *limits, const struct cancel *cancel,
                            const struct subtitle_sink *sink)
{
    struct child *child;
    struct child_limits child_limits = {
        .cpu_ms = CPU_MS, .idle_timeout_ms = parser_ms(limits ? limits->parser_ms : 0)};
    const char *args[] = {media_kind_name(identity->kind), NULL};
    if (size > (int64_t)CAP_SUBTITLES)
        return error_set(ERR_PERMANENT, "too_large",
                         "subtitles of %" PRId64 " bytes pass the cap of %zu", size, CAP_SUBTITLES);
    int rc = child_spawn("subtitles", args, fd, &child_limits, &child);
    if (rc)
        return rc;
    rc = receive_cues(child, cancel, sink);
    child_close(child, NULL);
    return rc;
}
