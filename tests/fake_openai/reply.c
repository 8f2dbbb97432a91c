#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fake.h"
#include "shared/json.h"

/* printf is felt at the rate asked of this server. */
void reply_number(struct buffer *out, int64_t number)
{
    char digits[20], *end = digits + sizeof digits, *p = end;
    uint64_t rest = number > 0 ? (uint64_t)number : 0;
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    buffer_append(out, p, (size_t)(end - p));
}

static void append_or_null(struct buffer *out, const char *text)
{
    if (text)
        json_append_string(out, text, strlen(text));
    else
        buffer_append_string(out, "null");
}

void reply_error(struct exchange *x, int status, const char *type, const char *param,
                 const char *code, const char *format, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    x->status = status;
    buffer_clear(&x->reply);
    buffer_append_string(&x->reply, "{\"error\":{\"message\":");
    append_or_null(&x->reply, message);
    buffer_append_string(&x->reply, ",\"type\":");
    append_or_null(&x->reply, type);
    buffer_append_string(&x->reply, ",\"param\":");
    append_or_null(&x->reply, param);
    buffer_append_string(&x->reply, ",\"code\":");
    append_or_null(&x->reply, code);
    buffer_append_string(&x->reply, "}}");
}
