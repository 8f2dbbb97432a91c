#include "shared/libxml.h"

LATE_LIBRARY_DEFINE(libxml, "libxml2.so.2", LIBXML_FUNCTIONS)
