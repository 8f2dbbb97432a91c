/* Transcripts: what is uploaded, and what is made of the replies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/file.h"
#include "support/openai_fixture.h"

static void put32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

/* A WAV file of a rectangular wave of this level; level 0 is silence. */
static int wav(int64_t ms, int level, int64_t *size)
{
    size_t samples = (size_t)ms * 16;
    unsigned char *bytes = calloc(1, 44 + samples * 2);
    int fd;
    assert_non_null(bytes);
    memcpy(bytes, "RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0", 24);
    put32(bytes + 4, (uint32_t)(36 + samples * 2));
    put32(bytes + 24, 16000);
    put32(bytes + 28, 32000);
    memcpy(bytes + 32, "\2\0\x10\0data", 8);
    put32(bytes + 40, (uint32_t)(samples * 2));
    for (size_t i = 0; i < samples; i++) {
        int sample = i % 160 < 80 ? level : -level;
        bytes[44 + 2 * i] = (unsigned char)sample;
        bytes[45 + 2 * i] = (unsigned char)(sample >> 8);
    }
    *size = (int64_t)(44 + samples * 2);
    assert_int_equal(file_temporary("/tmp", &fd), 0);
    assert_int_equal(file_write_all(fd, "wav", bytes, (size_t)*size), 0);
    free(bytes);
    return fd;
}

static int transcribe(struct openai_fixture *f, int64_t ms, int level,
                      struct transcribe_result *out)
{
    struct transcribe_request r = {
        .duration_ms = ms, .language = "en", .prompt = "the end of the piece before"};
    r.fd = wav(ms, level, &r.size);
    int rc = f->provider.ops->transcribe(f->provider.ctx, &r, NULL, &f->arena, &f->calls, out);
    close(r.fd);
    return rc;
}

static void check_form(const char *wanted, const char *unwanted)
{
    char *text = fake_openai_get(&openai_fake, "/__control/last");
    assert_non_null(strstr(text, wanted));
    assert_null(strstr(text, unwanted));
    free(text);
}

static void test_transcribe_by_default(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct transcribe_result r;
    openai_fixture_open(&f);
    assert_int_equal(transcribe(&f, 7000, 3000, &r), 0);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.segments[0].start_ms, 0);
    assert_int_equal(r.segments[0].end_ms, 7000);
    assert_string_equal(r.segments[0].text, "This recording lasts 7.0 seconds. At second 0 the "
                                            "level is 3000. At second 5 the level is 3000.");
    assert_string_equal(r.language, "en");
    check_form("languages[]=en\\nprompt=the end of the piece before", "verbose_json");
    assert_int_equal(f.calls.items[0].audio_ms, 7000);
    assert_int_equal(f.calls.items[0].cost_nanousd, 525000); /* 7 s at $0.0045 a minute */
    assert_int_equal(transcribe(&f, 7000, 0, &r), 0);
    assert_int_equal(r.count, 0); /* silence is no speech */
    openai_fixture_close(&f);
}

static void test_transcribe_with_times(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct transcribe_result r;
    openai_fixture_open_model(&f, MODEL_TRANSCRIBE, "whisper-1");
    assert_int_equal(transcribe(&f, 12000, 3000, &r), 0);
    assert_int_equal(r.count, 3);
    assert_int_equal(r.segments[1].start_ms, 5000);
    assert_int_equal(r.segments[2].end_ms, 12000);
    assert_string_equal(r.segments[1].text, "At second 5 the level is 3000.");
    assert_string_equal(r.language, "en");
    check_form("response_format=verbose_json\\ntimestamp_granularities[]=segment", "languages[]");
    openai_fixture_close(&f);
}

static void test_transcribe_with_speakers(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct transcribe_result r;
    openai_fixture_open_model(&f, MODEL_TRANSCRIBE, "gpt-4o-transcribe-diarize");
    assert_int_equal(transcribe(&f, 40000, 3000, &r), 0);
    assert_int_equal(r.count, 8);
    assert_string_equal(r.segments[0].speaker, "A");
    assert_string_equal(r.segments[1].speaker, "B");
    check_form("chunking_strategy=auto", "prompt=");
    openai_fixture_close(&f);
}

static void test_whisper_server_without_verbose_json(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct transcribe_result r;
    openai_fixture_open_model(&f, MODEL_TRANSCRIBE, "local");
    openai_fixture_fault(
        "{\"contains\":\"verbose_json\",\"times\":-1,\"status\":400,\"body\":{\"error\":"
        "\"unsupported response_format\"}}");
    assert_int_equal(transcribe(&f, 12000, 3000, &r), 0);
    assert_int_equal(r.count, 1);
    assert_int_equal(transcribe(&f, 12000, 3000, &r), 0);
    assert_int_equal(openai_fixture_requests_to("/v1/audio/transcriptions"), 3);
    openai_fixture_close(&f);
}

static void test_refused_audio(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct transcribe_result r;
    openai_fixture_open(&f);
    openai_fixture_expect(transcribe(&f, 50, 3000, &r), ERR_PERMANENT,
                          "unsupported_audio"); /* too short */
    openai_fixture_fault("{\"fault\":\"invalid_json\"}");
    openai_fixture_expect(transcribe(&f, 1000, 3000, &r), ERR_TRANSIENT, "malformed_reply");
    struct transcribe_request huge = {.fd = -1, .size = OPENAI_UPLOAD_LIMIT, .language = ""};
    openai_fixture_expect(
        f.provider.ops->transcribe(f.provider.ctx, &huge, NULL, &f.arena, &f.calls, &r),
        ERR_PERMANENT, "too_large");
    openai_fixture_close(&f);
}

static void test_largest_upload(void **state)
{
    (void)state;
    struct openai_fixture f;
    struct transcribe_result r;
    struct model_identity identity;
    openai_fixture_open_model(&f, MODEL_TRANSCRIBE, "whisper-1");
    assert_int_equal(f.provider.ops->identify(f.provider.ctx, MODEL_TRANSCRIBE, &identity), 0);
    int64_t ms = (identity.max_bytes - 44) / 32;
    struct transcribe_request q = {.duration_ms = ms, .language = "en"};
    char prompt[5000];
    memset(prompt, 'p', sizeof prompt);
    prompt[sizeof prompt - 1] = '\0';
    q.prompt = prompt;
    q.fd = wav(ms, 100, &q.size);
    assert_true(q.size > identity.max_bytes - 64 && q.size <= identity.max_bytes);
    assert_int_equal(f.provider.ops->transcribe(f.provider.ctx, &q, NULL, &f.arena, &f.calls, &r),
                     0);
    assert_true(r.count > 100);
    close(q.fd);
    openai_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transcribe_by_default),
        cmocka_unit_test(test_transcribe_with_times),
        cmocka_unit_test(test_transcribe_with_speakers),
        cmocka_unit_test(test_whisper_server_without_verbose_json),
        cmocka_unit_test(test_refused_audio),
        cmocka_unit_test(test_largest_upload),
    };
    return cmocka_run_group_tests(tests, openai_fixture_start, openai_fixture_stop);
}
