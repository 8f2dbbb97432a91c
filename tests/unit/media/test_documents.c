/* DOCX, PDF and subtitles, and what is wrong with them. */
#include "unit/media/media_support.h"

#include <inttypes.h>
#include <zip.h>

#include "media/timecode.h"

/* ---- DOCX ---- */

struct part {
    const char *name, *text;
};

static void make_zip(const char *file, const struct part *parts, const char *password)
{
    int err;
    unlink(file);
    zip_t *zip = zip_open(file, ZIP_CREATE, &err);
    assert_non_null(zip);
    for (; parts->name; parts++) {
        zip_source_t *source = zip_source_buffer(zip, parts->text, strlen(parts->text), 0);
        zip_int64_t index = zip_file_add(zip, parts->name, source, 0);
        assert_true(index >= 0);
        if (password)
            assert_int_equal(
                zip_file_set_encryption(zip, (zip_uint64_t)index, ZIP_EM_AES_256, password), 0);
    }
    assert_int_equal(zip_close(zip), 0);
}

static const char types[] =
    "<?xml version=\"1.0\"?><Types "
    "xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";
static const char relations[] =
    "<?xml version=\"1.0\"?><Relationships "
    "xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship "
    "Id=\"r1\" "
    "Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" "
    "Target=\"/word/document.xml\"/></Relationships>";
static const char core[] =
    "<?xml version=\"1.0\"?><cp:coreProperties xmlns:cp=\"c\" xmlns:dc=\"d\">"
    "<dc:title>The Title</dc:title><dc:language>en-GB</dc:language></cp:coreProperties>";

#define BEGIN_WITH(declaration) declaration "<w:document xmlns:w=\"w\" xmlns:mc=\"mc\"><w:body>"
#define BEGIN                   BEGIN_WITH("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
#define END                     "</w:body></w:document>"
#define P(text)                 "<w:p><w:r><w:t xml:space=\"preserve\">" text "</w:t></w:r></w:p>"
#define CELL(text)              "<w:tc>" P(text) "</w:tc>"

static void make_docx(const char *file, const char *body, const char *footnotes)
{
    const struct part parts[] = {
        {"[Content_Types].xml", types},
        {"_rels/.rels", relations},
        {"docProps/core.xml", core},
        {"word/document.xml", body},
        {footnotes ? "word/footnotes.xml" : NULL, footnotes},
        {NULL, NULL},
    };
    make_zip(file, parts, NULL);
}

static void docx_text(void **state)
{
    (void)state;
    make_docx(
        "a.docx",
        BEGIN P(
            "Heading") "<w:p><w:r><w:t xml:space=\"preserve\">One </w:t></w:r><w:r>"
                       "<w:t>w\xc3\xb6rd &amp; more</w:t><w:tab/><w:t>tab</w:t><w:br/>"
                       "<w:t>line</w:t></w:r></w:p>"
                       "<w:tbl><w:tr>" CELL("a") CELL("b") "</w:tr><w:tr>" CELL(
                           "c") "</w:tr></w:tbl>"
                                "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>item</w:t></w:r></w:p>"
                                "<w:p><w:r><w:delText>deleted</w:delText>"
                                "<w:instrText>PAGE</w:instrText></w:r></w:p>"
                                "<mc:AlternateContent><mc:Choice>" P(
                                    "box") "</mc:Choice><mc:Fallback>" P("box again") "</"
                                                                                      "mc:Fallback>"
                                                                                      "</"
                                                                                      "mc:"
                                                                                      "AlternateCon"
                                                                                      "tent>" P("en"
                                                                                                "d")
                                                                                          END,
        "<w:footnotes xmlns:w=\"w\"><w:footnote w:type=\"separator\">" P(
            "no") "</w:footnote><w:footnote>" P("A note.") "</w:footnote></w:footnotes>");
    struct extracted x = extract("a.docx");
    if (x.rc)
        fail_msg("%s: %s", x.error.reason, x.error.message);
    assert_int_equal(x.identity.kind, MEDIA_DOCX);
    assert_string_equal(x.info.title, "The Title");
    assert_string_equal(x.info.language, "en-GB");
    assert_string_equal(
        buffer_string(&x.text),
        "Heading\n\nOne w\xc3\xb6rd & more tab\nline\n\na | b\nc\n\n- item\n\nbox\n\n"
        "end\n\nA note.");
    buffer_free(&x.text);
}

/* OPC knows UTF-8 and UTF-16 only; any other declaration is ignored, not obeyed. */
static void docx_declared_encoding(void **state)
{
    (void)state;
    make_docx("e.docx",
              BEGIN_WITH("<?xml version=\"1.0\" encoding=\"windows-1251\"?>") P("w\xc3\xb6rd") END,
              NULL);
    expect_text("e.docx", "w\xc3\xb6rd");
}

