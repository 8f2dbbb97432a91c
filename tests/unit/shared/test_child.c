/* The sandboxed child: frames, limits, lock-down, and what each kind of death is called. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/caps.h"
#include "shared/child.h"
#include "shared/child_wire.h"
#include "shared/clock.h"

enum { FRAME_TEXT = 1, FRAME_DATA = 2 };

/* ---- what the children do ---- */

static int say(const char *text)
{
    return child_send(FRAME_TEXT, text, (uint32_t)strlen(text)) ? 1 : 0;
}

/* Without a system call that the sandbox refuses. ThreadSanitizer runs signal handlers only in
 * calls it knows, of which its sandbox allows sleeping. */
static _Noreturn void sleep_forever(void)
{
    for (;;) {
        if (CHILD_SANITIZED)
            usleep(10000);
        else
            syscall(SYS_futex, &(int){0}, 0, 0, NULL);
    }
}

static int run_echo(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        say(argv[i]);
    if (child_lock_down(CHILD_PURE))
        return child_fail(error_last());
    char text[4096];
    ssize_t n;
    while ((n = read(0, text, sizeof text)) > 0)
        if (child_send(FRAME_DATA, text, (uint32_t)n))
            return 1;
    return 0;
}

static int run_big(int argc, char **argv)
{
    (void)argc;
    int count = atoi(argv[0]);
    char *data = malloc(CAP_CHILD_FRAME);
    if (!data)
        return 1;
    for (int i = 0; i < count; i++) {
        memset(data, 'a' + i % 26, CAP_CHILD_FRAME);
        if (child_send(FRAME_DATA, data, (uint32_t)CAP_CHILD_FRAME - (uint32_t)i))
            return 1;
    }
    free(data);
    return 0;
}

static int run_look(int argc, char **argv)
{
    (void)argc, (void)argv;
    char line[256];
    int extra = 0;
    for (int fd = 4; fd < 1024; fd++) /* 3 is the child's own status file */
        extra += fcntl(fd, F_GETFD) != -1;
    struct rlimit core, files;
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_NOFILE, &files);
    snprintf(line, sizeof line, "fds=%d secret=%s lang=%s leader=%d writable=%d core=%d files=%d",
             extra, getenv("TEST_SECRET") ? "yes" : "no", getenv("LANG") ? getenv("LANG") : "",
             getsid(0) == getpid(), (fcntl(0, F_GETFL) & O_ACCMODE) != O_RDONLY, (int)core.rlim_max,
             (int)files.rlim_max);
    return say(line);
}

static int run_misbehave(int argc, char **argv)
{
    (void)argc;
    const char *how = argv[0];
    if (!strcmp(how, "segfault"))
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would turn it into an exit code */
    if (!strcmp(how, "abort"))
        signal(SIGABRT, SIG_DFL);
    if (!strcmp(how, "write-exec"))
        return child_lock_down(CHILD_EXEC) ? child_fail(error_last())
               : open("/tmp/aegis-must-not-exist", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES
                   ? say("refused")
                   : say("opened");
    if (!strcmp(how, "socket-exec"))
        return child_lock_down(CHILD_EXEC)                             ? child_fail(error_last())
               : socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? say("refused")
                                                                       : say("opened");
    if (!strcmp(how, "home-exec"))
        return child_lock_down(CHILD_EXEC)         ? child_fail(error_last())
               : open("/etc/passwd", O_RDONLY) < 0 ? say("refused")
                                                   : say("opened");
    if (child_lock_down(CHILD_PURE))
        return child_fail(error_last());
    say("locked");
    volatile uintptr_t nowhere = 8;
    if (!strcmp(how, "segfault"))
        *(volatile int *)nowhere = 1;
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "spin"))
        for (;;)
            nowhere++;
    if (!strcmp(how, "hang"))
        sleep_forever();
    if (!strcmp(how, "close-and-hang")) {
        close(1);
        sleep_forever();
    }
    if (!strcmp(how, "socket"))
        socket(AF_INET, SOCK_STREAM, 0);
    if (!strcmp(how, "open"))
        open("/etc/passwd", O_RDONLY);
    if (!strcmp(how, "fork"))
        syscall(SYS_fork);
    if (!strcmp(how, "execve"))
        execv("/bin/true", (char *[]){(char *)"true", NULL});
    if (!strcmp(how, "executable-memory"))
        mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!strcmp(how, "eat")) {
        for (size_t i = 0; i < 1 << 20; i++) {
            char *p = malloc(MIB(1));
            if (!p) {
                error_set(ERR_NO_MEMORY, NULL, "out of memory");
                return child_fail(error_last());
            }
            memset(p, 1, MIB(1));
        }
    }
    if (!strcmp(how, "garbage"))
        return write(1, "\0\0\0\0\0\0\0\0", 8) == 8 ? 0 : 1;
    if (!strcmp(how, "huge-frame")) {
        struct frame_header header = {.type = 1, .length = 0xffffffff};
        return write(1, &header, sizeof header) == sizeof header ? 0 : 1;
    }
    if (!strcmp(how, "half-a-frame")) {
        struct frame_header header = {.type = 1, .length = 100};
        return write(1, &header, sizeof header) == sizeof header ? 0 : 1;
    }
    if (!strcmp(how, "exit-code"))
        return 7;
    if (!strcmp(how, "report")) {
        error_set(ERR_PERMANENT, "too_deep", "nested too deeply");
        return child_fail(error_last());
    }
    return 0;
}

