/*
 * sigv4.c - the steps have AWS's names: canonical request, string to sign, signing key.
 */
#include "shared/sigv4.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/digest.h"
#include "shared/error.h"
#include "shared/http.h"
#include "shared/sigv4_internal.h"

#define ALGORITHM  "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"

enum { SCOPE_TEXT = 256 };

static int out_of_memory(void)
{
    return error_set(ERR_NO_MEMORY, NULL, "out of memory for the signature of a request to AWS");
}

/* ---- text ------------------------------------------------------------------------------------ */

void sigv4_date(int64_t time_ms, char out[SIGV4_DATE_TEXT])
{
    struct tm tm;
    time_t seconds = (time_t)(time_ms / 1000 - (time_ms % 1000 < 0));
    out[0] = '\0';
    if (gmtime_r(&seconds, &tm) && tm.tm_year >= -900 && tm.tm_year <= 8099)
        strftime(out, SIGV4_DATE_TEXT, "%Y%m%dT%H%M%SZ", &tm);
}

void sigv4_hash(const void *bytes, size_t length, char out[SIGV4_HASH_TEXT])
{
    struct digest d = digest_of(bytes, length);
    digest_format(&d, out);
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

/* The bytes of `c` percent-encoded; 1 or 3. */
static size_t encode_byte(unsigned char c, bool keep_slash, char out[3])
{
    static const char digits[] = "0123456789ABCDEF";
    out[0] = (char)c;
    if (is_unreserved(c) || (keep_slash && c == '/'))
        return 1;
    out[0] = '%';
    out[1] = digits[c >> 4];
    out[2] = digits[c & 15];
    return 3;
}

int sigv4_encode(const char *text, bool keep_slash, char *out, size_t capacity)
{
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        char bytes[3];
        size_t length = encode_byte((unsigned char)*p, keep_slash, bytes);
        if (n + length >= capacity)
            return error_set(ERR_TOO_LARGE, NULL, "'%.64s...' is too long once percent-encoded",
                             text);
        memcpy(out + n, bytes, length);
        n += length;
    }
    if (n >= capacity)
        return error_set(ERR_TOO_LARGE, NULL, "no room for percent-encoded text");
    out[n] = '\0';
    return OK;
}

static int append_encoded(struct buffer *out, const char *text, size_t length)
{
    int rc = OK;
    for (size_t i = 0; i < length && !rc; i++) {
        char bytes[3];
        rc = buffer_append(out, bytes, encode_byte((unsigned char)text[i], true, bytes));
    }
    return rc;
}

/* ---- canonical path ---------------------------------------------------------------------------
 */

static int append_path(struct buffer *out, const struct sigv4_request *r)
{
    if (r->path_as_sent)
        return buffer_append_string(out, r->path);
    size_t start = out->length, length = strlen(r->path);
    int rc = OK;
    for (const char *p = r->path; *p && !rc;) {
        p += strspn(p, "/");
        size_t n = strcspn(p, "/");
        if (n == 2 && !memcmp(p, "..", 2)) {
            while (out->length > start && out->data[out->length - 1] != '/')
                buffer_truncate(out, out->length - 1);
            if (out->length > start)
                buffer_truncate(out, out->length - 1);
        } else if (n > 0 && !(n == 1 && *p == '.')) {
            rc = buffer_append_char(out, '/');
            rc = rc ? rc : append_encoded(out, p, n);
        }
        p += n;
    }
    /* As AWS's SDKs do: "/a/.." keeps no slash of its own, "/a/../" does. */
    if (!rc && (out->length == start || r->path[length - 1] == '/'))
        rc = buffer_append_char(out, '/');
    return rc;
}

/* ---- canonical query --------------------------------------------------------------------------
 */

/* Encoded; offsets into one buffer while it grows. */
struct parameter {
    size_t name, value;
};

static int compare_parameters(const void *a, const void *b, void *text)
{
    const struct parameter *x = a, *y = b;
    const char *base = text;
    int order = strcmp(base + x->name, base + y->name);
    return order ? order : strcmp(base + x->value, base + y->value);
}

