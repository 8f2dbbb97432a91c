#include "shared/slots.h"

#include "shared/condition.h"
#include "shared/error.h"

void slots_init(struct slots *s, int count)
{
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, NULL);
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
        condition_wait_for(&s->freed, &s->lock, CANCEL_POLL_MS);
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
