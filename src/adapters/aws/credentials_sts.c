/*
 * credentials_sts.c - roles, assumed by AWS's Security Token Service (the Query protocol, version
 * 2011-06-15).
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/sigv4.h"

enum { CONNECT_MS = 5000, IDLE_MS = 20000, URL_TEXT = 512, HEADERS = 5 };

static const char content_type[] = "application/x-www-form-urlencoded";

/* ---- where ------------------------------------------------------------------------------------
 */

struct endpoint {
    char url[URL_TEXT];
    char host[URL_TEXT], path[URL_TEXT]; /* as they are signed */
    char region[AWS_REGION_TEXT];
};

static int own_endpoint(struct endpoint *e, bool regional)
{
    const char *suffix = strncmp(e->region, "cn-", 3) ? "amazonaws.com" : "amazonaws.com.cn";
    snprintf(e->url, sizeof e->url, regional ? "https://sts.%s.%s/" : "https://sts.%.0s%s/",
             e->region, suffix);
    return OK;
}

static int find_region(const struct aws_lookup *l, struct endpoint *e, bool *regional)
{
    int rc = l->region && *l->region
                 ? aws_copy(e->region, sizeof e->region, l->region, "the region")
                 : aws_region(l->profile, e->region);
    *regional = rc == OK;
    if (rc == ERR_NOT_FOUND) /* the one endpoint that has no region signs for this one */
        rc = aws_copy(e->region, sizeof e->region, "us-east-1", "the region");
    return aws_as_broken(rc);
}

static int take_part(CURLU *url, CURLUPart part, unsigned int flags, const char *before, char *out)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) == CURLUE_OK) {
        size_t length = strlen(out);
        snprintf(out + length, URL_TEXT - length, "%s%s", before, text);
    }
    curl_free(text);
    return OK;
}

static int split(struct endpoint *e)
{
    CURLU *url = curl_url();
    bool http = !strncasecmp(e->url, "http://", 7) || !strncasecmp(e->url, "https://", 8);
    bool ok = url && http && curl_url_set(url, CURLUPART_URL, e->url, 0) == CURLUE_OK;
    if (ok) {
        take_part(url, CURLUPART_HOST, 0, "", e->host);
        take_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, ":", e->host);
        take_part(url, CURLUPART_PATH, 0, "", e->path);
    }
    curl_url_cleanup(url);
    return ok ? OK
              : aws_broken("the endpoint '%.200s' of STS is no http or https URL; correct "
                           "AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL",
                           e->url);
}

static int find_endpoint(const struct aws_lookup *l, struct endpoint *e)
{
    bool regional;
    *e = (struct endpoint){.host = ""};
    const char *given = l->sts_endpoint && *l->sts_endpoint ? l->sts_endpoint
                                                            : aws_variable("AWS_ENDPOINT_URL_STS");
    given = given ? given : aws_variable("AWS_ENDPOINT_URL");
    int rc = find_region(l, e, &regional);
    rc = rc      ? rc
         : given ? aws_copy(e->url, sizeof e->url, given, "the endpoint of STS")
                 : own_endpoint(e, regional);
    return rc ? aws_as_broken(rc) : split(e);
}

/* ---- what is asked ----------------------------------------------------------------------------
 */

static int append_field(struct buffer *body, const char *name, const char *value)
{
    if (!value || !*value)
        return OK;
    size_t capacity = 3 * strlen(value) + 1;
    char *encoded = malloc(capacity);
    if (!encoded)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    int rc = sigv4_encode(value, false, encoded, capacity);
    rc = rc ? rc : buffer_printf(body, "&%s=%s", name, encoded);
    explicit_bzero(encoded, capacity);
    free(encoded);
    return rc;
}

static int append_role(struct buffer *body, const char *action, const struct aws_role *role,
                       int64_t now)
{
    char session[AWS_SESSION_NAME_TEXT];
    snprintf(session, sizeof session, "aegis-%lld", (long long)now);
    bool named = role->session_name && *role->session_name;
    int rc = buffer_printf(body, "Action=%s&Version=2011-06-15", action);
    rc = rc ? rc : append_field(body, "RoleArn", role->arn);
    rc = rc ? rc : append_field(body, "RoleSessionName", named ? role->session_name : session);
    rc = rc ? rc : append_field(body, "ExternalId", role->external_id);
    return rc ? rc : append_field(body, "DurationSeconds", role->duration);
}

struct signature {
    char date[SIGV4_DATE_TEXT], authorization[SIGV4_AUTHORIZATION];
    struct http_header sent[HEADERS];
    size_t count;
};

