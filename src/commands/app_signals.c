#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "commands/app.h"

/* A signal handler can reach nothing but globals: these two are only written by it and by
 * app_catch_signals. */
static struct cancel stop;
static int stop_fd = -1;

static void on_signal(int number)
{
    (void)number;
    if (cancel_requested(&stop))
        _exit(STATUS_INTERRUPTED);
    int saved = errno;
    cancel_request(&stop);
    uint64_t one = 1;
    if (stop_fd >= 0 && write(stop_fd, &one, sizeof one) < 0) {
        /* the flag is set all the same */
    }
    errno = saved;
}

void app_catch_signals(void)
{
    if (stop_fd < 0)
        stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

const struct cancel *app_stop(void)
{
    return &stop;
}

void app_request_stop(void)
{
    cancel_request(&stop);
}

bool app_stopped(void)
{
    return cancel_requested(&stop);
}

int app_stop_fd(void)
{
    return stop_fd;
}

void app_sleep(int ms)
{
    struct pollfd p = {.fd = stop_fd, .events = POLLIN};
    if (!app_stopped())
        poll(&p, stop_fd >= 0, ms);
}