static int run_wait(int argc, char **argv)
{
    (void)argc, (void)argv;
    if (child_lock_down(CHILD_PURE))
        return child_fail(error_last());
    pid_t pid = getpid();
    child_send(FRAME_DATA, &pid, sizeof pid);
    sleep_forever();
}

/* Stands for the service: spawns "wait", tells its pid to the test, and is killed. */
static int run_parent(int argc, char **argv)
{
    (void)argc, (void)argv;
    signal(SIGUSR1, SIG_DFL);
    struct child *child;
    uint32_t type;
    struct buffer payload;
    buffer_init(&payload, CAP_CHILD_FRAME);
    if (child_spawn("wait", NULL, 0, &(struct child_limits){0}, &child) ||
        child_receive(child, NULL, &type, &payload))
        return child_fail(error_last());
    child_send(FRAME_DATA, payload.data, (uint32_t)payload.length);
    kill(getpid(), SIGKILL);
    return 0;
}

static const struct child_main table[] = {
    {"echo", run_echo}, {"big", run_big},       {"look", run_look}, {"misbehave", run_misbehave},
    {"wait", run_wait}, {"parent", run_parent}, {NULL, NULL},
};

/* ---- helpers ---- */

static int input_of(const char *text)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static struct child *start(const char *name, const char *arg, const struct child_limits *limits)
{
    struct child *child;
    const char *args[] = {arg, NULL};
    int fd = input_of("hello");
    int rc = child_spawn(name, arg ? args : NULL, fd, limits, &child);
    close(fd);
    if (rc)
        print_error("%s\n", error_last()->message);
    assert_int_equal(rc, OK);
    return child;
}

/* Runs "misbehave HOW", reads frames until the end and gives the code of the end. */
static int outcome(const char *how, const struct child_limits *limits)
{
    struct child *child = start("misbehave", how, limits);
    struct buffer payload;
    uint32_t type;
    int rc;
    buffer_init(&payload, CAP_CHILD_FRAME);
    do
        rc = child_receive(child, NULL, &type, &payload);
    while (!rc && type);
    if (rc) /* the end is remembered */
        assert_int_equal(child_receive(child, NULL, &type, &payload), rc);
    buffer_free(&payload);
    child_close(child, NULL);
    return rc;
}

static const struct child_limits usual = {.idle_timeout_ms = 30000, .cpu_ms = 30000};

static void expect(const char *how, const struct child_limits *limits, const char *reason)
{
    int rc = outcome(how, limits);
    if (rc != ERR_PERMANENT || strcmp(error_last()->reason, reason) != 0)
        print_error("%s: code %d reason '%s': %s\n", how, rc, error_last()->reason,
                    error_last()->message);
    assert_int_equal(rc, ERR_PERMANENT);
    assert_string_equal(error_last()->reason, reason);
}

