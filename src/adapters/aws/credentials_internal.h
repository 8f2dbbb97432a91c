/*
 * credentials_internal.h - the places where credentials are looked for, and the parsers of what
 * comes from outside (each has a fuzz target: tests/fuzz/fuzz_aws_credentials.c).
 */
#ifndef AEGIS_ADAPTERS_AWS_CREDENTIALS_INTERNAL_H
#define AEGIS_ADAPTERS_AWS_CREDENTIALS_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "adapters/aws/credentials.h"
#include "shared/http.h"

enum {
    AWS_SOURCE_TEXT = 512,
    AWS_ROLE_TEXT = 2049, /* IAM: an ARN has at most 2,048 characters */
    AWS_PROFILE_TEXT = 256,
    AWS_EXTERNAL_ID_TEXT = 1225, /* STS: at most 1,224 */
    AWS_SESSION_NAME_TEXT = 65,  /* STS: at most 64 */
    AWS_CODE = 64,
    AWS_MESSAGE = 256
};

/* One search. All is borrowed; NULL or "" where it is not given. */
struct aws_lookup {
    struct http_engine *http;
    const struct clock *clock;
    const char *profile, *region, *sts_endpoint;
    const struct cancel *cancel;
    /* The metadata service has answered before: its silence is a fault, not its absence. */
    bool on_instance;
};

/* One place each. ERR_NOT_FOUND: it has nothing, the next one is asked. `source` says what was
 * found, for people. Errors are those of aws_credentials_get. */
typedef int aws_place(const struct aws_lookup *l, struct aws_credential *out,
                      char source[AWS_SOURCE_TEXT]);
aws_place aws_from_environment, aws_from_web_identity, aws_from_files, aws_from_container,
    aws_from_instance;

/* ---- roles (STS, https://docs.aws.amazon.com/STS/latest/APIReference/) ---- */

struct aws_role {
    const char *arn;
    const char *session_name, *external_id, *duration; /* NULL or "": none */
};

/* AssumeRole, signed by `by`. Blocks. */
int aws_assume_role(const struct aws_lookup *l, const struct aws_role *role,
                    const struct aws_credential *by, struct aws_credential *out);
/* AssumeRoleWithWebIdentity with the token in a file. Blocks. */
int aws_assume_web_identity(const struct aws_lookup *l, const struct aws_role *role,
                            const char *token_file, struct aws_credential *out);

/* ---- parsers ---- */

/* What STS said: either `credential` or a code. */
struct aws_sts_answer {
    struct aws_credential credential;
    char expiration[CLOCK_TEXT];
    char code[AWS_CODE], message[AWS_MESSAGE]; /* cut to fit */
};

/* ERR_INVALID (it does not say what is wrong with which place), ERR_NO_MEMORY. */
int aws_read_sts(const char *text, size_t length, struct aws_sts_answer *out);
/* The answer of a container's endpoint or of the metadata service. Uses the buffer's content up. */
int aws_read_endpoint(struct buffer *text, struct aws_credential *out);

/* One profile of the shared files; "" where a key is not there.
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html */
struct aws_profile {
    bool found;
    char access_key_id[AWS_KEY_TEXT], secret_access_key[AWS_KEY_TEXT];
    char session_token[AWS_TOKEN_TEXT];
    char region[AWS_REGION_TEXT];
    char role_arn[AWS_ROLE_TEXT], source_profile[AWS_PROFILE_TEXT];
    char credential_source[32], web_identity_token_file[PATH_MAX];
    char role_session_name[AWS_SESSION_NAME_TEXT], external_id[AWS_EXTERNAL_ID_TEXT];
    char duration_seconds[16];
    bool mfa, sso, process;   /* named, with whatever value */
    char keys_path[PATH_MAX]; /* the file that has access_key_id */
};

/* Adds what a file says of profile `name` to *out. `config`: profiles are "[profile x]" there.
 * ERR_INVALID names `path` and the line. */
int aws_profile_parse(const char *text, size_t length, const char *path, bool config,
                      const char *name, struct aws_profile *out);

/* Both files. A file that is not there is empty. ERR_SYSTEMIC "aws_credentials". */
int aws_profile_load(const char *name, struct aws_profile *out);
/* `profile` if given, else AWS_PROFILE, else "default". */
const char *aws_profile_name(const char *profile);

/* ---- what the places share ---- */

/* An environment variable; NULL if it is not set or empty. */
const char *aws_variable(const char *name);
/* Sets ERR_SYSTEMIC "aws_credentials". */
int aws_broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Makes that of the last error, unless it is one of the machine or of the moment. */
int aws_as_broken(int rc);
/* Refuses what cannot be sent in a header: blanks, control characters, nothing at all. `where` is
 * for the text. */
int aws_credential_check(const struct aws_credential *c, const char *where);
/* Copies text; ERR_INVALID that names `what` if it does not fit. */
int aws_copy(char *out, size_t capacity, const char *text, const char *what);
/* A small file's content without the blanks at its end, e.g. a token. */
int aws_read_token(const char *path, struct buffer *out);

#endif
