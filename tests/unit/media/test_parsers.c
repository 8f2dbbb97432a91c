/* Parsers that crash, cheat or eat: this executable's children bear the names of the real ones and
 * misbehave. Each is one failed extraction, and the caller never sees what it could not have been
 * sent. */
#include "unit/media/media_support.h"

#include <signal.h>
#include <sys/socket.h>

#include "media/frames.h"
#include "shared/child_wire.h"

/* ---- the children ---- */

/* Until it is killed; the sandbox allows no sleep. */
static void hang(void)
{
    for (volatile int on = 1; on;)
        ;
}

static int send_info(void)
{
    struct audio_info_frame info = {.has_audio = 1, .total_ms = 1000};
    memset(info.title, 'x', sizeof info.title); /* not terminated */
    memset(info.codec, 'y', sizeof info.codec);
    return child_send(FRAME_AUDIO_INFO, &info, sizeof info);
}

static int run_audio(int argc, char **argv)
{
    (void)argc, (void)argv;
    char how[16] = "";
    static int16_t loud[SAMPLE_RATE];
    for (int i = 0; i < SAMPLE_RATE; i++)
        loud[i] = (int16_t)(i % 100 * 300 - 15000);
    signal(SIGSEGV, SIG_DFL);
    if (child_lock_down(CHILD_PURE) || read(0, how, sizeof how - 1) < 4)
        return 1;
    if (!strncmp(how, "RIFFcrash", 9)) {
        send_info();
        for (int i = 0; i < 40; i++)
            child_send(FRAME_AUDIO, loud, sizeof loud);
        *(volatile int *)(uintptr_t)(argc + 8) = 1;
    }
    if (!strncmp(how, "RIFFnoinf", 9))
        child_send(FRAME_AUDIO, loud, sizeof loud);
    if (!strncmp(how, "RIFFtwice", 9) && !send_info())
        send_info();
    if (!strncmp(how, "RIFFnoend", 9))
        send_info();
    if (!strncmp(how, "RIFFgap--", 9) && !send_info())
        child_send(FRAME_AUDIO_GAP, &(int64_t){INT64_MAX}, sizeof(int64_t));
    if (!strncmp(how, "RIFFgaps-", 9) && !send_info())
        for (int i = 0; i < 2000; i++)
            child_send(FRAME_AUDIO_GAP, &(int64_t){(int64_t)SAMPLE_RATE * 3600}, sizeof(int64_t));
    if (!strncmp(how, "RIFFodd--", 9) && !send_info())
        child_send(FRAME_AUDIO, loud, 7);
    if (!strncmp(how, "RIFFtype-", 9) && !send_info())
        child_send(77, "?", 1);
    if (!strncmp(how, "RIFFhang-", 9) && !send_info())
        hang();
    return 0;
}

static int run_html(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct text_info_frame info = {.invalid = 0};
    char how[16] = "";
    memset(info.title, 0xff, sizeof info.title);
    if (child_lock_down(CHILD_PURE) || read(0, how, sizeof how - 1) < 4)
        return 1;
    if (!strncmp(how, "<html>hang", 10))
        hang();
    child_send(FRAME_TEXT, "a\xff\0b\r\nc\xc3", 8); /* not what the contract promises */
    child_send(FRAME_TEXT_INFO, &info, sizeof info);
    return 0;
}

