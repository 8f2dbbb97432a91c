/* flow.c - see flow.h. */
#include "media/flow.h"

#include <string.h>

void flow_init(struct flow *f, int (*write)(void *, const char *, size_t), void *ctx)
{
    memset(f, 0, offsetof(struct flow, bytes));
    f->write = write;
    f->ctx = ctx;
}

int flow_flush(struct flow *f)
{
    if (!f->rc && f->used)
        f->rc = f->write(f->ctx, f->bytes, f->used);
    f->used = 0;
    return f->rc;
}

static void put(struct flow *f, const char *text, size_t length)
{
    while (length > 0 && !f->rc) {
        size_t n = FLOW_BYTES - f->used;
        if (n > length)
            n = length;
        memcpy(f->bytes + f->used, text, n);
        f->used += n;
        text += n;
        length -= n;
        if (f->used == FLOW_BYTES)
            flow_flush(f);
    }
}

static void settle(struct flow *f)
{
    if (f->newlines && f->begun)
        put(f, "\n\n", (size_t)f->newlines);
    else if (f->space && f->begun)
        put(f, " ", 1);
    f->newlines = 0;
    f->space = false;
    f->begun = true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\f' || c == '\r';
}

void flow_text(struct flow *f, const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t start = i;
        while (i < length && !is_space(text[i]))
            i++;
        if (i > start) {
            settle(f);
            put(f, text + start, i - start);
        }
        for (; i < length && is_space(text[i]); i++)
            f->space = true;
    }
}

void flow_verbatim(struct flow *f, const char *text, size_t length)
{
    if (length > 0)
        settle(f);
    put(f, text, length);
}

void flow_line(struct flow *f)
{
    if (f->newlines < 1)
        f->newlines = 1;
}

void flow_paragraph(struct flow *f)
{
    f->newlines = 2;
}
