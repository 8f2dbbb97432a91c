/*
 * flow.h - text that flows out of marked-up documents: white space collapsed, paragraphs separated
 * by one blank line, no blank line at the start or the end. For children.
 */
#ifndef AEGIS_MEDIA_FLOW_H
#define AEGIS_MEDIA_FLOW_H

#include <stdbool.h>
#include <stddef.h>

enum { FLOW_BYTES = 32 << 10 };

struct flow {
    int (*write)(void *ctx, const char *text, size_t length);
    void *ctx;
    int rc;       /* what write returned, once it failed: everything after is dropped */
    int newlines; /* owed before the next text: 0, 1 (line) or 2 (paragraph) */
    bool space;   /* owed before the next text on this line */
    bool begun;   /* something was written */
    size_t used;
    char bytes[FLOW_BYTES];
};

void flow_init(struct flow *f, int (*write)(void *, const char *, size_t), void *ctx);
void flow_text(struct flow *f, const char *text, size_t length);     /* collapses white space */
void flow_verbatim(struct flow *f, const char *text, size_t length); /* keeps it */
void flow_line(struct flow *f);
void flow_paragraph(struct flow *f);
int flow_flush(struct flow *f); /* 0 or the first failure */

#endif
