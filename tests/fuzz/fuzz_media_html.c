/* The HTML extractor, fed as the child feeds it: with valid UTF-8. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "media/html.h"
#include "media/utf8.h"
#include "shared/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct page {
    struct buffer text;
    size_t taken;
};

static int keep(void *ctx, const char *text, size_t length)
{
    return buffer_append(ctx, text, length);
}

static int give(void *ctx, char *bytes, int capacity)
{
    struct page *page = ctx;
    size_t n = page->text.length - page->taken;
    if (n > (size_t)capacity)
        n = (size_t)capacity;
    memcpy(bytes, buffer_string(&page->text) + page->taken, n);
    page->taken += n;
    return (int)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct utf8_filter filter;
    static struct page page = {.text = {.limit = 1 << 24}};
    static struct buffer out = {.limit = 1 << 26};
    struct text_info_frame info;
    struct html_source source = {.read = give, .ctx = &page};
    buffer_clear(&page.text);
    buffer_clear(&out);
    page.taken = 0;
    utf8_filter_init(&filter, keep, &page.text, 1 << 22);
    if (utf8_filter_feed(&filter, data, size) || utf8_filter_flush(&filter))
        return 0;
    int rc = html_extract(&source, keep, &out, &info);
    if (!rc && (!utf8_valid(buffer_string(&out), out.length, false) ||
                !utf8_valid(info.title, strlen(info.title), false)))
        abort();
    return 0;
}
