/*
 * xml.h - the XML that AWS's services answer with, read by libxml2's text reader.
 */
#ifndef AEGIS_ADAPTERS_AWS_XML_H
#define AEGIS_ADAPTERS_AWS_XML_H

#include <stddef.h>

#include "shared/libxml.h"

/* Loads the library if need be. *out reads the borrowed text, of less than 2 GiB, loads nothing and
 * prints nothing; libxml.xmlFreeTextReader frees it. Thread-safe. ERR_SYSTEMIC "library_missing",
 * ERR_NO_MEMORY. */
int aws_xml_open(const char *text, size_t length, xmlTextReaderPtr *out);

#endif
