/* libmicrohttpd.h - libmicrohttpd, loaded late (shared/late.h): GnuTLS comes with it. */
#ifndef AEGIS_SERVER_LIBMICROHTTPD_H
#define AEGIS_SERVER_LIBMICROHTTPD_H

#include <microhttpd.h>

#include "shared/late.h"

#define LIBMICROHTTPD_FUNCTIONS(X)                                                                 \
    X(MHD_add_response_header)                                                                     \
    X(MHD_create_response_from_buffer)                                                             \
    X(MHD_destroy_response)                                                                        \
    X(MHD_queue_response)                                                                          \
    X(MHD_start_daemon)                                                                            \
    X(MHD_stop_daemon)

LATE_LIBRARY(libmicrohttpd, LIBMICROHTTPD_FUNCTIONS)

#endif