static int run_text(int argc, char **argv)
{
    (void)argc, (void)argv;
    if (child_lock_down(CHILD_PURE))
        return 1;
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int run_docx(int argc, char **argv)
{
    (void)argc, (void)argv;
    if (child_lock_down(CHILD_PURE))
        return 1;
    child_send(FRAME_TEXT, "begun", 5);
    for (size_t i = 0; i < 4096; i++) {
        char *p = CHILD_SANITIZED ? NULL : malloc(MIB(1));
        if (!p) {
            error_set(ERR_NO_MEMORY, NULL, "out of memory");
            return child_fail(error_last());
        }
        memset(p, 1, MIB(1));
    }
    return 0;
}

static int run_subtitles(int argc, char **argv)
{
    (void)argc, (void)argv;
    char how[4] = "";
    struct {
        struct cue_frame head;
        char text[8];
    } cue = {.head = {.start_ms = 1, .end_ms = 2, .speaker_length = 3, .text_length = 5},
             .text = "BobHello"};
    if (child_lock_down(CHILD_PURE) || read(0, how, 1) != 1)
        return 1;
    uint32_t whole = (uint32_t)(sizeof cue.head + 8);
    child_send(FRAME_CUE, &cue, whole);
    if (how[0] == '1') /* longer than it is */
        cue.head.text_length = 500;
    if (how[0] == '2') /* lengths that overflow together */
        cue.head.speaker_length = UINT32_MAX - 2;
    if (how[0] == '3')
        cue.text[1] = '\0';
    if (how[0] == '4')
        cue.text[5] = '\xff';
    if (how[0] == '5')
        cue.head.end_ms = -1;
    if (how[0] == '6')
        hang();
    child_send(FRAME_CUE, &cue, whole);
    return 0;
}

static const struct child_main table[] = {
    {"audio", run_audio}, {"html", run_html},           {"text", run_text},
    {"docx", run_docx},   {"subtitles", run_subtitles}, {NULL, NULL},
};

/* ---- */

static void expect_audio_failure(const char *how, const char *reason, int pieces)
{
    struct media_identity identity = {.kind = MEDIA_AUDIO, .format = "wav"};
    struct audio_options options = {.spool_directory = ".",
                                    .max_ms = 10000,
                                    .min_ms = 1000,
                                    .parser_ms = strstr(how, "hang") ? 300 : 0};
    struct decoded d = {0};
    struct audio_sink sink = {.piece = take_piece, .ctx = &d};
    int fd;
    write_text("x.wav", how);
    int64_t size = open_file("x.wav", &fd);
    int rc = media_decode_audio(fd, size, &identity, &options, NULL, &sink, &d.info);
    if (rc != ERR_PERMANENT || strcmp(error_last()->reason, reason) != 0)
        fail_msg("%s: code %d, %s: %s", how, rc, error_last()->reason, error_last()->message);
    assert_int_equal(d.count, pieces);
    assert_true(strlen(d.info.title) < sizeof d.info.title);
    close(fd);
    free_decoded(&d);
}

static void a_decoder_that_crashes_or_cheats(void **state)
{
    (void)state;
    expect_audio_failure("RIFFcrash", "parser_crashed", 4); /* what came before was handed on */
    expect_audio_failure("RIFFnoinf", "parser_crashed", 0);
    expect_audio_failure("RIFFtwice", "parser_crashed", 0);
    expect_audio_failure("RIFFnoend", "parser_crashed", 0);
    expect_audio_failure("RIFFgap--", "parser_crashed", 0);
    expect_audio_failure("RIFFgaps-", "too_large", 0);
    expect_audio_failure("RIFFodd--", "parser_crashed", 0);
    expect_audio_failure("RIFFtype-", "parser_crashed", 0);
    expect_audio_failure("RIFFempty", "parser_crashed", 0);
}

static int count_cue(void *ctx, int64_t start_ms, int64_t end_ms, const char *speaker,
                     const char *text)
{
    assert_int_equal(start_ms, 1);
    assert_int_equal(end_ms, 2);
    assert_string_equal(speaker, "Bob");
    assert_string_equal(text, "Hello");
    ++*(int *)ctx;
    return OK;
}

/* For as long as the caller allows. */
static void parsers_that_hang(void **state)
{
    (void)state;
    struct media_limits limits = {.parser_ms = 300};
    struct media_identity html = {.kind = MEDIA_HTML, .format = "utf-8"},
                          srt = {.kind = MEDIA_SRT, .format = "utf-8"};
    struct text_info info;
    struct buffer out;
    int fd, cues = 0;
    expect_audio_failure("RIFFhang-", "parser_timeout", 0);

    struct text_sink text = {.write = take_text, .ctx = &out};
    buffer_init(&out, MIB(1));
    write_text("hang.html", "<html>hang");
    int64_t size = open_file("hang.html", &fd);
    assert_int_equal(media_extract_text(fd, size, &html, &limits, NULL, &text, &info),
                     ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "parser_timeout");
    buffer_free(&out);
    close(fd);

    struct subtitle_sink sink = {.cue = count_cue, .ctx = &cues};
    write_text("hang.srt", "6");
    size = open_file("hang.srt", &fd);
    assert_int_equal(media_extract_subtitles(fd, size, &srt, &limits, NULL, &sink), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "parser_timeout");
    close(fd);
}

static void text_of_a_cheating_parser_is_clean(void **state)
{
    (void)state;
    write_text("x.html", "<html>");
    struct extracted x = extract("x.html");
    assert_int_equal(x.rc, OK);
    assert_int_equal(x.info.invalid, 2);
    assert_string_equal(buffer_string(&x.text), "a\xef\xbf\xbd"
                                                "b\nc\xef\xbf\xbd");
    assert_string_equal(x.info.title, "");
    buffer_free(&x.text);
}

static void a_parser_that_wants_the_network(void **state)
{
    (void)state;
    write_file("x.txt",
               "\xff\xfe"
               "h\0i\0",
               6);
    struct extracted x = extract("x.txt");
    assert_int_equal(x.rc, ERR_PERMANENT);
    assert_string_equal(x.error.reason, "parser_crashed");
    assert_non_null(strstr(x.error.message, "SIGSYS"));
    buffer_free(&x.text);
}

static void a_parser_that_eats_memory(void **state)
{
    (void)state;
    struct media_identity identity = {.kind = MEDIA_DOCX, .format = "docx"};
    struct text_info info;
    struct buffer out;
    struct text_sink sink = {.write = take_text, .ctx = &out};
    int fd;
    buffer_init(&out, MIB(1));
    write_text("x.docx", "PK");
    open_file("x.docx", &fd);
    assert_int_equal(media_extract_text(fd, 2, &identity, NULL, NULL, &sink, &info), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "parser_memory");
    buffer_free(&out);
    close(fd);
}

static void malformed_cues(void **state)
{
    (void)state;
    struct media_identity identity = {.kind = MEDIA_SRT, .format = "utf-8"};
    for (char how = '0'; how <= '5'; how++) {
        int fd, cues = 0;
        struct subtitle_sink sink = {.cue = count_cue, .ctx = &cues};
        write_file("x.srt", &how, 1);
        open_file("x.srt", &fd);
        int rc = media_extract_subtitles(fd, 1, &identity, NULL, NULL, &sink);
        assert_int_equal(rc, how == '0' ? OK : ERR_PERMANENT);
        assert_int_equal(cues, how == '0' ? 2 : 1);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, table);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decoder_that_crashes_or_cheats),
        cmocka_unit_test(parsers_that_hang),
        cmocka_unit_test(text_of_a_cheating_parser_is_clean),
        cmocka_unit_test(a_parser_that_wants_the_network),
        cmocka_unit_test(a_parser_that_eats_memory),
        cmocka_unit_test(malformed_cues),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
