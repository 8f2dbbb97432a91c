#include "commands/wait.h"

#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/error.h"

enum {
    LEAST_SLEEP_MS = 5,
    MOST_SLEEP_MS = 50,
    PUMP_EVERY_MS = 50,
    PAUSE_CHECK_MS = 500,
    PAUSE_GRACE_MS = 5000, /* a server that restarts is back by then */
    REFRESH_MS = 5000,
};

static void report_ended(const struct wait *w)
{
    struct tracker *t = w->tracker;
    for (size_t i = 0;; i++) {
        struct tracked item;
        pthread_mutex_lock(&t->lock);
        while (i < t->count && (t->items[i].reported || (t->items[i].state != JOB_SUCCEEDED &&
                                                         t->items[i].state != JOB_DEAD &&
                                                         t->items[i].state != JOB_CANCELLED)))
            i++;
        if (i == t->count) {
            pthread_mutex_unlock(&t->lock);
            return;
        }
        t->items[i].reported = true;
        item = t->items[i]; /* ended: nothing changes or frees its strings any more */
        pthread_mutex_unlock(&t->lock);
        progress_clear(w->progress);
        w->ended(w->ctx, &item);
    }
}

/* ERR_SYSTEMIC once a pause has lasted; *since_ms is 0 while there is none. */
static int check_pause(const struct wait *w, int64_t now, int64_t *since_ms)
{
    struct arena arena;
    arena_init(&arena, KIB(64));
    const char *reason = "", *message = "";
    int64_t began;
    struct database *db = &w->app->database;
    int rc = db->ops->pause_get(db->ctx, &arena, &reason, &message, &began);
    if (!rc && *reason) {
        snprintf(w->progress->pause, sizeof w->progress->pause, "%s", message);
        *since_ms = *since_ms ? *since_ms : now;
        if (now - *since_ms >= PAUSE_GRACE_MS)
            rc = error_set(ERR_SYSTEMIC, reason, "the pipeline is paused: %s", message);
    } else {
        *since_ms = 0;
        w->progress->pause[0] = '\0';
    }
    arena_free(&arena);
    return rc;
}

int wait_pump(struct wait *w)
{
    int64_t now = clock_monotonic_ms();
    if (now - w->pumped_ms < PUMP_EVERY_MS)
        return OK;
    w->pumped_ms = now;
    size_t seen;
    int rc = follower_read(w->follower, tracker_event, w->tracker, &seen);
    report_ended(w);
    progress_draw(w->progress, w->tracker);
    return rc;
}

int wait_for_jobs(struct wait *w)
{
    int sleep_ms = LEAST_SLEEP_MS, rc = OK;
    int64_t paused_ms = 0, pause_checked_ms = 0, refreshed_ms = clock_monotonic_ms();
    while (!rc) {
        size_t seen = 0;
        rc = follower_read(w->follower, tracker_event, w->tracker, &seen);
        report_ended(w);
        if (rc || tracker_ended(w->tracker) == w->tracker->count)
            break;
        if (app_stopped()) {
            rc = error_set(ERR_CANCELLED, NULL, "interrupted");
            break;
        }
        int64_t now = clock_monotonic_ms();
        if (now - pause_checked_ms >= PAUSE_CHECK_MS) {
            pause_checked_ms = now;
            rc = check_pause(w, now, &paused_ms);
        }
        if (seen)
            refreshed_ms = now; /* events come: nothing was missed */
        if (!rc && now - refreshed_ms >= REFRESH_MS) {
            refreshed_ms = now;
            rc = tracker_refresh(w->tracker, w->app);
        }
        progress_draw(w->progress, w->tracker);
        sleep_ms = seen                           ? LEAST_SLEEP_MS
                   : sleep_ms * 2 < MOST_SLEEP_MS ? sleep_ms * 2
                                                  : MOST_SLEEP_MS;
        app_sleep(sleep_ms);
    }
    struct error e = *error_last();
    progress_clear(w->progress);
    return rc ? error_restore(&e) : OK;
}
