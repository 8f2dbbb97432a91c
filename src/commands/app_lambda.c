#include "commands/app_lambda.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/aws/lambda_runtime.h"
#include "commands/app_parts.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/http.h"
#include "shared/log.h"

enum {
    MARGIN_MS = 10000, /* before the deadline, for giving back and answering */
    FLUSH_MS = 2000,   /* for spans on their way to a collector, out of that margin */
};

struct server {
    struct app *app;
    const struct lambda_role *role;
    struct http_engine *http;
    struct lambda_runtime *runtime;
    int rc; /* of open_runtime */
    struct error why;
    struct telemetry *telemetry;
};

static int open_runtime(struct server *s)
{
    struct http_options options = {0};
    int rc = http_engine_open(&options, &s->http);
    return rc ? rc : lambda_runtime_open(s->http, NULL, &s->runtime);
}

static void *open_runtime_beside(void *ctx)
{
    struct server *s = ctx;
    s->rc = open_runtime(s);
    s->why = *error_last();
    return NULL;
}

/* TLS and HTTP get ready beside the role, which mostly waits for others. *role_rc: what became of
 * that; its error is the last one. Returns what became of the runtime. */
static int open_both(struct server *s, int *role_rc)
{
    pthread_t thread;
    bool beside = pthread_create(&thread, NULL, open_runtime_beside, s) == 0;
    if (!beside)
        open_runtime_beside(s);
    *role_rc = s->role->open(s->app);
    if (beside)
        pthread_join(thread, NULL);
    return s->rc ? error_restore(&s->why) : OK;
}

static void close_runtime(struct server *s)
{
    lambda_runtime_close(s->runtime);
    http_engine_close(s->http);
}

/* ---- one invocation ---- */

/* A tenth of the time that is left, and not more than MARGIN_MS, is kept for the end. */
static int64_t give_back_at(const struct lambda_invocation *i)
{
    int64_t left = i->deadline_ms - clock_now(clock_system());
    int64_t margin = left / 10 < MARGIN_MS ? left / 10 : MARGIN_MS;
    return clock_monotonic_ms() + left - margin;
}

/* Half of what is left before the deadline stays for the answer. */
static int64_t flush_until(const struct lambda_invocation *i)
{
    int64_t left = (i->deadline_ms - clock_now(clock_system())) / 2;
    return clock_monotonic_ms() + (left < FLUSH_MS ? left : FLUSH_MS);
}

/* ---- its metrics ---- */

static int open_metrics(const struct server *s, struct lambda_call *call)
{
    const char *function = getenv("AWS_LAMBDA_FUNCTION_NAME");
    if (!config_bool(s->app->config, "metrics.cloudwatch"))
        return OK;
    int rc = metrics_open(&call->metrics);
    return rc ? rc : emf_open(function ? function : s->role->name, &call->emf);
}

/* One write for each line, so that none is torn. */
static void print_lines(const char *text)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1)
        if (write(STDOUT_FILENO, text, (size_t)(end + 1 - text)) < 0)
            return; /* nowhere to tell it */
}

/* Nothing of an invocation in which nothing happened. Keeps the last error. */
static void tell_metrics(const struct lambda_call *call, int64_t began_ms)
{
    struct error e = *error_last();
    struct buffer lines;
    buffer_init(&lines, CAP_METRICS_TEXT);
    emf_add_metrics(call->emf, call->metrics);
    if (call->emf && emf_any(call->emf)) {
        emf_add(call->emf, "Duration", "Milliseconds", (double)(clock_monotonic_ms() - began_ms));
        if (!emf_write(call->emf, clock_now(clock_system()), &lines))
            print_lines(buffer_string(&lines));
    }
    buffer_free(&lines);
    error_restore(&e);
}

static void close_metrics(struct lambda_call *call)
{
    emf_close(call->emf);
    metrics_close(call->metrics);
}

static int handle(struct server *s, const struct lambda_invocation *i, struct buffer *answer)
{
    int64_t began_ms = clock_monotonic_ms();
    struct arena arena;
    struct trace_context trace;
    bool traced = trace_context_parse_xray(i->trace, &trace);
    arena_init(&arena, CAP_JOB_ARENA);
    struct lambda_call call = {.payload = buffer_string(&i->response.body),
                               .length = i->response.body.length,
                               .trace = traced ? &trace : NULL,
                               .telemetry = s->telemetry,
                               .arena = &arena,
                               .until_ms = give_back_at(i)};
    int rc = open_metrics(s, &call);
    if (!rc)
        rc = app_thaw(s->app);
    if (!rc)
        rc = s->role->handle(s->app, &call, answer);
    tell_metrics(&call, began_ms);
    telemetry_flush(s->telemetry, flush_until(i));
    close_metrics(&call);
    arena_free(&arena);
    return rc;
}

