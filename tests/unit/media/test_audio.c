/* media_decode_audio: every format, the recording's own time, and recordings that are broken. */
#include "unit/media/media_support.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>

#include "media/frames.h"

/* "tone.wav": 1 s of silence, 2 s of tone, 3 s of silence, 1 s of tone, 1 s of silence; 44.1 kHz
 * stereo. "speech.wav": espeak-ng. */
static int make_recordings(void **state)
{
    if (make_scratch(state))
        return -1;
    run("ffmpeg -v error -f lavfi -i "
        "'aevalsrc=exprs=0.3*sin(2*PI*440*t)*(between(t\\,1\\,3)+between(t"
        "\\,6\\,7))|0:s=44100:d=8' -c:a pcm_s16le tone.wav");
    run("espeak-ng -w speech.wav 'The quick brown fox jumps over the lazy dog.'");
    return 0;
}

static double level(const struct decoded *d, int64_t from_ms, int64_t to_ms)
{
    double sum = 0;
    int64_t count = 0;
    for (int i = 0; i < d->count; i++)
        for (int64_t ms = from_ms; ms < to_ms; ms++)
            if (ms >= d->pieces[i].start_ms && ms < d->pieces[i].end_ms - 1)
                for (int k = 0; k < 16; k++, count++) {
                    double x = d->samples[i][(ms - d->pieces[i].start_ms) * 16 + k] / 32768.0;
                    sum += x * x;
                }
    return count ? sum / (double)count : 0;
}

static const struct audio_options fine = {.spool_directory = ".", .max_ms = 5000, .min_ms = 1000};

/* The tones lie where they lie in the recording, whatever pieces it was cut into. */
static void expect_tones(const struct decoded *d, const char *name, int64_t shift)
{
    if (d->rc)
        fail_msg("%s: %s: %s", name, d->error.reason, d->error.message);
    assert_true(d->info.has_audio);
    assert_false(d->info.truncated);
    assert_int_equal(d->info.missing_ms, 0);
    assert_in_range(d->info.voiced_ms, 2800, 3400);
    assert_true(d->count >= 1);
    static const int loud[][2] = {{1100, 2900}, {6100, 6900}},
                     quiet[][2] = {{0, 900}, {3100, 5900}};
    for (int i = 0; i < 2; i++) {
        if (level(d, loud[i][0] + shift, loud[i][1] + shift) < 0.005)
            fail_msg("%s: no tone at %d ms", name, loud[i][0]);
        if (level(d, quiet[i][0] + shift, quiet[i][1] + shift) > 0.0005)
            fail_msg("%s: a tone at %d ms", name, quiet[i][0]);
    }
}

static void every_format(void **state)
{
    (void)state;
    static const struct {
        const char *name, *options, *codec;
    } files[] = {
        {"f.wav", "-c:a pcm_s24le", "pcm_s24le"},
        {"g.wav", "-c:a pcm_mulaw -ar 8000", "pcm_mulaw"},
        {"h.wav", "-c:a adpcm_ms", "adpcm_ms"},
        {"f.mp3", "-b:a 64k -ac 1", "mp3"},
        {"f.m4a", "-movflags +faststart", "aac"},
        {"end.m4a", "", "aac"}, /* the index is behind the sound */
        {"f.aac", "", "aac"},
        {"f.ogg", "-c:a libvorbis", "vorbis"},
        {"f.opus", "-c:a libopus -b:a 16k", "opus"},
        {"f.flac", "", "flac"},
        {"f.webm", "-c:a libopus", "opus"},
        {"f.mkv", "-c:a ac3", "ac3"},
        {"f.aiff", "", "pcm_s16be"},
        {"f.mov", "-c:a alac", "alac"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        run("ffmpeg -v error -i tone.wav -metadata title=Tones %s %s", files[i].options,
            files[i].name);
        struct decoded d = decode_with(files[i].name, &fine);
        expect_tones(&d, files[i].name, 0);
        assert_in_range(d.info.duration_ms, 7950, 8150);
        assert_string_equal(d.info.codec, files[i].codec);
        assert_string_equal(d.info.format, d.identity.format);
        if (!strstr(files[i].name, ".aac"))
            assert_string_equal(d.info.title, "Tones");
        assert_true(d.progress >= 5);
        assert_in_range(d.last_done_ms, 7950, 8150);
        free_decoded(&d);
    }
}

/* Sample for sample what the ffmpeg program makes of it. */
static void same_as_ffmpeg(void **state)
{
    (void)state;
    static const char *const names[] = {"tone.wav", "same.mp3", "same.m4a", "same.ogg"};
    struct audio_options whole = {.spool_directory = ".", .max_ms = 3600000, .min_ms = 1000000};
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            run("ffmpeg -v error -i tone.wav %s", names[i]);
        run("ffmpeg -v error -y -i %s -ar 16000 -ac 1 -f s16le same.raw", names[i]);
        struct decoded d = decode_with(names[i], &whole);
        int fd;
        int64_t size = open_file("same.raw", &fd);
        int16_t *expected = malloc((size_t)size);
        assert_non_null(expected);
        assert_int_equal(read(fd, expected, (size_t)size), size);
        close(fd);
        assert_int_equal(d.rc, OK);
        assert_int_equal(d.count, 1);
        if (d.info.duration_ms != size / 32)
            fail_msg("%s: %" PRId64 " ms, not %" PRId64, names[i], d.info.duration_ms, size / 32);
        int64_t samples = (d.pieces[0].size - 44) / 2;
        assert_memory_equal(d.samples[0], expected + d.pieces[0].start_ms * 16,
                            (size_t)samples * 2);
        free(expected);
        free_decoded(&d);
    }
}

