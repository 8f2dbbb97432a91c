/*
 * sigv4_internal.h - between the files of sigv4.h.
 */
#ifndef AEGIS_SHARED_SIGV4_INTERNAL_H
#define AEGIS_SHARED_SIGV4_INTERNAL_H

#include "shared/sigv4.h"

enum { SIGV4_SECRET_CAP = 512 };

/* Sets ERR_INVALID: "a request to AWS cannot be signed: " and what. */
int sigv4_invalid(const char *what);

/* ERR_INVALID if a part is missing or malformed, so that all there is fits CAP_SIGNED_REQUEST. */
int sigv4_check(const struct sigv4_scope *scope, const struct sigv4_request *request);

#endif
