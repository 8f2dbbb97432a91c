/* media_extract_text for plain text, encodings, Markdown and HTML; the UTF-8 filter beneath. */
#include "unit/media/media_support.h"

#include <iconv.h>
#include <inttypes.h>

#include "media/charset.h"
#include "media/decoder.h"
#include "media/utf8.h"
#include "shared/clock.h"

/* ---- the filter ---- */

static void filter(const char *bytes, size_t length, size_t step, struct utf8_filter *f,
                   struct buffer *out)
{
    buffer_clear(out);
    utf8_filter_init(f, take_text, out, 1 << 20);
    for (size_t at = 0; at < length; at += step)
        assert_int_equal(utf8_filter_feed(f, bytes + at, length - at < step ? length - at : step),
                         OK);
    assert_int_equal(utf8_filter_flush(f), OK);
    assert_int_equal(f->bytes, out->length);
    assert_true(utf8_valid(buffer_string(out), out->length, false));
}

#define R "\xef\xbf\xbd"

static void filter_repairs(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t length;
        const char *out;
        int invalid;
    } cases[] = {
#define CASE(in, out, invalid) {in, sizeof in - 1, out, invalid}
        CASE("", "", 0),
        CASE("abc", "abc", 0),
        CASE("a\r\nb\rc\n\r\n\r\r", "a\nb\nc\n\n\n\n", 0),
        CASE("a\0b\0", "ab", 0),
        CASE("\xef\xbb\xbfx\xef\xbb\xbfy", "x\xef\xbb\xbfy", 0),
        CASE("\xef\xbb"
             "x",
             R "x", 2),
        CASE("\xef", R, 1),
        CASE("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
             "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 0),
        CASE("\xff\xfe", R R, 2),
        CASE("\xc0\xaf", R R, 2),             /* overlong */
        CASE("\xe0\x80\xaf", R R R, 3),       /* overlong */
        CASE("\xed\xa0\x80", R R R, 3),       /* a surrogate */
        CASE("\xf4\x90\x80\x80", R R R R, 4), /* beyond U+10FFFF */
        CASE("\xf0\x9f\x98"
             "x",
             R "x", 3), /* one maximal subpart */
        CASE("\xe2\x82", R, 2),
        CASE("\xe2\x82\xe2\x82\xac", R "\xe2\x82\xac", 2),
        CASE("\x80\xbf", R R, 2),
        /* the example of the Unicode Standard, table 3-11 */
        CASE("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A", 8),
    };
    struct utf8_filter *f = malloc(sizeof *f);
    struct buffer out;
    assert_non_null(f);
    buffer_init(&out, MIB(1));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step < 12; step++) { /* wherever the stream is cut */
            filter(cases[i].in, cases[i].length, step, f, &out);
            if (strcmp(buffer_string(&out), cases[i].out) != 0 || f->invalid != cases[i].invalid)
                fail_msg("case %zu, step %zu: '%s', %" PRId64 " invalid", i, step,
                         buffer_string(&out), f->invalid);
        }
    buffer_free(&out);
    free(f);
}

/* Random bytes with the special ones frequent: one piece and many pieces give the same. */
static void filter_does_not_depend_on_cuts(void **state)
{
    (void)state;
    static const unsigned char frequent[] = {'\r', '\n', 0,    'a',  'b',  0xc3, 0xa9, 0xe2, 0x82,
                                             0xac, 0xf0, 0x9f, 0x98, 0x80, 0xef, 0xbb, 0xbf, 0xff};
    struct utf8_filter *f = malloc(sizeof *f);
    struct buffer whole, parts;
    char bytes[300];
    assert_non_null(f);
    buffer_init(&whole, MIB(1));
    buffer_init(&parts, MIB(1));
    for (int round = 0; round < 3000; round++) {
        size_t n = (size_t)chance(sizeof bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)frequent[chance(sizeof frequent)];
        filter(bytes, n, sizeof bytes, f, &whole);
        int64_t invalid = f->invalid;
        filter(bytes, n, 1 + (size_t)chance(40), f, &parts);
        assert_int_equal(f->invalid, invalid);
        assert_int_equal(whole.length, parts.length);
        assert_memory_equal(buffer_string(&whole), buffer_string(&parts), whole.length);
    }
    buffer_free(&whole);
    buffer_free(&parts);
    free(f);
}

