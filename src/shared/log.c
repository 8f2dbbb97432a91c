#include "shared/log.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/json.h"

enum { LOG_LINE_CAP = 16384, LOG_TAIL = 32, HELD_CAP = PIPE_BUF };

static struct {
    enum log_level level;
    enum log_format format;
    int fd;
} sink = {.level = LOG_WARN, .format = LOG_TEXT, .fd = STDERR_FILENO};

static _Thread_local bool holding;
static _Thread_local struct buffer held; /* no memory of its own unless holding */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_configure(enum log_level level, enum log_format format, int fd)
{
    sink.level = level;
    sink.format = format;
    sink.fd = fd;
}

bool log_enabled(enum log_level level)
{
    return level >= sink.level;
}

static int append_value(struct buffer *line, const struct log_field *f)
{
    const char *text = f->text ? f->text : "";
    if (f->type == LOG_FIELD_INT)
        return buffer_printf(line, "%" PRId64, f->number);
    if (f->type == LOG_FIELD_JSON)
        return buffer_append_string(line, *text ? text : "null");
    return json_append_string(line, text, strlen(text));
}

static int append_json(struct buffer *line, const struct log_field *f)
{
    int rc = buffer_append_char(line, ',');
    if (!rc)
        rc = json_append_string(line, f->name, strlen(f->name));
    if (!rc)
        rc = buffer_append_char(line, ':');
    return rc ? rc : append_value(line, f);
}

/* Control characters become spaces: one line stays one line, and a name cannot steer a terminal. */
static void blank_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

static int append_text(struct buffer *line, const struct log_field *f)
{
    size_t before = line->length;
    if (f->type == LOG_FIELD_INT)
        return buffer_printf(line, " %s=%" PRId64, f->name, f->number);
    if (!f->text || !*f->text)
        return 0;
    int rc = buffer_printf(line, " %s=%s", f->name, f->text);
    if (!rc)
        blank_controls(line->data + before);
    return rc;
}

/* A field that does not fit is left out whole, so that a JSON line stays JSON. */
static void append_fields(struct buffer *line, const struct log_field *fields)
{
    bool json = sink.format == LOG_JSON, cut = false;
    for (const struct log_field *f = fields; f->name; f++) {
        size_t before = line->length;
        if (json ? append_json(line, f) : append_text(line, f)) {
            buffer_truncate(line, before);
            cut = true;
        }
    }
    line->limit = LOG_LINE_CAP;
    if (cut)
        buffer_append_string(line, json ? ",\"truncated\":true" : " truncated=true");
    buffer_append_string(line, json ? "}\n" : "\n");
}

static void write_out(const struct buffer *lines)
{
    if (lines->length > 0 && write(sink.fd, lines->data, lines->length) < 0) {
        /* nowhere to report a failing log */
    }
}

/* What does not fit behind those held is written after them. */
static void write_or_hold(const struct buffer *line)
{
    if (holding && !buffer_append(&held, line->data, line->length))
        return;
    write_out(&held);
    buffer_clear(&held);
    if (!holding || buffer_append(&held, line->data, line->length))
        write_out(line);
}

void log_hold(void)
{
    if (!holding)
        buffer_init(&held, HELD_CAP);
    holding = true;
}

void log_release(void)
{
    write_out(&held);
    buffer_free(&held);
    holding = false;
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
    if (!log_enabled(level))
        return;
    char at[CLOCK_TEXT];
    struct buffer line;
    struct error error = *error_last(); /* logging does not disturb it */
    clock_format(clock_now(clock_system()), at);
    buffer_init(&line, LOG_LINE_CAP - LOG_TAIL);
    if (sink.format == LOG_JSON)
        buffer_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", at,
                      level_names[level], event);
    else
        buffer_printf(&line, "%s %-5s %s", at, level_names[level], event);
    append_fields(&line, fields);
    if (line.length > 0)
        write_or_hold(&line);
    buffer_free(&line);
    error_restore(&error);
}
