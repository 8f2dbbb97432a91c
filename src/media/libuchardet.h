/* libuchardet.h - uchardet, loaded late (shared/late.h): the C++ library comes with it. */
#ifndef AEGIS_MEDIA_LIBUCHARDET_H
#define AEGIS_MEDIA_LIBUCHARDET_H

#include <uchardet/uchardet.h>

#include "shared/late.h"

#define LIBUCHARDET_FUNCTIONS(X)                                                                   \
    X(uchardet_new)                                                                                \
    X(uchardet_delete)                                                                             \
    X(uchardet_handle_data)                                                                        \
    X(uchardet_data_end)                                                                           \
    X(uchardet_get_charset)

LATE_LIBRARY(libuchardet, LIBUCHARDET_FUNCTIONS)

#endif