static void filter_stops_at_its_limit(void **state)
{
    (void)state;
    struct utf8_filter *f = malloc(sizeof *f);
    struct buffer out;
    assert_non_null(f);
    buffer_init(&out, MIB(1));
    utf8_filter_init(f, take_text, &out, 10);
    assert_int_equal(utf8_filter_feed(f, "0123456789", 10), OK);
    assert_int_equal(utf8_filter_feed(f, "x", 1), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "too_large");
    buffer_free(&out);
    free(f);
}

static void cutting_keeps_characters_whole(void **state)
{
    (void)state;
    const char *text = "a\xc3\xa9\xe2\x82\xac";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6};
    for (size_t limit = 0; limit < 8; limit++)
        assert_int_equal(utf8_cut(text, 6, limit), expected[limit]);
}

/* ---- plain text ---- */

static void plain_text(void **state)
{
    (void)state;
    write_text("a.txt", "One\r\ntwo\rthree\n");
    expect_text("a.txt", "One\ntwo\nthree\n");
    write_file("nul.txt", "ab\xc3\xa9\0c", 6); /* one NUL in six bytes: not text */
    expect_no_text("nul.txt", "unsupported_type");
}

static void damage_far_behind_is_repaired(void **state)
{
    (void)state;
    char *text = malloc(200001);
    assert_non_null(text);
    memset(text, 'x', 200000);
    memcpy(text, "\xc3\xa9", 2); /* so that it is UTF-8 and not any encoding */
    text[150000] = '\xff';
    text[200000] = '\0';
    write_text("far.txt", text);
    struct extracted x = extract("far.txt");
    assert_int_equal(x.rc, OK);
    assert_true(x.identity.plain_utf8);
    assert_int_equal(x.info.invalid, 1);
    assert_int_equal(x.text.length, 200002);
    assert_memory_equal(x.text.data + 150000, R, 3);
    buffer_free(&x.text);
    free(text);
}

/* The look at the beginning saw ASCII; what comes behind is neither that nor UTF-8. */
static void another_encoding_far_behind(void **state)
{
    (void)state;
    static const char line[] = "All of this is plain enough for anybody.\n";
    struct buffer in, out;
    buffer_init(&in, MIB(2));
    buffer_init(&out, MIB(2));
    for (int i = 0; i < 20000; i++)
        assert_int_equal(buffer_append_string(&in, line), OK);
    assert_int_equal(buffer_append(&out, in.data, in.length), OK);
    assert_int_equal(buffer_append_string(&in, "Ein gr\xfc\xdf"
                                               "endes Sch\xf6nwetter \x93"
                                               "f\xfcr\x94 M\xfcnchen.\n"),
                     OK);
    assert_int_equal(buffer_append_string(&out, "Ein grüßendes Schönwetter “für” München.\n"), OK);
    write_file("behind.txt", in.data, in.length);
    struct extracted x = extract("behind.txt");
    assert_int_equal(x.rc, OK);
    assert_true(x.identity.plain_utf8);
    assert_int_equal(x.info.invalid, 0);
    assert_int_equal(x.text.length, out.length);
    assert_memory_equal(x.text.data, out.data, out.length);
    buffer_free(&x.text);
    buffer_free(&in);
    buffer_free(&out);
}

static int refuse(void *ctx, const char *text, size_t length)
{
    (void)text, (void)length;
    ++*(int *)ctx;
    return error_set(ERR_DISK_FULL, NULL, "no room");
}

static void the_sinks_failure_is_returned(void **state)
{
    (void)state;
    static const char *const names[] = {"stop.txt", "stop.html"};
    write_text(names[0], "some text");
    write_text(names[1], "<html><p>some text");
    for (int i = 0; i < 2; i++) {
        struct media_identity id;
        struct text_info info;
        int fd, calls = 0;
        struct text_sink sink = {.write = refuse, .ctx = &calls};
        int64_t size = open_file(names[i], &fd);
        assert_int_equal(media_identify(fd, size, names[i], &id), OK);
        assert_int_equal(media_extract_text(fd, size, &id, NULL, NULL, &sink, &info),
                         ERR_DISK_FULL);
        assert_int_equal(calls, 1);
        close(fd);
    }
}

