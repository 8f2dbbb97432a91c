/*
 * server.c - libmicrohttpd's side: bodies, keys, methods, latency, and replies that go wrong.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "fake.h"
#include "shared/clock.h"

/* libmicrohttpd clears a connection's memory after every request and reads into half of it: no more
 * than what takes a usual request at once. */
enum { CONNECTIONS = 16384, CONNECTION_MEMORY = 16384 };

/* A connection that waits for its latency to pass. */
struct waiting {
    int64_t due_us;
    struct MHD_Connection *connection;
};

struct server {
    const struct options *options;
    struct control *control;
    struct MHD_Daemon *daemon;
    atomic_ullong request_id;

    pthread_t timer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct waiting *heap; /* by due_us, least first */
    size_t count, capacity;
    bool stopping;
};

struct control *server_control(struct server *s)
{
    return s->control;
}

const struct options *server_options(const struct server *s)
{
    return s->options;
}

/* ---- latency -----------------------------------------------------------------------------------
 */

static void swap(struct waiting *a, struct waiting *b)
{
    struct waiting t = *a;
    *a = *b;
    *b = t;
}

static bool heap_push(struct server *s, struct waiting w)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 1024;
        struct waiting *heap = realloc(s->heap, capacity * sizeof *heap);
        if (!heap)
            return false;
        s->heap = heap;
        s->capacity = capacity;
    }
    size_t i = s->count++;
    s->heap[i] = w;
    for (; i && s->heap[i].due_us < s->heap[(i - 1) / 2].due_us; i = (i - 1) / 2)
        swap(&s->heap[i], &s->heap[(i - 1) / 2]);
    return true;
}

static struct waiting heap_pop(struct server *s)
{
    struct waiting top = s->heap[0];
    s->heap[0] = s->heap[--s->count];
    for (size_t i = 0;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t k = left; k < left + 2 && k < s->count; k++)
            if (s->heap[k].due_us < s->heap[least].due_us)
                least = k;
        if (least == i)
            return top;
        swap(&s->heap[i], &s->heap[least]);
        i = least;
    }
}

static void wait_until(struct server *s, int64_t due_us)
{
    struct timespec t = {.tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000};
    pthread_cond_clockwait(&s->changed, &s->lock, CLOCK_MONOTONIC, &t);
}

