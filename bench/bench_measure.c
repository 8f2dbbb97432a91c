/*
 * bench_measure.c - bench_measure [--tree] FILE COMMAND [ARGUMENT...]: runs the command in a
 * session of its own and writes to FILE, as one line of JSON, when it was started (Unix
 * milliseconds, just before exec), how long it ran, its processor time and its peak resident
 * memory. Exits with the command's status.
 *
 * With --tree also the peak of the proportional set sizes (pages shared between processes are
 * counted once) of all processes of the session together, sampled every 20 ms.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static FILE *open_proc(const char *pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.16s/%s", pid, name);
    return fopen(path, "re");
}

/* The session is the 6th field of stat; the 2nd, a name in parentheses, may hold anything. */
static bool in_session(const char *pid, pid_t session)
{
    char line[512] = "";
    FILE *f = open_proc(pid, "stat");
    if (!f)
        return false;
    if (!fgets(line, sizeof line, f))
        line[0] = '\0';
    fclose(f);
    const char *after = strrchr(line, ')');
    int found = 0;
    return after && sscanf(after + 1, " %*c %*d %*d %d", &found) == 1 && found == session;
}

static long pss_kib(const char *pid)
{
    char line[256];
    long kib = 0;
    FILE *f = open_proc(pid, "smaps_rollup");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static long session_kib(pid_t session)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    long sum = 0;
    while (proc && (entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]) && in_session(entry->d_name, session))
            sum += pss_kib(entry->d_name);
    if (proc)
        closedir(proc);
    return sum;
}

static int wait_for(pid_t child, bool tree, long *peak_kib, int *status, struct rusage *usage)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    pid_t got;
    while ((got = wait4(child, status, tree ? WNOHANG : 0, usage)) == 0 ||
           (got < 0 && errno == EINTR)) {
        long kib = session_kib(child);
        *peak_kib = kib > *peak_kib ? kib : *peak_kib;
        nanosleep(&pause, NULL);
    }
    return got == child ? 0 : -1;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    bool tree = argc > 1 && strcmp(argv[1], "--tree") == 0;
    argv += tree;
    argc -= tree;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_measure [--tree] FILE COMMAND [ARGUMENT...]\n");
        return 2;
    }
    double started = now(CLOCK_REALTIME), from = now(CLOCK_MONOTONIC);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    int status = 0;
    long peak = 0;
    struct rusage usage = {0};
    if (child < 0 || wait_for(child, tree, &peak, &status, &usage)) {
        perror("bench_measure");
        return 1;
    }
    double ran = now(CLOCK_MONOTONIC) - from;
    FILE *f = fopen(argv[1], "we");
    if (!f) {
        perror(argv[1]);
        return 1;
    }
    fprintf(f,
            "{\"started_at_ms\":%.3f,\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"peak_rss_mib\":%.1f,"
            "\"tree_peak_mib\":%.1f}\n",
            started, ran / 1e3, seconds(usage.ru_utime) + seconds(usage.ru_stime),
            (double)usage.ru_maxrss / 1024, (double)peak / 1024);
    fclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
