#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/offline/offline.h"
#include "adapters/offline/speech.h"
#include "adapters/offline/voice.h"
#include "adapters/offline/wave.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

static struct arena arena;
static struct model_calls calls;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, MIB(64));
    calls = (struct model_calls){.arena = &arena};
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void put(unsigned char *p, uint32_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(n >> 8 * i);
}

static void wave_header(unsigned char out[44], uint32_t rate, uint32_t data)
{
    memcpy(out, "RIFF....WAVEfmt ", 16);
    put(out + 4, data + 36, 4);
    put(out + 16, 16, 4);
    put(out + 20, 1, 2);
    put(out + 22, 1, 2);
    put(out + 24, rate, 4);
    put(out + 28, rate * 2, 4);
    put(out + 32, 2, 2);
    put(out + 34, 16, 2);
    memcpy(out + 36, "data", 4);
    put(out + 40, data, 4);
}

/* An anonymous WAV file of these samples. */
static int wave_file(const int16_t *samples, size_t count, uint32_t rate)
{
    unsigned char header[44];
    int fd = memfd_create("wave", MFD_CLOEXEC);
    assert_true(fd >= 0);
    wave_header(header, rate, (uint32_t)count * 2);
    assert_int_equal(file_write_all(fd, "wave", header, sizeof header), 0);
    assert_int_equal(file_write_all(fd, "wave", samples, count * 2), 0);
    return fd;
}

static int transcribe(const char *model, int fd, int64_t ms, const char *language,
                      const struct cancel *cancel, struct transcribe_result *out)
{
    struct model_provider provider;
    const struct offline_options options = {.speech_model = model};
    const struct transcribe_request request = {.fd = fd,
                                               .size = lseek(fd, 0, SEEK_END),
                                               .duration_ms = ms,
                                               .language = language,
                                               .prompt = ""};
    assert_int_equal(offline_provider_open(&options, &provider), 0);
    int rc = provider.ops->transcribe(provider.ctx, &request, cancel, &arena, &calls, out);
    provider.ops->close(provider.ctx);
    close(fd);
    return rc;
}

/* ---- WAV ---- */

static void headers_are_read(void **state)
{
    (void)state;
    unsigned char file[64] = {0};
    const int16_t *samples;
    size_t count;
    wave_header(file, 16000, 8);
    assert_int_equal(wave_samples(file, 52, &samples, &count), 0);
    assert_int_equal(count, 4);
    assert_ptr_equal(samples, file + 44);
    assert_int_equal(wave_samples(file, 48, &samples, &count), 0); /* shorter than it claims */
    assert_int_equal(count, 2);
    for (size_t length = 0; length < 44; length++)
        assert_int_equal(wave_samples(file, length, &samples, &count), ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "unsupported_audio");
    wave_header(file, 8000, 8);
    assert_int_equal(wave_samples(file, 52, &samples, &count), ERR_PERMANENT);
}

/* ---- voice ---- */

static void tone(int16_t *samples, double from_s, double to_s)
{
    for (size_t i = (size_t)(from_s * VOICE_RATE); i < (size_t)(to_s * VOICE_RATE); i++)
        samples[i] = (int16_t)(i / 40 % 2 ? 6000 : -6000);
}

static size_t find_spans(const int16_t *samples, size_t count, struct voice_span *spans)
{
    float *levels = malloc((count / 320 + 1) * sizeof *levels);
    assert_non_null(levels);
    size_t n = voice_spans(samples, count, levels, spans, voice_spans_most(count));
    free(levels);
    return n;
}

