#include "shared/http_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"

enum {
    DEFAULT_CONNECT_TIMEOUT_MS = 10000,
    /* Per transfer, while it runs. Few at a time may have one that holds most replies whole: fewer
     * reads. A thousand that wait may not. */
    RECEIVE_BUFFER = 32768,
    RECEIVE_BUFFER_CROWDED = 4096,
    CROWD = 160, /* transfers */
    /* Not less than an HTTP/2 DATA frame (RFC 9113, 4.2): curl 7.88 writes past the end of a
     * smaller buffer when streams share a connection. */
    RECEIVE_BUFFER_TLS = 16384,
    SEND_BUFFER = 16384, /* per upload; curl's minimum */
};

/* ---- addresses ---- */

bool http_host_is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return !strcasecmp(host, "localhost") || !strcmp(host, "[::1]");
}

bool http_url_is_open(const char *url)
{
    char *scheme = NULL, *host = NULL;
    CURLU *parts = curl_url();
    bool open = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                !strcmp(scheme, "http") && !http_host_is_loopback(host);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parts);
    return open;
}

/* ---- what came back ----------------------------------------------------------------------------
 */

static bool stop(struct http_call *call, enum http_stop why)
{
    call->stop = why;
    return false;
}

static bool too_large(struct http_call *call)
{
    bool cut = call->request->cut_long;
    call->response->cut = cut;
    return stop(call, cut ? HTTP_STOP_CUT : HTTP_STOP_TOO_LARGE);
}

static bool append(struct http_call *call, struct buffer *to, const void *bytes, size_t length)
{
    int rc = buffer_append(to, bytes, length);
    if (!rc)
        return true;
    if (rc != ERR_TOO_LARGE)
        return stop(call, HTTP_STOP_NO_MEMORY);
    return to == &call->response->body ? too_large(call) : stop(call, HTTP_STOP_TOO_LARGE);
}

/* One growth instead of many when the server says how much will come. */
static bool reserve_announced(struct http_call *call)
{
    curl_off_t announced = -1;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    struct buffer *body = &call->response->body;
    if (announced <= 0)
        return true;
    if ((uint64_t)announced > body->limit)
        return too_large(call);
    return buffer_reserve(body, (size_t)announced) == 0 || stop(call, HTTP_STOP_NO_MEMORY);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct http_call *call = ctx;
    size_t length = size * count;
    call->received += (int64_t)length;
    if (call->response->body.length == 0 && !reserve_announced(call))
        return 0;
    return append(call, &call->response->body, bytes, length) ? length : 0;
}

static bool keep_header(struct http_call *call, const char *line, size_t length)
{
    struct buffer *block = &call->response->header_block;
    const char *colon = memchr(line, ':', length);
    if (!colon)
        return true;
    const char *value = colon + 1, *end = line + length;
    while (value < end && isspace((unsigned char)*value))
        value++;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    size_t at = block->length, name = (size_t)(colon - line);
    if (!append(call, block, line, name) || !append(call, block, ": ", 2) ||
        !append(call, block, value, (size_t)(end - value)) || !append(call, block, "\n", 1))
        return false;
    for (char *p = block->data + at; p < block->data + at + name; p++)
        *p = (char)tolower((unsigned char)*p);
    return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
    struct http_call *call = ctx;
    size_t length = size * count;
    call->received += (int64_t)length;
    if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* an interim response came before */
        buffer_clear(&call->response->header_block);
        return length;
    }
    return keep_header(call, line, length) ? length : 0;
}

static int on_sending(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    struct http_call *call = ctx;
    call->sent = true;
    return CURL_PREREQFUNC_OK;
}

/* ---- what is sent ------------------------------------------------------------------------------
 */

static size_t on_read(char *out, size_t size, size_t count, void *ctx)
{
    struct http_file *file = ctx;
    size_t want = size * count;
    if ((int64_t)want > file->size - file->offset)
        want = (size_t)(file->size - file->offset);
    ssize_t n;
    do
        n = pread(file->fd, out, want, file->offset);
    while (n < 0 && errno == EINTR);
    if (n < 0 || (n == 0 && want > 0)) { /* unreadable, or shorter than it was said to be */
        file->call->stop = HTTP_STOP_READ;
        return CURL_READFUNC_ABORT;
    }
    file->offset += n;
    return (size_t)n;
}