/* The one text frame that "misbehave HOW" or NAME sends. */
static void one_text(const char *name, const char *arg, char *out, size_t capacity)
{
    struct child *child = start(name, arg, &usual);
    struct buffer payload;
    uint32_t type;
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_int_equal(type, FRAME_TEXT);
    snprintf(out, capacity, "%s", buffer_string(&payload));
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_int_equal(type, 0);
    buffer_free(&payload);
    child_close(child, NULL);
}

/* ---- tests ---- */

static void frames_arrive_in_order(void **state)
{
    (void)state;
    struct child *child;
    struct buffer payload;
    uint32_t type;
    const char *args[] = {"one", "two words", NULL};
    int fd = input_of("the input");
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(child_spawn("echo", args, fd, &usual, &child), OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
        assert_int_equal(type, FRAME_TEXT);
        assert_string_equal(payload.data, args[i]);
    }
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_int_equal(type, FRAME_DATA);
    assert_string_equal(payload.data, "the input");
    for (int i = 0; i < 2; i++) { /* the end stays the end */
        assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
        assert_int_equal(type, 0);
    }
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0); /* the input's offset is the caller's own */
    int64_t peak = 0;
    child_close(child, &peak);
    assert_true(peak > 100000 && peak < (int64_t)GIB(2));
    buffer_free(&payload);
    close(fd);
}

static void large_frames_are_whole(void **state)
{
    (void)state;
    struct child *child = start("big", "12", &usual);
    struct buffer payload;
    uint32_t type;
    buffer_init(&payload, CAP_CHILD_FRAME);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
        assert_int_equal(type, FRAME_DATA);
        assert_int_equal(payload.length, CAP_CHILD_FRAME - (size_t)i);
        for (size_t at = 0; at < payload.length; at += 4093)
            assert_int_equal(payload.data[at], 'a' + i);
    }
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_int_equal(type, 0);
    child_close(child, NULL);
    buffer_free(&payload);
}

static void starts_with_nothing_of_the_parents(void **state)
{
    (void)state;
    char text[256], expected[256];
    setenv("TEST_SECRET", "hunter2", 1);
    setenv("LANG", "C.UTF-8", 1);
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec, as careless code opens files */
    one_text("look", NULL, text, sizeof text);
    close(leak);
    snprintf(expected, sizeof expected,
             "fds=0 secret=no lang=C.UTF-8 leader=1 writable=0 core=0 files=64");
    assert_string_equal(text, expected);
}

static void deaths_have_names(void **state)
{
    (void)state;
    expect("segfault", &usual, "parser_crashed");
    assert_non_null(strstr(error_last()->message, "SIGSEGV"));
    expect("abort", &usual, "parser_crashed");
    assert_non_null(strstr(error_last()->message, "SIGABRT"));
    expect("exit-code", &usual, "parser_crashed");
    assert_non_null(strstr(error_last()->message, "exit code 7"));
    expect("garbage", &usual, "parser_crashed");
    expect("huge-frame", &usual, "parser_crashed");
    expect("report", &usual, "too_deep");
    assert_string_equal(error_last()->message, "nested too deeply");
    expect("half-a-frame", &usual, "parser_crashed");
}

static void hangs_are_ended(void **state)
{
    (void)state;
    struct child_limits idle = {.idle_timeout_ms = 300};
    int64_t before = clock_monotonic_ms();
    expect("hang", &idle, "parser_timeout");
    assert_in_range(clock_monotonic_ms() - before, 300, 20000);
    expect("close-and-hang", &usual, "parser_timeout");
    struct child_limits cpu = {.cpu_ms = 1000, .idle_timeout_ms = 60000};
    expect("spin", &cpu, "parser_timeout");
    assert_non_null(strstr(error_last()->message, "CPU"));
}

/* Stands for a machine that stops and goes on: stops its parent for longer than a parser may be
 * silent, and only then gives the parser something to answer. */
static bool is_asleep(pid_t pid)
{
    char path[32], line[128] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    const char *name_ends = n > 0 ? strrchr(line, ')') : NULL;
    return name_ends && name_ends[2] == 'S';
}

static void stop_the_parent(int input)
{
    pid_t parent = getppid();
    while (!is_asleep(parent)) /* it waits for the parser */
        usleep(1000);
    kill(parent, SIGSTOP);
    usleep(1500000);
    kill(parent, SIGCONT);
    usleep(200000);
    _exit(write(input, "late", 4) != 4);
}

