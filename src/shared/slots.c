#include "shared/slots.h"

#include <time.h>

#include "shared/error.h"

void slots_init(struct slots *s, int count)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, &attr);
    pthread_condattr_destroy(&attr);
    s->available = count;
}

void slots_fini(struct slots *s)
{
    pthread_cond_destroy(&s->freed);
    pthread_mutex_destroy(&s->lock);
}

int slots_hold(struct slots *s, const struct cancel *cancel)
{
    int rc = OK;
    pthread_mutex_lock(&s->lock);
    while (s->available == 0) {
        if (cancel_requested(cancel)) {
            rc = error_set(ERR_CANCELLED, NULL, "stopped while waiting for a CPU slot");
            break;
        }
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += CANCEL_POLL_MS * 1000000L;
        if (t.tv_nsec >= 1000000000) {
            t.tv_sec++;
            t.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&s->freed, &s->lock, &t);
    }
    if (!rc)
        s->available--;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void slots_release(struct slots *s)
{
    pthread_mutex_lock(&s->lock);
    s->available++;
    pthread_cond_signal(&s->freed);
    pthread_mutex_unlock(&s->lock);
}