static int respond(struct server *s, const struct lambda_invocation *i, int rc,
                   const struct buffer *answer)
{
    if (!rc)
        rc = lambda_runtime_respond(s->runtime, i, buffer_string(answer), answer->length);
    if (!rc || rc == ERR_CONFLICT)
        return rc;
    struct error why = *error_last();
    log_write(LOG_ERROR, "lambda.failed", LOG_STR("request_id", i->request_id),
              LOG_STR("reason", why.reason), LOG_STR("message", why.message), LOG_END);
    return lambda_runtime_fail(s->runtime, i, &why);
}

static int serve_invocation(struct server *s, const struct lambda_invocation *i, int rc)
{
    struct buffer answer;
    int64_t began = clock_monotonic_ms();
    buffer_init(&answer, CAP_LAMBDA_RESPONSE);
    if (!rc)
        rc = handle(s, i, &answer);
    rc = respond(s, i, rc, &answer);
    buffer_free(&answer);
    if (rc == ERR_CONFLICT) {
        log_write(LOG_WARN, "lambda.refused", LOG_STR("request_id", i->request_id),
                  LOG_STR("message", error_last()->message), LOG_END);
        rc = OK;
    }
    log_write(LOG_INFO, "lambda.invocation", LOG_STR("request_id", i->request_id),
              LOG_STR("trace", i->trace), LOG_STR("function", i->function_arn),
              LOG_INT("duration_ms", clock_monotonic_ms() - began), LOG_END);
    return rc;
}

static int serve_next(struct server *s)
{
    struct lambda_invocation i;
    int rc = lambda_runtime_next(s->runtime, app_stop(), &i);
    if (!rc || rc == ERR_TOO_LARGE)
        rc = serve_invocation(s, &i, rc);
    lambda_invocation_free(&i);
    return rc;
}

/* ---- the process ---- */

static int serve(struct server *s)
{
    int rc = OK;
    log_write(LOG_INFO, "lambda.ready", LOG_STR("role", s->role->name), LOG_INT("pid", getpid()),
              LOG_END);
    while (!rc && !app_stopped())
        rc = serve_next(s);
    if (rc == ERR_CANCELLED)
        rc = OK;
    if (!rc)
        log_write(LOG_INFO, "lambda.stopped", LOG_END);
    return rc;
}

static int fail(const struct app *app)
{
    app_fail(app);
    return STATUS_FAILED;
}

static int report(struct server *s, const struct error *why)
{
    if (lambda_runtime_fail_init(s->runtime, why))
        log_write(LOG_WARN, "lambda.unreported", LOG_STR("message", error_last()->message),
                  LOG_END);
    error_restore(why);
    return fail(s->app);
}

/* Spans only: metrics of a function go to CloudWatch. */
static int open_telemetry(struct server *s)
{
    return telemetry_wanted(s->app) ? telemetry_open(s->app, NULL, &s->telemetry) : OK;
}

int app_lambda_serve(struct app *app, const struct lambda_role *role)
{
    struct server s = {.app = app, .role = role};
    struct error why;
    int status, unopened = OK;
    if (!role)
        return app_lambda_cannot_start(app);
    app_catch_signals();
    int rc = open_both(&s, &unopened);
    if (!rc && !unopened)
        unopened = open_telemetry(&s);
    why = *error_last();
    if (rc)
        status = fail(app);
    else if (unopened)
        status = report(&s, &why);
    else
        status = serve(&s) ? fail(app) : STATUS_OK;
    telemetry_close(s.telemetry);
    close_runtime(&s);
    return status;
}

int app_lambda_cannot_start(struct app *app)
{
    struct server s = {.app = app};
    struct error why = *error_last();
    int status = open_runtime(&s) ? fail(app) : report(&s, &why);
    close_runtime(&s);
    return status;
}

/* ---- for roles ---- */

struct queue_opening {
    struct app *app;
    int rc;
    struct error why;
};

static void *open_queue(void *ctx)
{
    struct queue_opening *q = ctx;
    q->rc = app_queue(q->app);
    q->why = *error_last();
    return NULL;
}

/* SQS is asked for the queue beside the database: who waits for one of them waits for both. The
 * database needs nothing then of what the queue opens (HTTP, AWS), for its URL is known. */
static int open_data(struct app *app)
{
    struct queue_opening q = {.app = app};
    pthread_t thread;
    bool beside = *config_string(app->config, "queue.url") &&
                  pthread_create(&thread, NULL, open_queue, &q) == 0;
    int rc = app_database(app);
    if (beside)
        pthread_join(thread, NULL);
    else if (!rc)
        open_queue(&q);
    return rc ? rc : q.rc ? error_restore(&q.why) : OK;
}

int app_lambda_data(struct app *app)
{
    const char *url;
    int rc = app_database_url(app, &url);
    if (!rc && !*url)
        rc = error_set(ERR_INVALID, "no_database",
                       "there is no database: a function's own disk is gone with it, so set "
                       "DATABASE_URL or AEGIS_DATABASE_SECRET to a PostgreSQL");
    return rc ? rc : open_data(app);
}
