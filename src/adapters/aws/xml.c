#include "adapters/aws/xml.h"

#include <libxml/parser.h>
#include <pthread.h>

xmlTextReaderPtr aws_xml_open(const char *text, size_t length)
{
    /* The library would do this by itself, but not in two threads at once. */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, xmlInitParser);
    return xmlReaderForMemory(text, (int)length, NULL, NULL,
                              XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                  XML_PARSE_COMPACT);
}