static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct http_file *file = ctx;
    if (origin != SEEK_SET || offset < 0 || offset > file->size)
        return CURL_SEEKFUNC_CANTSEEK;
    file->offset = offset;
    return CURL_SEEKFUNC_OK;
}

static CURLcode add_part(struct http_call *call, struct http_file *file, const struct http_part *p)
{
    curl_mimepart *part = curl_mime_addpart(call->mime);
    if (!part)
        return CURLE_OUT_OF_MEMORY;
    CURLcode rc = curl_mime_name(part, p->name);
    if (!rc && p->value)
        return curl_mime_data(part, p->value, CURL_ZERO_TERMINATED);
    *file = (struct http_file){.call = call, .fd = p->fd, .size = p->size};
    if (!rc)
        rc = curl_mime_data_cb(part, p->size, on_read, on_seek, NULL, file);
    if (!rc && p->filename)
        rc = curl_mime_filename(part, p->filename);
    if (!rc && p->content_type)
        rc = curl_mime_type(part, p->content_type);
    return rc;
}

static int set_parts(struct http_call *call)
{
    const struct http_request *r = call->request;
    call->files = calloc(r->part_count, sizeof *call->files);
    call->mime = curl_mime_init(call->easy);
    CURLcode rc = call->files && call->mime ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    for (size_t i = 0; i < r->part_count && !rc; i++)
        rc = add_part(call, &call->files[i], &r->parts[i]);
    if (!rc)
        rc = curl_easy_setopt(call->easy, CURLOPT_MIMEPOST, call->mime);
    return rc ? error_set(ERR_NO_MEMORY, NULL, "out of memory for an upload") : OK;
}

static int set_method_and_body(struct http_call *call)
{
    const struct http_request *r = call->request;
    CURL *easy = call->easy;
    const char *implied = "GET";
    if (r->part_count > 0) {
        implied = "POST";
        int rc = set_parts(call);
        if (rc)
            return rc;
    } else if (r->body || strcmp(r->method, "POST") == 0) {
        implied = "POST";
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body ? r->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_length);
    } else if (strcmp(r->method, "HEAD") == 0) {
        implied = "HEAD";
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    if (strcmp(r->method, implied) != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
    return OK;
}

static int add_header_line(struct http_call *call, const char *line)
{
    struct curl_slist *list = curl_slist_append(call->headers, line);
    if (!list)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an HTTP request");
    call->headers = list;
    return OK;
}

static bool has_control_character(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* Values may be secrets: they are never quoted in an error. */
static int add_header(struct http_call *call, const struct http_header *h)
{
    if (has_control_character(h->name) || strchr(h->name, ':') || has_control_character(h->value))
        return error_set(ERR_INVALID, "bad_header",
                         "the value for HTTP header '%s' holds a line break or another control "
                         "character; check where it is set",
                         h->name);
    size_t length = strlen(h->name) + strlen(h->value) + 4;
    char small[512];
    char *line = length <= sizeof small ? small : malloc(length);
    if (!line)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for an HTTP request");
    /* to curl "Name:" means to leave the header out, "Name;" to send it empty */
    snprintf(line, length, *h->value ? "%s: %s" : "%s;", h->name, h->value);
    int rc = add_header_line(call, line);
    if (line != small)
        free(line);
    return rc;
}

static int set_headers(struct http_call *call)
{
    int rc = OK;
    for (size_t i = 0; i < call->request->header_count && !rc; i++)
        rc = add_header(call, &call->request->headers[i]);
    if (!rc && (call->request->body || call->request->part_count))
        rc = add_header_line(call, "Expect:"); /* waiting for "100 Continue" costs a second */
    if (!rc)
        curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return rc;
}

static long receive_buffer(struct http_engine *engine, bool tls)
{
    if (tls)
        return RECEIVE_BUFFER_TLS;
    pthread_mutex_lock(&engine->lock);
    bool crowded = engine->users > CROWD;
    pthread_mutex_unlock(&engine->lock);
    return crowded ? RECEIVE_BUFFER_CROWDED : RECEIVE_BUFFER;
}

static void set_connection(struct http_engine *engine, struct http_call *call)
{
    CURL *easy = call->easy;
    const struct http_request *r = call->request;
    bool tls = strncasecmp(r->url, "https:", 6) == 0;
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(
        easy, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(r->connect_timeout_ms ? r->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS));
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    if (tls) /* rather a stream on a connection that is being made than one more connection */
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    if (tls && engine->ca_file[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, engine->ca_file);
    if (r->direct)
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    else if (engine->no_proxy_for_loopback)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, receive_buffer(engine, tls));
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
}

static int prepare(struct http_engine *engine, struct http_call *call)
{
    CURL *easy = call->easy;
    if (strlen(call->request->url) > CAP_HTTP_URL)
        return error_set(ERR_INVALID, "bad_url", "a URL of %zu bytes is longer than the cap of %zu",
                         strlen(call->request->url), CAP_HTTP_URL);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail);
    curl_easy_setopt(easy, CURLOPT_URL, call->request->url);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, engine->user_agent);
    if (call->request->as_is)
        curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_sending);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    set_connection(engine, call);
    int rc = set_method_and_body(call);
    return rc ? rc : set_headers(call);
}