static void voice_is_told_from_silence(void **state)
{
    (void)state;
    enum { SECONDS = 40, COUNT = SECONDS * VOICE_RATE };
    int16_t *samples = calloc(COUNT, sizeof *samples);
    struct voice_span spans[512];
    assert_non_null(samples);
    assert_true(voice_spans_most(COUNT) <= 512);
    assert_int_equal(find_spans(samples, COUNT, spans), 0);
    for (size_t i = 0; i < COUNT; i++)
        samples[i] = (int16_t)(i * 7919 % 21 - 10); /* a faint hiss */
    assert_int_equal(find_spans(samples, COUNT, spans), 0);
    tone(samples, 1, 2);
    tone(samples, 2.2, 3); /* a short pause is bridged */
    tone(samples, 5, 30);  /* too long for one */
    size_t n = find_spans(samples, COUNT, spans);
    assert_true(n >= 4 && n <= 7);
    assert_in_range(spans[0].begin, 12000, 16000);
    assert_in_range(spans[0].end, 48000, 52000);
    for (size_t i = 0; i < n; i++) {
        assert_true(spans[i].begin < spans[i].end && spans[i].end <= COUNT);
        assert_true(i == 0 || spans[i].begin >= spans[i - 1].end);
        assert_true(spans[i].end - spans[i].begin <=
                    (VOICE_LONGEST_MS + 2 * VOICE_MARGIN_MS + 20) * (VOICE_RATE / 1000));
    }
    assert_in_range(spans[n - 1].end, 480000, 484000);
    free(samples);
}

static void loud_throughout_is_voice(void **state)
{
    (void)state;
    enum { COUNT = 5 * VOICE_RATE };
    int16_t *samples = calloc(COUNT, sizeof *samples);
    struct voice_span spans[64];
    assert_non_null(samples);
    tone(samples, 0, 5);
    assert_int_equal(find_spans(samples, COUNT, spans), 1);
    assert_int_equal(spans[0].begin, 0);
    assert_int_equal(spans[0].end, COUNT);
    assert_int_equal(find_spans(samples, 0, spans), 0);
    assert_int_equal(find_spans(samples, 100, spans), 0);
    free(samples);
}

/* ---- the recogniser ---- */

static bool have_model(void)
{
    return access("/usr/share/pocketsphinx/model/en-us/en-us.lm.bin", R_OK) == 0;
}

/* What espeak-ng says, at 16 kHz. NULL if it is not installed. */
static int16_t *speak(const char *text, size_t *count)
{
    char command[512];
    struct buffer wav;
    snprintf(command, sizeof command,
             "espeak-ng -v en-us+f2 -s 150 -p 45 --stdout \"%s\" 2>/dev/null", text);
    buffer_init(&wav, MIB(8));
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(file_read_fd(fileno(pipe), "espeak-ng", &wav), 0);
    if (pclose(pipe) != 0 || wav.length < 1000) {
        buffer_free(&wav);
        return NULL;
    }
    enum { HEADER = 44, RATE = 22050 };
    const int16_t *from = (const int16_t *)(const void *)(wav.data + HEADER);
    size_t have = (wav.length - HEADER) / 2;
    *count = have * VOICE_RATE / RATE - 1;
    int16_t *out = malloc(*count * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < *count; i++) {
        double at = (double)i * RATE / VOICE_RATE, part = at - (double)(size_t)at;
        out[i] = (int16_t)(from[(size_t)at] * (1 - part) + from[(size_t)at + 1] * part);
    }
    buffer_free(&wav);
    return out;
}

/* The time of the segment with a word, -1 if there is none. */
static int64_t time_of(const struct transcribe_result *r, const char *word)
{
    for (size_t i = 0; i < r->count; i++)
        if (strstr(r->segments[i].text, word))
            return r->segments[i].start_ms;
    return -1;
}

