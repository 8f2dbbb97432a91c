#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "adapters/aws/store_s3_internal.h"
#include "shared/crc.h"
#include "shared/error.h"

static const struct {
    enum s3_checksum_kind kind;
    const char *header;
} kinds[] = {
    /* S3's own, which it gives to all that came without; then the cheap ones */
    {S3_CHECKSUM_CRC64NVME, S3_HEADER_CRC64NVME},
    {S3_CHECKSUM_CRC32C, "x-amz-checksum-crc32c"},
    {S3_CHECKSUM_CRC32, "x-amz-checksum-crc32"},
    {S3_CHECKSUM_SHA256, S3_HEADER_SHA256},
};

/* Base64 of a number, its highest byte first. */
static void encode_number(uint64_t value, size_t bytes, char out[S3_CHECKSUM_TEXT])
{
    unsigned char big_endian[sizeof value];
    for (size_t i = 0; i < bytes; i++)
        big_endian[i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
    EVP_EncodeBlock((unsigned char *)out, big_endian, (int)bytes);
}

void s3_checksum_crc(enum crc_kind kind, uint64_t crc, char out[S3_CHECKSUM_TEXT])
{
    encode_number(crc, kind == CRC_64_NVME ? 8 : 4, out);
}

void s3_checksum_digest(const struct digest *digest, char out[S3_CHECKSUM_TEXT])
{
    EVP_EncodeBlock((unsigned char *)out, digest->bytes, DIGEST_BYTES);
}

void s3_checksum_read(const struct http_response *response, struct s3_checksum *out)
{
    *out = (struct s3_checksum){.kind = S3_CHECKSUM_NONE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (http_response_header(response, kinds[i].header, out->text, sizeof out->text) &&
            !strchr(out->text, '-')) {
            out->kind = kinds[i].kind;
            return;
        }
}

bool s3_checksum_crc_kind(const struct s3_checksum *expected, enum crc_kind *out)
{
    switch (expected->kind) {
    case S3_CHECKSUM_CRC64NVME:
        *out = CRC_64_NVME;
        return true;
    case S3_CHECKSUM_CRC32C:
        *out = CRC_32C;
        return true;
    case S3_CHECKSUM_CRC32:
        *out = CRC_32;
        return true;
    default:
        return false;
    }
}

int s3_checksum_compare(const struct s3_checksum *expected, const char *found, const char *key)
{
    if (!strcmp(expected->text, found))
        return OK;
    return error_set(ERR_TRANSIENT, "checksum_mismatch",
                     "what came of '%s' has the checksum '%s' instead of '%.44s', which S3 keeps "
                     "of it: it is read again; if that does not help, put the object again",
                     key, found, expected->text);
}

int s3_checksum_check(const struct s3_checksum *expected, const void *bytes, size_t length,
                      const struct digest *digest, const char *key)
{
    char found[S3_CHECKSUM_TEXT];
    enum crc_kind kind;
    if (expected->kind == S3_CHECKSUM_NONE)
        return OK;
    if (s3_checksum_crc_kind(expected, &kind))
        s3_checksum_crc(kind, crc_of(kind, bytes, length), found);
    else
        s3_checksum_digest(digest, found);
    return s3_checksum_compare(expected, found, key);
}