/* ---- how it ended ------------------------------------------------------------------------------
 */

enum { WHAT_TEXT = 240 };

/* "POST 'http://host/path'", without user, password and query, which may be secret. */
static const char *describe(const struct http_request *r, char out[WHAT_TEXT])
{
    char *clean = NULL;
    CURLU *url = curl_url();
    if (url && curl_url_set(url, CURLUPART_URL, r->url, 0) == CURLUE_OK) {
        curl_url_set(url, CURLUPART_USER, NULL, 0);
        curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
        curl_url_set(url, CURLUPART_QUERY, NULL, 0);
        curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
        curl_url_get(url, CURLUPART_URL, &clean, 0);
    }
    snprintf(out, WHAT_TEXT, "%s '%s'", r->method, clean ? clean : "(not a URL)");
    curl_free(clean);
    curl_url_cleanup(url);
    return out;
}

static int stopped(const struct http_call *call, const char *what)
{
    const struct http_request *r = call->request;
    switch (call->stop) {
    case HTTP_STOP_CANCELLED:
        return error_set(ERR_CANCELLED, NULL, "%s was cancelled", what);
    case HTTP_STOP_IDLE:
        return error_set(ERR_TIMEOUT, "idle_timeout", "%s: nothing came for %lld ms", what,
                         (long long)(r->idle_timeout_ms ? r->idle_timeout_ms : 120000));
    case HTTP_STOP_TIMEOUT:
        return error_set(ERR_TIMEOUT, "timeout", "%s was not finished after %lld ms", what,
                         (long long)(r->timeout_ms ? r->timeout_ms : 600000));
    case HTTP_STOP_TOO_LARGE:
        return error_set(ERR_TOO_LARGE, "response_too_large",
                         "%s: the response is larger than the cap of %zu bytes", what,
                         call->response->body.limit);
    case HTTP_STOP_READ:
        return error_set(ERR_IO, NULL,
                         "%s: the file to upload cannot be read, or is shorter than it was", what);
    default:
        return error_set(ERR_NO_MEMORY, NULL, "%s: out of memory", what);
    }
}

struct curl_meaning {
    CURLcode code;
    enum error_code error;
    const char *reason;
};

