/*
 * html.c - see html.h. libxml2's HTML parser pulls the page through an input callback and calls
 * back for elements and text; no tree is built, so memory does not grow with the page.
 */
#include "media/html.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "media/flow.h"
#include "media/utf8.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/libxml.h"

enum role {
    ROLE_INLINE,
    ROLE_PARAGRAPH, /* a block of its own */
    ROLE_LINE,      /* on a line of its own */
    ROLE_ITEM,
    ROLE_CELL,
    ROLE_BREAK,
    ROLE_PRE,
    ROLE_TITLE,
    ROLE_H1,
    ROLE_NOISE,   /* nothing in it is content */
    ROLE_FOOTER,  /* noise unless it belongs to an article */
    ROLE_ARTICLE, /* article, main, section, blockquote */
};

static const struct {
    const char *name;
    enum role role;
} elements[] = {
    /* sorted, for bsearch */
    {"address", ROLE_PARAGRAPH},
    {"article", ROLE_ARTICLE},
    {"aside", ROLE_PARAGRAPH},
    {"audio", ROLE_NOISE},
    {"blockquote", ROLE_ARTICLE},
    {"body", ROLE_PARAGRAPH},
    {"br", ROLE_BREAK},
    {"button", ROLE_NOISE},
    {"canvas", ROLE_NOISE},
    {"caption", ROLE_LINE},
    {"center", ROLE_PARAGRAPH},
    {"datalist", ROLE_NOISE},
    {"dd", ROLE_LINE},
    {"details", ROLE_PARAGRAPH},
    {"dir", ROLE_PARAGRAPH},
    {"div", ROLE_PARAGRAPH},
    {"dl", ROLE_PARAGRAPH},
    {"dt", ROLE_LINE},
    {"embed", ROLE_NOISE},
    {"fieldset", ROLE_PARAGRAPH},
    {"figcaption", ROLE_PARAGRAPH},
    {"figure", ROLE_PARAGRAPH},
    {"footer", ROLE_FOOTER},
    {"form", ROLE_PARAGRAPH},
    {"h1", ROLE_H1},
    {"h2", ROLE_PARAGRAPH},
    {"h3", ROLE_PARAGRAPH},
    {"h4", ROLE_PARAGRAPH},
    {"h5", ROLE_PARAGRAPH},
    {"h6", ROLE_PARAGRAPH},
    {"header", ROLE_PARAGRAPH},
    {"hr", ROLE_PARAGRAPH},
    {"iframe", ROLE_NOISE},
    {"legend", ROLE_LINE},
    {"li", ROLE_ITEM},
    {"main", ROLE_ARTICLE},
    {"map", ROLE_NOISE},
    {"menu", ROLE_PARAGRAPH},
    {"nav", ROLE_NOISE},
    {"noframes", ROLE_NOISE},
    {"noscript", ROLE_NOISE},
    {"object", ROLE_NOISE},
    {"ol", ROLE_PARAGRAPH},
    {"option", ROLE_NOISE},
    {"p", ROLE_PARAGRAPH},
    {"pre", ROLE_PRE},
    {"script", ROLE_NOISE},
    {"section", ROLE_ARTICLE},
    {"select", ROLE_NOISE},
    {"style", ROLE_NOISE},
    {"summary", ROLE_PARAGRAPH},
    {"svg", ROLE_NOISE},
    {"table", ROLE_PARAGRAPH},
    {"tbody", ROLE_LINE},
    {"td", ROLE_CELL},
    {"template", ROLE_NOISE},
    {"textarea", ROLE_NOISE},
    {"tfoot", ROLE_LINE},
    {"th", ROLE_CELL},
    {"thead", ROLE_LINE},
    {"title", ROLE_TITLE},
    {"tr", ROLE_LINE},
    {"ul", ROLE_PARAGRAPH},
    {"video", ROLE_NOISE},
};
enum { ELEMENTS = sizeof elements / sizeof elements[0] };

struct short_text {
    size_t length;
    char text[512];
};

struct page {
    htmlParserCtxtPtr parser;
    const struct html_source *source;
    struct flow flow;
    struct short_text title, heading;
    char *language; /* of 16 bytes */
    int depth;
    int noise_depth;   /* the outermost element being left out; 0: none */
    int pre_depth;     /* likewise, white space kept */
    int title_depth;   /* likewise */
    int heading_depth; /* the first h1 */
    int articles;
    bool row_begun; /* this table row has a cell */
    bool failed;    /* error_last says how */
};

