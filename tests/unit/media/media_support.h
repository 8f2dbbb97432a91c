/* media_support.h - files made for the tests of src/media, and what came out of them. */
#ifndef TESTS_MEDIA_SUPPORT_H
#define TESTS_MEDIA_SUPPORT_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "media/media.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/file.h"
#include "support/seed.h"

/* Every test executable works in a directory of its own, removed at its end. */
static char scratch[64];

static inline int make_scratch(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%.40s/aegis-media-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(scratch) && !chdir(scratch) ? 0 : -1;
}

static inline int remove_scratch(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return chdir("/") || system(command);
}

/* Chance that can be repeated (xorshift64*, S. Vigna, 2016). */
static uint64_t chance_state;

static inline uint64_t chance(uint64_t bound)
{
    if (!chance_state)
        chance_state = test_seed();
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return (chance_state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % bound;
}

/* Runs a shell command in the scratch directory; it has to succeed. */
__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...)
{
    char command[2048];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    if (system(command))
        fail_msg("failed: %s", command);
}

static inline void write_file(const char *name, const void *bytes, size_t length)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

static inline int64_t open_file(const char *name, int *fd)
{
    struct stat st;
    *fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(*fd >= 0);
    assert_int_equal(fstat(*fd, &st), 0);
    return st.st_size;
}

/* ---- identification ---- */

static inline char *load(int fd, int64_t size)
{
    char *bytes = malloc((size_t)size + 1);
    size_t got = 0;
    assert_non_null(bytes);
    assert_int_equal(file_read_at(fd, "file", bytes, (size_t)size, 0, &got), OK);
    assert_int_equal(got, size);
    return bytes;
}

/* From the file, and from memory: both must say the same. */
static inline int identify_fd(int fd, int64_t size, const char *name, struct media_identity *out)
{
    struct media_identity same;
    char *bytes = load(fd, size);
    int again = media_identify_bytes(bytes, (size_t)size, name, &same);
    struct error e = *error_last();
    int rc = media_identify(fd, size, name, out);
    assert_int_equal(again, rc);
    if (rc)
        assert_string_equal(e.message, error_last()->message);
    else
        assert_memory_equal(&same, out, sizeof same);
    free(bytes);
    return rc;
}

static inline int identify(const char *name, struct media_identity *out)
{
    int fd;
    int64_t size = open_file(name, &fd);
    int rc = identify_fd(fd, size, name, out);
    close(fd);
    return rc;
}

/* ---- text ---- */

struct extracted {
    int rc;
    struct error error; /* if rc */
    struct media_identity identity;
    struct text_info info;
    struct buffer text;
};

static inline int take_text(void *ctx, const char *text, size_t length)
{
    return buffer_append(ctx, text, length);
}

/* Plain text from memory, compared with what came from the file. */
static inline void extract_again(const struct extracted *x, int fd, int64_t size)
{
    struct buffer text;
    struct text_info info;
    struct text_sink sink = {.write = take_text, .ctx = &text};
    char *bytes = load(fd, size);
    buffer_init(&text, MIB(64));
    int rc = media_extract_plain(bytes, (size_t)size, &x->identity, NULL, &sink, &info);
    if (rc == ERR_INVALID) {
        assert_int_equal(text.length, 0);
    } else {
        assert_int_equal(rc, x->rc);
        assert_int_equal(text.length, x->text.length);
        assert_memory_equal(buffer_string(&text), buffer_string(&x->text), text.length);
        assert_string_equal(info.title, x->info.title);
        assert_int_equal(info.bytes, x->info.bytes);
        assert_int_equal(info.invalid, x->info.invalid);
    }
    buffer_free(&text);
    free(bytes);
}

static inline struct extracted extract(const char *name)
{
    struct extracted x = {0};
    struct text_sink sink = {.write = take_text, .ctx = &x.text};
    int fd;
    int64_t size = open_file(name, &fd);
    buffer_init(&x.text, MIB(64));
    x.rc = identify_fd(fd, size, name, &x.identity);
    if (!x.rc)
        x.rc = media_extract_text(fd, size, &x.identity, NULL, NULL, &sink, &x.info);
    if (x.rc)
        x.error = *error_last();
    if (x.identity.plain_utf8)
        extract_again(&x, fd, size);
    close(fd);
    return x;
}

