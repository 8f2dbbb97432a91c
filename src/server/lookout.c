#include "server/lookout.h"

#include "shared/clock.h"
#include "shared/condition.h"
#include "shared/error.h"

static void look(struct lookout *l)
{
    int64_t begun = clock_monotonic_ms();
    l->wanted = false;
    pthread_mutex_unlock(&l->lock);
    l->look(l->ctx);
    pthread_mutex_lock(&l->lock);
    l->begun_ms = begun;
    l->seen = true;
    pthread_cond_broadcast(&l->changed);
}

static void *run(void *arg)
{
    struct lookout *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        if (l->wanted)
            look(l);
        else
            pthread_cond_wait(&l->changed, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int lookout_start(struct lookout *l)
{
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    int e = pthread_create(&l->thread, NULL, run, l);
    if (!e)
        return OK;
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    return error_set_errno(e, "cannot start a thread");
}

void lookout_stop(struct lookout *l)
{
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
}

static bool is_fresh(const struct lookout *l, int64_t asked_ms)
{
    return l->seen && asked_ms - l->begun_ms <= l->max_age_ms;
}

bool lookout_ask(struct lookout *l, int64_t wait_ms)
{
    int64_t asked = clock_monotonic_ms();
    bool in_time = true;
    pthread_mutex_lock(&l->lock);
    if (!is_fresh(l, asked)) {
        l->wanted = true;
        pthread_cond_broadcast(&l->changed);
    }
    while (in_time && !l->stopping && !is_fresh(l, asked))
        in_time = condition_wait_until(&l->changed, &l->lock, asked + wait_ms);
    bool fresh = is_fresh(l, asked);
    pthread_mutex_unlock(&l->lock);
    return fresh;
}
