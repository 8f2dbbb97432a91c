/*
 * bench_measure.c - bench_measure [--tree] FILE COMMAND [ARGUMENT...]: runs the command and writes
 * to FILE, as one line of JSON, when it was started (Unix milliseconds, just before exec), how long
 * it ran, its processor time and its peak resident memory. Exits with the command's status.
 *
 * With --tree also the memory of the command and all its descendants together, sampled every 20 ms:
 *   tree_rss_mib   highest sum of resident set sizes (pages that several share counted for each)
 *   tree_pss_mib   highest sum of proportional set sizes (such pages counted once)
 *   tree_bound_mib highest sum of the peaks (VmHWM) that those alive at the time had each reached
 *                  so far: no less than was in use at once, also between two samples (but for what
 *                  a process did after the last one of its life)
 *   samples        how many there were
 *   longest_gap_ms longest time between two of them: seconds mean that the machine itself stood
 * still
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PROCESSES = 4096, SAMPLE_MS = 20 };

struct process {
    int pid, parent;
};

struct memory {
    long pss, rss, bound; /* KiB */
    long samples;
    double last_ms, longest_gap_ms;
};

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static FILE *open_proc(int pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return fopen(path, "re");
}

/* The parent is the 4th field of stat; the 2nd, a name in parentheses, may hold anything. */
static int parent_of(int pid)
{
    char line[512] = "";
    int parent = 0;
    FILE *f = open_proc(pid, "stat");
    if (!f)
        return 0;
    if (!fgets(line, sizeof line, f))
        line[0] = '\0';
    fclose(f);
    const char *after = strrchr(line, ')');
    return after && sscanf(after + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static size_t list_processes(struct process *out)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && count < MOST_PROCESSES && (entry = readdir(proc))) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        int pid = atoi(entry->d_name);
        out[count++] = (struct process){.pid = pid, .parent = parent_of(pid)};
    }
    if (proc)
        closedir(proc);
    return count;
}

/* Moves `root` and its descendants to the front; says how many there are. Sessions do not tell
 * them: a sandboxed child has one of its own. */
static size_t keep_tree(struct process *all, size_t count, int root)
{
    size_t kept = 0;
    for (bool found = true; found;) {
        found = false;
        for (size_t i = kept; i < count; i++) {
            bool ours = all[i].pid == root;
            for (size_t k = 0; !ours && k < kept; k++)
                ours = all[i].parent == all[k].pid;
            if (!ours)
                continue;
            struct process p = all[i];
            all[i] = all[kept];
            all[kept++] = p;
            found = true;
        }
    }
    return kept;
}

static long field(int pid, const char *file, const char *name)
{
    char line[256];
    size_t length = strlen(name);
    long kib = 0;
    FILE *f = open_proc(pid, file);
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            kib = strtol(line + length + 1, NULL, 10);
            break;
        }
    if (f)
        fclose(f);
    return kib;
}

static long larger(long a, long b)
{
    return a > b ? a : b;
}

/* smaps_rollup walks the page tables, so it is read only where the sum can be a new peak. */
static long sum_pss(const struct process *all, size_t count)
{
    long sum = 0;
    for (size_t i = 0; i < count; i++) {
        long pss = field(all[i].pid, "smaps_rollup", "Pss");
        sum += pss ? pss : field(all[i].pid, "status", "VmRSS"); /* closed to us: in full */
    }
    return sum;
}

static void sample(int root, struct memory *peak)
{
    static struct process all[MOST_PROCESSES];
    long rss = 0, bound = 0;
    size_t count = keep_tree(all, list_processes(all), root);
    for (size_t i = 0; i < count; i++) {
        rss += field(all[i].pid, "status", "VmRSS");
        bound += field(all[i].pid, "status", "VmHWM");
    }
    if (rss > peak->pss)
        peak->pss = larger(peak->pss, sum_pss(all, count));
    peak->rss = larger(peak->rss, rss);
    peak->bound = larger(peak->bound, bound);
    double at = now(CLOCK_MONOTONIC), gap = at - peak->last_ms;
    if (peak->samples++ > 0 && gap > peak->longest_gap_ms)
        peak->longest_gap_ms = gap;
    peak->last_ms = at;
}

static int wait_for(pid_t child, bool tree, struct memory *peak, int *status, struct rusage *usage)
{
    const struct timespec pause = {.tv_nsec = SAMPLE_MS * 1000000};
    pid_t got;
    while ((got = wait4(child, status, tree ? WNOHANG : 0, usage)) == 0 ||
           (got < 0 && errno == EINTR)) {
        sample(child, peak);
        nanosleep(&pause, NULL);
    }
    return got == child ? 0 : -1;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static int report(const char *path, double started, double ran, const struct rusage *usage,
                  const struct memory *peak)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return -1;
    fprintf(f,
            "{\"started_at_ms\":%.3f,\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"peak_rss_mib\":%.1f,"
            "\"tree_pss_mib\":%.1f,\"tree_rss_mib\":%.1f,\"tree_bound_mib\":%.1f,\"samples\":%ld,"
            "\"longest_gap_ms\":%.0f}\n",
            started, ran / 1e3, seconds(usage->ru_utime) + seconds(usage->ru_stime),
            (double)usage->ru_maxrss / 1024, (double)peak->pss / 1024, (double)peak->rss / 1024,
            (double)peak->bound / 1024, peak->samples, peak->longest_gap_ms);
    return fclose(f);
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
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    int status = 0;
    struct memory peak = {0};
    struct rusage usage = {0};
    if (child < 0 || wait_for(child, tree, &peak, &status, &usage)) {
        perror("bench_measure");
        return 1;
    }
    double ran = now(CLOCK_MONOTONIC) - from;
    if (report(argv[1], started, ran, &usage, &peak)) {
        perror(argv[1]);
        return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
