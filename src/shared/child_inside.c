/* child_inside.c - the child's side of child.h: becoming one, limits, frames. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "shared/caps.h"
#include "shared/child.h"
#include "shared/child_wire.h"

enum { MAX_FILES = 64, EXIT_FAILED = 1, EXIT_NOT_A_CHILD = 2 };

struct orders {
    int parent;
    uint64_t memory;
    int64_t cpu_seconds;
};

/* ---- dying with the parent ----
 *
 * PR_SET_PDEATHSIG fires when the parent *thread* ends. A child may outlive the thread that spawned
 * it (a worker that retires, a child handed to another thread), so the signal is caught and looked
 * into: as long as getppid() still names the same process, another of its threads has inherited the
 * child, and the signal comes again when that one ends. When the process is gone, so is the child.
 */
static volatile sig_atomic_t parent_pid;

static void on_parent_thread_death(int sig)
{
    (void)sig;
    if (getppid() != parent_pid)
        _exit(EXIT_FAILED);
}

static void die_with_parent(int parent)
{
    parent_pid = parent;
    struct sigaction action = {.sa_handler = on_parent_thread_death, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != parent) /* it died before the line above */
        _exit(EXIT_FAILED);
}

/* ---- limits ---- */

static int limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit now, wanted = {.rlim_cur = soft, .rlim_max = hard};
    if (getrlimit(resource, &now))
        return -1;
    if (wanted.rlim_max > now.rlim_max)
        wanted.rlim_max = now.rlim_max;
    if (wanted.rlim_cur > wanted.rlim_max)
        wanted.rlim_cur = wanted.rlim_max;
    return setrlimit(resource, &wanted);
}

static int apply_limits(const struct orders *orders)
{
    int bad = limit(RLIMIT_CORE, 0, 0) | limit(RLIMIT_NOFILE, MAX_FILES, MAX_FILES);
    if (orders->cpu_seconds) /* SIGXCPU at the first, SIGKILL at the second */
        bad |= limit(RLIMIT_CPU, (rlim_t)orders->cpu_seconds, (rlim_t)orders->cpu_seconds + 2);
    if (!CHILD_SANITIZED)
        bad |= limit(RLIMIT_AS, orders->memory, orders->memory);
    if (!CHILD_SANITIZED && !getenv(CHILD_STDERR_ENV))
        bad |= limit(RLIMIT_FSIZE, 0, 0);
    if (bad)
        return error_set_errno(errno, "cannot limit the sandboxed child");
    return OK;
}

/* ---- resident memory ----
 *
 * The kernel's ru_maxrss of a process spawned with shared memory begins at its parent's peak, so
 * the child reads its own VmHWM, from a descriptor opened before the sandbox closed.
 */
static int64_t peak_resident(int status_fd)
{
    char text[4096];
    if (status_fd < 0)
        return 0;
    ssize_t n = read(status_fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *line = strstr(text, "VmHWM:");
    return line ? strtoll(line + 6, NULL, 10) * 1024 : 0;
}

static void send_usage(int status_fd)
{
    int64_t peak = peak_resident(status_fd);
    if (peak)
        child_send(FRAME_USAGE, &peak, sizeof peak);
}

/* ---- becoming a child ---- */

static bool read_orders(struct orders *orders)
{
    const char *text = getenv(CHILD_ENV);
    return text && sscanf(text, "%d %" SCNu64 " %" SCNd64, &orders->parent, &orders->memory,
                          &orders->cpu_seconds) == 3;
}

static _Noreturn void become(const struct child_main *entry, int argc, char **argv)
{
    struct orders orders;
    if (!read_orders(&orders)) {
        fprintf(stderr, "'child' is how Aegis starts its own parsers; it is not a command.\n");
        _exit(EXIT_NOT_A_CHILD);
    }
    die_with_parent(orders.parent);
    if (apply_limits(&orders))
        _exit(child_fail(error_last()));
    unsetenv(CHILD_ENV);
    setenv("TZ", "UTC0", 1); /* once set, time functions need no file inside the sandbox */
    tzset();
    int status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    int code = entry->run(argc, argv);
    send_usage(status_fd);
    _exit(code); /* no atexit handlers: they were not written for the sandbox */
}

void child_dispatch(int argc, char **argv, const struct child_main *table)
{
    if (argc < 3 || strcmp(argv[1], "child") != 0)
        return;
    for (; table->name; table++)
        if (!strcmp(table->name, argv[2]))
            become(table, argc - 3, argv + 3);
}

/* ---- frames ---- */

int child_send(uint32_t type, const void *payload, uint32_t length)
{
    struct frame_header header = {.type = type, .length = length};
    struct iovec parts[2] = {
        {.iov_base = &header, .iov_len = sizeof header},
        {.iov_base = (void *)payload, .iov_len = length},
    };
    struct iovec *at = parts;
    int count = 2;
    while (count > 0) {
        ssize_t n = writev(1, at, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(errno, "cannot send to the parent");
        for (; count > 0 && (size_t)n >= at->iov_len; at++, count--)
            n -= (ssize_t)at->iov_len;
        if (count > 0) {
            at->iov_base = (char *)at->iov_base + n;
            at->iov_len -= (size_t)n;
        }
    }
    return OK;
}

int child_fail(const struct error *error)
{
    struct error copy = *error;
    child_send(FRAME_ERROR, &copy, sizeof copy);
    return EXIT_FAILED;
}
