/* child.c - the parent's side of child.h: spawning, receiving frames, what an end means. */
#include "shared/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/caps.h"
#include "shared/child_wire.h"
#include "shared/clock.h"

enum {
    READ_AHEAD = 64 << 10,
    PIPE_BYTES = 256 << 10,
    MAX_ARGUMENTS = 16,
    EXIT_GRACE_MS = 2000, /* between closing its pipe and being gone */
};

struct child {
    pid_t pid; /* 0 once reaped */
    int fd;    /* read end, non-blocking */
    int64_t idle_timeout_ms;
    int64_t stood_still_ms; /* of the wait for one frame: the machine did, and the child with it */
    int64_t peak_rss;
    bool killed; /* by us */
    bool ended;
    bool cut;    /* the pipe ended inside a frame */
    bool failed; /* `failure` says how; every later child_receive says it again */
    struct error failure;
    char name[32];
    size_t head, tail; /* what lies in `ahead` unread */
    char ahead[READ_AHEAD];
};

/* ---- spawning ---- */

/* A descriptor of the same file with an offset of its own, read-only, so that two children of one
 * file do not move each other and none can write to it. Pipes and files that cannot be opened again
 * are shared as they are. Never below 3: the file actions put 0, 1 and 2 in place one by one. */
static int open_input(int input)
{
    char path[40];
    struct stat st;
    int fd = -1;
    if (!fstat(input, &st) && S_ISREG(st.st_mode)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", input);
        int again = open(path, O_RDONLY | O_CLOEXEC);
        if (again >= 0) {
            off_t at = lseek(input, 0, SEEK_CUR);
            if (at > 0)
                lseek(again, at, SEEK_SET);
            fd = fcntl(again, F_DUPFD_CLOEXEC, 3);
            close(again);
        }
    }
    return fd >= 0 ? fd : fcntl(input, F_DUPFD_CLOEXEC, 3);
}

static int move_up(int fd)
{
    if (fd >= 3)
        return fd;
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return up;
}

static int open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC))
        return error_set_errno(errno, "cannot create a pipe for a sandboxed child");
    ends[0] = move_up(ends[0]);
    ends[1] = move_up(ends[1]);
    if (ends[0] < 0 || ends[1] < 0)
        return error_set_errno(EMFILE, "cannot create a pipe for a sandboxed child");
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one only costs switches */
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return OK;
}

static int set_actions(posix_spawn_file_actions_t *actions, int input, int output)
{
    int err = posix_spawn_file_actions_adddup2(actions, input, 0);
    if (!err)
        err = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (!err && !CHILD_SANITIZED && !getenv(CHILD_STDERR_ENV))
        err = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    if (!err)
        err = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    return err;
}

