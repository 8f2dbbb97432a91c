#include "adapters/aws/xml.h"

#include <pthread.h>

#include "shared/error.h"

static void get_ready(void)
{
    libxml.xmlInitParser();
}

int aws_xml_open(const char *text, size_t length, xmlTextReaderPtr *out)
{
    /* The library would do this by itself, but not in two threads at once. */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int rc = libxml_load();
    if (rc)
        return rc;
    pthread_once(&once, get_ready);
    *out = libxml.xmlReaderForMemory(text, (int)length, NULL, NULL,
                                     XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                         XML_PARSE_COMPACT);
    return *out ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory to read XML");
}
