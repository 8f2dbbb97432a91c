/* Recordings that end early: what each container states of its own length, what is refused before
 * anything is decoded, and what comes out if it is accepted. */
#include "unit/media/media_support.h"

#include <inttypes.h>

#include "media/extent.h"

static struct extent extent_of_file(const char *name)
{
    int fd;
    int64_t size = open_file(name, &fd);
    struct extent x = extent_of(fd);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0); /* the decoder begins where it stood */
    assert_int_equal(x.size, size);
    close(fd);
    return x;
}

static void expect_verdict(const char *name, enum extent_verdict wanted)
{
    static const char *const names[] = {"unstated", "whole", "cut"};
    struct extent x = extent_of_file(name);
    if (x.verdict != wanted)
        fail_msg("%s: %s, not %s (%" PRId64 " of %" PRId64 " bytes)", name, names[x.verdict],
                 names[wanted], x.size, x.stated);
}

static int64_t size_of(const char *name)
{
    struct stat st;
    assert_int_equal(stat(name, &st), 0);
    return st.st_size;
}

static void cut_to(const char *from, const char *to, int64_t bytes)
{
    run("head -c %lld %s > %s", (long long)bytes, from, to);
}

static const struct audio_options fine = {.spool_directory = ".", .max_ms = 5000, .min_ms = 1000};
static const struct audio_options accepting = {
    .spool_directory = ".", .max_ms = 5000, .min_ms = 1000, .accept_truncated = true};

static void expect_refused(const char *name, const char *part_of_message)
{
    struct decoded d = decode_with(name, &fine);
    if (d.rc != ERR_PERMANENT || strcmp(d.error.reason, "truncated") != 0)
        fail_msg("%s: code %d, %s: %s", name, d.rc, d.error.reason, d.error.message);
    if (!strstr(d.error.message, part_of_message))
        fail_msg("%s: '%s' is not in: %s", name, part_of_message, d.error.message);
    if (d.count > 0)
        fail_msg("%s: %d pieces before it was refused", name, d.count);
    free_decoded(&d);
}

static void expect_kept(const char *name, int64_t least_ms, int64_t most_ms)
{
    struct decoded d = decode_with(name, &accepting);
    if (d.rc)
        fail_msg("%s: %s: %s", name, d.error.reason, d.error.message);
    assert_true(d.info.truncated);
    assert_true(d.count > 0);
    if (d.info.missing_ms < least_ms || d.info.missing_ms > most_ms)
        fail_msg("%s: %" PRId64 " ms missing, %" PRId64 " decoded", name, d.info.missing_ms,
                 d.info.duration_ms);
    free_decoded(&d);
}

static void expect_whole(const char *name, const struct audio_options *options)
{
    struct decoded d = decode_with(name, options);
    if (d.rc)
        fail_msg("%s: %s: %s", name, d.error.reason, d.error.message);
    if (d.info.truncated || d.info.missing_ms != 0)
        fail_msg("%s: %" PRId64 " ms missing of a whole file", name, d.info.missing_ms);
    free_decoded(&d);
}

/* ---- containers that state their length ---- */

struct container {
    const char *name, *options;
    enum extent_verdict whole;
    bool amount; /* how much is missing can be told */
};

static const struct container stating[] = {
    {"c.wav", "", EXTENT_WHOLE, true},
    {"adpcm.wav", "-c:a adpcm_ms", EXTENT_WHOLE, true},
    {"rf64.wav", "-rf64 always", EXTENT_WHOLE, true},
    {"c.aiff", "", EXTENT_WHOLE, true},
    {"cbr.mp3", "-ar 44100 -ac 2 -b:a 64k", EXTENT_WHOLE, true},
    {"vbr.mp3", "-ar 44100 -q:a 5", EXTENT_WHOLE, true},
    {"mono.mp3", "-b:a 32k", EXTENT_WHOLE, true}, /* MPEG-2: the header lies elsewhere */
    {"old.mp3", "-id3v2_version 0", EXTENT_WHOLE, true},
    {"c.flac", "", EXTENT_WHOLE, true},
    {"tagged.flac", "-metadata title=Tones", EXTENT_WHOLE, true},
    {"front.m4a", "-movflags +faststart", EXTENT_WHOLE, true},
    {"alac.mov", "-c:a alac -movflags +faststart", EXTENT_WHOLE, true},
    {"frag.mp4", "-movflags +frag_keyframe+empty_moov -frag_duration 5000000", EXTENT_WHOLE, false},
    {"c.ogg", "-c:a libvorbis", EXTENT_WHOLE, false},
    {"c.opus", "-c:a libopus -b:a 16k", EXTENT_WHOLE, false},
    {"c.webm", "-c:a libopus", EXTENT_WHOLE, true},
    {"c.mka", "-c:a aac", EXTENT_WHOLE, true},
};
enum { STATING = sizeof stating / sizeof stating[0] };