/* Whatever of a byte's spellings was sent, the service signs the one that AWS prescribes. */
static int append_reencoded(struct buffer *out, const char *text, size_t length)
{
    int rc = OK;
    for (size_t i = 0; i < length && !rc; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            if (length - i < 3 || !hex_decode(text + i + 1, 1, &c))
                return sigv4_invalid("its query has a '%' that no two hex digits follow");
            if (!c)
                return sigv4_invalid("its query has a '%00'");
            i += 2;
        }
        char bytes[3];
        rc = buffer_append(out, bytes, encode_byte(c, false, bytes));
    }
    return rc ? rc : buffer_append_char(out, '\0');
}

static int read_parameter(const char *text, size_t length, struct buffer *pool,
                          struct parameter *out)
{
    const char *equals = memchr(text, '=', length);
    size_t name = equals ? (size_t)(equals - text) : length;
    out->name = pool->length;
    int rc = append_reencoded(pool, text, name);
    out->value = pool->length;
    return rc ? rc
              : append_reencoded(pool, equals ? equals + 1 : "", equals ? length - name - 1 : 0);
}

static int read_parameters(const char *query, struct buffer *pool, struct parameter *list,
                           size_t *count)
{
    int rc = OK;
    for (const char *p = query; *p && !rc;) {
        size_t n = strcspn(p, "&");
        if (n > 0)
            rc = read_parameter(p, n, pool, &list[(*count)++]);
        p += n + (p[n] == '&');
    }
    return rc;
}

static int append_query(struct buffer *out, const char *query)
{
    size_t count = 0;
    struct buffer pool;
    /* Two characters at least per parameter but the last. */
    struct parameter *list = malloc((strlen(query) / 2 + 1) * sizeof *list);
    if (!list)
        return out_of_memory();
    buffer_init(&pool, out->limit);
    int rc = read_parameters(query, &pool, list, &count);
    if (!rc && count > 0)
        qsort_r(list, count, sizeof *list, compare_parameters, pool.data);
    for (size_t i = 0; i < count && !rc; i++)
        rc = buffer_printf(out, "%s%s=%s", i ? "&" : "", pool.data + list[i].name,
                           pool.data + list[i].value);
    buffer_free(&pool);
    free(list);
    return rc;
}

/* ---- canonical headers ------------------------------------------------------------------------
 */