static void films(void **state)
{
    (void)state;
    static const char *const names[] = {"film.mp4", "film.mkv", "film.mov"};
    for (size_t i = 0; i < 3; i++) {
        run("ffmpeg -v error -f lavfi -i testsrc=d=8:s=128x96:r=10 -i tone.wav -shortest %s",
            names[i]);
        struct decoded d = decode_with(names[i], &fine);
        expect_tones(&d, names[i], 0);
        assert_true(d.info.has_video);
        free_decoded(&d);
        run("ffmpeg -v error -i %s -an -c copy mute-%s", names[i], names[i]);
        char mute[64];
        snprintf(mute, sizeof mute, "mute-%s", names[i]);
        d = decode(mute);
        assert_int_equal(d.rc, OK); /* an outcome */
        assert_false(d.info.has_audio);
        assert_true(d.info.has_video);
        assert_int_equal(d.count, 0);
    }
    /* Cover art is no film. */
    run("ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x64:r=1 -frames:v 1 cover.png");
    run("ffmpeg -v error -i tone.wav -i cover.png -map 0 -map 1 -c:v copy -disposition:v "
        "attached_pic art.m4a");
    struct decoded d = decode_with("art.m4a", &fine);
    expect_tones(&d, "art.m4a", 0);
    assert_false(d.info.has_video);
    free_decoded(&d);
}

/* ---- time ---- */

/* Sound that starts after the picture, and sound with a hole in it. */
static void time_is_the_recordings_own(void **state)
{
    (void)state;
    run("ffmpeg -v error -f lavfi -i testsrc=d=12:s=128x96:r=10 -itsoffset 3 -i tone.wav late.mkv");
    struct decoded d = decode_with("late.mkv", &fine);
    expect_tones(&d, "late.mkv", 3000);
    assert_in_range(d.info.duration_ms, 10900, 11200);
    free_decoded(&d);

    run("ffmpeg -v error -i tone.wav -af \"asetpts='PTS+gte(T,4)*60/TB'\" -c:a flac hole.mkv");
    d = decode_with("hole.mkv", &fine);
    assert_int_equal(d.rc, OK);
    assert_true(level(&d, 1100, 2900) > 0.005);
    assert_true(level(&d, 66100, 66900) > 0.005);
    assert_true(level(&d, 6100, 6900) < 0.0005);
    assert_in_range(d.info.duration_ms, 67900, 68200);
    free_decoded(&d);
}

static void pieces_respect_the_limits(void **state)
{
    (void)state;
    struct audio_options small = {.spool_directory = ".", .max_bytes = 40000, .min_ms = 200};
    struct decoded d = decode_with("tone.wav", &small);
    assert_int_equal(d.rc, OK);
    assert_true(d.count >= 3);
    for (int i = 0; i < d.count; i++)
        assert_true(d.pieces[i].size <= 40000);
    expect_tones(&d, "tone.wav", 0);
    free_decoded(&d);
}

