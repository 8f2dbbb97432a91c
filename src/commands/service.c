#include "commands/service.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "commands/life_log.h"
#include "commands/monitoring.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/log.h"

enum {
    FOLLOW_MS = 100,
    IDLE_FOLLOW_MS = 20,
    AWAY_MS = 1000, /* the database does not answer: look again then */
    PAUSE_CHECK_MS = 500,
    PAUSE_GRACE_MS = 5000
};

/* ---- which jobs are this process's ---- */

/* The ids of the jobs worked on last, by their low bits: a worker has far fewer at a time, and what
 * is logged of one comes while it runs or just after. */
enum { OWN_SLOTS = 1 << 15 };
struct own_jobs {
    atomic_llong ids[OWN_SLOTS];
};

static void on_progress(void *ctx, const struct job_progress *progress)
{
    const struct service *s = ctx;
    atomic_store(&s->own->ids[progress->job_id % OWN_SLOTS], progress->job_id);
}

static void on_ended(void *ctx, const struct attempt_report *report)
{
    const struct service *s = ctx;
    monitoring_attempt(s->monitoring, report);
}

static bool is_own(const struct service *s, int64_t job_id)
{
    return !s->own || atomic_load(&s->own->ids[job_id % OWN_SLOTS]) == job_id;
}

/* ---- life-cycle steps as log lines ---- */

static void log_event(void *ctx, const struct life_event *e)
{
    struct service *s = ctx;
    char at[CLOCK_TEXT];
    bool own = is_own(s, e->job_id);
    if (own)
        monitoring_event(s->monitoring, e);
    if (!own && s->own_jobs_only)
        return;
    s->dead += !strcmp(e->type, "job.dead");
    s->succeeded += !strcmp(e->type, "job.succeeded");
    log_write(life_log_level(e->type), e->type, LOG_INT("job", e->job_id),
              LOG_INT("media", e->media_id), LOG_INT("attempt", e->attempt),
              LOG_STR("trace_id", e->trace_id), LOG_STR("bucket", e->bucket),
              LOG_STR("key", e->key), LOG_STR("at", clock_format(e->at_ms, at)),
              LOG_RAW("detail", e->detail_json), LOG_END);
}

/* ---- running ---- */

/* A thread that is woken waits for its turn instead of taking the processor from the one that woke
 * it: replies, changes and messages then are handled many at a time (measured: 9% more jobs on two
 * processors). Threads and children started from now on do the same. See sched(7), SCHED_BATCH;
 * where the system refuses, work goes on as it does otherwise. */
static void prefer_throughput(void)
{
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
}

int service_open(struct service *s, struct app *app, bool process)
{
    struct processor_observer observer = {.progress = on_progress, .ended = on_ended, .ctx = s};
    *s = (struct service){.app = app, .own_jobs_only = s->own_jobs_only};
    app_catch_signals();
    if (process)
        prefer_throughput();
    int rc = app_database(app);
    if (!rc)
        rc = follower_start(&s->follower, &app->database);
    if (!rc)
        rc = monitoring_open(app, process, &s->monitoring);
    if (!rc && (s->own_jobs_only || s->monitoring)) {
        s->own = calloc(1, sizeof *s->own);
        rc = s->own ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory");
    }
    if (!rc && process)
        rc = app_processor_start(app, s->own ? &observer : NULL, &s->processor);
    if (!rc)
        rc = app_queue(app);
    return rc;
}

static int is_idle(struct service *s, bool *idle)
{
    bool visible, any;
    int rc = s->app->queue.ops->pending(s->app->queue.ctx, &visible, &any);
    *idle = !rc && !any;
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

/* Whether the events may be readable again without anybody starting this process anew. */
static bool may_come_back(const struct error *e)
{
    enum error_code class = error_class(e);
    return (class == ERR_SYSTEMIC || class == ERR_TRANSIENT) && e->code != ERR_SCHEMA &&
           strcmp(e->reason, "database_schema") != 0 && strcmp(e->reason, "database_corrupt") != 0;
}

/* As follower_read. A database that is away is told once, and once that it is back: what happened
 * meanwhile is told then. */
static int read_events(struct service *s, bool outlast, size_t *seen)
{
    int rc = follower_read(&s->follower, log_event, s, seen);
    if (rc && outlast && may_come_back(error_last())) {
        if (!s->away)
            log_write(LOG_WARN, "serve.events_unread", LOG_STR("reason", error_last()->reason),
                      LOG_STR("message", error_last()->message), LOG_END);
        s->away = true;
        app_sleep(AWAY_MS);
        return OK;
    }
    if (!rc && s->away)
        log_write(LOG_INFO, "serve.events_read", LOG_END);
    s->away = false;
    return rc;
}

int service_loop(struct service *s, bool until_idle, const struct cancel *ended)
{
    int rc = OK;
    bool idle = false;
    while (!rc && !idle && !app_stopped() && !cancel_requested(ended)) {
        size_t seen = 0;
        rc = read_events(s, !until_idle, &seen);
        if (!rc && until_idle)
            rc = check_pause(s);
        if (!rc && until_idle && !seen) /* while anything happens it is not */
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
    monitoring_drain(s->monitoring);
    processor_stop(s->processor);
    s->processor = NULL;
    size_t seen;
    if (s->follower.database && follower_read(&s->follower, log_event, s, &seen))
        log_write(LOG_WARN, "serve.events_unread", LOG_STR("message", error_last()->message),
                  LOG_END);
    monitoring_close(s->monitoring);
    s->monitoring = NULL;
    free(s->own);
    s->own = NULL;
    error_restore(&e);
}