static void a_machine_that_stands_still_is_no_hang(void **state)
{
    (void)state;
    struct child_limits limits = {.idle_timeout_ms = 1000};
    struct child *child;
    struct buffer payload;
    uint32_t type;
    int ends[2], status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(child_spawn("echo", NULL, ends[0], &limits, &child), OK);
    pid_t helper = fork();
    assert_true(helper >= 0);
    if (helper == 0)
        stop_the_parent(ends[1]);
    close(ends[0]);
    close(ends[1]);
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_int_equal(type, FRAME_DATA);
    assert_string_equal(buffer_string(&payload), "late");
    assert_int_equal(waitpid(helper, &status, 0), helper);
    assert_int_equal(status, 0);
    buffer_free(&payload);
    child_close(child, NULL);
}

static void memory_is_bounded(void **state)
{
    (void)state;
#if CHILD_SANITIZED
    skip(); /* sanitizers reserve more address space than any limit allows */
#endif
    struct child_limits limits = {.memory = MIB(200), .idle_timeout_ms = 30000};
    expect("eat", &limits, "parser_memory");
}

static void forbidden_calls_kill(void **state)
{
    (void)state;
    static const char *const calls[] = {"socket", "fork", "execve"};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        expect(calls[i], &usual, "parser_crashed");
        assert_non_null(strstr(error_last()->message, "SIGSYS"));
    }
#if !CHILD_SANITIZED /* whose runtimes open files and map code */
    expect("open", &usual, "parser_crashed");
    assert_non_null(strstr(error_last()->message, "SIGSYS"));
    expect("executable-memory", &usual, "parser_crashed");
#endif
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

static void exec_profile_refuses(void **state)
{
    (void)state;
    char text[64];
    one_text("misbehave", "write-exec", text, sizeof text);
    assert_string_equal(text, "refused");
    one_text("misbehave", "socket-exec", text, sizeof text);
    assert_string_equal(text, "refused");
    if (has_landlock()) {
        one_text("misbehave", "home-exec", text, sizeof text);
        assert_string_equal(text, "refused");
    }
}

static void cancel_returns_soon(void **state)
{
    (void)state;
    struct cancel cancel = {0};
    struct child *child = start("wait", NULL, &usual);
    struct buffer payload;
    uint32_t type;
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(child_receive(child, &cancel, &type, &payload), OK);
    pid_t pid;
    memcpy(&pid, payload.data, sizeof pid);
    cancel_request(&cancel);
    assert_int_equal(child_receive(child, &cancel, &type, &payload), ERR_CANCELLED);
    assert_int_equal(kill(pid, 0), 0);
    child_close(child, NULL);
    assert_int_equal(kill(pid, 0), -1); /* closing killed and reaped it */
    buffer_free(&payload);
}

static void killed_from_outside_is_transient(void **state)
{
    (void)state;
    struct child *child = start("wait", NULL, &usual);
    struct buffer payload;
    uint32_t type;
    pid_t pid;
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    memcpy(&pid, payload.data, sizeof pid);
    kill(pid, SIGKILL);
    assert_int_equal(child_receive(child, NULL, &type, &payload), ERR_TRANSIENT);
    assert_string_equal(error_last()->reason, "parser_killed");
    child_close(child, NULL);
    buffer_free(&payload);
}

/* A child that inherited the write end of another's pipe would hold back that one's end. */
static void *run_children(void *arg)
{
    struct buffer payload;
    uint32_t type;
    buffer_init(&payload, CAP_CHILD_FRAME);
    for (int i = 0; i < 5; i++) {
        struct child *child;
        char text[32];
        snprintf(text, sizeof text, "%p %d", arg, i);
        const char *args[] = {text, NULL};
        int fd = memfd_create("input", MFD_CLOEXEC);
        if (child_spawn("echo", args, fd, &usual, &child))
            return arg;
        close(fd);
        int rc = child_receive(child, NULL, &type, &payload);
        bool right = !rc && type == FRAME_TEXT && !strcmp(buffer_string(&payload), text);
        right = right && !child_receive(child, NULL, &type, &payload) && type == 0;
        child_close(child, NULL);
        if (!right)
            return arg;
    }
    buffer_free(&payload);
    return NULL;
}