static inline void expect_text(const char *name, const char *expected)
{
    struct extracted x = extract(name);
    if (x.rc)
        fail_msg("%s: %s: %s", name, x.error.reason, x.error.message);
    assert_string_equal(buffer_string(&x.text), expected);
    assert_int_equal(x.info.bytes, x.text.length);
    buffer_free(&x.text);
}

static inline void expect_no_text(const char *name, const char *reason)
{
    struct extracted x = extract(name);
    if (x.rc != ERR_PERMANENT || strcmp(x.error.reason, reason) != 0)
        fail_msg("%s: code %d, reason '%s', wanted '%s': %s", name, x.rc, x.error.reason, reason,
                 x.error.message);
    buffer_free(&x.text);
}

/* ---- audio ---- */

enum { MOST_PIECES = 64 };

struct decoded {
    int rc;
    struct error error;
    struct media_identity identity;
    struct audio_info info;
    int count, progress;
    int64_t last_done_ms;
    struct audio_piece pieces[MOST_PIECES]; /* their descriptors are closed */
    int16_t *samples[MOST_PIECES];
};

static inline int take_piece(void *ctx, const struct audio_piece *piece)
{
    struct decoded *d = ctx;
    struct stat st;
    assert_true(d->count < MOST_PIECES);
    assert_int_equal(piece->index, d->count);
    assert_int_equal(fstat(piece->fd, &st), 0);
    assert_int_equal(st.st_size, piece->size);
    assert_int_equal(st.st_nlink, 0);
    char *bytes = malloc((size_t)piece->size);
    assert_non_null(bytes);
    assert_int_equal(read(piece->fd, bytes, (size_t)piece->size), piece->size);
    assert_memory_equal(bytes, "RIFF", 4);
    assert_memory_equal(bytes + 8, "WAVEfmt ", 8);
    uint32_t data;
    memcpy(&data, bytes + 40, sizeof data);
    assert_int_equal(data, piece->size - 44);
    assert_in_range(piece->end_ms - piece->start_ms, data / 32 - 1, data / 32 + 1);
    memmove(bytes, bytes + 44, data);
    d->samples[d->count] = (int16_t *)(void *)bytes;
    d->pieces[d->count++] = *piece;
    close(piece->fd);
    return 0;
}

static inline void take_progress(void *ctx, int64_t done_ms, int64_t total_ms)
{
    struct decoded *d = ctx;
    assert_true(done_ms >= d->last_done_ms && total_ms >= -1);
    d->last_done_ms = done_ms;
    d->progress++;
}

static inline struct decoded decode_with(const char *name, const struct audio_options *options)
{
    struct decoded d = {0};
    struct audio_sink sink = {.piece = take_piece, .progress = take_progress, .ctx = &d};
    int fd;
    int64_t size = open_file(name, &fd);
    d.rc = media_identify(fd, size, name, &d.identity);
    if (!d.rc)
        d.rc = media_decode_audio(fd, size, &d.identity, options, NULL, &sink, &d.info);
    if (d.rc)
        d.error = *error_last();
    close(fd);
    return d;
}

static inline struct decoded decode(const char *name)
{
    struct audio_options options = {.spool_directory = "."};
    return decode_with(name, &options);
}

static inline void free_decoded(struct decoded *d)
{
    for (int i = 0; i < d->count; i++)
        free(d->samples[i]);
}

static inline void expect_no_audio(const char *name, const char *reason)
{
    struct decoded d = decode(name);
    if (d.rc != ERR_PERMANENT || strcmp(d.error.reason, reason) != 0)
        fail_msg("%s: code %d, reason '%s', wanted '%s': %s", name, d.rc, d.error.reason, reason,
                 d.error.message);
    free_decoded(&d);
}

#endif