static char *repeat(const char *before, const char *text, size_t times, const char *after)
{
    size_t n = strlen(text);
    char *out = malloc(strlen(before) + n * times + strlen(after) + 1), *p = out;
    assert_non_null(out);
    p = stpcpy(p, before);
    for (size_t i = 0; i < times; i++)
        p = stpcpy(p, text);
    strcpy(p, after);
    return out;
}

static void docx_bomb(void **state)
{
    (void)state;
    char *body = repeat(BEGIN "<w:p><w:r>", "<w:t>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA</w:t>",
                        600000, "</w:r></w:p>" END); /* 27 MB of nothing new */
    make_docx("bomb.docx", body, NULL);
    expect_no_text("bomb.docx", "archive_bomb");
    free(body);
}

static void docx_too_deep(void **state)
{
    (void)state;
    char *body = repeat(BEGIN, "<w:x>", 5000, END);
    make_docx("deep.docx", body, NULL);
    expect_no_text("deep.docx", "too_deep");
    free(body);
}

static void docx_damaged(void **state)
{
    (void)state;
    struct stat st;
    make_docx("broken.docx", BEGIN "<w:p><w:t>no end", NULL);
    expect_no_text("broken.docx", "unreadable");
    make_docx("dtd.docx",
              "<?xml version=\"1.0\"?><!DOCTYPE d [<!ENTITY a \"aaaa\">"
              "<!ENTITY b SYSTEM \"file:///etc/passwd\">]><d>&a;&b;</d>",
              NULL);
    expect_no_text("dtd.docx", "unreadable");
    make_docx("cut.docx", BEGIN P("text") END, NULL);
    assert_int_equal(stat("cut.docx", &st), 0);
    assert_int_equal(truncate("cut.docx", st.st_size - 30), 0);
    expect_no_text("cut.docx", "unreadable");
    const struct part no_main[] = {
        {"[Content_Types].xml", types}, {"word/documents.txt", "x"}, {NULL, NULL}};
    make_zip("none.docx", no_main, NULL);
    expect_no_text("none.docx", "unreadable");
}

static void docx_encrypted(void **state)
{
    (void)state;
    const struct part parts[] = {
        {"[Content_Types].xml", types}, {"word/document.xml", BEGIN P("x") END}, {NULL, NULL}};
    make_zip("zip.docx", parts, "secret");
    expect_no_text("zip.docx", "password_protected");

    /* What Word writes: a compound file whose directory names an encrypted package. */
    unsigned char ole[512 * 3] = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
    static const char name[] = "EncryptedPackage";
    ole[30] = 9;
    ole[48] = 1; /* the directory is sector 1, behind the header and sector 0 */
    for (size_t i = 0; i < sizeof name; i++)
        ole[1024 + 128 + 2 * i] = (unsigned char)name[i];
    write_file("ole.docx", ole, sizeof ole);
    expect_no_text("ole.docx", "password_protected");
    memset(ole + 1024, 0, 512);
    write_file("old.doc", ole, sizeof ole);
    expect_no_text("old.doc", "unsupported_type");
}

static void other_archives(void **state)
{
    (void)state;
    const struct part sheet[] = {
        {"[Content_Types].xml", types}, {"xl/workbook.xml", "<x/>"}, {NULL, NULL}};
    const struct part plain[] = {{"word/document.xml.txt", "x"}, {NULL, NULL}};
    make_zip("sheet.xlsx", sheet, NULL);
    expect_no_text("sheet.xlsx", "unsupported_type");
    assert_non_null(strstr(error_last()->message, "Office"));
    make_zip("plain.zip", plain, NULL);
    expect_no_text("plain.zip", "unsupported_type");
}

/* ---- PDF ---- */