static int compare(const void *name, const void *element)
{
    /* NOLINTNEXTLINE: an element begins with its name */
    return strcmp(name, *(const char *const *)element);
}

static enum role role_of(const xmlChar *name)
{
    const char *const *found = bsearch(name, elements, ELEMENTS, sizeof elements[0], compare);
    return found ? elements[((const char *)found - (const char *)elements) /
                            (ptrdiff_t)sizeof elements[0]]
                       .role
                 : ROLE_INLINE;
}

static void stop(struct page *page)
{
    page->failed = true;
    libxml.xmlStopParser(page->parser);
}

static void short_append(struct short_text *s, const char *text, size_t length)
{
    for (size_t i = 0; i < length && s->length < sizeof s->text - 1; i++) {
        bool space = (unsigned char)text[i] <= ' ';
        if (space && (s->length == 0 || s->text[s->length - 1] == ' '))
            continue;
        s->text[s->length++] = space ? ' ' : text[i];
    }
}

static void short_copy(const struct short_text *s, char *out, size_t capacity)
{
    size_t n = s->length;
    if (n == sizeof s->text - 1) /* a character may have been cut */
        n = utf8_cut(s->text, n, n - 4);
    while (n > 0 && s->text[n - 1] == ' ')
        n--;
    n = utf8_cut(s->text, n, capacity - 1);
    memcpy(out, s->text, n);
    out[n] = '\0';
}

static const char *attribute(const xmlChar **attributes, const char *name)
{
    for (; attributes && attributes[0]; attributes += 2)
        if (!strcasecmp((const char *)attributes[0], name))
            return attributes[1] ? (const char *)attributes[1] : "";
    return NULL;
}

static bool is_hidden(const xmlChar **attributes)
{
    const char *hidden = attribute(attributes, "hidden");
    const char *aria = attribute(attributes, "aria-hidden");
    const char *role = attribute(attributes, "role");
    return (hidden && strcasecmp(hidden, "until-found") != 0) ||
           (aria && !strcasecmp(aria, "true")) || (role && !strcasecmp(role, "navigation"));
}

static void take_language(struct page *page, const xmlChar *name, const xmlChar **attributes)
{
    const char *language = attribute(attributes, "lang");
    if (strcmp((const char *)name, "html") != 0 || *page->language)
        return;
    if (!language)
        language = attribute(attributes, "xml:lang");
    if (language)
        snprintf(page->language, 16, "%.15s", language);
}

static void begin_element(struct page *page, enum role role)
{
    switch (role) {
    case ROLE_INLINE:
        break;
    case ROLE_LINE:
        page->row_begun = false;
        flow_line(&page->flow);
        break;
    case ROLE_ITEM:
        flow_line(&page->flow);
        flow_text(&page->flow, "- ", 2);
        break;
    case ROLE_CELL:
        if (page->row_begun)
            flow_text(&page->flow, " | ", 3);
        page->row_begun = true;
        break;
    case ROLE_BREAK:
        flow_line(&page->flow);
        break;
    case ROLE_PRE:
        if (!page->pre_depth)
            page->pre_depth = page->depth;
        flow_paragraph(&page->flow);
        break;
    case ROLE_TITLE:
        if (!page->title_depth && !page->title.length)
            page->title_depth = page->depth;
        break;
    case ROLE_H1:
        if (!page->heading_depth && !page->heading.length)
            page->heading_depth = page->depth;
        flow_paragraph(&page->flow);
        break;
    case ROLE_ARTICLE:
        page->articles++;
        flow_paragraph(&page->flow);
        break;
    case ROLE_FOOTER:
        if (!page->articles)
            page->noise_depth = page->depth;
        flow_paragraph(&page->flow);
        break;
    case ROLE_NOISE:
        page->noise_depth = page->depth;
        break;
    case ROLE_PARAGRAPH:
        flow_paragraph(&page->flow);
        break;
    }
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar **attributes)
{
    struct page *page = ctx;
    if (page->failed)
        return;
    if (++page->depth > CAP_MARKUP_DEPTH) {
        error_set(ERR_PERMANENT, "too_deep", "its elements are nested more than %d deep",
                  CAP_MARKUP_DEPTH);
        stop(page);
        return;
    }
    if (page->noise_depth)
        return;
    take_language(page, name, attributes);
    enum role role = role_of(name);
    if (page->depth > 2 && is_hidden(attributes))
        role = ROLE_NOISE;
    begin_element(page, role);
}

