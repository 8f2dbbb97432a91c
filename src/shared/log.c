#include "shared/log.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/json.h"

enum { LOG_LINE_CAP = 16384 };

static struct {
    enum log_level level;
    enum log_format format;
    int fd;
} sink = {.level = LOG_WARN, .format = LOG_TEXT, .fd = STDERR_FILENO};

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

static void append_json(struct buffer *line, const struct log_field *f)
{
    buffer_append_char(line, ',');
    json_append_string(line, f->name, strlen(f->name));
    buffer_append_char(line, ':');
    if (f->type == LOG_FIELD_INT)
        buffer_printf(line, "%" PRId64, f->number);
    else if (f->type == LOG_FIELD_JSON)
        buffer_append_string(line, f->text && *f->text ? f->text : "null");
    else
        json_append_string(line, f->text ? f->text : "", f->text ? strlen(f->text) : 0);
}

static void append_text(struct buffer *line, const struct log_field *f)
{
    if (f->type == LOG_FIELD_INT)
        buffer_printf(line, " %s=%" PRId64, f->name, f->number);
    else if (f->text && *f->text)
        buffer_printf(line, " %s=%s", f->name, f->text);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
    if (!log_enabled(level))
        return;
    char at[CLOCK_TEXT];
    clock_format(clock_now(clock_system()), at);
    struct buffer line;
    buffer_init(&line, LOG_LINE_CAP);
    if (sink.format == LOG_JSON)
        buffer_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", at,
                      level_names[level], event);
    else
        buffer_printf(&line, "%s %-5s %s", at, level_names[level], event);
    for (const struct log_field *f = fields; f->name; f++)
        if (sink.format == LOG_JSON)
            append_json(&line, f);
        else
            append_text(&line, f);
    buffer_append_string(&line, sink.format == LOG_JSON ? "}\n" : "\n");
    if (line.length > 0 && write(sink.fd, line.data, line.length) < 0) {
        /* nowhere to report a failing log */
    }
    buffer_free(&line);
}
