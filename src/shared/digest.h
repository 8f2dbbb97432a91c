/*
 * digest.h - content digests (SHA-256, FIPS 180-4; MD5, RFC 1321, only for S3 ETags), by OpenSSL.
 */
#ifndef AEGIS_SHARED_DIGEST_H
#define AEGIS_SHARED_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_TEXT = 65 };

/* A SHA-256 value. All zero means "not known". */
struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

bool digest_known(const struct digest *d);
bool digest_equal(const struct digest *a, const struct digest *b);
void digest_format(const struct digest *d, char out[DIGEST_TEXT]); /* lower-case hex */
int digest_parse(const char *hex, struct digest *out);             /* 0 or ERR_INVALID */

struct digest digest_of(const void *bytes, size_t length);

/* Incremental. digest_begin allocates; digest_end or digest_abort frees. One thread at a time. */
struct digest_stream;
struct digest_stream *digest_begin(bool with_md5); /* NULL with ERR_NO_MEMORY set */
void digest_update(struct digest_stream *s, const void *bytes, size_t length);
/* `md5_hex` (33 bytes) may be NULL; only written if with_md5 was true. */
struct digest digest_end(struct digest_stream *s, char *md5_hex);
void digest_abort(struct digest_stream *s);

/* A digest of named settings. Each part is length-prefixed, so ("ab","c") differs from ("a","bc").
 * The list ends with NULL. */
struct digest digest_of_strings(const char *first, ...) __attribute__((sentinel));

/* Writes 2*length lower-case digits and a NUL. */
void hex_encode(const void *bytes, size_t length, char *out);
/* Reads exactly 2*length digits; false if any is not one. */
bool hex_decode(const char *hex, size_t length, void *out);

#endif
