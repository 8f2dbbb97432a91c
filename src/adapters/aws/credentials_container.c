/*
 * credentials_container.c - the endpoint that ECS and EKS give to a container
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"

enum { CONNECT_MS = 2000, IDLE_MS = 5000, URL_TEXT = 2048 };

#define ECS "http://169.254.170.2"

/* ---- where ---- */

/* Over plain HTTP a token and the keys go to this machine or to AWS's own addresses only. */
static bool is_trusted(const char *host)
{
    static const char *const known[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (!strcasecmp(host, known[i]))
            return true;
    return http_host_is_loopback(host);
}

static bool may_ask(const char *text)
{
    char *scheme = NULL, *host = NULL;
    CURLU *url = curl_url();
    bool ok = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              (!strcmp(scheme, "https") || (!strcmp(scheme, "http") && is_trusted(host)));
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
    return ok;
}

static int find_url(char out[URL_TEXT])
{
    const char *relative = aws_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !full)
        return error_set(ERR_NOT_FOUND, NULL, "no container endpoint is set");
    if (relative && *relative != '/')
        return aws_broken("'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI' is '%.128s', which does not "
                          "begin with '/'",
                          relative);
    int n = relative ? snprintf(out, URL_TEXT, ECS "%s", relative)
                     : snprintf(out, URL_TEXT, "%s", full);
    if (n >= URL_TEXT || !may_ask(out))
        return aws_broken("'AWS_CONTAINER_CREDENTIALS_FULL_URI' is '%.128s'; it may be an https "
                          "URL, or an http one of this machine (127.0.0.1, localhost, [::1]) or of "
                          "169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
                          out);
    return OK;
}

/* ---- with which token ---- */

/* Empty if there is none. */
static int find_token(struct buffer *out)
{
    const char *file = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *text = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (file)
        return aws_read_token(file, out);
    buffer_init(out, CAP_AWS_TOKEN);
    if (text && strpbrk(text, "\r\n"))
        return aws_broken("'AWS_CONTAINER_AUTHORIZATION_TOKEN' has a line end in it");
    return text ? aws_as_broken(buffer_append_string(out, text)) : OK;
}

/* ---- asking ---- */

static int read_answer(const char *url, struct http_response *r, struct aws_credential *out)
{
    if (r->status >= 500 || r->status == 429)
        return error_set(ERR_TRANSIENT, "aws_unavailable",
                         "the container endpoint '%.128s' answers with status %d", url, r->status);
    if (r->status != 200)
        return aws_broken("the container endpoint '%.128s' answers with status %d; has the task or "
                          "pod a role, and is its authorization token the right one?",
                          url, r->status);
    int rc = aws_read_endpoint(&r->body, out);
    if (rc && rc != ERR_NO_MEMORY)
        return aws_broken("the container endpoint '%.128s' gives no credentials: %.200s", url,
                          error_last()->message);
    return rc ? rc : aws_credential_check(out, "the container endpoint");
}

static int ask(const struct aws_lookup *l, const char *url, const char *token,
               struct aws_credential *out)
{
    struct http_response response;
    const struct http_header header = {"authorization", token};
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .headers = &header,
                                   .header_count = *token ? 1 : 0,
                                   .connect_timeout_ms = CONNECT_MS,
                                   .idle_timeout_ms = IDLE_MS,
                                   .timeout_ms = IDLE_MS,
                                   .max_response = CAP_AWS_ANSWER,
                                   .direct = true};
    int rc = http_perform(l->http, &request, l->cancel, &response);
    if (rc && rc != ERR_CANCELLED)
        error_prefix("while the container endpoint was asked for credentials");
    rc = rc ? aws_as_broken(rc) : read_answer(url, &response, out);
    if (response.body.data)
        explicit_bzero(response.body.data, response.body.length);
    http_response_free(&response);
    return rc;
}

int aws_from_container(const struct aws_lookup *l, struct aws_credential *out,
                       char source[AWS_SOURCE_TEXT])
{
    char url[URL_TEXT];
    struct buffer token;
    int rc = find_url(url);
    if (rc)
        return rc;
    snprintf(source, AWS_SOURCE_TEXT, "container endpoint");
    rc = find_token(&token);
    rc = rc ? rc : ask(l, url, buffer_string(&token), out);
    buffer_free(&token);
    return rc;
}