/* "long.wav": half a minute, two seconds of tone in every four; and of it every container. */
static int make_recordings(void **state)
{
    if (make_scratch(state))
        return -1;
    run("ffmpeg -v error -f lavfi -i 'aevalsrc=exprs=0.3*sin(2*PI*440*t)*lt(mod(t\\,4)\\,2):"
        "s=22050:d=30' -c:a pcm_s16le long.wav");
    for (size_t i = 0; i < STATING; i++)
        run("ffmpeg -v error -y -i long.wav %s %s", stating[i].options, stating[i].name);
    return 0;
}

static void cut_in_every_container(void **state)
{
    (void)state;
    static const int permille[] = {300, 950};
    for (size_t i = 0; i < STATING; i++) {
        const struct container *c = &stating[i];
        char cut[64];
        expect_verdict(c->name, c->whole);
        expect_whole(c->name, &fine);
        snprintf(cut, sizeof cut, "cut-%s", c->name);
        for (int k = 0; k < 2; k++) {
            int64_t lacks = 30000 * (1000 - permille[k]) / 1000;
            cut_to(c->name, cut, size_of(c->name) * permille[k] / 1000);
            expect_verdict(cut, EXTENT_CUT);
            expect_refused(cut, c->amount ? " of 0:30" : " bytes of an unknown number are there");
            if (k > 0)
                continue;
            if (c->amount) /* bit rates vary, and what frames are cut is lost whole */
                expect_kept(cut, lacks * 7 / 10 - 500, lacks * 13 / 10 + 1500);
            else
                expect_kept(cut, -1, 30000);
        }
    }
}

/* What the message says, in full. */
static void the_message(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -i long.wav -ac 1 -ar 16000 said.wav");
    int64_t size = size_of("said.wav");
    char wanted[200];
    cut_to("said.wav", "cut-said.wav", size / 2);
    snprintf(wanted, sizeof wanted,
             "it ends early (about 0:14 of 0:30, %" PRId64 " of %" PRId64 " bytes are there); "
             "upload the whole file again, or set media.accept_truncated = true",
             size / 2, size);
    expect_refused("cut-said.wav", wanted);
}

/* A few bytes too few are the writer's mistake, not a lost end. */
static void hardly_anything_is_missing(void **state)
{
    (void)state;
    static const char *const names[] = {"c.wav", "c.aiff", "cbr.mp3", "front.m4a", "c.mka"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char cut[64];
        snprintf(cut, sizeof cut, "nearly-%s", names[i]);
        cut_to(names[i], cut, size_of(names[i]) - 100);
        expect_verdict(cut, EXTENT_WHOLE);
        expect_whole(cut, &fine);
    }
    run("cp cbr.mp3 more.mp3; head -c 500 /dev/zero >> more.mp3"); /* and more is no harm */
    expect_verdict("more.mp3", EXTENT_WHOLE);
}

/* Wherever it is cut behind its first bytes, it is seen. */
static void cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < STATING; i++) {
        char cut[64];
        snprintf(cut, sizeof cut, "any-%s", stating[i].name);
        int64_t size = size_of(stating[i].name), least = 9000, slack = 20000;
        for (int k = 0; k < 12; k++) {
            int64_t at = least + (int64_t)chance((uint64_t)(size - least - slack));
            cut_to(stating[i].name, cut, at);
            struct extent x = extent_of_file(cut);
            if (x.verdict == EXTENT_WHOLE && strcmp(stating[i].name, "frag.mp4") != 0 &&
                !strstr(stating[i].name, ".og") && !strstr(stating[i].name, ".opus"))
                fail_msg("%s cut at %" PRId64 " of %" PRId64 " passes for whole", stating[i].name,
                         at, size);
        }
    }
}