static void cancelled(void **state)
{
    (void)state;
    static const char *const names[] = {"cancel.txt", "cancel.html"};
    struct cancel cancel = {0};
    cancel_request(&cancel);
    write_text(names[0], "some text");
    write_text(names[1], "<html><p>some text");
    for (int i = 0; i < 2; i++) {
        struct media_identity id;
        struct text_info info;
        struct buffer out;
        int fd;
        buffer_init(&out, MIB(1));
        struct text_sink sink = {.write = take_text, .ctx = &out};
        int64_t size = open_file(names[i], &fd);
        assert_int_equal(media_identify(fd, size, names[i], &id), OK);
        assert_int_equal(media_extract_text(fd, size, &id, NULL, &cancel, &sink, &info),
                         ERR_CANCELLED);
        close(fd);
        buffer_free(&out);
    }
}

/* Plain text before a byte of it is handed on; what grows while it is converted, when it has grown.
 */
static void text_over_the_limit(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool plain;
    } files[] = {{"over.txt", true}, {"over.html", false}, {"over-16.txt", false}};
    struct media_limits limits = {.text_bytes = 2000};
    run("yes 'a line of text' | head -c 2001 > over.txt; "
        "{ printf '<html><p>'; cat over.txt; printf 'and an end'; } > over.html; "
        "{ printf '\\377\\376'; iconv -t utf-16le over.txt; } > over-16.txt");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct media_identity id;
        struct text_info info;
        struct buffer out;
        int fd;
        buffer_init(&out, MIB(1));
        struct text_sink sink = {.write = take_text, .ctx = &out};
        int64_t size = open_file(files[i].name, &fd);
        assert_int_equal(media_identify(fd, size, files[i].name, &id), OK);
        assert_int_equal(media_extract_text(fd, size, &id, &limits, NULL, &sink, &info),
                         ERR_PERMANENT);
        assert_string_equal(error_last()->reason, "too_large");
        assert_non_null(strstr(error_last()->message, "limit of 2000 bytes"));
        assert_non_null(strstr(error_last()->message, "media.max_text"));
        assert_true(out.length <= (files[i].plain ? 0 : 2000));
        close(fd);
        buffer_free(&out);
    }
}

/* ---- encodings ---- */