static void speech_is_heard(void **state)
{
    (void)state;
    struct decoded d = decode("speech.wav");
    assert_int_equal(d.rc, OK);
    assert_int_equal(d.count, 1);
    assert_in_range(d.info.voiced_ms, 1500, 4000);
    free_decoded(&d);
}

/* ---- outcomes ---- */

static void expect_silence(const char *name)
{
    struct decoded d = decode(name);
    if (d.rc)
        fail_msg("%s: %s: %s", name, d.error.reason, d.error.message);
    assert_true(d.info.has_audio);
    assert_int_equal(d.info.voiced_ms, 0);
    assert_int_equal(d.count, 0);
    free_decoded(&d);
}

static void silence_is_an_outcome(void **state)
{
    (void)state;
    run("ffmpeg -v error -f lavfi -i anullsrc=d=5 silent.mp3");
    expect_silence("silent.mp3");
    run("ffmpeg -v error -f lavfi -i anoisesrc=d=5:a=0.0005 hiss.flac");
    expect_silence("hiss.flac");
    run("ffmpeg -v error -f lavfi -i anullsrc=d=5 -t 0 -c:a pcm_s16le header.wav");
    expect_silence("header.wav");
}

/* ---- broken recordings ---- */

static void cut_off(const char *from, const char *to, int permille)
{
    struct stat st;
    assert_int_equal(stat(from, &st), 0);
    run("head -c %lld %s > %s", (long long)st.st_size * permille / 1000, from, to);
}

/* Files that end early, where that is accepted (test_extent.c has every container). */
static void what_decodes_is_kept(void **state)
{
    (void)state;
    static const char *const names[] = {"k.mp3", "k.wav", "k.flac", "k.m4a", "k.aiff"};
    struct audio_options accepting = fine;
    accepting.accept_truncated = true;
    for (size_t i = 0; i < 5; i++) {
        char cut[32];
        run("ffmpeg -v error -i tone.wav -movflags +faststart %s", names[i]);
        snprintf(cut, sizeof cut, "cut-%s", names[i]);
        cut_off(names[i], cut, 600);
        struct decoded d = decode_with(cut, &accepting);
        if (d.rc)
            fail_msg("%s: %s", cut, d.error.message);
        if (!d.info.truncated)
            fail_msg("%s passes for whole: %" PRId64 " ms", cut, d.info.duration_ms);
        assert_in_range(d.info.duration_ms, 2000, 7000);
        assert_in_range(d.info.duration_ms + d.info.missing_ms, 7900, 8200);
        assert_true(level(&d, 1100, 1900) > 0.005);
        free_decoded(&d);
    }
}

static void of_which_nothing_decodes(void **state)
{
    (void)state;
    run("ffmpeg -v error -i tone.wav n.mp3; ffmpeg -v error -i tone.wav n.m4a");
    cut_off("n.m4a", "no-index.m4a", 700); /* the index was at the end */
    expect_no_audio("no-index.m4a", "truncated");
    run("head -c 60 n.mp3 > tag-only.mp3");
    expect_no_audio("tag-only.mp3", "unreadable");
    run("head -c 4000 n.m4a | tail -c +1 > front.m4a");
    expect_no_audio("front.m4a", "truncated");
    run("printf 'OggS\\0\\2\\0\\0' > stub.ogg");
    expect_no_audio("stub.ogg", "truncated");
    run("printf 'RIFF\\377\\0\\0\\0WAVEgarbage garbage garbage' > garbage.wav");
    expect_no_audio("garbage.wav", "unreadable");
}

/* An M4A whose sample data lies in another file, and a playlist in a recording's clothes. */
static void no_other_file_is_read(void **state)
{
    (void)state;
    write_text("list.mp3", "#EXTM3U\n#EXTINF:1,\ntone.wav\n");
    expect_no_audio("list.mp3", "playlist");
    write_text("concat.wav", "ffconcat version 1.0\nfile 'tone.wav'\n");
    expect_no_audio("concat.wav", "playlist");
    /* Passed by force to the decoder, without identification. */
    struct media_identity identity = {.kind = MEDIA_AUDIO, .format = "mp3"};
    struct audio_options options = {.spool_directory = "."};
    struct decoded d = {0};
    struct audio_sink sink = {.piece = take_piece, .ctx = &d};
    static const char *const names[] = {"list.mp3", "concat.wav"};
    for (int i = 0; i < 2; i++) {
        int fd;
        int64_t size = open_file(names[i], &fd);
        assert_int_equal(media_decode_audio(fd, size, &identity, &options, NULL, &sink, &d.info),
                         ERR_PERMANENT);
        assert_string_equal(error_last()->reason, "unreadable");
        assert_int_equal(d.count, 0);
        close(fd);
    }
}