static void end_element(struct page *page, enum role role)
{
    switch (role) {
    case ROLE_INLINE:
    case ROLE_CELL:
    case ROLE_BREAK:
    case ROLE_NOISE:
    case ROLE_TITLE:
        break;
    case ROLE_LINE:
    case ROLE_ITEM:
        flow_line(&page->flow);
        break;
    case ROLE_ARTICLE:
        page->articles -= page->articles > 0;
        flow_paragraph(&page->flow);
        break;
    default:
        flow_paragraph(&page->flow);
        break;
    }
}

static void on_end(void *ctx, const xmlChar *name)
{
    struct page *page = ctx;
    if (page->failed || page->depth == 0)
        return;
    if (!page->noise_depth)
        end_element(page, role_of(name));
    int *const marks[] = {&page->noise_depth, &page->pre_depth, &page->title_depth,
                          &page->heading_depth};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (*marks[i] == page->depth)
            *marks[i] = 0;
    page->depth--;
}

static void on_text(void *ctx, const xmlChar *bytes, int count)
{
    struct page *page = ctx;
    const char *text = (const char *)bytes;
    size_t length = count > 0 ? (size_t)count : 0;
    if (page->failed || page->noise_depth)
        return;
    if (page->title_depth) {
        short_append(&page->title, text, length);
        return;
    }
    if (page->heading_depth)
        short_append(&page->heading, text, length);
    if (page->pre_depth)
        flow_verbatim(&page->flow, text, length);
    else
        flow_text(&page->flow, text, length);
    if (page->flow.rc)
        stop(page);
}

static void on_error(void *ctx, xmlErrorPtr error)
{
    struct page *page = ctx;
    if (error->code != XML_ERR_NO_MEMORY || page->failed)
        return;
    error_set(ERR_PERMANENT, "parser_memory", "the page needs more memory than a parser may have");
    page->failed = true;
}

static int on_read(void *ctx, char *bytes, int capacity)
{
    struct page *page = ctx;
    if (page->failed)
        return 0;
    int n = page->source->read(page->source->ctx, bytes, capacity);
    if (n < 0)
        page->failed = true;
    return n;
}

static int parse(struct page *page)
{
    if (libxml_load())
        return (int)error_last()->code;
    htmlParserCtxtPtr parser = libxml.htmlNewParserCtxt();
    if (!parser)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to parse HTML");
    memset(parser->sax, 0, sizeof *parser->sax);
    parser->sax->startElement = on_start;
    parser->sax->endElement = on_end;
    parser->sax->characters = on_text;
    parser->sax->ignorableWhitespace = on_text;
    parser->sax->cdataBlock = on_text;
    parser->sax->serror = NULL;
    parser->userData = page;
    page->parser = parser;
    libxml.xmlSetStructuredErrorFunc(page, on_error);
    /* The source is UTF-8 already, whatever the page says of itself. */
    htmlDocPtr none =
        libxml.htmlCtxtReadIO(parser, on_read, NULL, page, NULL, "UTF-8",
                              HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_IGNORE_ENC);
    libxml.xmlFreeDoc(none);
    libxml.xmlSetStructuredErrorFunc(NULL, NULL);
    libxml.htmlFreeParserCtxt(parser);
    return page->failed ? (int)error_last()->code : OK;
}

int html_extract(const struct html_source *source,
                 int (*write)(void *ctx, const char *text, size_t length), void *ctx,
                 struct text_info_frame *info)
{
    struct page *page = calloc(1, sizeof *page);
    if (!page)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to parse HTML");
    memset(info, 0, sizeof *info);
    page->source = source;
    page->language = info->language;
    flow_init(&page->flow, write, ctx);
    int rc = parse(page);
    if (!rc)
        rc = flow_flush(&page->flow);
    short_copy(page->title.length ? &page->title : &page->heading, info->title, sizeof info->title);
    free(page);
    return rc;
}
