/*
 * credentials_files.c - the shared files as a place to look for credentials, and for the region.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

/* Roles that are assumed by a profile that assumes a role, and so on. */
enum { DEPTH_CAP = 5 };

/* ---- the files --------------------------------------------------------------------------------
 */

/* The path that a variable names ("~/" is HOME), else the usual one; "" if there is no HOME. */
static void find_path(const char *variable, const char *usual, char out[PATH_MAX])
{
    const char *path = aws_variable(variable), *home = aws_variable("HOME");
    if (path && strncmp(path, "~/", 2)) {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    snprintf(out, PATH_MAX, "%s%s", home ? home : "", path ? path + 1 : usual);
    if (!home)
        out[0] = '\0';
}

static void credentials_path(char out[PATH_MAX])
{
    find_path("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials", out);
}

static void config_path(char out[PATH_MAX])
{
    find_path("AWS_CONFIG_FILE", "/.aws/config", out);
}

static int read_file(const char *path, bool config, const char *name, struct aws_profile *out)
{
    struct buffer text;
    if (!*path)
        return OK;
    buffer_init(&text, CAP_CONFIG_FILE);
    int rc = file_read(path, &text);
    if (!rc)
        rc = aws_profile_parse(buffer_string(&text), text.length, path, config, name, out);
    if (text.data)
        explicit_bzero(text.data, text.capacity);
    buffer_free(&text);
    return rc == ERR_NOT_FOUND ? OK : aws_as_broken(rc);
}

static bool has_keys(const struct aws_profile *p)
{
    return *p->access_key_id || *p->secret_access_key;
}

/* The keys of one file, never one of each: those of `other` if *p has none. */
static void settle_keys(struct aws_profile *p, const struct aws_profile *other)
{
    if (has_keys(p))
        return;
    memcpy(p->access_key_id, other->access_key_id, sizeof p->access_key_id);
    memcpy(p->secret_access_key, other->secret_access_key, sizeof p->secret_access_key);
    memcpy(p->session_token, other->session_token, sizeof p->session_token);
    config_path(p->keys_path);
}

/* As the SDKs do: of what both files say, that of the credentials file holds. */
int aws_profile_load(const char *name, struct aws_profile *out)
{
    char path[PATH_MAX];
    struct aws_profile *config = calloc(1, sizeof *config);
    if (!config)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    config_path(path);
    int rc = read_file(path, true, name, config);
    if (!rc) {
        *out = *config;
        out->access_key_id[0] = out->secret_access_key[0] = out->session_token[0] = '\0';
        credentials_path(out->keys_path);
        rc = read_file(out->keys_path, false, name, out);
        settle_keys(out, config);
    }
    explicit_bzero(config, sizeof *config);
    free(config);
    return rc;
}

const char *aws_profile_name(const char *profile)
{
    if (profile && *profile)
        return profile;
    profile = aws_variable("AWS_PROFILE");
    return profile ? profile : "default";
}

/* ---- what a profile leads to ------------------------------------------------------------------
 */

static int from_profile(const struct aws_lookup *l, const char *name, int depth,
                        struct aws_credential *out, char source[AWS_SOURCE_TEXT]);

static int from_keys(const struct aws_profile *p, const char *name, struct aws_credential *out,
                     char source[AWS_SOURCE_TEXT])
{
    *out = (struct aws_credential){.expires_ms = 0};
    memcpy(out->access_key_id, p->access_key_id, sizeof out->access_key_id);
    memcpy(out->secret_access_key, p->secret_access_key, sizeof out->secret_access_key);
    memcpy(out->session_token, p->session_token, sizeof out->session_token);
    snprintf(source, AWS_SOURCE_TEXT, "profile '%.128s' in '%.256s'", name, p->keys_path);
    return aws_credential_check(out, source);
}

static int from_credential_source(const struct aws_lookup *l, const char *name, const char *kind,
                                  struct aws_credential *out)
{
    char source[AWS_SOURCE_TEXT];
    aws_place *place = !strcmp(kind, "Environment")           ? aws_from_environment
                       : !strcmp(kind, "EcsContainer")        ? aws_from_container
                       : !strcmp(kind, "Ec2InstanceMetadata") ? aws_from_instance
                                                              : NULL;
    if (!place)
        return aws_broken("profile '%.128s': credential_source '%s' is not known; it is one of "
                          "Environment, Ec2InstanceMetadata, EcsContainer",
                          name, kind);
    int rc = place(l, out, source);
    return rc == ERR_NOT_FOUND ? aws_broken("profile '%.128s': its credential_source '%s' has no "
                                            "credentials: %.256s",
                                            name, kind, error_last()->message)
                               : rc;
}

static int find_assuming(const struct aws_lookup *l, const struct aws_profile *p, const char *name,
                         int depth, struct aws_credential *out)
{
    char source[AWS_SOURCE_TEXT];
    if (*p->credential_source && !*p->source_profile)
        return from_credential_source(l, name, p->credential_source, out);
    if (!*p->source_profile)
        return aws_broken("profile '%.128s' has a role_arn, and neither source_profile nor "
                          "credential_source to assume it with; add one",
                          name);
    if (!strcmp(p->source_profile, name) && has_keys(p))
        return from_keys(p, name, out, source);
    if (depth == DEPTH_CAP)
        return aws_broken("profile '%.128s': more than %d source_profiles behind each other; do "
                          "they lead back to the first?",
                          name, DEPTH_CAP);
    int rc = from_profile(l, p->source_profile, depth + 1, out, source);
    return rc == ERR_NOT_FOUND ? aws_broken("profile '%.128s': its source_profile '%.128s' is not "
                                            "there or has no credentials",
                                            name, p->source_profile)
                               : rc;
}

static int from_role(const struct aws_lookup *l, const struct aws_profile *p, const char *name,
                     int depth, struct aws_credential *out, char source[AWS_SOURCE_TEXT])
{
    struct aws_credential by;
    struct aws_role role = {p->role_arn, p->role_session_name, p->external_id, p->duration_seconds};
    snprintf(source, AWS_SOURCE_TEXT, "role '%.256s' of profile '%.128s'", p->role_arn, name);
    if (*p->web_identity_token_file)
        return aws_assume_web_identity(l, &role, p->web_identity_token_file, out);
    if (p->mfa)
        return aws_broken("profile '%.128s' wants a code of an MFA device, which a service cannot "
                          "be asked for; use a profile without mfa_serial",
                          name);
    int rc = find_assuming(l, p, name, depth, &by);
    rc = rc ? rc : aws_assume_role(l, &role, &by, out);
    explicit_bzero(&by, sizeof by);
    return rc;
}

static int from_loaded(const struct aws_lookup *l, const struct aws_profile *p, const char *name,
                       int depth, struct aws_credential *out, char source[AWS_SOURCE_TEXT])
{
    /* A profile that is its own source is asked for its keys by from_role. */
    if (*p->role_arn)
        return from_role(l, p, name, depth, out, source);
    if (has_keys(p))
        return from_keys(p, name, out, source);
    if (p->sso || p->process)
        return aws_broken("profile '%.64s' takes its credentials from %s, which Aegis does not "
                          "run; put those of 'aws configure export-credentials --profile %.64s' "
                          "into the environment or a profile of their own",
                          name, p->sso ? "IAM Identity Center (sso)" : "a credential_process",
                          name);
    return error_set(ERR_NOT_FOUND, NULL, "profile '%.128s' has no credentials", name);
}

static int from_profile(const struct aws_lookup *l, const char *name, int depth,
                        struct aws_credential *out, char source[AWS_SOURCE_TEXT])
{
    struct aws_profile *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int rc = aws_profile_load(name, p);
    if (!rc && !p->found && strcmp(name, "default"))
        rc = aws_broken("profile '%.128s' is neither in ~/.aws/credentials nor in ~/.aws/config "
                        "(AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE); correct AWS_PROFILE or "
                        "add it with 'aws configure --profile'",
                        name);
    rc = rc ? rc : from_loaded(l, p, name, depth, out, source);
    explicit_bzero(p, sizeof *p);
    free(p);
    return rc;
}

int aws_from_files(const struct aws_lookup *l, struct aws_credential *out,
                   char source[AWS_SOURCE_TEXT])
{
    return from_profile(l, aws_profile_name(l->profile), 0, out, source);
}

/* ---- region -----------------------------------------------------------------------------------
 */

bool aws_is_region(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '-')
        n++;
    return n > 0 && !text[n] && n < AWS_REGION_TEXT;
}

