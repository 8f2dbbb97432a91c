#include "shared/digest.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

struct digest_stream {
    EVP_MD_CTX *sha256;
    EVP_MD_CTX *md5; /* NULL if not asked for */
};

bool digest_known(const struct digest *d)
{
    static const struct digest zero;
    return !digest_equal(d, &zero);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

void digest_format(const struct digest *d, char out[DIGEST_TEXT])
{
    hex_encode(d->bytes, DIGEST_BYTES, out);
}

int digest_parse(const char *hex, struct digest *out)
{
    if (strlen(hex) != 2 * DIGEST_BYTES || !hex_decode(hex, DIGEST_BYTES, out->bytes))
        return error_set(ERR_INVALID, NULL, "'%.80s' is not a SHA-256 digest of 64 hex digits",
                         hex);
    return OK;
}

struct digest digest_of(const void *bytes, size_t length)
{
    struct digest d;
    SHA256(bytes, length, d.bytes);
    return d;
}

struct digest_stream *digest_begin(bool with_md5)
{
    struct digest_stream *s = calloc(1, sizeof *s);
    if (s && (s->sha256 = EVP_MD_CTX_new()) && EVP_DigestInit_ex(s->sha256, EVP_sha256(), NULL) &&
        (!with_md5 || ((s->md5 = EVP_MD_CTX_new()) && EVP_DigestInit_ex(s->md5, EVP_md5(), NULL))))
        return s;
    digest_abort(s);
    error_set(ERR_NO_MEMORY, NULL, "out of memory for a digest");
    return NULL;
}

void digest_update(struct digest_stream *s, const void *bytes, size_t length)
{
    EVP_DigestUpdate(s->sha256, bytes, length);
    if (s->md5)
        EVP_DigestUpdate(s->md5, bytes, length);
}

struct digest digest_end(struct digest_stream *s, char *md5_hex)
{
    struct digest d;
    unsigned char md5[16];
    EVP_DigestFinal_ex(s->sha256, d.bytes, NULL);
    if (s->md5 && md5_hex) {
        EVP_DigestFinal_ex(s->md5, md5, NULL);
        hex_encode(md5, sizeof md5, md5_hex);
    }
    digest_abort(s);
    return d;
}

void digest_abort(struct digest_stream *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->sha256);
    EVP_MD_CTX_free(s->md5);
    free(s);
}

struct digest digest_of_strings(const char *first, ...)
{
    SHA256_CTX ctx;
    struct digest d;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    SHA256_Init(&ctx);
    va_list ap;
    va_start(ap, first);
    for (const char *part = first; part; part = va_arg(ap, const char *)) {
        uint64_t length = strlen(part);
        SHA256_Update(&ctx, &length, sizeof length);
        SHA256_Update(&ctx, part, length);
    }
    va_end(ap);
    SHA256_Final(d.bytes, &ctx);
#pragma GCC diagnostic pop
    return d;
}

void hex_encode(const void *bytes, size_t length, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * length] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *hex, size_t length, void *out)
{
    unsigned char *p = out;
    for (size_t i = 0; i < length; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0)
            return false;
        p[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
