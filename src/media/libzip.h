/* libzip.h - libzip, loaded late (shared/late.h). */
#ifndef AEGIS_MEDIA_LIBZIP_H
#define AEGIS_MEDIA_LIBZIP_H

#include <zip.h>

#include "shared/late.h"

#define LIBZIP_FUNCTIONS(X)                                                                        \
    X(zip_discard)                                                                                 \
    X(zip_error_code_zip)                                                                          \
    X(zip_error_fini)                                                                              \
    X(zip_error_init)                                                                              \
    X(zip_error_set)                                                                               \
    X(zip_error_strerror)                                                                          \
    X(zip_error_to_data)                                                                           \
    X(zip_fclose)                                                                                  \
    X(zip_file_strerror)                                                                           \
    X(zip_fopen_index)                                                                             \
    X(zip_fread)                                                                                   \
    X(zip_get_error)                                                                               \
    X(zip_name_locate)                                                                             \
    X(zip_open_from_source)                                                                        \
    X(zip_source_free)                                                                             \
    X(zip_source_function_create)                                                                  \
    X(zip_source_seek_compute_offset)                                                              \
    X(zip_stat_index)                                                                              \
    X(zip_stat_init)

LATE_LIBRARY(libzip, LIBZIP_FUNCTIONS)

#endif
