/* media_identify: what a file is, by its content. */
#include "unit/media/media_support.h"

#include <inttypes.h>

#include "media/sniff.h"
#include "shared/clock.h"

static const struct {
    const char *name, *bytes;
    size_t length;
    enum media_kind kind;
    const char *format;
} samples[] = {
#define SAMPLE(name, text, kind, format)                                                           \
    {                                                                                              \
        name, text, sizeof text - 1, kind, format                                                  \
    }
    SAMPLE("a.txt", "Plain text.\n", MEDIA_TEXT, "utf-8"),
    SAMPLE("b.txt", "\xef\xbb\xbfmarked", MEDIA_TEXT, "utf-8"),
    SAMPLE("c.txt", "\xff\xfeh\0e\0l\0l\0o\0", MEDIA_TEXT, "utf-16le"),
    SAMPLE("d.txt", "\xfe\xff\0h\0e\0l\0l\0o", MEDIA_TEXT, "utf-16be"),
    SAMPLE("e.txt", "h\0e\0l\0l\0o\0 \0w\0o\0r\0l\0d\0", MEDIA_TEXT, "utf-16le"),
    SAMPLE("f.txt", "\xff\xfe\0\0h\0\0\0i\0\0\0", MEDIA_TEXT, "utf-32le"),
    SAMPLE("g.txt", "caf\xe9 au lait", MEDIA_TEXT, "unknown-8bit"),
    SAMPLE("h", "no name to go by", MEDIA_TEXT, "utf-8"),
    SAMPLE("i.md", "text", MEDIA_MARKDOWN, "utf-8"),
    SAMPLE("j.MARKDOWN", "<p align=center>logo</p>\n\n# T", MEDIA_MARKDOWN, "utf-8"),
    SAMPLE("readme", "# Title\n\n- a\n- b\n- c\n\n[x](y)\n", MEDIA_MARKDOWN, "utf-8"),
    SAMPLE("k.sh", "# a comment\n# another\necho [x](y)\n", MEDIA_TEXT, "utf-8"),
    SAMPLE("l.html", "<!DOCTYPE html><p>x", MEDIA_HTML, "utf-8"),
    SAMPLE("m", "<?xml version='1.0'?>\n<!-- c -->\n<HTML lang=en>", MEDIA_HTML, "utf-8"),
    SAMPLE("n", "\n <div class=x>y</div>", MEDIA_HTML, "utf-8"),
    SAMPLE("o.xml", "<?xml version='1.0'?><recipe/>", MEDIA_TEXT, "utf-8"),
    SAMPLE("p.pdf", "%PDF-1.7\n%\xe2\xe3\xcf\xd3", MEDIA_PDF, "pdf"),
    SAMPLE("q.srt", "1\r\n00:00:01,000 --> 00:00:02,000\r\nHi\r\n", MEDIA_SRT, "utf-8"),
    SAMPLE("r.txt", "\xef\xbb\xbf\n\n00:01,5 --> 00:02,5\nHi\n", MEDIA_SRT, "utf-8"),
    SAMPLE("s.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nHi\n", MEDIA_VTT, "utf-8"),
    SAMPLE("t.txt", "WEBVTTish prose is only text", MEDIA_TEXT, "utf-8"),
    SAMPLE("u.wav", "RIFF\x24\0\0\0WAVEfmt ", MEDIA_AUDIO, "wav"),
    SAMPLE("v", "OggS\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x1eOpusHead", MEDIA_AUDIO,
           "ogg"),
    SAMPLE("w", "fLaC\0\0\0\x22", MEDIA_AUDIO, "flac"),
    SAMPLE("x",
           "\0\0\0\x1c"
           "ftypM4A \0\0\0\0",
           MEDIA_AUDIO, "m4a"),
    SAMPLE("y",
           "\0\0\0\x1c"
           "ftypisom\0\0\2\0",
           MEDIA_VIDEO, "mp4"),
    SAMPLE("z",
           "\0\0\0\x14"
           "ftypqt  \0\0\2\0",
           MEDIA_VIDEO, "mov"),
    SAMPLE("A", "\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm", MEDIA_VIDEO, "webm"),
    SAMPLE("B", "\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", MEDIA_VIDEO, "matroska"),
    SAMPLE("C",
           "FORM\0\0\0\x2e"
           "AIFFCOMM",
           MEDIA_AUDIO, "aiff"),
    SAMPLE("D.mp3", "ID3\4\0\0\0\0\0\0", MEDIA_AUDIO, "mp3"),
    SAMPLE("E", "ID3\4\0\0\0\0\0\2\0\0fLaC\0\0\0\x22", MEDIA_AUDIO, "flac"),
    SAMPLE("F.txt", "log \x1b[31mred\x1b[0m \xc3\xa9", MEDIA_TEXT, "utf-8"),
};

