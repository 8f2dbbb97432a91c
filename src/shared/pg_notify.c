#include <poll.h>

#include "shared/clock.h"
#include "shared/pg_internal.h"

static int take(struct pg *c)
{
    int n = 0;
    PGnotify *notify;
    while ((notify = PQnotifies(c->conn)) != NULL) {
        PQfreemem(notify);
        n++;
    }
    return n;
}

/* *woken: by wake_fd. */
static int wait_once(struct pg *c, int64_t ms, int wake_fd, bool *woken)
{
    struct pollfd fds[2] = {{.fd = PQsocket(c->conn), .events = POLLIN},
                            {.fd = wake_fd, .events = POLLIN}};
    if (poll(fds, 2, (int)ms) <= 0)
        return OK;
    *woken = fds[1].revents != 0;
    if (fds[0].revents && !PQconsumeInput(c->conn))
        return pg_error_of_connection(c);
    return OK;
}

int pg_wait_notify(struct pg *c, int64_t wait_ms, int wake_fd, const struct cancel *cancel,
                   int *came)
{
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    bool woken = false;
    int rc = c->lost || !PQconsumeInput(c->conn) ? pg_error_of_connection(c) : OK;
    c->listened = true;
    *came = rc ? 0 : take(c);
    while (!rc && !*came && !woken) {
        int64_t left = deadline - clock_monotonic_ms();
        if (left <= 0)
            break;
        if (cancel_requested(cancel))
            return error_set(ERR_CANCELLED, NULL, "cancelled while waiting for a notification");
        if (left > 60000 || (cancel && left > CANCEL_POLL_MS))
            left = cancel ? CANCEL_POLL_MS : 60000;
        rc = wait_once(c, left, wake_fd, &woken);
        *came = rc ? 0 : take(c);
    }
    return rc;
}
