/* text.c - media_extract_text: the parent's side. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "media/frames.h"
#include "media/media.h"
#include "media/title.h"
#include "media/utf8.h"
#include "shared/caps.h"
#include "shared/file.h"

enum { READ_BYTES = 256 << 10 };

/* How long a child may compute: a constant for its start and what the size earns, at rates that are
 * a tenth of what this code does on an old machine. */
enum { CPU_BASE_MS = 60000, BYTES_PER_CPU_MS = 500 };

struct extraction {
    const struct text_sink *sink;
    struct text_info *info;
    int64_t parser_ms;          /* a child's silence */
    struct title_finder titles; /* of plain text and Markdown */
    struct utf8_filter filter;
};

static int to_sink(void *ctx, const char *text, size_t length)
{
    struct extraction *x = ctx;
    title_feed(&x->titles, text, length);
    return x->sink->write(x->sink->ctx, text, length);
}

/* ---- what is not plain: in a child ---- */

static void copy_text(char *out, size_t capacity, const char *text, size_t limit)
{
    size_t n = strnlen(text, limit);
    n = utf8_valid(text, n, true) ? utf8_cut(text, n, capacity - 1) : 0;
    memcpy(out, text, n);
    out[n] = '\0';
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
}

static int take_info(struct text_info *info, const struct buffer *payload)
{
    struct text_info_frame frame;
    if (payload->length != sizeof frame)
        return error_set(ERR_PERMANENT, "parser_crashed", "a parser sent a malformed frame");
    memcpy(&frame, payload->data, sizeof frame);
    copy_text(info->title, sizeof info->title, frame.title, sizeof frame.title);
    copy_text(info->language, sizeof info->language, frame.language, sizeof frame.language);
    info->invalid += frame.invalid;
    return OK;
}

/* What a child sends is filtered again: it may have been taken over by what it parsed. */
static int receive_text(struct extraction *x, struct child *child, const struct cancel *cancel)
{
    struct buffer payload;
    uint32_t type;
    int rc;
    buffer_init(&payload, CAP_CHILD_FRAME);
    for (;;) {
        rc = child_receive(child, cancel, &type, &payload);
        if (rc || type == 0)
            break;
        if (type == FRAME_TEXT)
            rc = utf8_filter_feed(&x->filter, payload.data, payload.length);
        else if (type == FRAME_TEXT_INFO)
            rc = take_info(x->info, &payload);
        if (rc)
            break;
    }
    buffer_free(&payload);
    return rc;
}

static const char *child_of(enum media_kind kind)
{
    switch (kind) {
    case MEDIA_TEXT:
    case MEDIA_MARKDOWN:
        return "text";
    case MEDIA_HTML:
        return "html";
    case MEDIA_PDF:
        return "pdf";
    case MEDIA_DOCX:
        return "docx";
    default:
        return NULL;
    }
}

static int extract_in_child(struct extraction *x, int fd, int64_t size, enum media_kind kind,
                            const struct cancel *cancel)
{
    struct child *child;
    struct child_limits limits = {
        .cpu_ms = CPU_BASE_MS + size / BYTES_PER_CPU_MS,
        .idle_timeout_ms = x->parser_ms,
    };
    const char *name = child_of(kind);
    if (!name)
        return error_set(ERR_INVALID, NULL, "'%s' is no kind of document", media_kind_name(kind));
    const char *path = getenv("PATH");
    const char *args[] = {path && *path ? path : "/usr/bin:/bin", NULL};
    int rc = child_spawn(name, kind == MEDIA_PDF ? args : NULL, fd, &limits, &child);
    if (rc)
        return rc;
    rc = receive_text(x, child, cancel);
    child_close(child, NULL);
    return rc;
}

/* ---- plain UTF-8: in this process ---- */

/* The look that media_identify took may have seen nothing but ASCII, which says nothing about what
 * follows: if the first other byte does not begin a character of UTF-8, the offset of its line (for
 * the child to see it in its context), else -1. */
static int64_t find_other_encoding(const struct utf8_filter *filter, const char *bytes, size_t n)
{
    if (filter->multibyte || filter->invalid || filter->carried)
        return -1; /* it is settled */
    size_t at = utf8_ascii_run(bytes, n);
    if (at == n || utf8_sequence((const unsigned char *)bytes + at, n - at) >= 0)
        return -1;
    const char *newline = memrchr(bytes, '\n', at);
    return newline ? newline + 1 - bytes : 0;
}

