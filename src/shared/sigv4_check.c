/*
 * sigv4_check.c - what is refused before anything is signed.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/http.h"
#include "shared/sigv4_internal.h"

enum { NAME_CAP = 64 };

int sigv4_invalid(const char *what)
{
    return error_set(ERR_INVALID, NULL, "a request to AWS cannot be signed: %s", what);
}

/* All of it is put between the "/" and "," of the header. */
static bool is_word(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)text[i]) || strchr("/,", text[i]))
            return false;
    return n > 0 && n <= NAME_CAP;
}

static int check_scope(const struct sigv4_scope *s)
{
    if (!is_word(s->region))
        return sigv4_invalid("no region, or not one word; set AWS_REGION");
    if (!is_word(s->service))
        return sigv4_invalid("no service, or not one word");
    size_t n = s->access_key_id ? strlen(s->access_key_id) : 0;
    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)s->access_key_id[i]) || s->access_key_id[i] == ',')
            return sigv4_invalid("the access key id has a character that none has");
    if (n == 0 || n > SIGV4_SECRET_CAP)
        return sigv4_invalid("no access key id, or too long");
    n = s->secret_access_key ? strlen(s->secret_access_key) : 0;
    if (n == 0 || n > SIGV4_SECRET_CAP)
        return sigv4_invalid("no secret access key, or too long");
    return OK;
}

/* RFC 9110, 5.6.2 */
static bool is_token(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
            return false;
    return *name;
}

static int check_headers(const struct sigv4_scope *s, const struct sigv4_request *r)
{
    char date[SIGV4_DATE_TEXT];
    bool host = false, dated = false;
    size_t total = 0;
    sigv4_date(s->time_ms, date);
    for (size_t i = 0; i < r->header_count; i++) {
        const struct http_header *h = &r->headers[i];
        if (!h->name || !h->value || !is_token(h->name))
            return sigv4_invalid("a header has no value or a name that is none");
        total += strlen(h->name) + strlen(h->value);
        host |= !strcasecmp(h->name, "host");
        if (!strcasecmp(h->name, "x-amz-date") && (!*date || strcmp(h->value, date)))
            return sigv4_invalid("its x-amz-date is not the time of the signature");
        dated |= !strcasecmp(h->name, "x-amz-date");
    }
    if (!host || !dated)
        return sigv4_invalid("host or x-amz-date is not among its headers");
    return total <= CAP_HTTP_HEADERS ? OK : sigv4_invalid("its headers are too long");
}

static int check_payload_hash(const char *text)
{
    if (!text || (strcmp(text, "UNSIGNED-PAYLOAD") &&
                  (strlen(text) != SIGV4_HASH_TEXT - 1 ||
                   strspn(text, "0123456789abcdef") != SIGV4_HASH_TEXT - 1)))
        return sigv4_invalid("its payload hash is no SHA-256 in lower-case hex");
    return OK;
}

static int check_request(const struct sigv4_request *r)
{
    if (!r->method || !is_token(r->method) || strlen(r->method) > NAME_CAP)
        return sigv4_invalid("no method, or not one word");
    if (!r->path || r->path[0] != '/' || strlen(r->path) > CAP_HTTP_URL || strchr(r->path, '\n'))
        return sigv4_invalid("its path is not absolute, or too long");
    if (!r->query || strlen(r->query) > CAP_HTTP_URL)
        return sigv4_invalid("its query is missing or too long");
    return check_payload_hash(r->payload_hash);
}

int sigv4_check(const struct sigv4_scope *scope, const struct sigv4_request *request)
{
    int rc = check_scope(scope);
    rc = rc ? rc : check_request(request);
    return rc ? rc : check_headers(scope, request);
}
