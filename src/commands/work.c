#include "commands/work.h"

#include "shared/clock.h"
#include "shared/error.h"

static int start(struct work *w)
{
    struct app *app = w->app;
    struct processor_observer observer = {.progress = tracker_progress, .ctx = &w->tracker};
    int rc = follower_start(&w->follower, &app->database);
    if (rc)
        return rc;
    progress_init(&w->progress, app);
    w->wait = (struct wait){.app = app,
                            .tracker = &w->tracker,
                            .follower = &w->follower,
                            .progress = &w->progress,
                            .ended = report_ended,
                            .ctx = &w->report};
    rc = app_processor_start(app, &observer, &w->processor);
    if (!rc)
        report_begin(&w->report, app);
    return rc;
}

int work_begin(struct work *w, struct app *app)
{
    *w = (struct work){.app = app,
                       .detach = arguments_has(app->arguments, "detach"),
                       .started_ms = clock_monotonic_ms()};
    app_catch_signals();
    int rc = tracker_init(&w->tracker);
    if (!rc)
        rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    if (!rc)
        rc = app_store(app);
    return rc || w->detach ? rc : start(w);
}

int work_add(struct work *w, int64_t job_id, int64_t media_id, const char *key)
{
    if (w->detach)
        return OK;
    w->report.brief = w->tracker.count >= REPORT_BLOCKS;
    int rc = tracker_add(&w->tracker, job_id, media_id, key);
    return rc ? rc : work_show(w, "");
}

int work_show(struct work *w, const char *storing)
{
    if (w->detach)
        return OK;
    snprintf(w->progress.storing, sizeof w->progress.storing, "%s", storing);
    return wait_pump(&w->wait);
}

int work_wait(struct work *w)
{
    w->progress.storing[0] = '\0';
    /* Their first events may have passed before the tracker knew them. */
    int rc = tracker_refresh(&w->tracker, w->app);
    return rc ? rc : wait_for_jobs(&w->wait);
}

void work_end(struct work *w)
{
    if (w->processor && app_stopped() && w->tracker.count > tracker_ended(&w->tracker)) {
        char drain[HUMAN_TEXT];
        app_note(w->app,
                 "stopping: what is under way gets %s to finish; Ctrl-C again stops at once",
                 human_duration(config_int(w->app->config, "drain"), drain));
    }
    processor_stop(w->processor);
    w->processor = NULL;
    tracker_fini(&w->tracker);
}

int work_status(struct work *w, int rc)
{
    size_t waiting = w->tracker.count - tracker_ended(&w->tracker);
    struct error e = *error_last();
    if (!w->app->json || waiting)
        report_totals(&w->report, waiting, w->started_ms);
    if (rc) {
        error_restore(&e);
        if (rc != ERR_CANCELLED)
            app_fail(w->app);
        if (waiting)
            app_note(w->app, "what was queued stays queued: `aegis serve` goes on with it");
        return (int)status_of(&e);
    }
    return w->report.dead ? STATUS_SOME_FAILED : STATUS_OK;
}
