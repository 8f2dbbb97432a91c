#include "shared/object_name.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <unistr.h>

#include "shared/caps.h"
#include "shared/error.h"

static bool letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool bucket_ok(const char *bucket, size_t length)
{
    struct in_addr address;
    if (length == 0 || length > CAP_BUCKET)
        return false;
    if (!letter_or_digit(bucket[0]) || !letter_or_digit(bucket[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!letter_or_digit(bucket[i]) && bucket[i] != '-' && bucket[i] != '.')
            return false;
    return !strstr(bucket, "..") && inet_pton(AF_INET, bucket, &address) != 1;
}

int object_bucket_check(const char *bucket)
{
    if (bucket_ok(bucket, strnlen(bucket, CAP_BUCKET + 1)))
        return OK;
    return error_set(ERR_INVALID, "bad_bucket",
                     "'%.80s' is not a bucket name: use 1 to %d lower case letters, digits, dots "
                     "and hyphens, with a letter or digit at both ends",
                     bucket, CAP_BUCKET);
}

int object_key_check(const char *key)
{
    size_t length = strnlen(key, CAP_KEY + 1);
    if (length == 0)
        return error_set(ERR_INVALID, "bad_key", "the key of an object is empty");
    if (length > CAP_KEY)
        return error_set(ERR_INVALID, "bad_key", "key '%.80s...' is longer than %d bytes", key,
                         CAP_KEY);
    if (u8_check((const uint8_t *)key, length))
        return error_set(ERR_INVALID, "bad_key", "key '%.80s' is not valid UTF-8", key);
    return OK;
}