/* Damage anywhere never does more than fail the one file. */
static void damaged_recordings(void **state)
{
    (void)state;
    static const char *const names[] = {"m.mp3", "m.m4a", "m.ogg", "m.flac", "m.mkv", "m.wav"};
    for (size_t i = 0; i < 6; i++) {
        run("ffmpeg -v error -i tone.wav %s", names[i]);
        int fd;
        int64_t size = open_file(names[i], &fd);
        unsigned char *bytes = malloc((size_t)size), *copy = malloc((size_t)size);
        assert_non_null(bytes);
        assert_non_null(copy);
        assert_int_equal(read(fd, bytes, (size_t)size), size);
        close(fd);
        for (int round = 0; round < 6; round++) {
            memcpy(copy, bytes, (size_t)size);
            int64_t range = round % 2 ? size : size < 2000 ? size : 2000; /* headers more often */
            for (int k = 0; k < 40; k++)
                copy[chance((uint64_t)range)] = (unsigned char)chance(256);
            write_file("damaged", copy, (size_t)size);
            struct decoded d = decode_with("damaged", &fine);
            if (d.rc && d.rc != ERR_PERMANENT)
                fail_msg("%s: code %d: %s", names[i], d.rc, d.error.message);
            if (d.rc && !strcmp(d.error.reason, "parser_crashed"))
                fail_msg("%s: %s", names[i], d.error.message);
            free_decoded(&d);
        }
        free(bytes);
        free(copy);
    }
}

/* ---- the caller's side ---- */

static int stop_at_first(void *ctx, const struct audio_piece *piece)
{
    ++*(int *)ctx;
    close(piece->fd);
    return error_set(ERR_DISK_FULL, NULL, "no room");
}

static void the_sinks_failure_is_returned(void **state)
{
    (void)state;
    struct media_identity id;
    struct audio_info info;
    int fd, calls = 0;
    struct audio_sink sink = {.piece = stop_at_first, .ctx = &calls};
    int64_t size = open_file("tone.wav", &fd);
    assert_int_equal(media_identify(fd, size, "tone.wav", &id), OK);
    assert_int_equal(media_decode_audio(fd, size, &id, &fine, NULL, &sink, &info), ERR_DISK_FULL);
    assert_int_equal(calls, 1);

    struct cancel cancel = {0};
    cancel_request(&cancel);
    assert_int_equal(media_decode_audio(fd, size, &id, &fine, &cancel, &sink, &info),
                     ERR_CANCELLED);
    assert_int_equal(calls, 1);
    close(fd);
}

/* A full disk: here, a limit on the size of files. */
static void a_full_spool(void **state)
{
    (void)state;
    struct rlimit before, little = {.rlim_cur = 30000};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    little.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &little);
    struct decoded d = decode("speech.wav");
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(d.rc, ERR_IO); /* EFBIG; ENOSPC takes the same way to ERR_DISK_FULL */
    assert_int_equal(d.count, 0);
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format),
        cmocka_unit_test(same_as_ffmpeg),
        cmocka_unit_test(films),
        cmocka_unit_test(time_is_the_recordings_own),
        cmocka_unit_test(pieces_respect_the_limits),
        cmocka_unit_test(speech_is_heard),
        cmocka_unit_test(silence_is_an_outcome),
        cmocka_unit_test(what_decodes_is_kept),
        cmocka_unit_test(of_which_nothing_decodes),
        cmocka_unit_test(no_other_file_is_read),
        cmocka_unit_test(damaged_recordings),
        cmocka_unit_test(the_sinks_failure_is_returned),
        cmocka_unit_test(a_full_spool),
    };
    return cmocka_run_group_tests(tests, make_recordings, remove_scratch);
}
