#include "media/libuchardet.h"

LATE_LIBRARY_DEFINE(libuchardet, "libuchardet.so.0", LIBUCHARDET_FUNCTIONS)
