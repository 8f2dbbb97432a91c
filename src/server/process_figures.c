#include "server/process_figures.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Fields of /proc/self/stat, counted behind the command's name, which may contain anything. */
struct stat_fields {
    uint64_t threads, start_ticks, virtual_bytes;
    int64_t resident_pages;
};

static bool read_stat(struct stat_fields *out)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return false;
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    const char *behind_name = strrchr(line, ')');
    return behind_name &&
           sscanf(behind_name + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %" SCNu64
                  " %*d %" SCNu64 " %" SCNu64 " %" SCNd64,
                  &out->threads, &out->start_ticks, &out->virtual_bytes, &out->resident_pages) == 4;
}

static double now(clockid_t clock)
{
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double process_start_time(void)
{
    struct stat_fields stat;
    if (!read_stat(&stat))
        return 0;
    double after_boot = (double)stat.start_ticks / (double)sysconf(_SC_CLK_TCK);
    return floor((now(CLOCK_REALTIME) - now(CLOCK_BOOTTIME) + after_boot) * 100) / 100;
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    for (struct dirent *e; directory && (e = readdir(directory));)
        count += e->d_name[0] != '.';
    if (directory)
        closedir(directory);
    return count - 1; /* the one it was counted with */
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void write_usage(struct exposition *x)
{
    struct rusage own, children;
    struct rlimit files;
    if (!getrusage(RUSAGE_SELF, &own))
        exposition_single(x, "process_cpu_seconds_total", "counter",
                          "Processor time of this process, user and system.",
                          seconds_of(own.ru_utime) + seconds_of(own.ru_stime));
    if (!getrusage(RUSAGE_CHILDREN, &children))
        exposition_single(x, "aegis_children_cpu_seconds_total", "counter",
                          "Processor time of the parsers and decoders that have ended.",
                          seconds_of(children.ru_utime) + seconds_of(children.ru_stime));
    if (!getrlimit(RLIMIT_NOFILE, &files))
        exposition_single(x, "process_max_fds", "gauge", "Most descriptors it may open.",
                          (double)files.rlim_cur);
}

void process_figures_write(struct exposition *x, double start_time)
{
    struct stat_fields stat;
    write_usage(x);
    exposition_single(x, "process_open_fds", "gauge", "Descriptors it has open.",
                      open_descriptors());
    if (start_time > 0)
        exposition_single(x, "process_start_time_seconds", "gauge", "Its start, Unix time.",
                          start_time);
    if (!read_stat(&stat))
        return;
    exposition_single(x, "process_resident_memory_bytes", "gauge", "Memory in use.",
                      (double)stat.resident_pages * (double)sysconf(_SC_PAGESIZE));
    exposition_single(x, "process_virtual_memory_bytes", "gauge", "Address space in use.",
                      (double)stat.virtual_bytes);
    exposition_single(x, "process_threads", "gauge", "Threads.", (double)stat.threads);
}