/* A PDF of one text line per page; NULL is an empty page. `trailer` goes into the trailer. */
static void make_pdf(const char *file, const char *const *pages, const char *info,
                     const char *trailer)
{
    long offsets[32] = {0};
    int count = 0, object = 4;
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    while (pages[count])
        count++;
    fputs("%PDF-1.4\n", f);
    offsets[1] = ftell(f);
    fputs("1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n", f);
    offsets[2] = ftell(f);
    fprintf(f, "2 0 obj\n<< /Type /Pages /Count %d /Kids [", count);
    for (int i = 0; i < count; i++)
        fprintf(f, "%d 0 R ", 5 + 2 * i);
    fputs("] >>\nendobj\n", f);
    offsets[3] = ftell(f);
    fputs("3 0 obj\n<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>\nendobj\n", f);
    offsets[4] = ftell(f);
    fprintf(f, "4 0 obj\n<< %s >>\nendobj\n", info);
    for (int i = 0; i < count; i++) {
        char stream[256];
        snprintf(stream, sizeof stream, "BT /F1 12 Tf 72 720 Td (%s) Tj ET", pages[i]);
        offsets[++object] = ftell(f);
        fprintf(f,
                "%d 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources "
                "<< /Font << /F1 3 0 R >> >> /Contents %d 0 R >>\nendobj\n",
                object, object + 1);
        offsets[++object] = ftell(f);
        fprintf(f, "%d 0 obj\n<< /Length %zu >>\nstream\n%s\nendstream\nendobj\n", object,
                strlen(stream), stream);
    }
    long start = ftell(f);
    fprintf(f, "xref\n0 %d\n0000000000 65535 f \n", object + 1);
    for (int i = 1; i <= object; i++)
        fprintf(f, "%010ld 00000 n \n", offsets[i]);
    fprintf(f, "trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R %s >>\nstartxref\n%ld\n%%%%EOF\n",
            object + 1, trailer, start);
    assert_int_equal(fclose(f), 0);
}

static void pdf_text(void **state)
{
    (void)state;
    const char *pages[] = {"Page one", "Page two", NULL};
    make_pdf("a.pdf", pages, "/Title (The Title)", "");
    struct extracted x = extract("a.pdf");
    if (x.rc)
        fail_msg("%s: %s", x.error.reason, x.error.message);
    assert_string_equal(x.info.title, "The Title");
    assert_string_equal(buffer_string(&x.text), "Page one\n\nPage two");
    buffer_free(&x.text);
}

/* A scan without a text layer is an outcome: no text. */
static void pdf_without_text(void **state)
{
    (void)state;
    const char *pages[] = {"", NULL};
    make_pdf("scan.pdf", pages, "", "");
    expect_text("scan.pdf", "");
}

/* The standard security handler: without its password the user key never matches this /U. */
static void pdf_with_a_password(void **state)
{
    (void)state;
    const char *pages[] = {"secret", NULL};
    make_pdf(
        "locked.pdf", pages, "",
        "/ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] /Encrypt << "
        "/Filter /Standard /V 2 /R 3 /Length 128 /P -44 "
        "/O <000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f> "
        "/U <202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f> >>");
    expect_no_text("locked.pdf", "password_protected");
}

static void pdf_damaged(void **state)
{
    (void)state;
    write_text("broken.pdf", "%PDF-1.4\nthis is not a PDF\n");
    expect_no_text("broken.pdf", "unreadable");
}

static void pdf_without_poppler(void **state)
{
    (void)state;
    const char *pages[] = {"x", NULL};
    char *path = strdup(getenv("PATH"));
    make_pdf("n.pdf", pages, "", "");
    setenv("PATH", "/nonexistent", 1);
    expect_no_text("n.pdf", "no_decoder");
    setenv("PATH", path, 1);
    free(path);
}

/* ---- subtitles ---- */

static int take_cue(void *ctx, int64_t start_ms, int64_t end_ms, const char *speaker,
                    const char *text)
{
    return buffer_printf(ctx, "%" PRId64 "-%" PRId64 " [%s] %s\n", start_ms, end_ms, speaker, text);
}

static void expect_cues(const char *name, const char *expected)
{
    struct media_identity id;
    struct buffer out;
    struct subtitle_sink sink = {.cue = take_cue, .ctx = &out};
    int fd;
    int64_t size = open_file(name, &fd);
    buffer_init(&out, MIB(1));
    assert_int_equal(media_identify(fd, size, name, &id), OK);
    int rc = media_extract_subtitles(fd, size, &id, NULL, NULL, &sink);
    if (rc)
        fail_msg("%s: %s", name, error_last()->message);
    assert_string_equal(buffer_string(&out), expected);
    buffer_free(&out);
    close(fd);
}

static void srt_cues(void **state)
{
    (void)state;
    write_text("a.srt",
               "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i>\r\nworld\r\n\r\n"
               "2\r\n00:00:03,000 --> 00:00:02,000\r\nbackwards\r\n\r\n"
               "3\r\n00:01,5 --> 00:04.000 X1:40 X2:60\r\na < b & c\r\n\r\nstill the third\r\n"
               "4\r\n1:00:00,000 --> 1:00:01,000\r\n{\\an8}<font color=\"red\">last</font>\r\n"
               "5\r\n00:00:00,000 --> 00:00:01,000\r\n<b></b>\r\n\r\n"
               "6\r\n00:00:00,250 --> 00:00:00,500\r\nearlier &amp; later\r\n");
    expect_cues("a.srt", "1000-2500 [] Hello world\n"
                         "1500-4000 [] a < b & c still the third\n"
                         "3600000-3601000 [] last\n"
                         "250-500 [] earlier & later\n");
    write_text("b.srt", "\n00:00:01,000 --> 00:00:02,000\ncaf\xe9 cr\xe8me br\xfbl\xe9"
                        "e\n");
    expect_cues("b.srt", "1000-2000 [] caf\xc3\xa9 cr\xc3\xa8me br\xc3\xbbl\xc3\xa9"
                         "e\n");
    run("printf '1\\n00:00:01,000 --> 00:00:02,000\\nGr\\303\\274\\303\\237e\\n' | "
        "iconv -f utf-8 -t utf-16 > c.srt");
    expect_cues("c.srt", "1000-2000 [] Gr\xc3\xbc\xc3\x9f"
                         "e\n");
}

