/* libxml.h - libxml2, loaded late (late.h): its ICU alone is 30 MB. */
#ifndef AEGIS_SHARED_LIBXML_H
#define AEGIS_SHARED_LIBXML_H

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/xmlreader.h>

#include "shared/late.h"

#define LIBXML_FUNCTIONS(X)                                                                        \
    X(xmlInitParser)                                                                               \
    X(xmlFree)                                                                                     \
    X(xmlGetLastError)                                                                             \
    X(xmlResetLastError)                                                                           \
    X(xmlSetStructuredErrorFunc)                                                                   \
    X(xmlStopParser)                                                                               \
    X(xmlFreeDoc)                                                                                  \
    X(xmlReaderForIO)                                                                              \
    X(xmlReaderForMemory)                                                                          \
    X(xmlFreeTextReader)                                                                           \
    X(xmlTextReaderRead)                                                                           \
    X(xmlTextReaderReadString)                                                                     \
    X(xmlTextReaderNodeType)                                                                       \
    X(xmlTextReaderDepth)                                                                          \
    X(xmlTextReaderConstLocalName)                                                                 \
    X(xmlTextReaderConstValue)                                                                     \
    X(xmlTextReaderGetAttribute)                                                                   \
    X(xmlTextReaderIsEmptyElement)                                                                 \
    X(htmlNewParserCtxt)                                                                           \
    X(htmlFreeParserCtxt)                                                                          \
    X(htmlCtxtReadIO)

LATE_LIBRARY(libxml, LIBXML_FUNCTIONS)

#endif
