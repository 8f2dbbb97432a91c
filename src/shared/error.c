#include "shared/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set /* what error.h shows to analysers */
#undef error_set_errno

static _Thread_local struct error last = {.retry_after_ms = -1};

static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

/* `reason` may be the last error's own. */
static void begin(enum error_code code, const char *reason)
{
    last.code = code;
    last.retry_after_ms = -1;
    if (reason != last.reason)
        snprintf(last.reason, sizeof last.reason, "%s", reason ? reason : "");
}

int error_set(enum error_code code, const char *reason, const char *format, ...)
{
    char text[sizeof last.message]; /* arguments may point into the last message */
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    begin(code, reason);
    memcpy(last.message, text, sizeof text);
    one_line(last.message);
    return code;
}

static enum error_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return ERR_DISK_FULL;
    case ENOENT:
        return ERR_NOT_FOUND;
    case ENOMEM:
        return ERR_NO_MEMORY;
    default:
        return ERR_IO;
    }
}

int error_set_errno(int errnum, const char *format, ...)
{
    char text[sizeof last.message];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return error_set(code_of_errno(errnum), NULL, "%s: %s", text, strerror(errnum));
}

int error_prefix(const char *format, ...)
{
    char text[sizeof last.message];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %s", last.message);
    memcpy(last.message, text, sizeof text);
    one_line(last.message);
    return last.code;
}

int error_retry_after(int64_t retry_after_ms)
{
    last.retry_after_ms = retry_after_ms;
    return last.code;
}

const struct error *error_last(void)
{
    return &last;
}

void error_clear(void)
{
    begin(OK, NULL);
    last.message[0] = '\0';
}

int error_restore(const struct error *e)
{
    if (e != &last)
        last = *e;
    return last.code;
}

enum error_code error_class(const struct error *e)
{
    switch (e->code) {
    case ERR_TRANSIENT:
    case ERR_PERMANENT:
    case ERR_SYSTEMIC:
        return e->code;
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_TOO_LARGE:
        return ERR_PERMANENT;
    case ERR_DISK_FULL:
    case ERR_SCHEMA:
        return ERR_SYSTEMIC;
    default:
        return ERR_TRANSIENT;
    }
}

const char *error_code_name(enum error_code code)
{
    static const char *const names[] = {
        [OK] = "ok",
        [ERR_TRANSIENT] = "transient",
        [ERR_PERMANENT] = "permanent",
        [ERR_SYSTEMIC] = "systemic",
        [ERR_INVALID] = "invalid",
        [ERR_NOT_FOUND] = "not_found",
        [ERR_CONFLICT] = "conflict",
        [ERR_BUSY] = "busy",
        [ERR_TOO_LARGE] = "too_large",
        [ERR_DISK_FULL] = "disk_full",
        [ERR_NO_MEMORY] = "no_memory",
        [ERR_IO] = "io",
        [ERR_TIMEOUT] = "timeout",
        [ERR_CANCELLED] = "cancelled",
        [ERR_SCHEMA] = "schema",
    };
    if ((unsigned)code >= sizeof names / sizeof names[0])
        return "unknown";
    return names[code];
}