static void speech_is_found_at_its_time(void **state)
{
    (void)state;
    struct transcribe_result result;
    size_t spoken = 0, count;
    int16_t *speech = have_model() ? speak("Last week the water pump was broken.", &spoken) : NULL;
    if (!speech)
        skip();
    enum { LEAD = 5 * VOICE_RATE };
    count = spoken + 2 * LEAD;
    int16_t *samples = calloc(count, sizeof *samples);
    assert_non_null(samples);
    memcpy(samples + LEAD, speech, spoken * sizeof *speech);
    int64_t ms = (int64_t)(count / (VOICE_RATE / 1000));
    size_t before = calls.count;
    int rc = transcribe(NULL, wave_file(samples, count, VOICE_RATE), ms, "en", NULL, &result);
    assert_int_equal(rc, 0);
    assert_string_equal(result.language, "en");
    assert_in_range(time_of(&result, "water"), 4700, 5600);
    for (size_t i = 0; i < result.count; i++) {
        assert_true(result.segments[i].start_ms < result.segments[i].end_ms);
        assert_true(result.segments[i].end_ms <= ms);
        assert_null(strpbrk(result.segments[i].text, "<>[]()"));
        assert_string_equal(result.segments[i].speaker, "");
    }
    assert_int_equal(calls.count, before + 1);
    assert_int_equal(calls.items[before].audio_ms, ms);
    assert_int_equal(calls.items[before].cost_nanousd, 0);
    free(samples);
    free(speech);
}

static void silence_is_no_speech(void **state)
{
    (void)state;
    struct transcribe_result result;
    if (!have_model())
        skip();
    int16_t *samples = calloc(3 * VOICE_RATE, sizeof *samples);
    assert_non_null(samples);
    int fd = wave_file(samples, 3 * VOICE_RATE, VOICE_RATE);
    assert_int_equal(transcribe(NULL, fd, 3000, "", NULL, &result), 0);
    assert_int_equal(result.count, 0);
    free(samples);
}

static void other_audio_is_refused(void **state)
{
    (void)state;
    struct transcribe_result result;
    int16_t samples[800] = {0};
    if (!have_model())
        skip();
    assert_int_equal(transcribe(NULL, wave_file(samples, 800, 8000), 100, "", NULL, &result),
                     ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "unsupported_audio");
}

static void other_languages_are_refused(void **state)
{
    (void)state;
    struct transcribe_result result;
    int16_t samples[800] = {0};
    assert_int_equal(transcribe(NULL, wave_file(samples, 800, 16000), 50, "de", NULL, &result),
                     ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "unsupported_language");
}

static void a_missing_model_says_what_to_do(void **state)
{
    (void)state;
    struct transcribe_result result;
    struct model_provider provider;
    const struct offline_options nowhere = {.speech_model = "/nonexistent"};
    int16_t samples[800] = {0};
    assert_int_equal(
        transcribe("/nonexistent", wave_file(samples, 800, 16000), 50, "", NULL, &result),
        ERR_PERMANENT);
    assert_string_equal(error_last()->reason, "no_offline_speech");
    assert_non_null(strstr(error_last()->message, "pocketsphinx-en-us"));
    assert_non_null(strstr(error_last()->message, "OPENAI_API_KEY"));
    assert_int_equal(offline_provider_open(&nowhere, &provider), 0);
    assert_int_equal(provider.ops->check(provider.ctx, MODEL_TRANSCRIBE, NULL), ERR_PERMANENT);
    provider.ops->close(provider.ctx);
    if (!have_model())
        return;
    assert_int_equal(offline_provider_open(NULL, &provider), 0);
    assert_int_equal(provider.ops->check(provider.ctx, MODEL_TRANSCRIBE, NULL), 0);
    provider.ops->close(provider.ctx);
}

static void cancelled_is_cancelled(void **state)
{
    (void)state;
    struct transcribe_result result;
    struct cancel cancel = {0};
    int16_t samples[800] = {0};
    cancel_request(&cancel);
    assert_int_equal(transcribe(NULL, wave_file(samples, 800, 16000), 50, "", &cancel, &result),
                     ERR_CANCELLED);
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, offline_children);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(voice_is_told_from_silence),
        cmocka_unit_test(loud_throughout_is_voice),
        cmocka_unit_test(speech_is_found_at_its_time),
        cmocka_unit_test(silence_is_no_speech),
        cmocka_unit_test(other_audio_is_refused),
        cmocka_unit_test(other_languages_are_refused),
        cmocka_unit_test(a_missing_model_says_what_to_do),
        cmocka_unit_test(cancelled_is_cancelled),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
