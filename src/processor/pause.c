/*
 * The pipeline's pause. A systemic failure (an invalid key, an exhausted quota, a full disk) is
 * nobody's attempt: the jobs that met it are held where they are, the dispatcher takes no more, and
 * one held job at a time tries its stage again, at growing intervals. The first try that gets
 * through ends the pause for all.
 */
#include "processor/internal.h"
#include "shared/condition.h"
#include "shared/log.h"
#include "shared/random.h"

static const struct retry_policy probe_policy = {
    .base_ms = 1000, .cap_ms = 60000, .max_attempts = 0};

void pause_init(struct pause *pause)
{
    pthread_mutex_init(&pause->lock, NULL);
    pthread_mutex_init(&pause->telling, NULL);
    pthread_cond_init(&pause->changed, NULL);
}

void pause_fini(struct pause *pause)
{
    pthread_cond_destroy(&pause->changed);
    pthread_mutex_destroy(&pause->telling);
    pthread_mutex_destroy(&pause->lock);
}

/* Between half and the whole of 1 s, 2 s, 4 s ... 60 s. */
static int64_t probe_delay(int failures)
{
    int64_t ceiling = probe_policy.base_ms;
    for (int i = 1; i < failures && ceiling < probe_policy.cap_ms; i++)
        ceiling *= 2;
    if (ceiling > probe_policy.cap_ms)
        ceiling = probe_policy.cap_ms;
    return ceiling / 2 + (int64_t)random_below((uint64_t)ceiling / 2 + 1);
}

/* What the calling thread has failed with stays its last error. */
static void announce(struct processor *p, const char *reason, const char *message)
{
    struct error kept = *error_last();
    bool paused = reason[0] != '\0';
    log_write(LOG_WARN, paused ? "pipeline.paused" : "pipeline.resumed", LOG_STR("reason", reason),
              LOG_STR("message", message), LOG_END);
    if (p->ports.database.ops->pause_set(p->ports.database.ctx, reason, message))
        log_write(LOG_ERROR, "database.failed", LOG_STR("message", error_last()->message), LOG_END);
    error_restore(&kept);
}

/* Threads that enter and leave the pause come here in any order; each tells how it is by then. */
static void tell(struct processor *p)
{
    struct pause *pause = &p->pause;
    pthread_mutex_lock(&pause->telling);
    pthread_mutex_lock(&pause->lock);
    bool active = pause->active;
    struct error cause = pause->cause;
    pthread_mutex_unlock(&pause->lock);
    if (active && !pause->told)
        announce(p, cause.reason[0] ? cause.reason : error_code_name(cause.code), cause.message);
    if (!active && pause->told)
        announce(p, "", "");
    pause->told = active;
    pthread_mutex_unlock(&pause->telling);
}

static void wait_a_little(struct pause *pause)
{
    condition_wait_for(&pause->changed, &pause->lock, CANCEL_POLL_MS);
}

/* Enters the pause, or notes that a probe failed. */
static void enter(struct pause *pause, struct delivery *d, const struct error *cause)
{
    bool begun = !pause->active;
    if (begun) {
        pause->active = true;
        pause->failures = 1;
    } else if (d->probing) {
        pause->failures++;
    }
    if (begun || d->probing) {
        pause->probing = d->probing = false;
        pause->probe_at_ms = clock_monotonic_ms() + probe_delay(pause->failures);
    }
    pause->cause = *cause;
}

/* Waits for the end of the pause or for this job's turn to try. */
static int wait_turn(struct processor *p, struct delivery *d)
{
    struct pause *pause = &p->pause;
    int rc = OK;
    pause->waiting++;
    while (pause->active) {
        if (cancel_requested(&d->cancel) || cancel_requested(&p->stop)) {
            rc = error_set(ERR_CANCELLED, NULL, "stopped while the pipeline was paused");
            break;
        }
        if (!pause->probing && clock_monotonic_ms() >= pause->probe_at_ms) {
            pause->probing = d->probing = true;
            break;
        }
        wait_a_little(pause);
    }
    pause->waiting--;
    return rc;
}

static void leave(struct processor *p)
{
    p->pause.active = p->pause.probing = false;
    pthread_cond_broadcast(&p->pause.changed);
}

int pause_hold(struct processor *p, struct delivery *d, const struct error *e)
{
    struct error cause = *e;
    const struct database *db = &p->ports.database;
    pthread_mutex_lock(&p->pause.lock);
    enter(&p->pause, d, &cause);
    pthread_mutex_unlock(&p->pause.lock);
    tell(p);
    db->ops->set_paused(db->ctx, d->work.job_id, true, cause.reason, cause.message);

    pthread_mutex_lock(&p->pause.lock);
    int rc = wait_turn(p, d);
    bool abandoned = rc && p->pause.active && p->pause.waiting == 0 && !p->pause.probing;
    if (abandoned)
        leave(p); /* nobody is left to probe: the next job will find out */
    pthread_mutex_unlock(&p->pause.lock);
    tell(p);
    if (!rc)
        db->ops->set_paused(db->ctx, d->work.job_id, false, "", "");
    return rc ? error_set(rc, NULL, "stopped while the pipeline was paused: %s", cause.message)
              : OK;
}

void pause_probe_ended(struct processor *p, struct delivery *d, int rc)
{
    if (!d->probing)
        return;
    d->probing = false;
    pthread_mutex_lock(&p->pause.lock);
    bool over = p->pause.active && (rc != ERR_CANCELLED || p->pause.waiting == 0);
    p->pause.probing = false;
    if (over)
        leave(p);
    pthread_mutex_unlock(&p->pause.lock);
    if (over)
        tell(p);
}

bool pause_wait_clear(struct processor *p)
{
    pthread_mutex_lock(&p->pause.lock);
    while (p->pause.active && !cancel_requested(&p->stop))
        wait_a_little(&p->pause);
    pthread_mutex_unlock(&p->pause.lock);
    return !cancel_requested(&p->stop);
}
