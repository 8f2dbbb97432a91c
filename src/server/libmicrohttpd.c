#include "server/libmicrohttpd.h"

LATE_LIBRARY_DEFINE(libmicrohttpd, "libmicrohttpd.so.12", LIBMICROHTTPD_FUNCTIONS)
