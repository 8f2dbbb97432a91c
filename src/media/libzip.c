#include "media/libzip.h"

LATE_LIBRARY_DEFINE(libzip, "libzip.so.4", LIBZIP_FUNCTIONS)