/* Own session: one kill of the group takes helpers too, and no terminal signal reaches it. Default
 * dispositions and an empty mask, whatever the spawning thread has. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t set;
    int err = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF);
    sigemptyset(&set);
    if (!err)
        err = posix_spawnattr_setsigmask(attributes, &set);
    sigfillset(&set);
    if (!err)
        err = posix_spawnattr_setsigdefault(attributes, &set);
    return err;
}

static const char *const kept_environment[] = {
    "LANG=",         "LC_ALL=",       "LC_CTYPE=",
#if CHILD_SANITIZED
    "ASAN_OPTIONS=", "TSAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=",
#endif
};
enum { KEPT = sizeof kept_environment / sizeof kept_environment[0] };

static void make_environment(char *own, char *environment[KEPT + 2])
{
    size_t n = 0;
    environment[n++] = own;
    for (size_t i = 0; i < KEPT; i++)
        for (char **e = environ; e && *e; e++)
            if (!strncmp(*e, kept_environment[i], strlen(kept_environment[i]))) {
                environment[n++] = *e;
                break;
            }
    environment[n] = NULL;
}

static int make_arguments(const char *name, const char *const *args, char *argv[])
{
    size_t n = 0;
    argv[n++] = program_invocation_name;
    argv[n++] = (char *)"child";
    argv[n++] = (char *)name;
    for (; args && *args; args++) {
        if (n == MAX_ARGUMENTS - 1)
            return error_set(ERR_INVALID, NULL, "child '%s' has too many arguments", name);
        argv[n++] = (char *)*args;
    }
    argv[n] = NULL;
    return OK;
}

static int spawn(const char *name, const char *const *args, int input, int output,
                 const struct child_limits *limits, pid_t *pid)
{
    char own[96], *argv[MAX_ARGUMENTS], *environment[KEPT + 2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int rc = make_arguments(name, args, argv);
    if (rc)
        return rc;
    snprintf(own, sizeof own, CHILD_ENV "=%d %zu %" PRId64, (int)getpid(),
             limits->memory ? limits->memory : CAP_CHILD_MEMORY, (limits->cpu_ms + 999) / 1000);
    make_environment(own, environment);
    int err = posix_spawn_file_actions_init(&actions);
    if (err)
        return error_set_errno(err, "cannot start the sandboxed child '%s'", name);
    err = posix_spawnattr_init(&attributes);
    if (!err) {
        err = set_actions(&actions, input, output);
        if (!err)
            err = set_attributes(&attributes);
        if (!err)
            err = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, argv, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return err ? error_set_errno(err, "cannot start the sandboxed child '%s'", name) : OK;
}

static struct child *allocate(const char *name, int64_t idle_timeout_ms)
{
    struct child *child = malloc(sizeof *child);
    if (!child)
        return NULL;
    memset(child, 0, offsetof(struct child, ahead));
    child->idle_timeout_ms = idle_timeout_ms;
    snprintf(child->name, sizeof child->name, "%s", name);
    return child;
}

int child_adopt(int fd, struct child **out)
{
    *out = allocate("adopted", 0);
    if (!*out) {
        close(fd);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a sandboxed child");
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    (*out)->fd = fd;
    return OK;
}

int child_spawn(const char *name, const char *const *args, int input,
                const struct child_limits *limits, struct child **out)
{
    int ends[2] = {-1, -1}, rc;
    int given = -1;
    *out = NULL;
    struct child *child = allocate(name, limits->idle_timeout_ms);
    if (!child)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a sandboxed child");
    rc = open_pipe(ends);
    if (rc)
        goto cleanup;
    given = open_input(input);
    if (given < 0) {
        rc = error_set_errno(errno, "cannot pass the input to the sandboxed child '%s'", name);
        goto cleanup;
    }
    rc = spawn(name, args, given, ends[1], limits, &child->pid);
    if (rc)
        goto cleanup;
    child->fd = ends[0];
    ends[0] = -1;
    *out = child;
    child = NULL;

cleanup:
    free(child);
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    if (given >= 0)
        close(given);
    return rc;
}

/* ---- the end, and what it means ---- */

/* The group, so that helpers go too. The leader is not reaped yet, so the number is still its own.
 */
static void kill_group(struct child *child)
{
    if (!child->pid)
        return;
    child->killed = true;
    kill(-child->pid, SIGKILL);
}

/* Between closing its pipe and its end a child needs microseconds. One that closed it and stays is
 * killed. */
static int reap(struct child *child, struct rusage *usage)
{
    int status = 0;
    struct timespec nap = {.tv_nsec = 50000};
    int64_t deadline = clock_monotonic_ms() + EXIT_GRACE_MS;
    for (;;) {
        pid_t pid = wait4(child->pid, &status, child->killed ? 0 : WNOHANG, usage);
        if (pid == child->pid)
            break;
        if (pid < 0 && errno != EINTR) { /* somebody else reaped it: nothing is known */
            status = SIGKILL;
            break;
        }
        if (pid == 0 && clock_monotonic_ms() >= deadline) {
            kill_group(child);
        } else if (pid == 0) {
            nanosleep(&nap, NULL);
            if (nap.tv_nsec < 5000000)
                nap.tv_nsec *= 2;
        }
    }
    child->pid = 0;
    return status;
}

static void wait_for_end(struct child *child, int *status)
{
    struct rusage usage = {0};
    *status = child->pid ? reap(child, &usage) : 0;
    /* ru_maxrss of a process that was spawned with shared memory starts at its parent's: only an
     * upper bound, for want of the child's own word. */
    if (!child->peak_rss)
        child->peak_rss = (int64_t)usage.ru_maxrss * 1024;
}

