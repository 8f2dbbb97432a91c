/*
 * object_name.h - which bucket names and keys an object store accepts, one set of rules for all of
 * them.
 */
#ifndef AEGIS_SHARED_OBJECT_NAME_H
#define AEGIS_SHARED_OBJECT_NAME_H

/*
 * S3's rules for bucket names (Amazon S3 User Guide, "General purpose bucket naming rules"): lower
 * case letters, digits, dots and hyphens, at most CAP_BUCKET of them, a letter or digit at both
 * ends, no two dots in a row, not formed like an IPv4 address. Names of one or two characters,
 * which S3 does not allow, are fine here. 0 or ERR_INVALID.
 */
int object_bucket_check(const char *bucket);

/* S3's rule for keys: 1 to CAP_KEY bytes of UTF-8. 0 or ERR_INVALID. */
int object_key_check(const char *key);

#endif
