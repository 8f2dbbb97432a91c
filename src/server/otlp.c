#include "server/otlp.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/condition.h"
#include "shared/error.h"
#include "shared/http.h"
#include "shared/log.h"
#include "shared/retry.h"

enum {
    BATCH = 64,
    HEADERS = CAP_OTLP_PAIRS + 1,
    GATHER_MS = 1000,
    BACKOFF_MS = 1000,
    BACKOFF_CAP_MS = 30000,
    LONGEST_WAIT_MS = 300000, /* however much longer a collector asks for */
    WHY_TEXT = 200,
};

/* A span with all that it points to behind it. */
struct waiting {
    struct span span;
    struct span_part parts[SPAN_PARTS];
    char text[];
};

/* One kind of requests. */
struct lane {
    const char *signal; /* "traces", "metrics": for people and labels */
    const char *url;    /* NULL: none are sent */
    int64_t due_ms;     /* not before, monotonic */
    int64_t since_ms;   /* of the first failure of what is repeated; 0: none */
    int failures;       /* in a row */
    bool away;          /* logged */
};

struct otlp {
    struct otlp_options options;
    struct http_header headers[HEADERS];
    struct cancel cancel; /* the end: whatever is under way ends too */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed, settled;
    struct waiting *queue[CAP_OTLP_SPANS]; /* a ring */
    size_t first, count;
    bool stopping, stopped, hurry;
    bool sending, unsent;     /* a request is under way; one waits to be repeated */
    int64_t failing_until_ms; /* so long nothing is sent after a failure; 0: none failed */

    /* the thread's own */
    struct lane traces, metrics;
    struct buffer body; /* of spans that are being sent, perhaps again */
    size_t body_spans;
};

