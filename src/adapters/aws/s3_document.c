#include <string.h>

#include "adapters/aws/store_s3_internal.h"
#include "adapters/aws/xml.h"
#include "shared/error.h"

enum { DEPTH = 8, NAME_TEXT = 40 };

/* The elements around the present place. */
struct place {
    char names[DEPTH][NAME_TEXT];
    bool holds_others[DEPTH];
    int depth;
    struct buffer text; /* of the innermost */
};

static int begin_element(struct place *p, xmlTextReaderPtr reader, const struct s3_document *d)
{
    if (p->depth == DEPTH)
        return error_set(ERR_TRANSIENT, "malformed_reply", "an answer of S3 is nested too deep");
    if (p->depth)
        p->holds_others[p->depth - 1] = true;
    snprintf(p->names[p->depth], NAME_TEXT, "%s",
             (const char *)libxml.xmlTextReaderConstLocalName(reader));
    p->holds_others[p->depth] = false;
    p->depth++;
    buffer_clear(&p->text);
    if (!libxml.xmlTextReaderIsEmptyElement(reader))
        return OK;
    p->depth--;
    return d->at ? d->at(d->ctx, p->depth ? p->names[p->depth - 1] : "", p->names[p->depth], "")
                 : OK;
}

static int end_element(struct place *p, const struct s3_document *d)
{
    const char *name = p->names[--p->depth];
    if (p->holds_others[p->depth])
        return d->end ? d->end(d->ctx, name) : OK;
    int rc =
        d->at ? d->at(d->ctx, p->depth ? p->names[p->depth - 1] : "", name, buffer_string(&p->text))
              : OK;
    buffer_clear(&p->text);
    return rc;
}

static int at_node(struct place *p, xmlTextReaderPtr reader, const struct s3_document *d)
{
    switch (libxml.xmlTextReaderNodeType(reader)) {
    case XML_READER_TYPE_ELEMENT:
        return begin_element(p, reader, d);
    case XML_READER_TYPE_END_ELEMENT:
        return end_element(p, d);
    case XML_READER_TYPE_TEXT:
    case XML_READER_TYPE_CDATA:
    case XML_READER_TYPE_WHITESPACE:
    case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
        return buffer_append_string(&p->text, (const char *)libxml.xmlTextReaderConstValue(reader));
    default:
        return OK;
    }
}

int s3_document_read(const struct http_response *response, const struct s3_document *document)
{
    xmlTextReaderPtr reader;
    int rc = aws_xml_open(buffer_string(&response->body), response->body.length, &reader);
    if (rc)
        return rc;
    struct place place = {.depth = 0};
    int more = 0;
    buffer_init(&place.text, KIB(16));
    while (!rc && (more = libxml.xmlTextReaderRead(reader)) == 1)
        rc = at_node(&place, reader, document);
    if (!rc && more != 0)
        rc = error_set(ERR_TRANSIENT, "malformed_reply", "an answer of S3 is not well-formed XML");
    buffer_free(&place.text);
    libxml.xmlFreeTextReader(reader);
    return rc;
}