/* ---- containers that state nothing ---- */

static void put32(unsigned char *p, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(n >> 8 * i);
}

/* A WAV file of a second, whose chunk of samples says it has `length` bytes. */
static void write_wav(const char *name, uint32_t length)
{
    static unsigned char wav[44 + 32000];
    memcpy(wav,
           "RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0"
           "data....",
           44);
    put32(wav + 4, length < UINT32_MAX - 36 ? length + 36 : length);
    put32(wav + 40, length);
    for (size_t i = 0; i < 16000; i++)
        wav[45 + 2 * i] = (unsigned char)(i % 40 < 20 ? 16 : 240);
    write_file(name, wav, sizeof wav);
}

static void streamed_wav_files(void **state)
{
    (void)state;
    static const uint32_t unknown[] = {0,          0xffffffff, 0xffffffdb, 0xfffff000, 0x7fffffff,
                                       0x7ffff000, 0x80000000, 0x7fffffdb, 0x80000024};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        write_wav("stream.wav", unknown[i]);
        expect_verdict("stream.wav", EXTENT_UNSTATED);
        if (unknown[i] != 0) /* FFmpeg takes the word of one that says it has nothing */
            expect_whole("stream.wav", &fine);
    }
    write_wav("stream.wav", 32000);
    expect_verdict("stream.wav", EXTENT_WHOLE);
    write_wav("stream.wav", 64000);
    expect_verdict("stream.wav", EXTENT_CUT);
    write_wav("stream.wav", 0x90000000); /* 2.4 GB */
    expect_verdict("stream.wav", EXTENT_CUT);
}

static void what_states_nothing_is_whole(void **state)
{
    (void)state;
    static const struct {
        const char *name, *command;
    } files[] = {
        {"pipe.wav", "ffmpeg -v error -y -i long.wav -f wav - | cat > pipe.wav"},
        {"pipe.aiff", "ffmpeg -v error -y -i long.wav -f aiff - | cat > pipe.aiff"},
        {"live.webm", "ffmpeg -v error -y -i long.wav -c:a libopus -f webm - | cat > live.webm"},
        {"live.mka", "ffmpeg -v error -y -i long.wav -c:a aac -f matroska - | cat > live.mka"},
        {"bare.mp3", "ffmpeg -v error -y -i long.wav -write_xing 0 bare.mp3"},
        {"bare.aac", "ffmpeg -v error -y -i long.wav bare.aac"},
        {"pipe.flac", "ffmpeg -v error -y -i long.wav -f flac - | cat > pipe.flac"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char cut[64];
        run("%s", files[i].command);
        expect_verdict(files[i].name, EXTENT_UNSTATED);
        snprintf(cut, sizeof cut, "cut-%s", files[i].name);
        cut_to(files[i].name, cut, size_of(files[i].name) * 6 / 10 + 1);
        expect_verdict(cut, EXTENT_UNSTATED);
        if (!strstr(cut, ".aiff")) /* FFmpeg finds no end in one that states none */
            expect_whole(cut, &fine);
    }
}

/* Many writers of Ogg do not mark the last page; what ends between two pages is whole. */
static void ogg_without_a_last_page(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -i long.wav -c:a libopus -b:a 16k -page_duration 500000 pages.ogg");
    int fd, pages = 0;
    int64_t size = open_file("pages.ogg", &fd);
    unsigned char *bytes = malloc((size_t)size);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)size), size);
    close(fd);
    for (int64_t at = 1; at + 4 < size; at++) {
        if (memcmp(bytes + at, "OggS", 4) != 0 || ++pages % 10 != 5)
            continue;
        write_file("between.ogg", bytes, (size_t)at);
        expect_verdict("between.ogg", EXTENT_WHOLE);
        expect_whole("between.ogg", &fine);
        for (int64_t more = 1; more < 400; more = more * 3 + 1) { /* within the next one */
            write_file("within.ogg", bytes, (size_t)(at + more));
            expect_verdict("within.ogg", EXTENT_CUT);
        }
    }
    assert_true(pages > 20);
    bytes[size - 1] ^= 1; /* the last page, and then something else */
    write_file("junk.ogg", bytes, (size_t)size);
    run("echo junk >> junk.ogg");
    expect_verdict("junk.ogg", EXTENT_UNSTATED);
    free(bytes);
}

