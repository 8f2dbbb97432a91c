/*
 * credentials.h - AWS credentials, found in the order of AWS's SDKs and refreshed before they
 * expire.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html. In turn:
 *   1. environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
 *      AWS_CREDENTIAL_EXPIRATION
 *   2. web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN (STS AssumeRoleWithWebIdentity)
 *   3. shared files: ~/.aws/credentials and ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE,
 *      AWS_CONFIG_FILE), profile AWS_PROFILE or "default": keys, or a role (role_arn with
 *      source_profile, credential_source or web_identity_token_file); sso, credential_process and
 *      mfa_serial are refused with what to do instead
 *   4. container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, with
 *      AWS_CONTAINER_AUTHORIZATION_TOKEN(_FILE)
 *   5. instance metadata, version 2 with a token (AWS_EC2_METADATA_DISABLED,
 *      AWS_EC2_METADATA_SERVICE_ENDPOINT)
 * The first place that has anything decides; it is not left for a later one when it fails. A
 * profile that is named by the options begins with 3, as it does for the SDKs; AWS_PROFILE does
 * not.
 */
#ifndef AEGIS_ADAPTERS_AWS_CREDENTIALS_H
#define AEGIS_ADAPTERS_AWS_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/cancel.h"
#include "shared/clock.h"

struct http_engine;
struct aws_credentials;

enum { AWS_KEY_TEXT = 256, AWS_TOKEN_TEXT = 8192, AWS_REGION_TEXT = 64 };

struct aws_credential {
    char access_key_id[AWS_KEY_TEXT];
    char secret_access_key[AWS_KEY_TEXT];
    char session_token[AWS_TOKEN_TEXT]; /* "" for long-term keys */
    int64_t expires_ms;                 /* Unix time; 0: never */
};

struct aws_credentials_options {
    struct http_engine *http; /* for 2, 4 and 5; borrowed */
    const struct clock *clock;
    const char *profile; /* NULL or "": AWS_PROFILE, else "default" */
    const char *region;  /* of STS; NULL or "": aws_region's */
    const char
        *sts_endpoint; /* NULL or "": AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, else AWS's own */
};

/* Looks nothing up yet. */
int aws_credentials_open(const struct aws_credentials_options *options,
                         struct aws_credentials **out);
void aws_credentials_close(struct aws_credentials *c); /* NULL is fine */

/*
 * Copies the present credential. Blocks while one is fetched, which one caller does for all: the
 * first time, and from five minutes before it expires; then the other callers, and all while the
 * new one cannot be had (it is asked for every 30 s), get the old one until it expires.
 * Thread-safe. ERR_SYSTEMIC with reason "aws_credentials" (none found anywhere, a file that cannot
 * be read or parsed, an endpoint that refuses; the text says where it was looked and what to do) or
 * "tls", ERR_TRANSIENT (an endpoint is out of reach or busy, or gives what has expired already),
 * ERR_CANCELLED, ERR_NO_MEMORY.
 */
int aws_credentials_get(struct aws_credentials *c, const struct cancel *cancel,
                        struct aws_credential *out);

/* The service refused this one (expired, revoked): the next get fetches anew, once for all who
 * report the same one, and no more than every 30 s if it gets the same one again. Those of the
 * environment stay what they are. */
void aws_credentials_refused(struct aws_credentials *c, const struct aws_credential *refused);

/* Where the credential comes from, for people: "environment", "web identity of role '...'",
 * "profile 'x' in '...'", "role '...' of profile 'x'", "container endpoint", "instance metadata".
 * "" before the first get. Copied to out. */
void aws_credentials_source(struct aws_credentials *c, char *out, size_t capacity);

/* The region: AWS_REGION, AWS_DEFAULT_REGION, else the profile's in ~/.aws/config (profile NULL or
 * "": AWS_PROFILE, else "default"). ERR_NOT_FOUND if it is said nowhere, ERR_INVALID if it is no
 * region's name, ERR_SYSTEMIC "aws_credentials" if the file cannot be read or parsed. */
int aws_region(const char *profile, char out[AWS_REGION_TEXT]);

/* A region's name becomes part of a host's: letters, digits and "-", shorter than AWS_REGION_TEXT.
 */
bool aws_is_region(const char *text);

#endif