static int fail(struct child *child, int rc)
{
    child->ended = child->failed = true;
    child->failure = *error_last();
    return rc;
}

static int judge_signal(struct child *child, int sig)
{
    if (sig == SIGXCPU)
        return error_set(ERR_PERMANENT, "parser_timeout", "the parser '%s' used up its CPU time",
                         child->name);
    if (sig == SIGKILL) /* not by us: the kernel short of memory, or a person; not this file's fault
                           for certain */
        return error_set(ERR_TRANSIENT, "parser_killed",
                         "the parser '%s' was killed from outside (is the machine out of memory?)",
                         child->name);
    if (sig == SIGSYS)
        return error_set(ERR_PERMANENT, "parser_crashed",
                         "the parser '%s' was stopped at a forbidden system call (SIGSYS)",
                         child->name);
    const char *abbreviation = sigabbrev_np(sig);
    return error_set(ERR_PERMANENT, "parser_crashed", "the parser '%s' crashed (SIG%s)",
                     child->name, abbreviation ? abbreviation : "?");
}

/* The pipe is at its end. */
static int finish(struct child *child)
{
    int status;
    wait_for_end(child, &status);
    child->ended = true;
    if (child->failed)
        return error_restore(&child->failure);
    if (child->killed)
        return fail(child,
                    error_set(ERR_PERMANENT, "parser_timeout",
                              "the parser '%s' stopped answering and was killed", child->name));
    if (WIFSIGNALED(status))
        return fail(child, judge_signal(child, WTERMSIG(status)));
    if (WEXITSTATUS(status))
        return fail(child, error_set(ERR_PERMANENT, "parser_crashed",
                                     "the parser '%s' ended with exit code %d and no reason",
                                     child->name, WEXITSTATUS(status)));
    if (child->cut)
        return fail(child, error_set(ERR_PERMANENT, "parser_crashed",
                                     "the parser '%s' ended within a frame", child->name));
    return OK;
}

/* Keeps what the child says of its failure; it is returned once the pipe is at its end. */
static int keep_error(struct child *child, const struct buffer *payload)
{
    struct error e;
    if (payload->length != sizeof e)
        return ERR_INVALID;
    memcpy(&e, payload->data, sizeof e);
    e.reason[sizeof e.reason - 1] = e.message[sizeof e.message - 1] = '\0';
    if (e.code <= OK || e.code > ERR_SCHEMA)
        return ERR_INVALID;
    if (e.code == ERR_NO_MEMORY) {
        e.code = ERR_PERMANENT;
        snprintf(e.reason, sizeof e.reason, "parser_memory");
    }
    error_set(e.code, e.reason, "%s", e.message);
    child->failed = true;
    child->failure = *error_last();
    return OK;
}

static int keep_usage(struct child *child, const struct buffer *payload)
{
    if (payload->length != sizeof child->peak_rss)
        return ERR_INVALID;
    memcpy(&child->peak_rss, payload->data, sizeof child->peak_rss);
    return OK;
}

/* ---- receiving ---- */

static int hang(struct child *child)
{
    kill_group(child);
    return fail(child,
                error_set(ERR_PERMANENT, "parser_timeout",
                          "the parser '%s' gave no answer for %" PRId64 " seconds and was killed",
                          child->name, child->idle_timeout_ms / 1000));
}

static int wait_readable(struct child *child, const struct cancel *cancel, int64_t deadline)
{
    for (;;) {
        if (cancel_requested(cancel))
            return error_set(ERR_CANCELLED, NULL, "the parser '%s' was cancelled", child->name);
        int64_t before = clock_monotonic_ms();
        int64_t left = deadline ? deadline + child->stood_still_ms - before : CANCEL_POLL_MS;
        if (left <= 0)
            return hang(child);
        struct pollfd p = {.fd = child->fd, .events = POLLIN};
        int n = poll(&p, 1, left < CANCEL_POLL_MS ? (int)left : CANCEL_POLL_MS);
        if (n > 0)
            return OK;
        if (n < 0 && errno != EINTR)
            return error_set_errno(errno, "cannot wait for the parser '%s'", child->name);
        int64_t waited = clock_monotonic_ms() - before;
        if (waited > 2 * CANCEL_POLL_MS) /* a virtual machine that was stopped and goes on */
            child->stood_still_ms += waited - CANCEL_POLL_MS;
    }
}