/* The order of values under one name is that of the request, which the pointers have. */
static int compare_headers(const void *a, const void *b)
{
    const struct http_header *x = *(const struct http_header *const *)a;
    const struct http_header *y = *(const struct http_header *const *)b;
    int order = strcasecmp(x->name, y->name);
    return order ? order : (x > y) - (x < y);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Trimmed, with every run of blanks as one space. */
static int append_value(struct buffer *out, const char *value)
{
    int rc = OK;
    bool blank = false, begun = false;
    for (const char *p = value; *p && !rc; p++) {
        if (is_blank(*p)) {
            blank = begun;
            continue;
        }
        if (blank)
            rc = buffer_append_char(out, ' ');
        rc = rc ? rc : buffer_append_char(out, *p);
        blank = false;
        begun = true;
    }
    return rc;
}

static int append_name(struct buffer *out, const char *name)
{
    int rc = OK;
    for (const char *p = name; *p && !rc; p++)
        rc = buffer_append_char(out, (char)tolower((unsigned char)*p));
    return rc;
}

/* "name:value,value\n" for each, and the names alone, "a;b;c". */
static int append_sorted(struct buffer *out, struct buffer *names, const struct http_header **list,
                         size_t count)
{
    int rc = OK;
    for (size_t i = 0; i < count && !rc; i++) {
        bool again = i > 0 && !strcasecmp(list[i - 1]->name, list[i]->name);
        if (again) {
            out->data[out->length - 1] = ','; /* in place of the newline */
        } else {
            rc = i > 0 ? buffer_append_char(names, ';') : OK;
            rc = rc ? rc : append_name(names, list[i]->name);
            rc = rc ? rc : append_name(out, list[i]->name);
            rc = rc ? rc : buffer_append_char(out, ':');
        }
        rc = rc ? rc : append_value(out, list[i]->value);
        rc = rc ? rc : buffer_append_char(out, '\n');
    }
    return rc;
}

static int append_headers(struct buffer *out, struct buffer *names, const struct sigv4_request *r)
{
    const struct http_header **list = malloc(r->header_count * sizeof *list);
    if (!list)
        return out_of_memory();
    for (size_t i = 0; i < r->header_count; i++)
        list[i] = &r->headers[i];
    qsort(list, r->header_count, sizeof *list, compare_headers);
    int rc = append_sorted(out, names, list, r->header_count);
    free(list);
    return rc;
}

static int append_canonical(struct buffer *out, struct buffer *names, const struct sigv4_request *r)
{
    int rc = buffer_printf(out, "%s\n", r->method);
    rc = rc ? rc : append_path(out, r);
    rc = rc ? rc : buffer_append_char(out, '\n');
    rc = rc ? rc : append_query(out, r->query);
    rc = rc ? rc : buffer_append_char(out, '\n');
    rc = rc ? rc : append_headers(out, names, r);
    return rc ? rc : buffer_printf(out, "\n%s\n%s", buffer_string(names), r->payload_hash);
}

/* ---- signature --------------------------------------------------------------------------------
 */

static bool hmac(const void *key, size_t key_length, const char *text, uint8_t out[DIGEST_BYTES])
{
    unsigned int length = DIGEST_BYTES;
    return HMAC(EVP_sha256(), key, (int)key_length, (const unsigned char *)text, strlen(text), out,
                &length);
}

static bool signing_key(const struct sigv4_scope *s, const char *day, uint8_t key[DIGEST_BYTES])
{
    char secret[4 + SIGV4_SECRET_CAP + 1];
    int n = snprintf(secret, sizeof secret, "AWS4%s", s->secret_access_key);
    bool ok = hmac(secret, (size_t)n, day, key) && hmac(key, DIGEST_BYTES, s->region, key) &&
              hmac(key, DIGEST_BYTES, s->service, key) && hmac(key, DIGEST_BYTES, TERMINATOR, key);
    OPENSSL_cleanse(secret, sizeof secret);
    return ok;
}

static int sign_canonical(const struct sigv4_scope *s, const struct buffer *canonical,
                          const char *names, char out[SIGV4_AUTHORIZATION])
{
    char date[SIGV4_DATE_TEXT], hash[SIGV4_HASH_TEXT], scope[SCOPE_TEXT], text[512];
    char signature[SIGV4_HASH_TEXT];
    uint8_t key[DIGEST_BYTES], mac[DIGEST_BYTES];
    sigv4_date(s->time_ms, date);
    sigv4_hash(canonical->data, canonical->length, hash);
    snprintf(scope, sizeof scope, "%.8s/%s/%s/" TERMINATOR, date, s->region, s->service);
    snprintf(text, sizeof text, ALGORITHM "\n%s\n%s\n%s", date, scope, hash);
    date[8] = '\0';
    bool ok = signing_key(s, date, key) && hmac(key, sizeof key, text, mac);
    OPENSSL_cleanse(key, sizeof key);
    if (!ok)
        return out_of_memory();
    hex_encode(mac, sizeof mac, signature);
    int n = snprintf(out, SIGV4_AUTHORIZATION,
                     ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                     s->access_key_id, scope, names, signature);
    return n < SIGV4_AUTHORIZATION ? OK : sigv4_invalid("the names of its headers are too long");
}

int sigv4_sign(const struct sigv4_scope *scope, const struct sigv4_request *request,
               char out[SIGV4_AUTHORIZATION])
{
    struct buffer canonical, names;
    int rc = sigv4_check(scope, request);
    if (rc)
        return rc;
    buffer_init(&canonical, CAP_SIGNED_REQUEST);
    buffer_init(&names, CAP_HTTP_HEADERS * 2);
    rc = append_canonical(&canonical, &names, request);
    rc = rc ? rc : sign_canonical(scope, &canonical, buffer_string(&names), out);
    buffer_free(&canonical);
    buffer_free(&names);
    return rc;
}
