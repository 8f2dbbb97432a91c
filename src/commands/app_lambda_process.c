/*
 * The messages of one invocation through the processor. It is started for them and stopped before
 * the answer, so that none of its threads has anything under way while the process stands still.
 */
#include <string.h>

#include "adapters/aws/queue_invocation.h"
#include "adapters/aws/queue_sqs.h"
#include "commands/app_lambda.h"
#include "commands/app_parts.h"
#include "commands/life_log.h"
#include "server/metered_providers.h"
#include "shared/clock.h"
#include "shared/log.h"

enum {
    LOOK_MS = 100,     /* how soon a signal is noticed */
    LONG_RECEIVES = 2, /* a job that was cut short as often is one for the long queue */
};

/* Also of what names no job, of which nothing else is logged. */
static int bury(void *ctx, const struct queue_message *m, const char *reason, const char *detail)
{
    const struct job_queue *queue = ctx;
    struct trace_context trace = {0};
    trace_context_parse_traceparent(m->traceparent, &trace);
    log_write(LOG_ERROR, "message.dead", LOG_STR("id", m->id), LOG_STR("reason", reason),
              LOG_STR("message", detail), LOG_STR("body", m->body),
              LOG_STR("trace_id", trace.trace_id), LOG_END);
    return queue->ops->bury(queue->ctx, m->receipt, reason, detail);
}

static int prepare(struct app *app, struct processor_ports *ports,
                   struct processor_settings *settings)
{
    int rc = app_processor_ports(app, ports);
    if (!rc)
        rc = app_processor_settings(app, settings);
    if (!rc)
        settings->drain_ms = 0; /* its time is up when it is stopped before all is done */
    return rc;
}

/* False: its time was up, or a signal came. All may have been touched by heartbeats alone: then
 * they are still held. */
static bool wait_for_end(const struct job_queue *queue, struct processor *processor,
                         int64_t until_ms)
{
    int64_t now;
    while (!app_stopped() && (now = clock_monotonic_ms()) < until_ms) {
        int64_t step = until_ms - now < LOOK_MS ? until_ms - now : LOOK_MS;
        if (invocation_queue_wait_touched(queue, step) && processor_wait_settled(processor, step))
            return true;
    }
    return false;
}

static void on_ended(void *ctx, const struct attempt_report *report)
{
    const struct lambda_call *call = ctx;
    life_log_attempt(report);
    telemetry_attempt(call->telemetry, report);
    if (call->metrics)
        metrics_step(call->metrics, report->type, report->reason);
}

static int process(const struct processor_ports *ports, const struct processor_settings *settings,
                   struct lambda_call *call, bool *ended)
{
    struct processor_observer observer = {.ended = on_ended, .ctx = call};
    struct processor *processor;
    int rc = processor_start(ports, settings, &observer, &processor);
    if (rc)
        return rc;
    *ended = wait_for_end(&ports->queue, processor, call->until_ms);
    invocation_queue_shut(&ports->queue);
    processor_stop(processor);
    return OK;
}

static int work(struct app *app, const struct job_queue *queue, const struct lambda_call *call,
                bool *ended)
{
    struct processor_ports ports;
    struct processor_settings settings;
    struct metered_providers *metered = NULL;
    struct lambda_call own = *call;
    int rc = prepare(app, &ports, &settings);
    struct model_providers providers = ports.providers;
    ports.queue = *queue;
    if (!rc && call->metrics)
        rc = metered_providers_open(&providers, call->metrics, &metered, &ports.providers);
    if (!rc)
        rc = process(&ports, &settings, &own, ended);
    metered_providers_close(metered);
    return rc;
}

static bool is_paused(const struct app *app, struct arena *arena)
{
    const char *reason, *message;
    int64_t since_ms;
    const struct database *db = &app->database;
    return db->ops->pause_get(db->ctx, arena, &reason, &message, &since_ms) || *reason;
}

/* What was cut short because nothing can work just now is not long for that. */
static void pass_on(struct app *app, const struct job_queue *queue, struct arena *arena)
{
    struct job_queue longer;
    size_t passed = 0;
    int rc = app_stopped() || is_paused(app, arena) ? ERR_CANCELLED : app_long_queue(app, &longer);
    if (rc == ERR_CANCELLED || (!rc && !longer.ops))
        return;
    if (!rc) {
        rc = invocation_queue_pass_on(queue, &longer, LONG_RECEIVES, &passed);
        longer.ops->close(longer.ctx);
    }
    if (rc)
        log_write(LOG_WARN, "queue.failed", LOG_STR("message", error_last()->message), LOG_END);
    if (passed)
        log_write(LOG_INFO, "lambda.passed_on", LOG_INT("messages", (int64_t)passed), LOG_END);
}

static int answer_for(const struct job_queue *queue, size_t messages,
                      const struct lambda_call *call, struct buffer *answer)
{
    size_t again;
    if (invocation_queue_give_back(queue))
        log_write(LOG_WARN, "queue.failed", LOG_STR("message", error_last()->message), LOG_END);
    int rc = invocation_queue_answer(queue, answer, &again);
    emf_add(call->emf, "Messages", "Count", (double)messages);
    emf_add(call->emf, "MessagesReturned", "Count", (double)again);
    if (!rc)
        log_write(LOG_INFO, "lambda.processed", LOG_INT("messages", (int64_t)messages),
                  LOG_INT("again", (int64_t)again), LOG_END);
    return rc;
}

static bool is_on_sqs(const struct app *app)
{
    return !strcmp(app->queue.ops->name, "sqs");
}

int app_lambda_process(struct app *app, const struct lambda_call *call, struct buffer *answer)
{
    struct invocation_queue_options options = {
        .inner = app->queue, .bury = bury, .bury_ctx = &app->queue};
    struct sqs_event event;
    struct job_queue queue;
    bool ended = true;
    int rc = sqs_event_parse(call->payload, call->length, call->arena, &event);
    if (!rc && is_on_sqs(app))
        rc = sqs_queue_adopt(&app->queue, &event, call->arena);
    if (!rc)
        rc = invocation_queue_open(&options, &event, &queue);
    if (rc)
        return rc;
    rc = work(app, &queue, call, &ended);
    if (!rc && !ended)
        pass_on(app, &queue, call->arena);
    if (!rc)
        rc = answer_for(&queue, event.count, call, answer);
    queue.ops->close(queue.ctx);
    return rc;
}

int app_lambda_upkeep(struct app *app, const struct lambda_call *call, bool *more)
{
    struct processor_ports ports;
    struct processor_settings settings;
    int rc = prepare(app, &ports, &settings);
    if (!rc)
        rc = processor_rescue(&ports, &settings);
    return rc ? rc : app_tend(app, call->until_ms, more);
}
