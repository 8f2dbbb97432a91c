#include "commands/service.h"

#include <string.h>

#include "shared/clock.h"
#include "shared/error.h"
#include "shared/log.h"

enum { FOLLOW_MS = 100, IDLE_FOLLOW_MS = 20, PAUSE_CHECK_MS = 500, PAUSE_GRACE_MS = 5000 };

/* ---- life-cycle steps as log lines ---- */

static enum log_level level_of(const char *type)
{
    if (!strcmp(type, "job.dead"))
        return LOG_ERROR;
    if (!strcmp(type, "job.retrying") || !strcmp(type, "job.paused"))
        return LOG_WARN;
    return LOG_INFO;
}

static void log_event(void *ctx, const struct life_event *e)
{
    struct service *s = ctx;
    char at[CLOCK_TEXT];
    s->dead += !strcmp(e->type, "job.dead");
    s->succeeded += !strcmp(e->type, "job.succeeded");
    log_write(level_of(e->type), e->type, LOG_INT("job", e->job_id), LOG_INT("media", e->media_id),
              LOG_INT("attempt", e->attempt), LOG_STR("trace_id", e->trace_id),
              LOG_STR("bucket", e->bucket), LOG_STR("key", e->key),
              LOG_STR("at", clock_format(e->at_ms, at)), LOG_RAW("detail", e->detail_json),
              LOG_END);
}

/* ---- running ---- */

int service_open(struct service *s, struct app *app, bool process)
{
    *s = (struct service){.app = app};
    app_catch_signals();
    int rc = app_database(app);
    if (!rc)
        rc = follower_start(&s->follower, &app->database);
    if (!rc && process)
        rc = app_processor_start(app, NULL, &s->processor);
    if (!rc)
        rc = app_queue(app);
    return rc;
}

static int is_idle(struct service *s, bool *idle)
{
    struct queue_stats stats;
    int rc = s->app->queue.ops->stats(s->app->queue.ctx, &stats);
    *idle = !rc && stats.visible + stats.in_flight + stats.delayed == 0;
    return rc;
}

/* A paused pipeline never becomes idle: ERR_SYSTEMIC once it has been for a while. */
static int check_pause(struct service *s)
{
    int64_t now = clock_monotonic_ms();
    if (now - s->pause_checked_ms < PAUSE_CHECK_MS)
        return OK;
    s->pause_checked_ms = now;
    struct arena arena;
    arena_init(&arena, KIB(64));
    const char *reason = "", *message = "";
    int64_t since;
    const struct database *db = &s->app->database;
    int rc = db->ops->pause_get(db->ctx, &arena, &reason, &message, &since);
    bool paused = !rc && *reason;
    s->paused_ms = !paused ? 0 : s->paused_ms ? s->paused_ms : now;
    if (paused && now - s->paused_ms >= PAUSE_GRACE_MS)
        rc = error_set(ERR_SYSTEMIC, reason, "the pipeline is paused: %s", message);
    arena_free(&arena);
    return rc;
}

int service_loop(struct service *s, bool until_idle, const struct cancel *ended)
{
    int rc = OK;
    bool idle = false;
    while (!rc && !idle && !app_stopped() && !cancel_requested(ended)) {
        size_t seen = 0;
        rc = follower_read(&s->follower, log_event, s, &seen);
        if (!rc && until_idle)
            rc = check_pause(s);
        if (!rc && until_idle)
            rc = is_idle(s, &idle);
        if (!rc && !idle)
            app_sleep(until_idle ? IDLE_FOLLOW_MS : FOLLOW_MS);
    }
    return rc;
}

void service_close(struct service *s)
{
    struct error e = *error_last();
    if (app_stopped() && s->processor)
        log_write(LOG_INFO, "serve.draining",
                  LOG_INT("deadline_ms", config_int(s->app->config, "drain")), LOG_END);
    processor_stop(s->processor);
    s->processor = NULL;
    size_t seen;
    if (s->follower.database && follower_read(&s->follower, log_event, s, &seen))
        log_write(LOG_WARN, "serve.events_unread", LOG_STR("message", error_last()->message),
                  LOG_END);
    error_restore(&e);
}
