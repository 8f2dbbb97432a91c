/* docx.c - see docx.h. libxml2's reader walks each part as a stream; it never loads anything else.
 */
#include "media/docx.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/flow.h"
#include "media/package.h"
#include "media/utf8.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/libxml.h"

struct document {
    struct package *package;
    struct flow flow;
    struct text_info_frame *info;
    char main_part[256];
    bool in_text;   /* w:t */
    bool row_begun; /* this table row has a cell */
    int tables;     /* how deep */
    int skip_depth; /* the outermost element being left out; 0: none */
    char *property; /* core.xml: where the current element's text goes */
    size_t property_room;
};

/* What to do at each node; non-zero stops. */
typedef int (*visit)(struct document *d, xmlTextReaderPtr reader, int type, const char *name);

/* ---- one XML part ---- */

struct part {
    struct member *member;
    char first[2]; /* looked at before the parser gets them */
    int held;
};

static int read_member(void *ctx, char *bytes, int capacity)
{
    struct part *part = ctx;
    if (part->held > 0 && capacity >= part->held) {
        int n = part->held;
        memcpy(bytes, part->first, (size_t)n);
        part->held = 0;
        return n;
    }
    return member_read(part->member, bytes, capacity);
}

/* The reader parses ahead of what it reports, so that the depth reached is known to its message
 * only. */
static bool is_too_deep(const xmlError *error)
{
    return error && error->message && strstr(error->message, "Excessive depth");
}

static int judge_xml(void)
{
    const xmlError *error = libxml.xmlGetLastError();
    if (error_last()->code != OK) /* member_read's */
        return error_last()->code;
    if (is_too_deep(error))
        return error_set(ERR_PERMANENT, "too_deep", "its elements are nested more than %d deep",
                         CAP_MARKUP_DEPTH);
    if (error && error->code == XML_ERR_NO_MEMORY)
        return error_set(ERR_PERMANENT, "parser_memory", "the DOCX needs too much memory");
    return error_set(ERR_PERMANENT, "unreadable", "the DOCX is damaged: %s",
                     error && error->message ? error->message : "broken XML");
}

static int walk(struct document *d, xmlTextReaderPtr reader, visit at_node)
{
    int more, rc = OK;
    while (!rc && (more = libxml.xmlTextReaderRead(reader)) == 1) {
        int type = libxml.xmlTextReaderNodeType(reader);
        if (type == XML_READER_TYPE_DOCUMENT_TYPE)
            return error_set(ERR_PERMANENT, "unreadable",
                             "the DOCX is damaged: its XML declares a document type");
        const char *name = (const char *)libxml.xmlTextReaderConstLocalName(reader);
        rc = at_node(d, reader, type, name ? name : "");
    }
    return rc ? rc : more < 0 ? judge_xml() : OK;
}

/* OPC allows UTF-8 and UTF-16 only (ECMA-376 part 2, 8.1.4): any other declaration is ignored, for
 * converters cannot be loaded inside the sandbox. */
static xmlTextReaderPtr open_reader(struct part *part)
{
    int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_COMPACT;
    part->held = member_read(part->member, part->first, sizeof part->first);
    bool utf16 = part->held == 2 &&
                 (!memcmp(part->first, "\xff\xfe", 2) || !memcmp(part->first, "\xfe\xff", 2));
    return libxml.xmlReaderForIO(read_member, NULL, part, NULL, utf16 ? "UTF-16" : "UTF-8",
                                 options | XML_PARSE_IGNORE_ENC);
}

static int read_part(struct document *d, const char *name, visit at_node)
{
    struct part part;
    error_clear();
    int rc = member_open(d->package, name, &part.member);
    if (rc)
        return rc;
    libxml.xmlResetLastError();
    xmlTextReaderPtr reader = open_reader(&part);
    rc = reader ? walk(d, reader, at_node)
                : error_set(ERR_NO_MEMORY, NULL, "out of memory to read a DOCX");
    libxml.xmlFreeTextReader(reader);
    member_close(part.member);
    return rc;
}

/* Parts that may be missing. */
static int read_optional(struct document *d, const char *name, visit at_node)
{
    int rc = read_part(d, name, at_node);
    return rc == ERR_NOT_FOUND ? OK : rc;
}

/* ---- which part is the document ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static int visit_relation(struct document *d, xmlTextReaderPtr reader, int type, const char *name)
{
    if (type != XML_READER_TYPE_ELEMENT || strcmp(name, "Relationship") != 0)
        return OK;
    xmlChar *kind = libxml.xmlTextReaderGetAttribute(reader, (const xmlChar *)"Type");
    xmlChar *target = libxml.xmlTextReaderGetAttribute(reader, (const xmlChar *)"Target");
    if (kind && target && ends_with((const char *)kind, "/officeDocument")) {
        const char *path = (const char *)target;
        snprintf(d->main_part, sizeof d->main_part, "%s", path + (*path == '/'));
    }
    (*libxml.xmlFree)(kind);
    (*libxml.xmlFree)(target);
    return OK;
}

/* ---- title and language ---- */

static int visit_property(struct document *d, xmlTextReaderPtr reader, int type, const char *name)
{
    if (type == XML_READER_TYPE_ELEMENT) {
        d->property = NULL;
        if (!strcmp(name, "title")) {
            d->property = d->info->title;
            d->property_room = sizeof d->info->title;
        } else if (!strcmp(name, "language")) {
            d->property = d->info->language;
            d->property_room = sizeof d->info->language;
        }
    } else if (type == XML_READER_TYPE_TEXT && d->property) {
        const char *text = (const char *)libxml.xmlTextReaderConstValue(reader);
        size_t n = text ? utf8_cut(text, strlen(text), d->property_room - 1) : 0;
        memcpy(d->property, text ? text : "", n);
        d->property[n] = '\0';
        d->property = NULL;
    }
    return OK;
}

