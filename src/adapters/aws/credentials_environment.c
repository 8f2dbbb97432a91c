#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

/* ---- what the places share ---- */

const char *aws_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int aws_broken(const char *format, ...)
{
    char text[sizeof error_last()->message];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return error_set(ERR_SYSTEMIC, "aws_credentials", "%s", text);
}

int aws_as_broken(int rc)
{
    switch (rc) {
    case OK:
    case ERR_NO_MEMORY:
    case ERR_CANCELLED:
    case ERR_TRANSIENT:
    case ERR_SYSTEMIC:
        return rc;
    case ERR_TIMEOUT:
        return error_set(ERR_TRANSIENT, error_last()->reason, "%s", error_last()->message);
    default:
        return aws_broken("%s", error_last()->message);
    }
}

static bool is_graphic(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!isgraph((unsigned char)*p))
            return false;
    return true;
}

int aws_credential_check(const struct aws_credential *c, const char *where)
{
    if (!*c->access_key_id || !*c->secret_access_key)
        return aws_broken("%s: the access key id or the secret access key is missing", where);
    if (!is_graphic(c->access_key_id) || !is_graphic(c->secret_access_key) ||
        !is_graphic(c->session_token))
        return aws_broken("%s: a key or the session token has a blank or a control character in "
                          "it; set it again, without quotes and line ends",
                          where);
    return OK;
}

int aws_copy(char *out, size_t capacity, const char *text, const char *what)
{
    size_t length = strlen(text);
    if (length >= capacity)
        return error_set(ERR_INVALID, NULL, "'%s' is longer than %zu characters", what,
                         capacity - 1);
    memcpy(out, text, length + 1);
    return OK;
}

int aws_read_token(const char *path, struct buffer *out)
{
    buffer_init(out, CAP_AWS_TOKEN);
    int rc = file_read(path, out);
    if (rc)
        return aws_as_broken(rc);
    size_t n = out->length;
    while (n > 0 && isspace((unsigned char)out->data[n - 1]))
        n--;
    buffer_truncate(out, n);
    for (size_t i = 0; i < n; i++)
        if (!isprint((unsigned char)out->data[i]))
            return aws_broken("'%s' holds no token but something of several lines or of control "
                              "characters",
                              path);
    return n > 0 ? OK : aws_broken("'%s' is empty; it should hold a token", path);
}

/* ---- places 1 and 2 ---- */

/* As AWS's tools export it with temporary keys. What has expired stays expired: nobody changes the
 * environment of a process that runs. */
static int take_expiry(const struct aws_lookup *l, struct aws_credential *out)
{
    const char *text = aws_variable("AWS_CREDENTIAL_EXPIRATION");
    char time[CLOCK_TEXT];
    if (!text)
        return OK;
    if (clock_parse(text, &out->expires_ms) || out->expires_ms <= 0)
        return aws_broken("'AWS_CREDENTIAL_EXPIRATION' is '%.32s', which is no time such as "
                          "2026-03-01T12:00:00Z; set it again, or not at all",
                          text);
    if (out->expires_ms > clock_now(l->clock))
        return OK;
    return aws_broken("the credentials of the environment expired at %s "
                      "(AWS_CREDENTIAL_EXPIRATION); sign in again, and start with the new ones",
                      clock_format(out->expires_ms, time));
}

int aws_from_environment(const struct aws_lookup *l, struct aws_credential *out,
                         char source[AWS_SOURCE_TEXT])
{
    const char *key = aws_variable("AWS_ACCESS_KEY_ID");
    const char *secret = aws_variable("AWS_SECRET_ACCESS_KEY");
    const char *token = aws_variable("AWS_SESSION_TOKEN");
    if (!key && !secret)
        return error_set(ERR_NOT_FOUND, NULL, "AWS_ACCESS_KEY_ID is not set");
    if (!key || !secret)
        return aws_broken("'%s' is set and '%s' is not; set both or neither",
                          key ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                          key ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    *out = (struct aws_credential){.expires_ms = 0};
    int rc = aws_copy(out->access_key_id, sizeof out->access_key_id, key, "AWS_ACCESS_KEY_ID");
    if (!rc)
        rc = aws_copy(out->secret_access_key, sizeof out->secret_access_key, secret,
                      "AWS_SECRET_ACCESS_KEY");
    if (!rc && token)
        rc = aws_copy(out->session_token, sizeof out->session_token, token, "AWS_SESSION_TOKEN");
    snprintf(source, AWS_SOURCE_TEXT, "environment");
    if (!rc)
        rc = aws_credential_check(out, "environment");
    return rc ? aws_as_broken(rc) : take_expiry(l, out);
}

int aws_from_web_identity(const struct aws_lookup *l, struct aws_credential *out,
                          char source[AWS_SOURCE_TEXT])
{
    const char *file = aws_variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    struct aws_role role = {.arn = aws_variable("AWS_ROLE_ARN"),
                            .session_name = aws_variable("AWS_ROLE_SESSION_NAME")};
    if (!file)
        return error_set(ERR_NOT_FOUND, NULL, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    if (!role.arn)
        return aws_broken("'AWS_WEB_IDENTITY_TOKEN_FILE' is set and 'AWS_ROLE_ARN' is not; set it "
                          "to the role to assume");
    snprintf(source, AWS_SOURCE_TEXT, "web identity of role '%s'", role.arn);
    return aws_assume_web_identity(l, &role, file, out);
}