static void vtt_cues(void **state)
{
    (void)state;
    write_text("a.vtt",
               "WEBVTT - a title\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000\n\n"
               "NOTE\n00:00.000 --> 00:01.000\na comment\n\n"
               "STYLE\n::cue { color: red }\n\n"
               "intro\n00:01.000 --> 00:02.000 align:start position:0%\n"
               "<v Bob>Hi &lt;you&gt;</v>\n<v.loud Al Ice>Yo\n\n"
               "01:00:00.000 --> 01:00:01.000\n- <00:19.000>one<c.x> two</c>\n- three &nbsp;\n\n"
               "00:05.000 --> 00:06.000\n\n"
               "00:07.000 --> 00:08.000\nplain");
    expect_cues("a.vtt", "1000-2000 [Bob] Hi <you>\n"
                         "1000-2000 [Al Ice] Yo\n"
                         "3600000-3601000 [] - one two - three\n"
                         "7000-8000 [] plain\n");
    write_text("empty.vtt", "WEBVTT\n");
    expect_cues("empty.vtt", "");
}

static int stop_at_second(void *ctx, int64_t start_ms, int64_t end_ms, const char *speaker,
                          const char *text)
{
    (void)start_ms, (void)end_ms, (void)speaker, (void)text;
    return ++*(int *)ctx == 2 ? error_set(ERR_BUSY, NULL, "enough") : OK;
}

static void a_cue_sink_may_stop(void **state)
{
    (void)state;
    struct media_identity id;
    int fd, calls = 0;
    struct subtitle_sink sink = {.cue = stop_at_second, .ctx = &calls};
    write_text("s.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\na\n\n00:01.000 --> 00:02.000\nb\n\n"
                        "00:01.000 --> 00:02.000\nc\n");
    int64_t size = open_file("s.vtt", &fd);
    assert_int_equal(media_identify(fd, size, "s.vtt", &id), OK);
    assert_int_equal(media_extract_subtitles(fd, size, &id, NULL, NULL, &sink), ERR_BUSY);
    assert_int_equal(calls, 2);
    assert_int_equal(
        media_extract_subtitles(fd, (int64_t)CAP_SUBTITLES + 1, &id, NULL, NULL, &sink),
        ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "too_large");
    close(fd);
}

static void timecodes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t start, end;
    } good[] = {
        {"00:00:01,000 --> 00:00:02,000", 1000, 2000},
        {"  0:01.5-->0:02", 1500, 2000},
        {"100:00:00.000 --> 100:00:00.001 line:0", 360000000, 360000001},
        {"59:59,999 --> 00:59:59,9999999", 3599999, 3599999},
    };
    static const char *const bad[] = {
        "",
        "1",
        "00:01",
        "00:01 -> 00:02",
        "00:60 --> 00:61",
        "00:61:00 --> 00:62:00",
        "1 --> 2",
        "a:b --> c:d",
        "00:01, --> 00:02,",
        "9999999:00 --> 9999999:01",
        "-1:00 --> 0:01",
    };
    int64_t start, end;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(timecode_line(good[i].text, &start, &end));
        assert_int_equal(start, good[i].start);
        assert_int_equal(end, good[i].end);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (timecode_line(bad[i], &start, &end))
            fail_msg("'%s' was taken for a timing line", bad[i]);
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docx_text),
        cmocka_unit_test(docx_declared_encoding),
        cmocka_unit_test(docx_bomb),
        cmocka_unit_test(docx_too_deep),
        cmocka_unit_test(docx_damaged),
        cmocka_unit_test(docx_encrypted),
        cmocka_unit_test(other_archives),
        cmocka_unit_test(pdf_text),
        cmocka_unit_test(pdf_without_text),
        cmocka_unit_test(pdf_with_a_password),
        cmocka_unit_test(pdf_damaged),
        cmocka_unit_test(pdf_without_poppler),
        cmocka_unit_test(srt_cues),
        cmocka_unit_test(vtt_cues),
        cmocka_unit_test(a_cue_sink_may_stop),
        cmocka_unit_test(timecodes),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