/* ---- special headers ---- */

/* VBRI (Fraunhofer): 32 bytes behind the frame's header, whatever the channels. */
static void vbri(void **state)
{
    (void)state;
    unsigned char head[400] = {0xff, 0xfb, 0x50, 0xc4};
    run("ffmpeg -v error -y -i long.wav -id3v2_version 0 -write_xing 0 plain.mp3");
    memcpy(head + 36, "VBRI\0\1\0\0\0\x4b", 10);
    uint32_t size = (uint32_t)size_of("plain.mp3") + (uint32_t)sizeof head;
    for (int i = 0; i < 4; i++)
        head[46 + i] = (unsigned char)(size >> 8 * (3 - i));
    head[52] = 4, head[53] = 0x7d; /* frames */
    write_file("head.mp3", head, sizeof head);
    run("cat head.mp3 plain.mp3 > vbri.mp3");
    expect_verdict("vbri.mp3", EXTENT_WHOLE);
    cut_to("vbri.mp3", "cut-vbri.mp3", size / 2);
    expect_verdict("cut-vbri.mp3", EXTENT_CUT);
    assert_int_equal(extent_of_file("cut-vbri.mp3").stated, size);
}

static void behind_a_large_tag(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -f lavfi -i testsrc=s=640x480:d=1:r=1 -frames:v 1 -c:v bmp art.bmp; "
        "ffmpeg -v error -y -i art.bmp art.png; "
        "ffmpeg -v error -y -i long.wav -i art.bmp -map 0 -map 1 -c:v png -pred mixed "
        "-disposition:v attached_pic -metadata comment=\"$(head -c 60000 /dev/zero | tr '\\0' x)\" "
        "art.mp3");
    expect_verdict("art.mp3", EXTENT_WHOLE);
    cut_to("art.mp3", "cut-art.mp3", size_of("art.mp3") * 8 / 10);
    expect_verdict("cut-art.mp3", EXTENT_CUT);
    run("printf 'ID3\\4\\0\\0\\0\\0\\0\\12\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0' > tag; "
        "ffmpeg -v error -y -i long.wav under.flac; cat tag under.flac > tag.flac");
    expect_verdict("tag.flac", EXTENT_WHOLE);
    cut_to("tag.flac", "cut-tag.flac", size_of("tag.flac") / 2);
    expect_verdict("cut-tag.flac", EXTENT_CUT);
}

/* Files of more than 4 GiB, of which nothing but the headers is on the disk. */
static void long_lengths(void **state)
{
    (void)state;
    static const unsigned char rf64[] =
        "RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0"
        "\0\0\0\x40\x01\0\0\0\0\0\0\x40\x01\0\0\0"
        "\0\0\0\0\0\0\0\0\0\0\0\0"
        "fmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0"
        "data\xff\xff\xff\xff";
    static const unsigned char mov[] = "\0\0\0\x10"
                                       "ftypqt  \0\0\0\0\0\0\0\x10"
                                       "moov\0\0\0\x08trak"
                                       "\0\0\0\x01mdat\0\0\0\x01\x40\0\0\0";
    write_file("big.wav", rf64, sizeof rf64 - 1);
    write_file("big.mov", mov, sizeof mov - 1);
    static const char *const names[] = {"big.wav", "big.mov"};
    for (int i = 0; i < 2; i++) {
        run("truncate -s 5400M %s", names[i]);
        expect_verdict(names[i], EXTENT_WHOLE);
        run("truncate -s 5000M %s", names[i]);
        expect_verdict(names[i], EXTENT_CUT);
    }
}

/* ---- what is found out by decoding ---- */

