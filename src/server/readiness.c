#include "server/readiness.h"

#include <stdio.h>

#include "shared/error.h"

static void set(struct readiness *r, bool ready, const char *what, const char *text)
{
    pthread_mutex_lock(&r->lock);
    r->ready = ready;
    snprintf(r->reason, sizeof r->reason, "%s%s", what, text);
    pthread_mutex_unlock(&r->lock);
}

static void look(void *ctx)
{
    struct readiness *r = ctx;
    struct arena arena;
    const char *reason = "", *message = "";
    int64_t since;
    bool visible, any;
    arena_init(&arena, KIB(64));
    if (r->database.ops->pause_get(r->database.ctx, &arena, &reason, &message, &since))
        set(r, false, "the database does not answer: ", error_last()->message);
    else if (r->queue.ops->pending(r->queue.ctx, &visible, &any))
        set(r, false, "the queue does not answer: ", error_last()->message);
    else if (*reason)
        set(r, false, "the pipeline is paused: ", reason);
    else
        set(r, true, "ready", "");
    arena_free(&arena);
}

int readiness_start(struct readiness *r)
{
    r->lookout = (struct lookout){.look = look, .ctx = r, .max_age_ms = READINESS_MAX_AGE_MS};
    pthread_mutex_init(&r->lock, NULL);
    int rc = lookout_start(&r->lookout);
    if (rc)
        pthread_mutex_destroy(&r->lock);
    return rc;
}

void readiness_stop(struct readiness *r)
{
    lookout_stop(&r->lookout);
    pthread_mutex_destroy(&r->lock);
}

void readiness_drain(struct readiness *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_mutex_unlock(&r->lock);
}

bool readiness_ask(struct readiness *r, char reason[READINESS_TEXT])
{
    bool answered = lookout_ask(&r->lookout, READINESS_WAIT_MS);
    pthread_mutex_lock(&r->lock);
    bool ready = answered && r->ready && !r->stopping;
    snprintf(reason, READINESS_TEXT, "%s",
             r->stopping ? "the process is stopping"
             : answered  ? r->reason
                         : "the database or the queue has not answered for 2 s");
    pthread_mutex_unlock(&r->lock);
    return ready;
}
