/*
 * sigv4.h - AWS Signature Version 4, for requests that carry their signature in a header.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 * Pure functions: nothing blocks, the time comes from the caller.
 */
#ifndef AEGIS_SHARED_SIGV4_H
#define AEGIS_SHARED_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_header; /* http.h */

enum { SIGV4_DATE_TEXT = 17, SIGV4_AUTHORIZATION = 4096, SIGV4_HASH_TEXT = 65 };

/* Who signs, for which service, when. */
struct sigv4_scope {
    const char *access_key_id, *secret_access_key;
    const char *region, *service;
    int64_t time_ms; /* Unix time; the value of x-amz-date must be of the same second */
};

struct sigv4_request {
    const char *method; /* "GET" */
    const char *path;   /* absolute, percent-encoded as it is sent */
    const char *query;  /* percent-encoded as it is sent, without "?"; "" if none; in any order.
                         * What AWS encodes otherwise is signed as AWS encodes it. */
    /* All are signed; names in any case and any order. host, x-amz-date and, with temporary
     * credentials, x-amz-security-token must be among them. */
    const struct http_header *headers;
    size_t header_count;
    const char *payload_hash; /* SHA-256 in hex, or "UNSIGNED-PAYLOAD" */
    /* S3: the path is signed as it is sent. Elsewhere it is normalised and encoded once more. */
    bool path_as_sent;
};

/* "20260131T235959Z"; "" outside the years 1000 to 9999 */
void sigv4_date(int64_t time_ms, char out[SIGV4_DATE_TEXT]);

/* SHA-256 of bytes in lower-case hex. */
void sigv4_hash(const void *bytes, size_t length, char out[SIGV4_HASH_TEXT]);

/* The value of the Authorization header. ERR_INVALID if a part is missing or malformed, x-amz-date
 * is not that of the scope, or it all does not fit (path and query CAP_HTTP_URL each, headers
 * CAP_HTTP_HEADERS, the secret 512 bytes); ERR_NO_MEMORY. */
int sigv4_sign(const struct sigv4_scope *scope, const struct sigv4_request *request,
               char out[SIGV4_AUTHORIZATION]);

/* Percent-encodes text as AWS wants it (unreserved characters of RFC 3986 stay; "/" too if
 * `keep_slash`), NUL-terminated, at most capacity - 1 bytes. ERR_TOO_LARGE if it does not fit. */
int sigv4_encode(const char *text, bool keep_slash, char *out, size_t capacity);

#endif