static int64_t unix_us(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void count_lost(const struct otlp *o, const struct lane *lane, size_t count)
{
    if (o->options.instruments && count > 0)
        metrics_lost(o->options.instruments->metrics, lane->signal, (int64_t)count);
}

/* ---- the queue ---- */

static const char *copy_text(char **at, const char *text)
{
    char *copy = *at;
    size_t size = strlen(text ? text : "") + 1;
    memcpy(copy, text ? text : "", size);
    *at += size;
    return copy;
}

static size_t size_of(const struct span *s)
{
    const char *const texts[] = {s->trace_id, s->span_id, s->parent_id, s->bucket,
                                 s->key,      s->error,   s->message};
    size_t size = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        size += strlen(texts[i] ? texts[i] : "") + 1;
    return size;
}

static struct waiting *copy_span(const struct span *s)
{
    struct waiting *w = malloc(sizeof *w + size_of(s));
    if (!w)
        return NULL;
    char *at = w->text;
    w->span = *s;
    w->span.trace_id = copy_text(&at, s->trace_id);
    w->span.span_id = copy_text(&at, s->span_id);
    w->span.parent_id = copy_text(&at, s->parent_id);
    w->span.bucket = copy_text(&at, s->bucket);
    w->span.key = copy_text(&at, s->key);
    w->span.error = copy_text(&at, s->error);
    w->span.message = copy_text(&at, s->message);
    w->span.part_count = s->part_count < SPAN_PARTS ? s->part_count : SPAN_PARTS;
    if (w->span.part_count)
        memcpy(w->parts, s->parts, w->span.part_count * sizeof *w->parts);
    w->span.parts = w->parts;
    return w;
}

void otlp_span(struct otlp *o, const struct span *span)
{
    struct waiting *w = o && o->traces.url ? copy_span(span) : NULL;
    if (!o || !o->traces.url)
        return;
    pthread_mutex_lock(&o->lock);
    bool taken = w && o->count < CAP_OTLP_SPANS;
    if (taken)
        o->queue[(o->first + o->count++) % CAP_OTLP_SPANS] = w;
    if (taken && (o->count == 1 || o->count == BATCH))
        pthread_cond_signal(&o->changed);
    pthread_mutex_unlock(&o->lock);
    if (taken)
        return;
    free(w);
    count_lost(o, &o->traces, 1);
}

static size_t take(struct otlp *o, struct waiting *batch[BATCH])
{
    size_t n = 0;
    pthread_mutex_lock(&o->lock);
    for (; n < BATCH && o->count > 0; n++, o->count--) {
        batch[n] = o->queue[o->first];
        o->first = (o->first + 1) % CAP_OTLP_SPANS;
    }
    pthread_mutex_unlock(&o->lock);
    return n;
}

/* ---- one request ---- */

static bool is_for_later(int rc, int status)
{
    return rc ? rc == ERR_TRANSIENT || rc == ERR_TIMEOUT
              : status == 429 || status == 502 || status == 503 || status == 504;
}

/* Once, until it works again. */
static void tell_failure(struct lane *lane, int rc, const struct http_response *response)
{
    char why[WHY_TEXT];
    if (lane->away)
        return;
    lane->away = true;
    snprintf(why, sizeof why, "HTTP status %d: %s", response->status,
             buffer_string(&response->body));
    log_write(LOG_WARN, "otlp.failed", LOG_STR("signal", lane->signal), LOG_STR("url", lane->url),
              LOG_STR("message", rc ? error_last()->message : why), LOG_END);
}

static void tell_success(const struct otlp *o, struct lane *lane,
                         const struct http_response *response)
{
    char why[WHY_TEXT];
    int64_t count;
    bool rejected = otlp_json_rejected(buffer_string(&response->body), response->body.length,
                                       &count, why, sizeof why);
    if (rejected) {
        count_lost(o, lane, (size_t)count);
        if (!lane->away)
            log_write(LOG_WARN, "otlp.rejected", LOG_STR("signal", lane->signal),
                      LOG_INT("count", count), LOG_STR("message", why), LOG_END);
    } else if (lane->away) {
        log_write(LOG_INFO, "otlp.recovered", LOG_STR("signal", lane->signal), LOG_END);
    }
    lane->away = rejected;
    lane->failures = 0;
    lane->since_ms = 0;
}

static int64_t backoff(const struct otlp *o, int failures, int64_t asked_ms)
{
    const struct retry_policy policy = {.base_ms = o->options.backoff_ms, .cap_ms = BACKOFF_CAP_MS};
    uint64_t word;
    random_bytes(&word, sizeof word);
    int64_t ms = retry_delay(&policy, failures, asked_ms, word);
    return ms < LONGEST_WAIT_MS ? ms : LONGEST_WAIT_MS;
}

enum verdict { SENT, LATER, LOST };

static enum verdict judge(struct otlp *o, struct lane *lane, int rc,
                          const struct http_response *response)
{
    int64_t now = clock_monotonic_ms();
    if (!rc && response->status / 100 == 2) {
        tell_success(o, lane, response);
        return SENT;
    }
    if (rc != ERR_CANCELLED)
        tell_failure(lane, rc, response);
    lane->failures++;
    if (!lane->since_ms)
        lane->since_ms = now;
    int64_t asked = rc ? -1 : http_retry_after(response, clock_now(clock_system()));
    lane->due_ms = now + backoff(o, lane->failures, asked);
    return is_for_later(rc, response->status) && now - lane->since_ms < OTLP_PATIENCE_MS ? LATER
                                                                                         : LOST;
}

static enum verdict post(struct otlp *o, struct lane *lane, const struct buffer *body)
{
    struct http_response response;
    struct http_request request = {.method = "POST",
                                   .url = lane->url,
                                   .headers = o->headers,
                                   .header_count = o->options.header_count + 1,
                                   .body = body->data,
                                   .body_length = body->length,
                                   .timeout_ms = o->options.timeout_ms,
                                   .connect_timeout_ms = o->options.timeout_ms,
                                   .max_response = CAP_OTLP_REPLY};
    int rc = http_perform(o->options.http, &request, &o->cancel, &response);
    enum verdict verdict = judge(o, lane, rc, &response);
    http_response_free(&response);
    return verdict;
}

/* ---- traces ---- */

/* What cannot be encoded is lost: it would be no better the next time. */
static void encode(struct otlp *o)
{
    struct waiting *batch[BATCH];
    const struct span *spans[BATCH];
    size_t n = take(o, batch);
    for (size_t i = 0; i < n; i++)
        spans[i] = &batch[i]->span;
    buffer_init(&o->body, CAP_OTLP_REQUEST);
    o->body_spans = n;
    if (n && otlp_json_spans(&o->options.resource, spans, n, &o->body)) {
        count_lost(o, &o->traces, n);
        o->body_spans = 0;
    }
    for (size_t i = 0; i < n; i++)
        free(batch[i]);
}

static void forget_body(struct otlp *o)
{
    buffer_free(&o->body);
    o->body_spans = 0;
}

/* `again`: what fails may be sent once more. */
static enum verdict send_traces(struct otlp *o, bool again)
{
    if (!o->body_spans)
        encode(o);
    if (!o->body_spans) {
        forget_body(o);
        return SENT;
    }
    enum verdict verdict = post(o, &o->traces, &o->body);
    if (verdict == LATER && again)
        return verdict;
    if (verdict != SENT) {
        count_lost(o, &o->traces, o->body_spans);
        o->traces.since_ms = 0;
    }
    forget_body(o);
    return verdict;
}

/* ---- metrics ---- */

static void write_metrics(void *ctx, struct exposition *x)
{
    instruments_write(ctx, x);
}

static void send_metrics(struct otlp *o)
{
    struct buffer body;
    struct instruments *i = o->options.instruments;
    buffer_init(&body, CAP_OTLP_REQUEST);
    int64_t next = clock_monotonic_ms() + o->options.interval_ms;
    int rc = otlp_json_metrics(&o->options.resource, write_metrics, i,
                               (int64_t)(i->start_time * 1e6), unix_us(), &body);
    enum verdict verdict = rc ? LOST : post(o, &o->metrics, &body);
    if (verdict == LOST)
        count_lost(o, &o->metrics, 1);
    if (verdict != LATER || o->metrics.due_ms > next)
        o->metrics.due_ms = next;
    buffer_free(&body);
}

/* ---- the thread ---- */

/* When there is something to do; INT64_MAX: not at all. Under the lock. */
static int64_t traces_due(const struct otlp *o)
{
    bool failing = o->traces.failures > 0;
    if (!o->count && !o->body_spans)
        return INT64_MAX;
    if (failing)
        return o->traces.due_ms;
    return o->hurry || o->body_spans || o->count >= BATCH ? 0 : o->traces.due_ms;
}

static void work(struct otlp *o, bool traces)
{
    o->sending = true;
    pthread_mutex_unlock(&o->lock);
    if (traces)
        send_traces(o, true);
    else
        send_metrics(o);
    pthread_mutex_lock(&o->lock);
    o->sending = false;
    o->unsent = o->body_spans > 0;
    o->failing_until_ms = o->traces.failures ? o->traces.due_ms : 0;
    if (traces && !o->traces.failures)
        o->traces.due_ms = clock_monotonic_ms() + o->options.gather_ms;
    pthread_cond_broadcast(&o->settled);
}

static void serve(struct otlp *o)
{
    pthread_mutex_lock(&o->lock);
    while (!o->stopping) {
        int64_t now = clock_monotonic_ms(), traces = traces_due(o);
        int64_t metrics = o->metrics.url ? o->metrics.due_ms : INT64_MAX;
        if (metrics <= now) /* first: it is seldom, and spans may come without end */
            work(o, false);
        else if (traces <= now)
            work(o, true);
        else if (traces == INT64_MAX && metrics == INT64_MAX)
            pthread_cond_wait(&o->changed, &o->lock);
        else
            condition_wait_until(&o->changed, &o->lock, traces < metrics ? traces : metrics);
    }
    pthread_mutex_unlock(&o->lock);
}

static bool is_left(struct otlp *o)
{
    pthread_mutex_lock(&o->lock);
    bool left = o->body_spans || o->count;
    pthread_mutex_unlock(&o->lock);
    return left;
}

/* Everything once; after a failure no more spans are tried. */
static void finish(struct otlp *o)
{
    while (is_left(o) && !cancel_requested(&o->cancel))
        if (send_traces(o, false) != SENT)
            break;
    if (o->metrics.url && !cancel_requested(&o->cancel))
        send_metrics(o);
}

static void *run(void *arg)
{
    struct otlp *o = arg;
    serve(o);
    finish(o);
    pthread_mutex_lock(&o->lock);
    o->stopped = true;
    pthread_cond_broadcast(&o->settled);
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- opening and closing ---- */

static void set_options(struct otlp *o, const struct otlp_options *options)
{
    int64_t now = clock_monotonic_ms();
    o->options = *options;
    if (!o->options.gather_ms)
        o->options.gather_ms = GATHER_MS;
    if (!o->options.backoff_ms)
        o->options.backoff_ms = BACKOFF_MS;
    if (options->header_count)
        memcpy(o->headers + 1, options->headers, options->header_count * sizeof *o->headers);
    o->headers[0] = (struct http_header){"Content-Type", "application/json"};
    o->traces = (struct lane){.signal = "traces", .url = options->traces_url};
    o->metrics = (struct lane){.signal = "metrics",
                               .url = options->instruments ? options->metrics_url : NULL,
                               .due_ms = now + options->interval_ms};
}

int otlp_open(const struct otlp_options *options, struct otlp **out)
{
    struct otlp *o = options->header_count < HEADERS ? calloc(1, sizeof *o) : NULL;
    if (!o)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for telemetry");
    set_options(o, options);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->changed, NULL);
    pthread_cond_init(&o->settled, NULL);
    int e = pthread_create(&o->thread, NULL, run, o);
    if (e) {
        free(o);
        return error_set_errno(e, "cannot start a thread");
    }
    pthread_setname_np(o->thread, "otlp");
    *out = o;
    return OK;
}

static void wait_for_end(struct otlp *o)
{
    int64_t deadline = clock_monotonic_ms() + OTLP_CLOSE_MS;
    pthread_mutex_lock(&o->lock);
    o->stopping = true;
    pthread_cond_broadcast(&o->changed);
    while (!o->stopped && condition_wait_until(&o->settled, &o->lock, deadline))
        ;
    pthread_mutex_unlock(&o->lock);
    cancel_request(&o->cancel);
    pthread_join(o->thread, NULL);
}

void otlp_close(struct otlp *o)
{
    if (!o)
        return;
    struct error e = *error_last();
    wait_for_end(o);
    count_lost(o, &o->traces, o->count + o->body_spans);
    for (; o->count > 0; o->count--, o->first = (o->first + 1) % CAP_OTLP_SPANS)
        free(o->queue[o->first]);
    buffer_free(&o->body);
    pthread_cond_destroy(&o->settled);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->lock);
    free(o);
    error_restore(&e);
}

/* Under the lock. After a failure there is nothing to wait for until it is time for another try. */
static bool is_worth_waiting(const struct otlp *o)
{
    bool pending = o->count || o->unsent;
    return o->sending || (pending && o->failing_until_ms <= clock_monotonic_ms());
}

bool otlp_flush(struct otlp *o, int64_t deadline_ms)
{
    if (!o)
        return true;
    pthread_mutex_lock(&o->lock);
    o->hurry = true;
    pthread_cond_signal(&o->changed);
    while (is_worth_waiting(o) && condition_wait_until(&o->settled, &o->lock, deadline_ms))
        ;
    o->hurry = false;
    bool done = !o->count && !o->unsent && !o->sending;
    pthread_mutex_unlock(&o->lock);
    return done;
}
