#include "server/figures.h"

#include <stdio.h>

#include "shared/arena.h"
#include "shared/error.h"

/* ---- looking ---- */

static bool look_at_database(const struct database *db, struct figures_seen *seen)
{
    struct arena arena;
    const char *reason = "", *message = "";
    arena_init(&arena, KIB(64));
    int rc = db->ops->totals(db->ctx, &seen->totals);
    if (!rc)
        rc = db->ops->pause_get(db->ctx, &arena, &reason, &message, &seen->paused_since_ms);
    if (!rc)
        snprintf(seen->pause_reason, sizeof seen->pause_reason, "%s", reason);
    arena_free(&arena);
    return !rc;
}

static void look(void *ctx)
{
    struct figures *f = ctx;
    struct figures_seen seen = {0};
    seen.database = look_at_database(&f->database, &seen);
    seen.queue = !f->queue.ops->stats(f->queue.ctx, &seen.stats);
    pthread_mutex_lock(&f->lock);
    f->seen = seen;
    pthread_mutex_unlock(&f->lock);
}

int figures_start(struct figures *f)
{
    f->lookout = (struct lookout){.look = look, .ctx = f, .max_age_ms = f->max_age_ms};
    pthread_mutex_init(&f->lock, NULL);
    int rc = lookout_start(&f->lookout);
    if (rc)
        pthread_mutex_destroy(&f->lock);
    return rc;
}

void figures_stop(struct figures *f)
{
    lookout_stop(&f->lookout);
    pthread_mutex_destroy(&f->lock);
}

/* ---- telling ---- */

static void sample(struct exposition *x, const char *name, const char *label, const char *value,
                   int64_t number)
{
    char labels[LABELS_TEXT] = "";
    labels_add(labels, label, value);
    exposition_sample(x, name, labels, (double)number);
}

static void write_queue(const struct queue_stats *s, struct exposition *x)
{
    static const char name[] = "aegis_queue_messages";
    exposition_family(x, name, "gauge", "Messages on the queue, by state; dead are dead letters.");
    sample(x, name, "state", "visible", s->visible);
    sample(x, name, "state", "in_flight", s->in_flight);
    sample(x, name, "state", "delayed", s->delayed);
    sample(x, name, "state", "dead", s->dead);
    exposition_single(x, "aegis_queue_oldest_message_age_seconds", "gauge",
                      "Age of the oldest visible message; 0 if there is none.",
                      (double)s->oldest_age_ms / 1e3);
}

static void write_pause(const struct figures_seen *seen, struct exposition *x)
{
    bool paused = seen->pause_reason[0] != '\0';
    exposition_single(x, "aegis_pipeline_paused", "gauge",
                      "1 while a systemic failure holds the pipeline, else 0.", paused);
    if (!paused)
        return;
    exposition_family(x, "aegis_pipeline_pause_start_time_seconds", "gauge",
                      "Since when it is paused, Unix time; only while it is.");
    sample(x, "aegis_pipeline_pause_start_time_seconds", "reason", seen->pause_reason,
           seen->paused_since_ms / 1000);
}

static void write_totals(const struct totals *t, struct exposition *x)
{
    exposition_family(x, "aegis_jobs", "gauge", "Jobs on the database, by state.");
    for (int s = 0; s < JOB_STATES; s++)
        sample(x, "aegis_jobs", "state", job_state_name((enum job_state)s), t->jobs[s]);
    exposition_single(x, "aegis_media", "gauge", "Media on the database.", (double)t->media);
    exposition_single(x, "aegis_media_published", "gauge", "Media that searches find.",
                      (double)t->published);
    exposition_single(x, "aegis_chunks", "gauge", "Passages of text on the database.",
                      (double)t->chunks);
    exposition_single(x, "aegis_cost_usd", "gauge",
                      "Cost of all calls of models on record, in US dollars.",
                      (double)t->cost_nanousd / 1e9);
}

void figures_write(struct figures *f, struct exposition *x)
{
    bool answered = lookout_ask(&f->lookout, FIGURES_WAIT_MS);
    pthread_mutex_lock(&f->lock);
    struct figures_seen seen = answered ? f->seen : (struct figures_seen){0};
    pthread_mutex_unlock(&f->lock);
    exposition_single(x, "aegis_database_up", "gauge", "1 if the database answered, else 0.",
                      seen.database);
    exposition_single(x, "aegis_queue_up", "gauge", "1 if the queue answered, else 0.", seen.queue);
    if (seen.queue)
        write_queue(&seen.stats, x);
    if (seen.database) {
        write_pause(&seen, x);
        write_totals(&seen.totals, x);
    }
}