static const struct curl_meaning *meaning_of(const struct http_call *call)
{
    static const struct curl_meaning table[] = {
        {CURLE_COULDNT_RESOLVE_HOST, ERR_TRANSIENT, "dns"},
        {CURLE_COULDNT_RESOLVE_PROXY, ERR_TRANSIENT, "dns"},
        {CURLE_COULDNT_CONNECT, ERR_TRANSIENT, "connect_failed"},
        {CURLE_SSL_CONNECT_ERROR, ERR_TRANSIENT, "connect_failed"},
        {CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT, "connect_timeout"},
        {CURLE_PARTIAL_FILE, ERR_TRANSIENT, "incomplete_body"},
        {CURLE_BAD_CONTENT_ENCODING, ERR_TRANSIENT, "incomplete_body"},
        {CURLE_WEIRD_SERVER_REPLY, ERR_TRANSIENT, "malformed_reply"},
        {CURLE_HTTP2_STREAM, ERR_TRANSIENT, "incomplete_body"},
        {CURLE_PEER_FAILED_VERIFICATION, ERR_SYSTEMIC, "tls"},
        {CURLE_SSL_CACERT_BADFILE, ERR_SYSTEMIC, "tls"},
        {CURLE_SSL_ISSUER_ERROR, ERR_SYSTEMIC, "tls"},
        {CURLE_SSL_INVALIDCERTSTATUS, ERR_SYSTEMIC, "tls"},
        {CURLE_URL_MALFORMAT, ERR_INVALID, "bad_url"},
        {CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID, "bad_url"},
        {CURLE_OUT_OF_MEMORY, ERR_NO_MEMORY, NULL},
    };
    static const struct curl_meaning other = {0, ERR_TRANSIENT, "connection_reset"};
    static const struct curl_meaning not_http = {0, ERR_TRANSIENT, "malformed_reply"};
    if (call->sent && call->code == CURLE_UNSUPPORTED_PROTOCOL)
        return &not_http;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].code == call->code)
            return &table[i];
    return &other;
}

static int outcome(const struct http_call *call)
{
    if (call->stop == HTTP_STOP_CUT || (!call->stop && !call->code))
        return OK;
    char what[WHAT_TEXT];
    describe(call->request, what);
    if (call->stop)
        return stopped(call, what);
    const struct curl_meaning *m = meaning_of(call);
    const char *reason = m->reason;
    if (reason && strcmp(reason, "connection_reset") == 0 && call->response->body.length > 0)
        reason = "incomplete_body";
    return error_set(m->error, reason, "%s failed: %s", what,
                     call->detail[0] ? call->detail : curl_easy_strerror(call->code));
}

int http_perform(struct http_engine *engine, const struct http_request *request,
                 const struct cancel *cancel, struct http_response *out)
{
    *out = (struct http_response){0};
    buffer_init(&out->body, request->max_response ? request->max_response : CAP_HTTP_RESPONSE);
    buffer_init(&out->header_block, CAP_HTTP_HEADERS);
    struct http_call call = {.request = request, .response = out, .cancel = cancel};
    call.easy = http_easy_take(engine);
    if (!call.easy)
        return ERR_NO_MEMORY;
    int rc = cancel_requested(cancel)
                 ? error_set(ERR_CANCELLED, NULL, "cancelled before the request was sent")
                 : prepare(engine, &call);
    if (!rc) {
        int64_t began = clock_monotonic_ms();
        http_submit(engine, &call);
        out->duration_ms = clock_monotonic_ms() - began;
        long status = 0;
        curl_easy_getinfo(call.easy, CURLINFO_RESPONSE_CODE, &status);
        out->status = (int)status;
        rc = outcome(&call);
    }
    curl_mime_free(call.mime);
    http_easy_give_back(engine, call.easy);
    curl_slist_free_all(call.headers);
    free(call.files);
    return rc;
}

void http_response_free(struct http_response *response)
{
    buffer_free(&response->body);
    buffer_free(&response->header_block);
}

bool http_response_header(const struct http_response *response, const char *name, char *out,
                          size_t capacity)
{
    size_t length = strlen(name);
    const char *line = buffer_string(&response->header_block);
    while (*line) {
        size_t end = strcspn(line, "\n");
        if (end >= length + 2 && memcmp(line, name, length) == 0 && line[length] == ':') {
            size_t value = end - length - 2;
            if (value >= capacity)
                return false;
            memcpy(out, line + length + 2, value);
            out[value] = '\0';
            return true;
        }
        line += end + (line[end] == '\n');
    }
    return false;
}

int64_t http_retry_after(const struct http_response *response, int64_t now_ms)
{
    enum { FIELD = 64, DAY_MS = 86400000 };
    char text[FIELD], *end;
    if (!http_response_header(response, "retry-after", text, sizeof text))
        return -1;
    double wait = strtod(text, &end) * 1000;
    if (end == text || *end) {
        time_t at = curl_getdate(text, NULL);
        if (at < 0)
            return -1;
        wait = (double)at * 1000 - (double)now_ms;
        wait = wait < 0 ? 0 : wait;
    }
    if (!isfinite(wait) || wait < 0)
        return -1;
    return wait < DAY_MS ? (int64_t)ceil(wait) : DAY_MS;
}