/* Reads at least one byte; *got is 0 at the end of the pipe. */
static int read_some(struct child *child, const struct cancel *cancel, int64_t deadline, void *to,
                     size_t room, size_t *got)
{
    for (;;) {
        ssize_t n = read(child->fd, to, room);
        if (n >= 0) {
            *got = (size_t)n;
            return OK;
        }
        if (errno == EAGAIN) {
            int rc = wait_readable(child, cancel, deadline);
            if (rc)
                return rc;
        } else if (errno != EINTR) {
            return error_set_errno(errno, "cannot read from the parser '%s'", child->name);
        }
    }
}

/* Exactly `length` bytes through the read-ahead; large remainders go straight to their place. *got
 * is less only at the end of the pipe. */
static int read_exactly(struct child *child, const struct cancel *cancel, int64_t deadline,
                        char *to, size_t length, size_t *got)
{
    *got = 0;
    while (*got < length) {
        size_t have = child->tail - child->head, want = length - *got, n = 0;
        if (have) {
            n = have < want ? have : want;
            memcpy(to + *got, child->ahead + child->head, n);
            child->head += n;
            *got += n;
            continue;
        }
        bool direct = want >= READ_AHEAD;
        int rc = read_some(child, cancel, deadline, direct ? to + *got : child->ahead,
                           direct ? want : READ_AHEAD, &n);
        if (rc || n == 0)
            return rc;
        if (direct) {
            *got += n;
        } else {
            child->head = 0;
            child->tail = n;
        }
    }
    return OK;
}

static int malformed(struct child *child)
{
    kill_group(child);
    return fail(child, error_set(ERR_PERMANENT, "parser_crashed",
                                 "the parser '%s' sent a malformed frame", child->name));
}

/* One frame of any type; type 0 at the end of the pipe, which may also fall inside a frame (a
 * crash). */
static int receive_frame(struct child *child, const struct cancel *cancel, uint32_t *type,
                         struct buffer *payload)
{
    struct frame_header header;
    size_t got;
    int64_t deadline = child->idle_timeout_ms ? clock_monotonic_ms() + child->idle_timeout_ms : 0;
    buffer_clear(payload);
    child->stood_still_ms = 0;
    *type = 0;
    int rc = read_exactly(child, cancel, deadline, (char *)&header, sizeof header, &got);
    child->cut = !rc && got > 0 && got < sizeof header;
    if (rc || got < sizeof header)
        return rc;
    if (header.type == 0 || header.length > CAP_CHILD_FRAME)
        return malformed(child);
    rc = buffer_reserve(payload, header.length);
    if (rc)
        return rc;
    rc = read_exactly(child, cancel, deadline, payload->data, header.length, &got);
    child->cut = !rc && got < header.length;
    if (rc || child->cut)
        return rc;
    payload->length = got;
    payload->data[got] = '\0';
    *type = header.type;
    return OK;
}

int child_receive(struct child *child, const struct cancel *cancel, uint32_t *type,
                  struct buffer *payload)
{
    *type = 0;
    if (child->ended) {
        buffer_clear(payload);
        return child->failed ? error_restore(&child->failure) : OK;
    }
    if (cancel_requested(cancel)) /* also when frames are waiting */
        return error_set(ERR_CANCELLED, NULL, "the parser '%s' was cancelled", child->name);
    for (;;) {
        int rc = receive_frame(child, cancel, type, payload);
        if (rc)
            return rc;
        if (*type == 0)
            return finish(child);
        if (*type < FRAME_RESERVED)
            return OK;
        if (*type == FRAME_ERROR)
            rc = keep_error(child, payload);
        else if (*type == FRAME_USAGE)
            rc = keep_usage(child, payload);
        else
            rc = ERR_INVALID;
        if (rc)
            return malformed(child);
    }
}

void child_close(struct child *child, int64_t *peak_rss)
{
    if (!child)
        return;
    if (child->pid) {
        int status;
        kill_group(child);
        wait_for_end(child, &status);
    }
    if (peak_rss)
        *peak_rss = child->peak_rss;
    close(child->fd);
    free(child);
}