/* The header states how many frames there are, and not how many bytes. */
static void found_out_late(void **state)
{
    (void)state;
    int fd;
    run("ffmpeg -v error -y -i long.wav -b:a 64k late.mp3");
    int64_t size = open_file("late.mp3", &fd) * 6 / 10;
    unsigned char *bytes = malloc((size_t)size);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)size), size);
    close(fd);
    unsigned char *info = memmem(bytes, 4096, "Info", 4);
    assert_non_null(info);
    info[7] = 1;
    write_file("late.mp3", bytes, (size_t)size);
    free(bytes);
    expect_verdict("late.mp3", EXTENT_UNSTATED);
    struct decoded d = decode_with("late.mp3", &fine);
    assert_int_equal(d.rc, ERR_PERMANENT);
    assert_string_equal(d.error.reason, "truncated");
    assert_non_null(strstr(d.error.message, " of 0:30 could be decoded"));
    free_decoded(&d);
    expect_kept("late.mp3", 11000, 13000);
}

/* Damage inside a file that is all there: kept, and how much is missing is told. */
static void damaged_inside(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -i long.wav -b:a 64k hole.mp3; "
        "dd if=/dev/zero of=hole.mp3 bs=1000 seek=80 count=40 conv=notrunc 2>/dev/null");
    struct decoded d = decode_with("hole.mp3", &fine);
    assert_int_equal(d.rc, OK);
    assert_false(d.info.truncated);
    assert_in_range(d.info.missing_ms, 4000, 6000);
    free_decoded(&d);
}

static void nothing_of_it_decodes(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -i long.wav end.m4a"); /* the index is at the end */
    cut_to("end.m4a", "no-index.m4a", size_of("end.m4a") * 7 / 10);
    expect_refused("no-index.m4a", "nothing of that can be decoded");
    struct decoded d = decode_with("no-index.m4a", &accepting);
    assert_int_equal(d.rc, ERR_PERMANENT);
    assert_string_equal(d.error.reason, "truncated");
    run("ffmpeg -v error -y -i long.wav stump.mp3");
    cut_to("stump.mp3", "tag.mp3", 100);
    expect_refused("tag.mp3", "nothing of that can be decoded");
}

/* A film whose sound is all gone, and one without any. */
static void films(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -f lavfi -i testsrc=d=30:s=128x96:r=10 -i long.wav -shortest "
        "-movflags +faststart film.mp4");
    expect_whole("film.mp4", &fine);
    cut_to("film.mp4", "cut-film.mp4", size_of("film.mp4") / 2);
    expect_refused("cut-film.mp4", "about ");
    expect_kept("cut-film.mp4", 8000, 22000);
    run("ffmpeg -v error -y -i film.mp4 -an -c copy -movflags +faststart mute.mp4");
    cut_to("mute.mp4", "cut-mute.mp4", size_of("mute.mp4") / 2);
    expect_refused("cut-mute.mp4", "about ");
    struct decoded d = decode_with("cut-mute.mp4", &accepting);
    assert_int_equal(d.rc, OK);
    assert_false(d.info.has_audio);
    assert_int_equal(d.info.missing_ms, -1);
}

/* ---- hostile bytes ---- */

static void damaged_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < STATING; i++) {
        unsigned char bytes[6000];
        int fd;
        open_file(stating[i].name, &fd);
        ssize_t n = read(fd, bytes, sizeof bytes);
        close(fd);
        assert_true(n > 1000);
        for (int round = 0; round < 30; round++) {
            for (int k = 0; k < 8; k++)
                bytes[chance(k < 6 ? 200 : (uint64_t)n)] = (unsigned char)chance(256);
            write_file("hurt", bytes, (size_t)n);
            extent_of_file("hurt");
        }
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(extent_of(ends[0]).verdict, EXTENT_UNSTATED); /* it cannot be looked at */
    close(ends[0]);
    close(ends[1]);
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_in_every_container),
        cmocka_unit_test(the_message),
        cmocka_unit_test(hardly_anything_is_missing),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(streamed_wav_files),
        cmocka_unit_test(what_states_nothing_is_whole),
        cmocka_unit_test(ogg_without_a_last_page),
        cmocka_unit_test(vbri),
        cmocka_unit_test(behind_a_large_tag),
        cmocka_unit_test(long_lengths),
        cmocka_unit_test(found_out_late),
        cmocka_unit_test(damaged_inside),
        cmocka_unit_test(nothing_of_it_decodes),
        cmocka_unit_test(films),
        cmocka_unit_test(damaged_headers),
    };
    return cmocka_run_group_tests(tests, make_recordings, remove_scratch);
}
