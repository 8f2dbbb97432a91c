/*
 * base64.h - decoding long base64 (RFC 4648, section 4) at memory speed: a job's embeddings come as
 * tens of kilobytes of it, and OpenSSL's decoder would take longer than all else that is done with
 * the reply.
 */
#ifndef AEGIS_SHARED_BASE64_H
#define AEGIS_SHARED_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes groups of four digits without padding, three bytes each, to `out` (3 * groups bytes).
 * False, and `out` is undefined, if there is any other character. */
bool base64_groups(const char *text, size_t groups, void *out);

#endif