static void many_threads_spawn_at_once(void **state)
{
    (void)state;
    pthread_t threads[8];
    char names[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_children, &names[i]), 0);
    for (int i = 0; i < 8; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

static void closing_early_kills(void **state)
{
    (void)state;
    struct child *child = start("big", "1000", &usual); /* blocks on its full pipe */
    struct buffer payload;
    uint32_t type;
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    child_close(child, NULL);
    child_close(NULL, NULL);
    buffer_free(&payload);
}

static void *spawn_in_thread(void *out)
{
    *(struct child **)out = start("wait", NULL, &usual);
    return NULL;
}

/* PR_SET_PDEATHSIG fires at the end of the spawning thread: the child must see through it. */
static void outlives_the_spawning_thread(void **state)
{
    (void)state;
    pthread_t thread;
    struct child *child;
    struct buffer payload;
    struct cancel cancel = {0};
    uint32_t type;
    pid_t pid;
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(pthread_create(&thread, NULL, spawn_in_thread, &child), 0);
    pthread_join(thread, NULL);
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_int_equal(type, FRAME_DATA);
    memcpy(&pid, payload.data, sizeof pid);
    cancel_request(&cancel);
    assert_int_equal(child_receive(child, &cancel, &type, &payload), ERR_CANCELLED);
    assert_int_equal(kill(pid, 0), 0); /* alive */
    child_close(child, NULL);
    buffer_free(&payload);
}

/* This process adopts the orphan (PR_SET_CHILD_SUBREAPER), so that its end can be waited for. */
static void dies_with_the_parent(void **state)
{
    (void)state;
    struct child *child;
    struct buffer payload;
    uint32_t type;
    pid_t orphan;
    int status;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    buffer_init(&payload, CAP_CHILD_FRAME);
    child = start("parent", NULL, &usual);
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    memcpy(&orphan, payload.data, sizeof orphan);
    assert_int_equal(child_receive(child, NULL, &type, &payload), ERR_TRANSIENT); /* SIGKILL */
    assert_int_equal(waitpid(orphan, &status, 0), orphan); /* hangs if the orphan lives on */
    assert_true(WIFEXITED(status));
    child_close(child, NULL);
    buffer_free(&payload);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

static void standing_alone_is_refused(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        execl("/proc/self/exe", "aegis", "child", "echo", NULL);
        _exit(99);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
}

static void unknown_names_are_not_dispatched(void **state)
{
    (void)state;
    char *argv[] = {(char *)"aegis", (char *)"child", (char *)"no-such", NULL};
    child_dispatch(3, argv, table); /* returns: another table may have it */
}

/* Spawning with standard descriptors closed must not mix up 0, 1 and 2. */
static void survives_low_descriptors(void **state)
{
    (void)state;
    int saved = dup(0);
    close(0); /* the next pipe or file takes number 0 */
    struct child *child = start("echo", "x", &usual);
    struct buffer payload;
    uint32_t type;
    buffer_init(&payload, CAP_CHILD_FRAME);
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_string_equal(payload.data, "x");
    assert_int_equal(child_receive(child, NULL, &type, &payload), OK);
    assert_string_equal(payload.data, "hello");
    child_close(child, NULL);
    buffer_free(&payload);
    dup2(saved, 0);
    close(saved);
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, table);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_arrive_in_order),
        cmocka_unit_test(large_frames_are_whole),
        cmocka_unit_test(starts_with_nothing_of_the_parents),
        cmocka_unit_test(deaths_have_names),
        cmocka_unit_test(hangs_are_ended),
        cmocka_unit_test(a_machine_that_stands_still_is_no_hang),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(forbidden_calls_kill),
        cmocka_unit_test(exec_profile_refuses),
        cmocka_unit_test(cancel_returns_soon),
        cmocka_unit_test(killed_from_outside_is_transient),
        cmocka_unit_test(many_threads_spawn_at_once),
        cmocka_unit_test(closing_early_kills),
        cmocka_unit_test(outlives_the_spawning_thread),
        cmocka_unit_test(dies_with_the_parent),
        cmocka_unit_test(standing_alone_is_refused),
        cmocka_unit_test(unknown_names_are_not_dispatched),
        cmocka_unit_test(survives_low_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
