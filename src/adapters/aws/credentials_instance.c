/*
 * credentials_instance.c - the metadata service of an EC2 instance, version 2
 * (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html).
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/sigv4.h"

/* Off AWS nobody answers at its address: one second, as the SDKs wait. */
enum { WAIT_MS = 1000, TOTAL_MS = 5000, URL_TEXT = 1024, ROLE_TEXT = 257, TOKEN_TEXT = 2048 };

#define ADDRESS "http://169.254.169.254"
#define ROLES   "/latest/meta-data/iam/security-credentials/"

static int ask(const struct aws_lookup *l, const char *method, const char *url,
               const struct http_header *header, struct http_response *out)
{
    struct http_request request = {.method = method,
                                   .url = url,
                                   .headers = header,
                                   .header_count = 1,
                                   .connect_timeout_ms = WAIT_MS,
                                   .idle_timeout_ms = WAIT_MS,
                                   .timeout_ms = TOTAL_MS,
                                   .max_response = CAP_AWS_ANSWER,
                                   .direct = true};
    int rc = http_perform(l->http, &request, l->cancel, out);
    if (rc && rc != ERR_CANCELLED)
        error_prefix("while the instance metadata was asked for credentials");
    return aws_as_broken(rc);
}

/* OK for 200. `absent` is what 404 means. */
static int judge(const char *url, int status, const char *absent)
{
    if (status == 200)
        return OK;
    if (status == 404)
        return error_set(ERR_NOT_FOUND, NULL, "%s", absent);
    if (status >= 500 || status == 429)
        return error_set(ERR_TRANSIENT, "aws_unavailable",
                         "the instance metadata at '%.128s' answers with status %d", url, status);
    return aws_broken("the instance metadata at '%.128s' answers with status %d; is it switched on "
                      "for this instance (HttpEndpoint)?",
                      url, status);
}

/* The first line, of printable characters. */
static int take_line(const struct http_response *r, const char *what, char *out, size_t capacity)
{
    const char *text = buffer_string(&r->body);
    size_t n = 0;
    while (isgraph((unsigned char)text[n]))
        n++;
    if (n == 0 || n >= capacity || (text[n] && !isspace((unsigned char)text[n])))
        return aws_broken("the instance metadata gives no %s", what);
    memcpy(out, text, n);
    out[n] = '\0';
    return OK;
}

static int read_line(const struct aws_lookup *l, const char *method, const char *url,
                     const struct http_header *header, const char *absent, const char *what,
                     char *out, size_t capacity)
{
    struct http_response response;
    int rc = ask(l, method, url, header, &response);
    rc = rc ? rc : judge(url, response.status, absent);
    rc = rc ? rc : take_line(&response, what, out, capacity);
    http_response_free(&response);
    return rc;
}

static int read_credential(const struct aws_lookup *l, const char *url,
                           const struct http_header *header, struct aws_credential *out)
{
    struct http_response response;
    int rc = ask(l, "GET", url, header, &response);
    rc = rc ? rc : judge(url, response.status, "the instance's role has no credentials");
    if (!rc) {
        rc = aws_read_endpoint(&response.body, out);
        if (rc && rc != ERR_NO_MEMORY)
            rc = aws_broken("the instance metadata gives no credentials: %.256s",
                            error_last()->message);
        rc = rc ? rc : aws_credential_check(out, "the instance metadata");
    }
    if (response.body.data)
        explicit_bzero(response.body.data, response.body.length);
    http_response_free(&response);
    return rc;
}

static int find_token(const struct aws_lookup *l, const char *base, char out[TOKEN_TEXT])
{
    char url[URL_TEXT];
    const struct http_header ttl = {"x-aws-ec2-metadata-token-ttl-seconds", "21600"};
    snprintf(url, sizeof url, "%s/latest/api/token", base);
    return read_line(l, "PUT", url, &ttl, "the instance metadata has no version 2", "token", out,
                     TOKEN_TEXT);
}

static int find_credential(const struct aws_lookup *l, const char *base, const char *token,
                           struct aws_credential *out)
{
    char url[URL_TEXT], role[ROLE_TEXT], encoded[URL_TEXT / 2];
    const struct http_header header = {"x-aws-ec2-metadata-token", token};
    snprintf(url, sizeof url, "%s" ROLES, base);
    int rc = read_line(l, "GET", url, &header, "the instance has no role", "name of a role", role,
                       sizeof role);
    rc = rc ? rc : sigv4_encode(role, false, encoded, sizeof encoded);
    if (rc)
        return rc == ERR_NOT_FOUND ? rc : aws_as_broken(rc);
    snprintf(url, sizeof url, "%s" ROLES "%s", base, encoded);
    return read_credential(l, url, &header, out);
}

/* Where nobody ever answered, there is no such service. */
static int judge_silence(const struct aws_lookup *l, bool named)
{
    const char *reason = error_last()->reason;
    bool silent = !strcmp(reason, "connect_failed") || !strcmp(reason, "connect_timeout") ||
                  !strcmp(reason, "idle_timeout") || !strcmp(reason, "timeout");
    if (silent && !named && !l->on_instance)
        return error_set(ERR_NOT_FOUND, NULL,
                         "no instance metadata (to a container on EC2 it "
                         "answers only with a hop limit of 2)");
    return ERR_TRANSIENT;
}

static int find_base(char *out, size_t capacity, bool *named)
{
    *named = aws_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *disabled = aws_variable("AWS_EC2_METADATA_DISABLED");
    const char *endpoint = aws_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (disabled && !strcasecmp(disabled, "true"))
        return error_set(ERR_NOT_FOUND, NULL, "the instance metadata is switched off");
    endpoint = endpoint ? endpoint : ADDRESS;
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/')
        n--;
    if (n >= capacity)
        return aws_broken("'AWS_EC2_METADATA_SERVICE_ENDPOINT' is too long");
    memcpy(out, endpoint, n);
    out[n] = '\0';
    return OK;
}

int aws_from_instance(const struct aws_lookup *l, struct aws_credential *out,
                      char source[AWS_SOURCE_TEXT])
{
    char base[URL_TEXT / 4], token[TOKEN_TEXT];
    bool named;
    int rc = find_base(base, sizeof base, &named);
    if (rc)
        return rc;
    snprintf(source, AWS_SOURCE_TEXT, "instance metadata");
    rc = find_token(l, base, token);
    if (rc == ERR_TRANSIENT)
        return judge_silence(l, named);
    rc = rc ? rc : find_credential(l, base, token, out);
    explicit_bzero(token, sizeof token);
    return rc;
}