/* ---- the text ---- */

/* Left out: fallbacks that repeat what was there already, separators of notes. */
static bool is_skipped(xmlTextReaderPtr reader, const char *name)
{
    if (!strcmp(name, "Fallback"))
        return true;
    if (strcmp(name, "footnote") != 0 && strcmp(name, "endnote") != 0)
        return false;
    xmlChar *type = libxml.xmlTextReaderGetAttribute(reader, (const xmlChar *)"w:type");
    bool skipped = type && strcmp((const char *)type, "normal") != 0;
    (*libxml.xmlFree)(type);
    return skipped;
}

static void take_language(struct document *d, xmlTextReaderPtr reader)
{
    if (*d->info->language)
        return;
    xmlChar *language = libxml.xmlTextReaderGetAttribute(reader, (const xmlChar *)"w:val");
    if (language)
        snprintf(d->info->language, sizeof d->info->language, "%.15s", (const char *)language);
    (*libxml.xmlFree)(language);
}

static void begin_element(struct document *d, xmlTextReaderPtr reader, const char *name)
{
    if (!strcmp(name, "t")) {
        d->in_text = !libxml.xmlTextReaderIsEmptyElement(reader);
    } else if (!strcmp(name, "tab")) {
        flow_text(&d->flow, " ", 1);
    } else if (!strcmp(name, "br") || !strcmp(name, "cr")) {
        flow_line(&d->flow);
    } else if (!strcmp(name, "noBreakHyphen")) {
        flow_text(&d->flow, "-", 1);
    } else if (!strcmp(name, "numPr")) {
        flow_text(&d->flow, "- ", 2);
    } else if (!strcmp(name, "tbl")) {
        d->tables++;
        flow_paragraph(&d->flow);
    } else if (!strcmp(name, "tr")) {
        d->row_begun = false;
        flow_line(&d->flow);
    } else if (!strcmp(name, "tc")) {
        if (d->row_begun)
            flow_text(&d->flow, " | ", 3);
        d->row_begun = true;
    } else if (!strcmp(name, "lang")) {
        take_language(d, reader);
    }
}

static void end_element(struct document *d, const char *name)
{
    if (!strcmp(name, "t")) {
        d->in_text = false;
    } else if (!strcmp(name, "p")) {
        if (d->tables) /* cells stay on their row's line */
            flow_text(&d->flow, " ", 1);
        else
            flow_paragraph(&d->flow);
    } else if (!strcmp(name, "tr")) {
        flow_line(&d->flow);
    } else if (!strcmp(name, "tbl")) {
        d->tables -= d->tables > 0;
        flow_paragraph(&d->flow);
    }
}

static int visit_text(struct document *d, xmlTextReaderPtr reader, int type, const char *name)
{
    int depth = libxml.xmlTextReaderDepth(reader) + 1;
    if (d->skip_depth) {
        if (type == XML_READER_TYPE_END_ELEMENT && depth == d->skip_depth)
            d->skip_depth = 0;
        return OK;
    }
    if (type == XML_READER_TYPE_ELEMENT) {
        if (!is_skipped(reader, name))
            begin_element(d, reader, name);
        else if (!libxml.xmlTextReaderIsEmptyElement(reader))
            d->skip_depth = depth;
    } else if (type == XML_READER_TYPE_END_ELEMENT) {
        end_element(d, name);
    } else if (d->in_text) { /* text, CDATA, significant white space */
        const char *text = (const char *)libxml.xmlTextReaderConstValue(reader);
        if (text)
            flow_text(&d->flow, text, strlen(text));
    }
    return d->flow.rc;
}

/* A part beside the main one: "word/document.xml" gives "word/footnotes.xml". */
static int read_notes(struct document *d, const char *file)
{
    char name[320];
    const char *slash = strrchr(d->main_part, '/');
    int folder = slash ? (int)(slash - d->main_part) + 1 : 0;
    snprintf(name, sizeof name, "%.*s%s", folder, d->main_part, file);
    flow_paragraph(&d->flow);
    d->tables = d->skip_depth = 0;
    return read_optional(d, name, visit_text);
}

static int read_document(struct document *d)
{
    int rc = read_optional(d, "_rels/.rels", visit_relation);
    if (!rc)
        rc = read_optional(d, "docProps/core.xml", visit_property);
    if (rc)
        return rc;
    rc = read_part(d, d->main_part, visit_text);
    if (rc == ERR_NOT_FOUND)
        return error_set(ERR_PERMANENT, "unreadable", "the DOCX is damaged: '%s' is missing",
                         d->main_part);
    if (!rc)
        rc = read_notes(d, "footnotes.xml");
    if (!rc)
        rc = read_notes(d, "endnotes.xml");
    return rc ? rc : flow_flush(&d->flow);
}

int docx_extract(int fd, int (*write)(void *ctx, const char *text, size_t length), void *ctx,
                 struct text_info_frame *info)
{
    struct document *d = calloc(1, sizeof *d);
    memset(info, 0, sizeof *info);
    if (!d)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to read a DOCX");
    d->info = info;
    snprintf(d->main_part, sizeof d->main_part, "word/document.xml");
    flow_init(&d->flow, write, ctx);
    int rc = libxml_load();
    if (!rc)
        rc = package_open(fd, &d->package);
    if (!rc)
        rc = read_document(d);
    package_close(d->package);
    free(d);
    return rc;
}