static void kinds_by_content(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct media_identity id;
        write_file(samples[i].name, samples[i].bytes, samples[i].length);
        int rc = identify(samples[i].name, &id);
        if (rc || id.kind != samples[i].kind || strcmp(id.format, samples[i].format) != 0)
            fail_msg("%s: code %d, %s (%s), wanted %s (%s)", samples[i].name, rc,
                     media_kind_name(id.kind), id.format, media_kind_name(samples[i].kind),
                     samples[i].format);
    }
}

static void plain_means_plain(void **state)
{
    (void)state;
    struct media_identity id;
    write_text("plain.txt", "gr\xc3\xbc\xc3\x9f"
                            "e\n");
    assert_int_equal(identify("plain.txt", &id), OK);
    assert_true(id.plain_utf8);
    write_text("marked.txt", "\xef\xbb\xbfx");
    assert_int_equal(identify("marked.txt", &id), OK);
    assert_false(id.plain_utf8);
    write_text("damaged.txt", "gr\xc3\xbc\xc3\x9f"
                              "e \xff\n");
    assert_int_equal(identify("damaged.txt", &id), OK);
    assert_false(id.plain_utf8);
    write_text("page.html", "<html>");
    assert_int_equal(identify("page.html", &id), OK);
    assert_false(id.plain_utf8);
    /* A character that the first 64 KiB cut in two is no damage. */
    char *big = malloc(70000);
    assert_non_null(big);
    memset(big, 'a', 70000);
    memcpy(big + 65535, "\xc3\xbc", 2);
    write_file("big.txt", big, 70000);
    assert_int_equal(identify("big.txt", &id), OK);
    assert_true(id.plain_utf8);
    free(big);
}

static void empty_is_an_outcome(void **state)
{
    (void)state;
    struct media_identity id;
    write_text("empty.wav", "");
    assert_int_equal(identify("empty.wav", &id), OK);
    assert_int_equal(id.kind, MEDIA_EMPTY);
}

static void playlists_are_refused(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "#EXTM3U\nfile:///etc/passwd\n",
        "\xef\xbb\xbf#EXTM3U\n#EXT-X-VERSION:3\n",
        "#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n/etc/passwd\n",
        "ffconcat version 1.0\nfile '/etc/passwd'\n",
        "# a comment\nfile '/etc/passwd'\nfile 'b'\n",
        "[playlist]\nFile1=/etc/passwd\n",
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\">",
        "<?xml version=\"1.0\"?><!-- c --><playlist version=\"1\">",
        "<smil><body/></smil>",
        "<ASX version=\"3.0\">",
        "<?wpl version=\"1.0\"?><smil>",
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct media_identity id;
        write_text("list.mp3", lists[i]);
        assert_int_equal(identify("list.mp3", &id), ERR_PERMANENT);
        assert_string_equal(error_last()->reason, "playlist");
    }
}

static void other_types_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        const char *what;
    } others[] = {
        {"\x89PNG\r\n\x1a\n", 8, "PNG"},
        {"\xff\xd8\xff\xe0", 4, "JPEG"},
        {"PK\x03\x04\x14\0\0\0\0\0", 10, "ZIP"},
        {"\x7f"
         "ELF\2\1\1",
         7, "program"},
        {"{\\rtf1 hello}", 13, "RTF"},
        {"\0\0\0\x18"
         "ftypheic\0\0\0\0",
         16, "no type"},
        {"\0\1\2\3\4\5\6\7", 8, "no type"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct media_identity id;
        write_file("other.mp3", others[i].bytes, others[i].length);
        assert_int_equal(identify("other.mp3", &id), ERR_PERMANENT);
        assert_string_equal(error_last()->reason, "unsupported_type");
        assert_non_null(strstr(error_last()->message, others[i].what));
        assert_non_null(strstr(error_last()->message, "other.mp3"));
    }
}