/* The rest from `at` on is in an encoding that a child has to find out. */
static int extract_rest(struct extraction *x, int fd, int64_t size, int64_t at,
                        const struct cancel *cancel)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rest = open(path, O_RDONLY | O_CLOEXEC);
    if (rest < 0 || lseek(rest, at, SEEK_SET) != at) {
        int rc = error_set_errno(errno, "cannot open the text again");
        if (rest >= 0)
            close(rest);
        return rc;
    }
    int rc = extract_in_child(x, rest, size, MEDIA_TEXT, cancel);
    close(rest);
    return rc;
}

/* One bufferful; *at moves on. *rest: what follows is for extract_rest. */
static int extract_some(struct extraction *x, int fd, char *bytes, int64_t *at, bool *rest,
                        bool *end)
{
    size_t got;
    int rc = file_read_at(fd, "text", bytes, READ_BYTES, *at, &got);
    if (rc)
        return rc;
    int64_t other = find_other_encoding(&x->filter, bytes, got);
    *rest = other >= 0;
    *end = *rest || got < READ_BYTES;
    *at += *rest ? other : (int64_t)got;
    return utf8_filter_feed(&x->filter, bytes, *rest ? (size_t)other : got);
}

static int extract_plain(struct extraction *x, int fd, int64_t size, const struct cancel *cancel)
{
    char *bytes = malloc(READ_BYTES);
    int64_t at = 0;
    bool rest = false, end = false;
    int rc = bytes ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory to read text");
    while (!rc && !end)
        rc = cancel_requested(cancel) ? error_set(ERR_CANCELLED, NULL, "reading text was cancelled")
                                      : extract_some(x, fd, bytes, &at, &rest, &end);
    free(bytes);
    return rc || !rest ? rc : extract_rest(x, fd, size, at, cancel);
}

/* ---- */

static int64_t longest_text(const struct media_limits *limits)
{
    return limits && limits->text_bytes ? limits->text_bytes : (int64_t)CAP_TEXT_BYTES;
}

static struct extraction *extraction_open(const struct media_limits *limits,
                                          const struct text_sink *sink, struct text_info *out)
{
    struct extraction *x = malloc(sizeof *x);
    if (!x) {
        error_set(ERR_NO_MEMORY, NULL, "out of memory to extract text");
        return NULL;
    }
    x->sink = sink;
    x->info = out;
    title_init(&x->titles);
    x->parser_ms = parser_ms(limits ? limits->parser_ms : 0);
    utf8_filter_init(&x->filter, to_sink, x, longest_text(limits));
    return x;
}

/* `rc`: how it went so far. */
static int extraction_close(struct extraction *x, const struct media_identity *identity, int rc)
{
    struct text_info *out = x->info;
    if (!rc)
        rc = utf8_filter_flush(&x->filter);
    out->bytes = x->filter.bytes;
    out->invalid += x->filter.invalid;
    if (identity->kind == MEDIA_MARKDOWN)
        title_of_markdown(&x->titles, out->title, sizeof out->title);
    free(x);
    return rc;
}

int media_extract_text(int fd, int64_t size, const struct media_identity *identity,
                       const struct media_limits *limits, const struct cancel *cancel,
                       const struct text_sink *sink, struct text_info *out)
{
    memset(out, 0, sizeof *out);
    if (identity->plain_utf8 && size > longest_text(limits))
        return utf8_too_long(longest_text(limits));
    if (identity->kind == MEDIA_DOCX && strstr(identity->format, "encrypted"))
        return error_set(ERR_PERMANENT, "password_protected",
                         "the DOCX is protected by a password; save it without one");
    struct extraction *x = extraction_open(limits, sink, out);
    if (!x)
        return ERR_NO_MEMORY;
    int rc = identity->plain_utf8 ? extract_plain(x, fd, size, cancel)
                                  : extract_in_child(x, fd, size, identity->kind, cancel);
    return extraction_close(x, identity, rc);
}

int media_extract_plain(const void *bytes, size_t size, const struct media_identity *identity,
                        const struct media_limits *limits, const struct text_sink *sink,
                        struct text_info *out)
{
    memset(out, 0, sizeof *out);
    if ((int64_t)size > longest_text(limits))
        return utf8_too_long(longest_text(limits));
    struct extraction *x = extraction_open(limits, sink, out);
    if (!x)
        return ERR_NO_MEMORY;
    if (find_other_encoding(&x->filter, bytes, size) >= 0) {
        free(x);
        return error_set(ERR_INVALID, NULL, "the text is not UTF-8 all through");
    }
    return extraction_close(x, identity, utf8_filter_feed(&x->filter, bytes, size));
}
