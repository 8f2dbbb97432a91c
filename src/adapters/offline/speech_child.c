#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/offline/speech.h"
#include "adapters/offline/speech_wire.h"
#include "adapters/offline/sphinx.h"
#include "adapters/offline/voice.h"
#include "adapters/offline/wave.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

/* The words of one utterance, waiting to become a segment. */
struct phrase {
    struct speech_segment times; /* within the piece */
    int64_t offset_ms;           /* of the utterance in the piece */
    struct buffer text;
    struct buffer frame;
};

static int add_word(void *ctx, const char *text, int64_t start_ms, int64_t end_ms)
{
    struct phrase *p = ctx;
    if (p->text.length == 0)
        p->times.start_ms = p->offset_ms + start_ms;
    p->times.end_ms = p->offset_ms + end_ms;
    int rc = p->text.length ? buffer_append_char(&p->text, ' ') : OK;
    return rc ? rc : buffer_append_string(&p->text, text);
}

static int send_phrase(struct phrase *p)
{
    if (p->text.length == 0)
        return child_send(SPEECH_ALIVE, NULL, 0);
    buffer_clear(&p->frame);
    int rc = buffer_append(&p->frame, &p->times, sizeof p->times);
    if (!rc)
        rc = buffer_append(&p->frame, p->text.data, p->text.length);
    if (!rc)
        rc = child_send(SPEECH_SEGMENT, p->frame.data, (uint32_t)p->frame.length);
    buffer_clear(&p->text);
    return rc;
}

/* One utterance for each span of voice. */
static int recognise(struct sphinx *sphinx, const int16_t *samples, const struct voice_span *spans,
                     size_t count)
{
    struct phrase phrase = {.offset_ms = 0};
    int rc = OK;
    buffer_init(&phrase.text, KIB(64));
    buffer_init(&phrase.frame, KIB(65));
    for (size_t i = 0; !rc && i < count; i++) {
        phrase.offset_ms = (int64_t)(spans[i].begin * 1000 / VOICE_RATE);
        rc = sphinx_recognise(sphinx, samples + spans[i].begin, spans[i].end - spans[i].begin,
                              add_word, &phrase);
        if (!rc)
            rc = send_phrase(&phrase);
    }
    buffer_free(&phrase.text);
    buffer_free(&phrase.frame);
    return rc;
}

static int find_and_recognise(struct sphinx *sphinx, const int16_t *samples, size_t count)
{
    size_t most = voice_spans_most(count);
    float *levels = malloc((count / 320 + 1) * sizeof *levels);
    struct voice_span *spans = malloc(most * sizeof *spans);
    int rc = OK;
    if (!levels || !spans)
        rc = error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu samples of audio", count);
    else
        rc = recognise(sphinx, samples, spans, voice_spans(samples, count, levels, spans, most));
    free(levels);
    free(spans);
    return rc;
}

static int transcribe(struct sphinx *sphinx)
{
    struct buffer wav;
    const int16_t *samples;
    size_t count;
    buffer_init(&wav, SPEECH_MOST_BYTES);
    lseek(0, 0, SEEK_SET);
    int rc = file_read_fd(0, "audio", &wav);
    if (!rc)
        rc = wave_samples((const unsigned char *)buffer_string(&wav), wav.length, &samples, &count);
    if (!rc)
        rc = find_and_recognise(sphinx, samples, count);
    buffer_free(&wav);
    return rc;
}

int speech_child(int argc, char **argv)
{
    struct sphinx *sphinx;
    if (argc < 2)
        return 2;
    int rc = sphinx_open(argv[0], &sphinx);
    if (!rc)
        rc = child_lock_down(CHILD_PURE);
    if (!rc)
        rc = child_send(SPEECH_READY, NULL, 0);
    if (!rc && !strcmp(argv[1], "transcribe"))
        rc = transcribe(sphinx);
    return rc ? child_fail(error_last()) : 0;
}