static void random_bytes_are_no_recording(void **state)
{
    (void)state;
    unsigned char bytes[20000];
    for (int round = 0; round < 300; round++) {
        struct media_identity id;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)chance(256);
        write_file("random.mp3", bytes, sizeof bytes);
        if (identify("random.mp3", &id) != ERR_PERMANENT)
            fail_msg("taken for %s (%s): first bytes %02x %02x %02x %02x", media_kind_name(id.kind),
                     id.format, bytes[0], bytes[1], bytes[2], bytes[3]);
        assert_string_equal(error_last()->reason, "unsupported_type");
    }
}

static void frames_must_follow_each_other(void **state)
{
    (void)state;
    unsigned char stream[417 * 8];
    struct head head = {.bytes = stream, .length = sizeof stream};
    memset(stream, 0, sizeof stream);
    for (int i = 0; i < 8; i++) /* MPEG 1 layer III, 128 kbit/s, 44100 Hz: 417 bytes */
        memcpy(stream + 417 * i, "\xff\xfb\x90\x00", 4);
    assert_string_equal(sniff_frames(&head), "mp3");
    stream[417 + 1] = 0;                             /* the second header is gone */
    assert_string_equal(sniff_frames(&head), "mp3"); /* found behind it */
    for (int i = 2; i < 8; i++)
        stream[417 * i + 2] = (unsigned char)(i % 2 ? 0x94 : 0x98); /* rates differ */
    assert_null(sniff_frames(&head));
}

static void generated_files(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum media_kind kind;
        const char *format;
    } files[] = {
        {"tone.wav", MEDIA_AUDIO, "wav"},      {"tone.mp3", MEDIA_AUDIO, "mp3"},
        {"tone.mp2", MEDIA_AUDIO, "mp2"},      {"tone.aac", MEDIA_AUDIO, "aac"},
        {"tone.m4a", MEDIA_AUDIO, "m4a"},      {"tone.ogg", MEDIA_AUDIO, "ogg"},
        {"tone.flac", MEDIA_AUDIO, "flac"},    {"tone.webm", MEDIA_VIDEO, "webm"},
        {"tone.mkv", MEDIA_VIDEO, "matroska"}, {"tone.mp4", MEDIA_VIDEO, "mp4"},
        {"tone.mov", MEDIA_VIDEO, "mov"},      {"tone.aiff", MEDIA_AUDIO, "aiff"},
    };
    run("ffmpeg -v error -f lavfi -i sine=d=1 tone.wav");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct media_identity id;
        if (i > 0)
            run("ffmpeg -v error -i tone.wav %s", files[i].name);
        assert_int_equal(identify(files[i].name, &id), OK);
        assert_int_equal(id.kind, files[i].kind);
        assert_string_equal(id.format, files[i].format);
    }
    /* A tag longer than the first look, and one with nothing behind it. */
    char *tagged = calloc(1, 200000);
    struct media_identity id;
    assert_non_null(tagged);
    memcpy(tagged, "ID3\4\0\0\0\x06\0\0", 10); /* 6 << 14 = 98304 bytes */
    write_file("tag.mp3", tagged, 10 + 98304);
    run("cat tone.aac >> tag.mp3");
    assert_int_equal(identify("tag.mp3", &id), OK);
    assert_string_equal(id.format, "aac");
    free(tagged);
}

static void kind_names(void **state)
{
    (void)state;
    for (int kind = 0; kind < MEDIA_KINDS; kind++)
        assert_true(strlen(media_kind_name(kind)) > 2);
    assert_string_equal(media_kind_name(MEDIA_PDF), "pdf");
    assert_string_equal(media_kind_name(999), "unknown");
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_by_content),
        cmocka_unit_test(plain_means_plain),
        cmocka_unit_test(empty_is_an_outcome),
        cmocka_unit_test(playlists_are_refused),
        cmocka_unit_test(other_types_are_refused_by_name),
        cmocka_unit_test(random_bytes_are_no_recording),
        cmocka_unit_test(frames_must_follow_each_other),
        cmocka_unit_test(generated_files),
        cmocka_unit_test(kind_names),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
