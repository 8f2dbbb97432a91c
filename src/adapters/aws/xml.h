/*
 * xml.h - the XML that AWS's services answer with, read by libxml2's text reader.
 */
#ifndef AEGIS_ADAPTERS_AWS_XML_H
#define AEGIS_ADAPTERS_AWS_XML_H

#include <libxml/xmlreader.h>
#include <stddef.h>

/* A reader of borrowed text, of less than 2 GiB; it loads nothing and prints nothing. Thread-safe.
 * NULL if out of memory. For xmlFreeTextReader, which takes NULL. */
xmlTextReaderPtr aws_xml_open(const char *text, size_t length);

#endif
