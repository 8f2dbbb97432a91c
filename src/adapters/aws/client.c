#include "adapters/aws/client_internal.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

enum {
    ATTEMPTS = 3,
    BACKOFF_MS = 1000,
    BUCKET = 500,
};

/* ---- opening ---- */

void aws_own_host(const struct aws_client *c, const char *region, char out[AWS_HOST_TEXT])
{
    const char *domain = strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
    snprintf(out, AWS_HOST_TEXT, "%s.%s.%s", c->service, region, domain);
}

static int default_endpoint(struct aws_client *c)
{
    c->own_endpoint = true;
    snprintf(c->scheme, sizeof c->scheme, "https");
    aws_own_host(c, c->region, c->host);
    return OK;
}

static int bad_endpoint(const char *endpoint)
{
    return error_set(ERR_INVALID, "bad_url",
                     "the AWS endpoint '%s' is not a URL such as https://host or "
                     "http://127.0.0.1:9000, without path, user and query",
                     strchr(endpoint, '@') ? "(with a user)" : endpoint); /* or a password */
}

/* Scheme, host and port, each as curl understands them, and nothing else. */
static int take_endpoint(struct aws_client *c, CURLU *url, const char *endpoint)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *other = NULL;
    bool good = curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK &&
                (!strcmp(scheme, "http") || !strcmp(scheme, "https")) && !strcmp(path, "/") &&
                strlen(host) + 8 < sizeof c->host &&
                curl_url_get(url, CURLUPART_USER, &other, 0) != CURLUE_OK &&
                curl_url_get(url, CURLUPART_PASSWORD, &other, 0) != CURLUE_OK &&
                !strpbrk(endpoint, "?#");
    if (good) {
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
        snprintf(c->scheme, sizeof c->scheme, "%s", scheme);
        snprintf(c->host, sizeof c->host, "%s%s%s", host, port ? ":" : "", port ? port : "");
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(other);
    return good ? OK : bad_endpoint(endpoint);
}

static int set_endpoint(struct aws_client *c, const char *endpoint)
{
    if (!endpoint || !*endpoint)
        return default_endpoint(c);
    CURLU *url = curl_url();
    int rc = url ? take_endpoint(c, url, endpoint)
                 : error_set(ERR_NO_MEMORY, NULL, "out of memory for the endpoint of a service");
    curl_url_cleanup(url);
    return rc;
}

static int bad_region(const char *region)
{
    return error_set(ERR_INVALID, "aws_region",
                     "'%.64s' is no region of AWS (such as eu-central-1); correct AWS_REGION or "
                     "`aws.region`",
                     region);
}

static int configure(struct aws_client *c, const struct aws_client_options *o)
{
    if (!o->region || !*o->region)
        return error_set(ERR_INVALID, "aws_region",
                         "no AWS region is set; set AWS_REGION or `aws.region`");
    if (!aws_is_region(o->region))
        return bad_region(o->region);
    c->http = o->http;
    c->credentials = o->credentials;
    c->clock = o->clock;
    c->tokens = BUCKET;
    c->retry = (struct retry_policy){.base_ms = o->retry_base_ms ? o->retry_base_ms : BACKOFF_MS,
                                     .cap_ms = AWS_BACKOFF_CAP_MS,
                                     .max_attempts = o->max_attempts ? o->max_attempts : ATTEMPTS};
    snprintf(c->service, sizeof c->service, "%s", o->service);
    snprintf(c->region, sizeof c->region, "%s", o->region);
    int rc = set_endpoint(c, o->endpoint);
    snprintf(c->endpoint, sizeof c->endpoint, "%s://%s", c->scheme, c->host);
    return rc;
}

int aws_client_open(const struct aws_client_options *options, struct aws_client **out)
{
    struct aws_client *c = *out = calloc(1, sizeof *c);
    if (!c)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a client of %s", options->service);
    pthread_mutex_init(&c->lock, NULL);
    int rc = configure(c, options);
    if (rc) {
        aws_client_close(c);
        *out = NULL;
    }
    return rc;
}

void aws_client_close(struct aws_client *client)
{
    if (!client)
        return;
    pthread_mutex_destroy(&client->lock);
    free(client);
}

const char *aws_client_endpoint(const struct aws_client *client)
{
    return client->endpoint;
}

/* ---- the bucket of retries ---- */

bool aws_take_tokens(struct aws_client *c, int cost)
{
    pthread_mutex_lock(&c->lock);
    bool enough = c->tokens >= cost;
    if (enough)
        c->tokens -= cost;
    pthread_mutex_unlock(&c->lock);
    return enough;
}

void aws_put_tokens(struct aws_client *c, int count)
{
    pthread_mutex_lock(&c->lock);
    c->tokens = c->tokens + count < BUCKET ? c->tokens + count : BUCKET;
    pthread_mutex_unlock(&c->lock);
}
