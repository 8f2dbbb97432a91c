#include "server/monitor.h"

#include <stdlib.h>
#include <string.h>

#include "server/address.h"
#include "server/libmicrohttpd.h"
#include "server/readiness.h"
#include "shared/caps.h"
#include "shared/error.h"

/* A connection is a thread that waits for the database for two seconds at most. */
enum { CONNECTIONS = 32, CONNECTION_MEMORY = 16384, IDLE_S = 5, STACK = 512 * 1024 };

struct monitor {
    struct instruments *instruments;
    struct readiness readiness;
    bool looks_for_readiness;
    struct MHD_Daemon *daemon;
    char address[ADDRESS_TEXT];
};

/* ---- replies ---- */

/* Takes `body` over. */
static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             char *body)
{
    struct MHD_Response *r = libmicrohttpd.MHD_create_response_from_buffer(
        body ? strlen(body) : 0, body ? body : (char *)"",
        body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!r) {
        free(body);
        return MHD_NO;
    }
    libmicrohttpd.MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    libmicrohttpd.MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    libmicrohttpd.MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        libmicrohttpd.MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result rc = libmicrohttpd.MHD_queue_response(connection, status, r);
    libmicrohttpd.MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result reply_line(struct MHD_Connection *connection, unsigned status,
                                  const char *line)
{
    struct buffer text;
    buffer_init(&text, KIB(4));
    buffer_printf(&text, "%s\n", line);
    return reply(connection, status, "text/plain; charset=utf-8", buffer_take(&text));
}

static enum MHD_Result serve_health(struct monitor *m, struct MHD_Connection *connection)
{
    (void)m;
    return reply_line(connection, MHD_HTTP_OK, "ok");
}

static enum MHD_Result serve_readiness(struct monitor *m, struct MHD_Connection *connection)
{
    char reason[READINESS_TEXT];
    bool ready = readiness_ask(&m->readiness, reason);
    return reply_line(connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, reason);
}

static enum MHD_Result serve_metrics(struct monitor *m, struct MHD_Connection *connection)
{
    struct exposition x = {0};
    buffer_init(&x.text, CAP_METRICS_TEXT);
    instruments_write(m->instruments, &x);
    if (!x.full)
        return reply(connection, MHD_HTTP_OK, EXPOSITION_TYPE, buffer_take(&x.text));
    buffer_free(&x.text);
    return reply_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "too many metrics");
}

/* ---- requests ---- */

static const struct {
    const char *path;
    enum MHD_Result (*serve)(struct monitor *m, struct MHD_Connection *connection);
} pages[] = {
    {"/healthz", serve_health},
    {"/readyz", serve_readiness},
    {"/metrics", serve_metrics},
};

static enum MHD_Result serve(struct monitor *m, struct MHD_Connection *connection, const char *path)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (!strcmp(pages[i].path, path))
            return pages[i].serve(m, connection);
    return reply_line(connection, MHD_HTTP_NOT_FOUND,
                      "there is nothing here but /healthz, /readyz and /metrics");
}

/* libmicrohttpd calls it first with the headers, then with pieces of a body, of which there is to
 * be none, then without. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_length, void **state)
{
    static char seen;
    (void)version, (void)body;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return reply_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
    if (*body_length)
        return MHD_NO;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    return serve(ctx, connection, path);
}

/* ---- starting and stopping ---- */

static int start_daemon(struct monitor *m, int fd)
{
    m->daemon = libmicrohttpd.MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
            MHD_USE_ITC,
        0, NULL, NULL, on_request, m, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK, MHD_OPTION_END);
    if (m->daemon)
        return OK;
    return error_set(ERR_IO, NULL, "cannot start the monitoring server on '%s'", m->address);
}

static int start_looking(struct monitor *m, const struct monitor_options *options)
{
    m->readiness = (struct readiness){.database = options->database, .queue = options->queue};
    int rc = readiness_start(&m->readiness);
    m->looks_for_readiness = !rc;
    return rc;
}

static int start(struct monitor *m, const struct monitor_options *options)
{
    struct address wanted, bound;
    int fd = -1;
    int rc = address_parse(options->listen, &wanted);
    if (!rc)
        rc = libmicrohttpd_load();
    if (!rc)
        rc = start_looking(m, options);
    if (!rc)
        rc = address_listen(&wanted, &fd, &bound);
    if (rc)
        return rc;
    address_format(&bound, m->address);
    return start_daemon(m, fd);
}

int monitor_open(const struct monitor_options *options, struct monitor **out)
{
    struct monitor *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    m->instruments = options->instruments;
    int rc = start(m, options);
    if (rc)
        monitor_close(m);
    else
        *out = m;
    return rc ? error_prefix("metrics.listen") : OK;
}

void monitor_close(struct monitor *m)
{
    if (!m)
        return;
    struct error e = *error_last();
    if (m->daemon)
        libmicrohttpd.MHD_stop_daemon(m->daemon);
    if (m->looks_for_readiness)
        readiness_stop(&m->readiness);
    free(m);
    error_restore(&e);
}

void monitor_drain(struct monitor *m)
{
    readiness_drain(&m->readiness);
}

const char *monitor_address(const struct monitor *m)
{
    return m->address;
}