/* Each text in each encoding it can be written in has to come back. */
static void encodings(void **state)
{
    (void)state;
    static const char russian[] = "Съешь ещё этих мягких французских булок, да выпей чаю. "
                                  "Широкая электрификация южных губерний даст мощный толчок.\n";
    static const char german[] = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. "
                                 "Schöne Grüße aus Köln, Düsseldorf und München für Jürgen.\n";
    static const char japanese[] = "これは日本語のテキストです。文字コードの判定を試します。"
                                   "吾輩は猫である。名前はまだ無い。\n";
    static const char chinese[] = "这是一个用于测试编码检测的中文文本。我们希望它能够正确识别。\n";
    static const char korean[] =
        "이것은 인코딩 감지를 시험하기 위한 한국어 문장입니다. 잘 되기를.\n";
    static const char greek[] = "Αυτό είναι ένα κείμενο στα ελληνικά για τον έλεγχο της "
                                "κωδικοποίησης των χαρακτήρων.\n";
    static const struct {
        const char *text, *encoding;
    } cases[] = {
        {russian, "CP1251"},       {russian, "KOI8-R"},  {russian, "UTF-16"},  {russian, "UTF-32"},
        {german, "CP1252"},        {german, "UTF-16"},   {japanese, "CP932"},  {japanese, "EUC-JP"},
        {japanese, "ISO-2022-JP"}, {japanese, "UTF-16"}, {chinese, "GB18030"}, {chinese, "UTF-16"},
        {korean, "EUC-KR"},        {greek, "CP1253"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char in[1024], out[4096], *from = in, *to = out;
        snprintf(in, sizeof in, "%s%s", cases[i].text, cases[i].text);
        size_t left = strlen(in), room = sizeof out;
        iconv_t converter = iconv_open(cases[i].encoding, "UTF-8");
        assert_true(converter != (iconv_t)-1);
        assert_int_equal(iconv(converter, &from, &left, &to, &room), 0);
        iconv(converter, NULL, NULL, &to, &room);
        iconv_close(converter);
        write_file("encoded.txt", out, sizeof out - room);
        struct extracted x = extract("encoded.txt");
        if (x.rc || strcmp(buffer_string(&x.text), in) != 0)
            fail_msg("%s: %s came back as '%s'", cases[i].encoding, x.identity.format,
                     buffer_string(&x.text));
        assert_int_equal(x.info.invalid, 0);
        buffer_free(&x.text);
    }
}

static void broken_encodings(void **state)
{
    (void)state;
    /* UTF-8 with damage stays UTF-8. */
    expect_text(
        (write_text("d1.txt", "gr\xc3\xbc\xc3\x9f"
                              "e \xff \xe2\x82 \xc3\xa4\xc3\xb6\xc3\xbc "
                              "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\n"),
         "d1.txt"),
        "gr\xc3\xbc\xc3\x9f"
        "e " R " " R " \xc3\xa4\xc3\xb6\xc3\xbc "
        "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\n");
    /* A lone surrogate, and half a unit at the end. */
    write_file("d2.txt",
               "\xff\xfe"
               "a\0\x00\xd8"
               "b\0c",
               9);
    struct extracted x = extract("d2.txt");
    assert_int_equal(x.rc, OK);
    assert_string_equal(buffer_string(&x.text), "a" R "b" R);
    assert_int_equal(x.info.invalid, 3);
    buffer_free(&x.text);
}

static int guess(const char *text, bool markup)
{
    return decoder_guess((const unsigned char *)text, strlen(text), true, markup);
}

static void declared_encodings(void **state)
{
    (void)state;
    int latin = charset_find("windows-1252", 12), koi = charset_find("koi8-r", 6);
    assert_int_equal(guess("<meta charset=koi8-r>\xc1\xc2", true), koi);
    assert_int_equal(guess("<META content='text/html; charset = \"KOI8-R\"' >\xc1\xc2", true), koi);
    assert_int_equal(guess("<?xml version='1.0' encoding='iso-8859-1'?>\xc1\xc2", false), latin);
    assert_int_equal(guess("<p>charset=koi8-r <meta charset=utf-8>ascii", true), CHARSET_UTF8);
    assert_int_equal(guess("<meta charset=utf-16>plain", true), CHARSET_UTF8);
    assert_int_equal(guess("<meta charset=latin1>\xc3\xa9", true), CHARSET_UTF8); /* it is valid */
    assert_int_equal(charset_find(" Latin1 ", 8), latin);
    assert_int_equal(charset_find("no-such", 7), CHARSET_UNKNOWN);
    assert_int_equal(charset_find("", 0), CHARSET_UNKNOWN);
    assert_int_equal(charset_find("8859", 4), CHARSET_UNKNOWN);
    for (size_t i = 0; i < charset_count(); i++) {
        iconv_t converter = iconv_open("UTF-8", charset_name((int)i));
        assert_true(converter != (iconv_t)-1);
        iconv_close(converter);
        const char *label = charset_label((int)i);
        assert_int_equal(charset_find(label, strlen(label)), i);
    }
}

/* ---- Markdown ---- */

static void expect_title(const char *text, const char *title)
{
    write_text("title.md", text);
    struct extracted x = extract("title.md");
    assert_int_equal(x.rc, OK);
    assert_int_equal(x.identity.kind, MEDIA_MARKDOWN);
    assert_string_equal(x.info.title, title);
    assert_string_equal(buffer_string(&x.text), text); /* passes through as it is */
    buffer_free(&x.text);
}

static void markdown_titles(void **state)
{
    (void)state;
    expect_title("---\nauthor: x\ntitle: \"Front Matter\"\n---\n# Heading\n", "Front Matter");
    expect_title("+++\ntitle = 'Toml'\n+++\ntext\n", "Toml");
    expect_title("intro\n\n# Heading #\n# Second\n", "Heading");
    expect_title("```\n# not this\n```\n# This\n", "This");
    expect_title("Setext\n======\n\ntext", "Setext");
    expect_title("## only a second level\n", "");
    expect_title("---\nno end", "");
    expect_title("text alone", "");
}

/* ---- HTML ---- */

static void html_text(void **state)
{
    (void)state;
    write_text(
        "page.html",
        "<!doctype html><html lang=en-GB><head><title> The\n Title </title>"
        "<style>p { color: red }</style><script>if (a < b) document.write('</p>');</script>"
        "</head><body><nav><a href=/>Home</a></nav><h1>Heading</h1><p>One\n  two <b>three</b>."
        "<p>Second &amp; last &eacute; &#8364;<ul><li>a<li>b</ul><pre>  x\n   y</pre>"
        "<table><tr><td>1<td>2<tr><td>3</table><div hidden>no</div><!-- no -->"
        "<svg><title>no</title></svg>line<br>break<article><footer>signed</footer></article>"
        "<footer>imprint</footer></body></html>");
    struct extracted x = extract("page.html");
    assert_int_equal(x.rc, OK);
    assert_string_equal(x.info.title, "The Title");
    assert_string_equal(x.info.language, "en-GB");
    assert_string_equal(
        buffer_string(&x.text),
        "Heading\n\nOne two three.\n\nSecond & last \xc3\xa9 \xe2\x82\xac\n\n- a\n- b\n\n"
        "  x\n   y\n\n1 | 2\n3\n\nline\nbreak\n\nsigned");
    buffer_free(&x.text);
}

static void html_without_a_title_has_its_heading(void **state)
{
    (void)state;
    write_text("h1.html", "<html><body><h1>Big <i>news</i></h1>text");
    struct extracted x = extract("h1.html");
    assert_string_equal(x.info.title, "Big news");
    buffer_free(&x.text);
}

static void html_encodings(void **state)
{
    (void)state;
    write_text("latin.html", "<html><meta charset=iso-8859-1><p>caf\xe9 \x93q\x94");
    expect_text("latin.html", "caf\xc3\xa9 \xe2\x80\x9cq\xe2\x80\x9d");
    write_text("utf8.html", "<html><meta charset=iso-8859-1><p>caf\xc3\xa9"); /* a lie */
    expect_text("utf8.html", "caf\xc3\xa9");
    write_text("bad.html", "<html><meta charset=utf-8><p>a\xff"
                           "b");
    expect_text("bad.html", "a" R "b");
}

static void html_broken(void **state)
{
    (void)state;
    static const struct {
        const char *html, *text;
    } cases[] = {
        {"<html><p>open", "open"},
        {"<html><p>a</b></i></div>b", "ab"},
        {"<html><p <p>a", "a"},
        {"<html>&nosuch; &#0; &#x110000; a", "&nosuch; a"},
        {"<html><script>never closed", ""},
        {"<html><!-- never closed", ""},
        {"<html><title>never closed", ""},
        {"<html><p>a<", "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text("broken.html", cases[i].html);
        struct extracted x = extract("broken.html");
        assert_int_equal(x.rc, OK);
        if (strncmp(buffer_string(&x.text), cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("%s: '%s'", cases[i].html, buffer_string(&x.text));
        buffer_free(&x.text);
    }
}

static void html_too_deep(void **state)
{
    (void)state;
    FILE *file = fopen("deep.html", "w");
    assert_non_null(file);
    fputs("<html>", file);
    for (int i = 0; i < 100000; i++)
        fputs("<div>", file);
    fclose(file);
    expect_no_text("deep.html", "too_deep");
}

/* Constant memory: the child's limit is 1 GiB, this shows far less. Text without any tag, one
 * enormous comment and one enormous script are what parsers like to buffer. */
static void html_large(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        bool kept;
    } cases[] = {
        {"<html><p>", "", true},
        {"<html><script>", "</script><p>end", false},
    };
    static char line[1 << 16];
    memset(line, 'w', sizeof line);
    for (size_t i = 63; i < sizeof line; i += 64)
        line[i] = '\n';
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FILE *file = fopen("large.html", "w");
        assert_non_null(file);
        fputs(cases[i].before, file);
        for (int k = 0; k < 512; k++) /* 32 MiB */
            fwrite(line, 1, sizeof line, file);
        fputs(cases[i].after, file);
        fclose(file);
        struct extracted x = extract("large.html");
        if (x.rc)
            fail_msg("%s: %s", x.error.reason, x.error.message);
        if (cases[i].kept)
            assert_int_equal(x.text.length, 512 * sizeof line - 1);
        else
            assert_string_equal(buffer_string(&x.text), "end");
        buffer_free(&x.text);
    }
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_repairs),
        cmocka_unit_test(filter_does_not_depend_on_cuts),
        cmocka_unit_test(filter_stops_at_its_limit),
        cmocka_unit_test(cutting_keeps_characters_whole),
        cmocka_unit_test(plain_text),
        cmocka_unit_test(damage_far_behind_is_repaired),
        cmocka_unit_test(another_encoding_far_behind),
        cmocka_unit_test(the_sinks_failure_is_returned),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(text_over_the_limit),
        cmocka_unit_test(encodings),
        cmocka_unit_test(broken_encodings),
        cmocka_unit_test(declared_encodings),
        cmocka_unit_test(markdown_titles),
        cmocka_unit_test(html_text),
        cmocka_unit_test(html_without_a_title_has_its_heading),
        cmocka_unit_test(html_encodings),
        cmocka_unit_test(html_broken),
        cmocka_unit_test(html_too_deep),
        cmocka_unit_test(html_large),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
