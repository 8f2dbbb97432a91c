/*
 * log.h - structured logs: one JSON object a line on standard error, or plain lines for people.
 *
 * Thread-safe; a line is written with one write(2), those held back with as many others as a pipe
 * takes at once. Secrets are never passed to it.
 */
#ifndef AEGIS_SHARED_LOG_H
#define AEGIS_SHARED_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* Call once, before threads. `fd` stays the caller's. */
void log_configure(enum log_level level, enum log_format format, int fd);
bool log_enabled(enum log_level level);

/* For a thread that is about to write many lines: from log_hold on they are written together, the
 * last of them by log_release; what is held when the process dies is lost. A hold within another
 * one is not needed: the first release ends it.
 */
void log_hold(void);
void log_release(void);

/* Name/value rows; the list ends with LOG_END. Example:
 *   log_write(LOG_INFO, "job.succeeded", LOG_INT("job", id), LOG_STR("trace_id", trace), LOG_END);
 */
struct log_field {
    const char *name; /* NULL ends the list */
    enum { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_JSON } type;
    const char *text;
    int64_t number;
};
#define LOG_STR(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_STRING, .text = (v)})
#define LOG_INT(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_INT, .number = (v)})
#define LOG_RAW(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_JSON, .text = (v)})
#define LOG_END       ((struct log_field){.name = NULL})
void log_fields(enum log_level level, const char *event, const struct log_field *fields);
#define log_write(level, event, ...)                                                               \
    log_fields((level), (event), (const struct log_field[]){__VA_ARGS__})

#endif