static int sign(const struct endpoint *e, const struct buffer *body,
                const struct aws_credential *by, int64_t now, struct signature *out)
{
    char hash[SIGV4_HASH_TEXT];
    sigv4_hash(body->data, body->length, hash);
    sigv4_date(now, out->date);
    size_t n = 0;
    struct http_header *h = out->sent;
    h[n++] = (struct http_header){"content-type", content_type};
    h[n++] = (struct http_header){"x-amz-date", out->date};
    if (*by->session_token)
        h[n++] = (struct http_header){"x-amz-security-token", by->session_token};
    h[n] = (struct http_header){"host", e->host}; /* which the engine sends by itself */
    int rc = sigv4_sign(
        &(struct sigv4_scope){by->access_key_id, by->secret_access_key, e->region, "sts", now},
        &(struct sigv4_request){.method = "POST",
                                .path = e->path,
                                .query = "",
                                .headers = h,
                                .header_count = n + 1,
                                .payload_hash = hash},
        out->authorization);
    h[n++] = (struct http_header){"authorization", out->authorization};
    out->count = n;
    return rc;
}

/* ---- what is answered -------------------------------------------------------------------------
 */

static bool is_passing(int status, const char *code)
{
    static const char *const codes[] = {"Throttling", "ThrottlingException", "RequestLimitExceeded",
                                        "IDPCommunicationError", "InternalFailure"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (!strcmp(codes[i], code))
            return true;
    return status >= 500 || status == 429;
}

static int judge(const struct endpoint *e, const struct aws_role *role, int status,
                 const struct aws_sts_answer *a)
{
    if (is_passing(status, a->code))
        return error_set(ERR_TRANSIENT, "aws_unavailable",
                         "STS at '%.128s' cannot give role '%.128s' now: status %d %s", e->host,
                         role->arn, status, a->code);
    return aws_broken("STS at '%.64s' refused role '%.128s' (%s: %.128s); check the role's trust "
                      "policy and who assumes it",
                      e->host, role->arn, *a->code ? a->code : "no reason given", a->message);
}

static int read_answer(const struct endpoint *e, const struct aws_role *role,
                       const struct http_response *r, struct aws_credential *out)
{
    struct aws_sts_answer a;
    int rc = aws_read_sts(buffer_string(&r->body), r->body.length, &a);
    if (r->status != 200 || (!rc && *a.code))
        rc = rc == ERR_NO_MEMORY ? rc : judge(e, role, r->status, &a);
    else if (rc && rc != ERR_NO_MEMORY)
        rc = aws_broken("STS at '%.128s' gave no credentials of role '%.128s': %.128s", e->host,
                        role->arn, error_last()->message);
    else if (!rc)
        rc = aws_credential_check(&a.credential, "the answer of STS");
    if (!rc)
        *out = a.credential;
    explicit_bzero(&a, sizeof a);
    return rc;
}

static int ask(const struct aws_lookup *l, const struct endpoint *e, const struct aws_role *role,
               const struct buffer *body, const struct http_header *headers, size_t count,
               struct aws_credential *out)
{
    struct http_response response;
    struct http_request request = {.method = "POST",
                                   .url = e->url,
                                   .headers = headers,
                                   .header_count = count,
                                   .body = body->data,
                                   .body_length = body->length,
                                   .connect_timeout_ms = CONNECT_MS,
                                   .idle_timeout_ms = IDLE_MS,
                                   .timeout_ms = IDLE_MS,
                                   .max_response = CAP_AWS_ANSWER};
    int rc = http_perform(l->http, &request, l->cancel, &response);
    if (rc && rc != ERR_CANCELLED)
        error_prefix("while STS was asked for role '%.128s'", role->arn);
    rc = rc ? aws_as_broken(rc) : read_answer(e, role, &response, out);
    if (response.body.data)
        explicit_bzero(response.body.data, response.body.length);
    http_response_free(&response);
    return rc;
}

int aws_assume_role(const struct aws_lookup *l, const struct aws_role *role,
                    const struct aws_credential *by, struct aws_credential *out)
{
    struct endpoint e;
    struct buffer body;
    struct signature signature;
    int64_t now = clock_now(l->clock);
    int rc = find_endpoint(l, &e);
    if (rc)
        return rc;
    buffer_init(&body, CAP_AWS_REQUEST);
    rc = append_role(&body, "AssumeRole", role, now);
    rc = rc ? rc : sign(&e, &body, by, now, &signature);
    rc = rc ? aws_as_broken(rc) : ask(l, &e, role, &body, signature.sent, signature.count, out);
    buffer_free(&body);
    return rc;
}

int aws_assume_web_identity(const struct aws_lookup *l, const struct aws_role *role,
                            const char *token_file, struct aws_credential *out)
{
    struct endpoint e;
    struct buffer body, token;
    const struct http_header header = {"content-type", content_type};
    int rc = find_endpoint(l, &e);
    if (rc)
        return rc;
    buffer_init(&body, CAP_AWS_REQUEST);
    rc = aws_read_token(token_file, &token);
    rc = rc ? rc : append_role(&body, "AssumeRoleWithWebIdentity", role, clock_now(l->clock));
    rc = rc ? rc : append_field(&body, "WebIdentityToken", buffer_string(&token));
    rc = rc ? aws_as_broken(rc) : ask(l, &e, role, &body, &header, 1, out);
    buffer_free(&token);
    buffer_free(&body);
    return rc;
}