static void *run_timer(void *ctx)
{
    struct server *s = ctx;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping || s->count) {
        if (!s->count)
            pthread_cond_wait(&s->changed, &s->lock);
        else if (!s->stopping && s->heap[0].due_us > clock_monotonic_us())
            wait_until(s, s->heap[0].due_us);
        else
            MHD_resume_connection(heap_pop(s).connection);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static bool suspend(struct exchange *x, int64_t delay_ms)
{
    struct server *s = x->server;
    int64_t due = delay_ms < 0 ? INT64_MAX / 2 : clock_monotonic_us() + delay_ms * 1000;
    pthread_mutex_lock(&s->lock);
    bool room = !s->stopping && heap_push(s, (struct waiting){due, x->connection});
    if (room) {
        MHD_suspend_connection(x->connection);
        pthread_cond_signal(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

/* ---- replies -----------------------------------------------------------------------------------
 */

/* Yields half of the body and then breaks off. */
static ssize_t half_body(void *ctx, uint64_t at, char *out, size_t capacity)
{
    struct buffer *body = ctx;
    if (at >= body->length / 2)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = body->length / 2 - at;
    n = n < capacity ? n : capacity;
    memcpy(out, body->data + at, n);
    return (ssize_t)n;
}

static struct MHD_Response *new_response(struct exchange *x)
{
    if (x->fault == FAULT_HALF_BODY)
        return MHD_create_response_from_callback(x->reply.length, 4096, half_body, &x->reply, NULL);
    size_t length = x->reply.length;
    if (x->fault == FAULT_INVALID_JSON)
        length /= 2;
    char *body = buffer_take(&x->reply);
    return MHD_create_response_from_buffer(length, body ? body : (char *)"",
                                           body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
}

static void add_headers(struct exchange *x, struct MHD_Response *r)
{
    char id[] = "req_0000000000000000";
    unsigned long long number = atomic_fetch_add(&x->server->request_id, 1);
    for (char *p = id + sizeof id - 2; number; number >>= 4)
        *p-- = "0123456789abcdef"[number & 15];
    MHD_add_response_header(r, "content-type", "application/json");
    MHD_add_response_header(r, "x-request-id", id);
    MHD_add_response_header(r, "openai-version", "2020-10-01");
    MHD_add_response_header(r, "x-ratelimit-limit-requests", "10000");
    MHD_add_response_header(r, "x-ratelimit-remaining-requests", "9999");
    MHD_add_response_header(r, "x-ratelimit-reset-requests", "6ms");
    size_t i, max;
    yyjson_val *name, *value;
    yyjson_obj_foreach(x->extra_headers, i, max, name, value)
    {
        if (yyjson_is_str(value))
            MHD_add_response_header(r, yyjson_get_str(name), yyjson_get_str(value));
    }
}

static enum MHD_Result send_reply(struct exchange *x)
{
    struct MHD_Response *r = new_response(x);
    if (!r)
        return MHD_NO;
    add_headers(x, r);
    enum MHD_Result rc = MHD_queue_response(x->connection, (unsigned)x->status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result break_connection(struct exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    if (info)
        setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return MHD_NO;
}

/* ---- routing -----------------------------------------------------------------------------------
 */

struct route {
    const char *method, *path;
    void (*serve)(struct exchange *);
};

static const struct route routes[] = {
    {"POST", "/v1/chat/completions", chat_completions},
    {"POST", "/v1/embeddings", embeddings_create},
    {"POST", "/v1/responses", responses_create},
    {"POST", "/v1/audio/transcriptions", transcriptions_create},
    {"GET", "/v1/models", models_list},
};

static bool check_key(struct exchange *x)
{
    const char *key = x->server->options->key;
    const char *given =
        MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "authorization");
    if (!key)
        return true;
    if (!given || strncmp(given, "Bearer ", 7) != 0)
        reply_error(
            x, 401, "invalid_request_error", NULL, NULL,
            "You didn't provide an API key. You need to provide your API key in an "
            "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).");
    else if (strcmp(given + 7, key) != 0)
        reply_error(x, 401, "invalid_request_error", NULL, "invalid_api_key",
                    "Incorrect API key provided: %s. You can find your API key at "
                    "https://platform.openai.com/account/api-keys.",
                    given + 7);
    return x->status == 0;
}

static void route(struct exchange *x)
{
    bool path_known = false;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(x->path, routes[i].path) != 0)
            continue;
        path_known = true;
        if (strcmp(x->method, routes[i].method) == 0) {
            routes[i].serve(x);
            return;
        }
    }
    if (strncmp(x->path, "/v1/models/", 11) == 0 && strcmp(x->method, "GET") == 0)
        models_get(x, x->path + 11);
    else if (path_known)
        reply_error(x, 405, "invalid_request_error", NULL, "method_not_supported",
                    "Not allowed to %s on %s.", x->method, x->path);
    else
        reply_error(x, 404, "invalid_request_error", NULL, NULL, "Invalid URL (%s %s)", x->method,
                    x->path);
}

static bool is_control(const char *path)
{
    return strncmp(path, "/__control", 10) == 0;
}

static void decide(struct exchange *x)
{
    if (is_control(x->path))
        control_serve(x->server->control, x);
    else if (!control_intercept(x->server->control, x) && check_key(x))
        route(x);
    x->decided = true;
}

static enum MHD_Result answer(struct exchange *x)
{
    if (!x->decided)
        decide(x);
    if (x->fault == FAULT_RESET)
        return break_connection(x);
    if (x->fault == FAULT_HANG)
        return !x->waited && (x->waited = suspend(x, -1)) ? MHD_YES : MHD_NO;
    if (x->delay_ms > 0 && !x->waited && (x->waited = suspend(x, x->delay_ms)))
        return MHD_YES;
    return send_reply(x);
}

/* ---- bodies ------------------------------------------------------------------------------------
 */

static enum MHD_Result on_form(void *ctx, enum MHD_ValueKind kind, const char *key,
                               const char *filename, const char *content_type,
                               const char *transfer_encoding, const char *data, uint64_t offset,
                               size_t size)
{
    (void)kind, (void)content_type, (void)transfer_encoding;
    struct exchange *x = ctx;
    if (strcmp(key, "file") == 0) {
        if (!x->meter)
            x->meter = meter_new();
        snprintf(x->filename, sizeof x->filename, "%s", filename ? filename : "");
        if (x->meter)
            meter_feed(x->meter, data, size);
        return x->meter ? MHD_YES : MHD_NO;
    }
    if (offset == 0)
        buffer_printf(&x->fields, "%s%s=", x->fields.length ? "\n" : "", key);
    return buffer_append(&x->fields, data, size) ? MHD_NO : MHD_YES;
}

static enum MHD_Result take_body(struct exchange *x, const char *data, size_t size)
{
    x->body_bytes += (int64_t)size;
    if (!x->multipart)
        return buffer_append(&x->body, data, size) ? MHD_NO : MHD_YES;
    if (x->form && x->body_bytes <= UPLOAD_LIMIT)
        MHD_post_process(x->form, data, size);
    return MHD_YES;
}

static struct exchange *new_exchange(struct server *s, struct MHD_Connection *connection)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->server = s;
    x->connection = connection;
    buffer_init(&x->body, JSON_LIMIT);
    buffer_init(&x->fields, 1 << 20);
    buffer_init(&x->reply, 256 << 20);
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "content-type");
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "content-length");
    x->multipart = type && strncasecmp(type, "multipart/form-data", 19) == 0;
    if (x->multipart)
        x->form = MHD_create_post_processor(connection, 65536, on_form, x);
    else if (length && atoll(length) <= JSON_LIMIT)
        buffer_reserve(&x->body, (size_t)atoll(length));
    return x;
}

static void free_exchange(struct exchange *x)
{
    if (x->form)
        MHD_destroy_post_processor(x->form);
    meter_free(x->meter);
    buffer_free(&x->body);
    buffer_free(&x->fields);
    buffer_free(&x->reply);
    free(x);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    (void)version;
    struct server *s = ctx;
    struct exchange *x = *state;
    if (!x) {
        *state = x = new_exchange(s, connection);
        if (!x)
            return MHD_NO;
        x->counted = !is_control(url);
        if (x->counted)
            control_begin(s->control);
        return MHD_YES;
    }
    if (*size) {
        size_t n = *size;
        *size = 0;
        return take_body(x, data, n);
    }
    x->method = method;
    x->path = url;
    return answer(x);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct server *s = ctx;
    struct exchange *x = *state;
    if (!x)
        return;
    if (!x->path)
        x->path = "aborted";
    if (x->counted)
        control_end(s->control, x);
    free_exchange(x);
    *state = NULL;
}

/* ---- starting and stopping ---------------------------------------------------------------------
 */

static bool start(struct server *s)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
    unsigned threads = s->options->threads > 1 ? (unsigned)s->options->threads : 0;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)s->options->port)};
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    return s->daemon != NULL;
}

static void stop(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true; /* lets everything that waits go on */
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->timer, NULL);
    MHD_stop_daemon(s->daemon);
}

int server_run(const struct options *options)
{
    struct server s = {.options = options, .control = control_new(options)};
    sigset_t signals;
    int signal_number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.changed, NULL);
    if (!s.control || !start(&s) || pthread_create(&s.timer, NULL, run_timer, &s)) {
        fprintf(stderr, "fake_openai: cannot listen on port %d: %s\n", options->port,
                strerror(errno));
        return 1;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s.daemon, MHD_DAEMON_INFO_BIND_PORT);
    printf("listening on %u\n", info->port);
    fflush(stdout);
    sigwait(&signals, &signal_number);
    stop(&s);
    control_free(s.control);
    free(s.heap);
    return 0;
}
