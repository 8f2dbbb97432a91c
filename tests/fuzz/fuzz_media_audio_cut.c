/*
 * What a decoding child that was taken over could send: any frames, through the parent's reader,
 * into the cutter. Each step of the input is a type, a length and bytes; most lengths are true, so
 * that the fuzzer gets past the framing.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "media/audio.h"
#include "media/frames.h"
#include "shared/child_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 60000 }; /* fits into a pipe */

struct out {
    uint8_t bytes[MOST];
    size_t length;
};

static void put(struct out *out, const void *bytes, size_t length)
{
    if (length > sizeof out->bytes - out->length)
        length = sizeof out->bytes - out->length;
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void put_frame(struct out *out, uint32_t type, const void *payload, uint32_t length)
{
    struct frame_header header = {.type = type, .length = length};
    put(out, &header, sizeof header);
    put(out, payload, length);
}

static void put_info(struct out *out, uint8_t how)
{
    struct audio_info_frame info = {.has_audio = how & 1,
                                    .has_video = how >> 1 & 1,
                                    .total_ms = how,
                                    .extent = {.verdict = how >> 2 & 3,
                                               .size = how,
                                               .stated = how * 2 - 9,
                                               .stated_ms = how - 3,
                                               .present_ms = how / 2 - 2}};
    memset(info.title, how, how % sizeof info.title);
    put_frame(out, FRAME_AUDIO_INFO, &info, sizeof info);
}

static void put_sound(struct out *out, uint8_t how)
{
    int16_t samples[1600];
    for (int i = 0; i < 1600; i++)
        samples[i] = (int16_t)((i * 7919 % 200 - 100) * (how & 0x7f));
    put_frame(out, FRAME_AUDIO, samples, (uint32_t)sizeof samples - (how >> 7));
}

static void compose(const uint8_t *data, size_t size, struct out *out)
{
    for (size_t i = 0; i + 2 <= size;) {
        uint8_t what = data[i], how = data[i + 1];
        struct audio_end_frame end = {.missing_ms = how - 2, .truncated = how >> 7};
        int64_t gap = (int64_t)(UINT64_C(1) << (how & 63));
        uint32_t n = how < size - i - 2 ? how : (uint32_t)(size - i - 2);
        i += 2;
        switch (what % 8) {
        case 0:
            put_info(out, how);
            break;
        case 1:
        case 2:
            put_sound(out, how);
            break;
        case 3:
            put_frame(out, FRAME_AUDIO_GAP, &gap, sizeof gap);
            break;
        case 4:
            put_frame(out, FRAME_AUDIO_END, &end, sizeof end);
            break;
        case 5: /* any frame */
            put_frame(out, what >> 3, data + i, n);
            i += n;
            break;
        case 6: /* any frame of the reserved types */
            put_frame(out, 0xffffffe0u + (what >> 3), data + i, n);
            i += n;
            break;
        default: /* any bytes */
            put(out, data + i, n);
            i += n;
        }
    }
}

static int piece(void *ctx, const struct audio_piece *piece)
{
    int64_t *before = ctx;
    struct stat st;
    if (piece->start_ms < *before || piece->end_ms < piece->start_ms || fstat(piece->fd, &st) ||
        st.st_size != piece->size || piece->size > 20000)
        abort();
    *before = piece->end_ms;
    close(piece->fd);
    return 0;
}

static void progress(void *ctx, int64_t done_ms, int64_t total_ms)
{
    (void)ctx, (void)total_ms;
    if (done_ms < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct out out;
    struct media_identity identity = {.kind = MEDIA_AUDIO, .format = "mp3"};
    struct audio_options options = {
        .spool_directory = "/dev/shm", .max_bytes = 20000, .max_ms = 60000, .min_ms = 100};
    struct audio_info info = {0};
    struct child *child;
    int64_t before = 0;
    int ends[2];
    struct audio_sink sink = {.piece = piece, .progress = progress, .ctx = &before};
    out.length = 0;
    compose(data, size, &out);
    if (pipe(ends))
        abort();
    if (write(ends[1], out.bytes, out.length) != (ssize_t)out.length)
        abort();
    close(ends[1]);
    if (child_adopt(ends[0], &child))
        return 0;
    audio_receive(child, &identity, &options, NULL, &sink, &info);
    child_close(child, NULL);
    if (info.duration_ms < 0 || info.voiced_ms < 0)
        abort();
    return 0;
}