static int check_region(const char *text, const char *from, char out[AWS_REGION_TEXT])
{
    if (!aws_is_region(text))
        return error_set(ERR_INVALID, NULL,
                         "'%.64s' of %s is no region of AWS (such as eu-central-1)", text, from);
    snprintf(out, AWS_REGION_TEXT, "%s", text);
    return OK;
}

static int region_of_profile(const char *name, char out[AWS_REGION_TEXT])
{
    char path[PATH_MAX], from[AWS_PROFILE_TEXT + 16];
    struct aws_profile *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    config_path(path);
    snprintf(from, sizeof from, "profile '%s'", name);
    int rc = read_file(path, true, name, p);
    if (!rc && !*p->region)
        rc = error_set(ERR_NOT_FOUND, NULL,
                       "no AWS region: set AWS_REGION, or 'region' of profile '%.128s' in '%.128s'",
                       name, path);
    rc = rc ? rc : check_region(p->region, from, out);
    explicit_bzero(p, sizeof *p);
    free(p);
    return rc;
}

int aws_region(const char *profile, char out[AWS_REGION_TEXT])
{
    static const char *const variables[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    for (int i = 0; i < 2; i++)
        if (aws_variable(variables[i]))
            return check_region(aws_variable(variables[i]), variables[i], out);
    return region_of_profile(aws_profile_name(profile), out);
}
