/*
 * bench_lambda.c - bench_lambda PROGRAM HANDLER EVENTS LOG: starts a function as AWS Lambda does
 * (tests/support/runtime_api.h), hands it the events of the file EVENTS one after the other, one a
 * line, and prints as one line of JSON:
 *
 *   cold_ms            from just before fork to the first request for an invocation
 *   cold_cpu_ms        processor time of the process until then
 *   cold_mib           its peak resident memory (VmHWM) until then
 *   first_ms           from handing over the first event to its answer
 *   events             how many followed, of which
 *   p50_ms, p99_ms     from handing over to answer
 *   cpu_ms             processor time of the process for each
 *   peak_mib           peak resident memory of the process at the end
 *   children           processes that it had started and that still ran at the end
 *
 * The function gets of this program's environment what begins with AWS_, AEGIS_, OPENAI_, PEER_ or
 * DATABASE_. Exits with 1 if an event is not answered, or an answer reports a failed message.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/runtime_api.h"

enum { VARIABLES = 31, TIMEOUT_MS = 60000, EVENTS_MOST = 100000 };

static const char *const prefixes[] = {"AWS_", "AEGIS_", "OPENAI_", "PEER_", "DATABASE_"};

extern char **environ;

static double milliseconds(clockid_t clock)
{
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void choose_environment(const char *out[VARIABLES + 1])
{
    size_t n = 0;
    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
            if (!strncmp(*e, prefixes[i], strlen(prefixes[i])) && n < VARIABLES)
                out[n++] = *e;
    out[n] = NULL;
}

/* ---- the process ---- */

/* Of all its threads, those that have ended included. */
static double cpu_ms(pid_t pid)
{
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) ? 0 : milliseconds(clock);
}

static FILE *open_proc(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

static double peak_mib(pid_t pid)
{
    char line[256];
    long kib = 0;
    FILE *f = open_proc(pid, "status");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (double)kib / 1024;
}

static int children(pid_t pid)
{
    char name[64];
    int count = 0, child;
    snprintf(name, sizeof name, "task/%d/children", (int)pid);
    FILE *f = open_proc(pid, name);
    while (f && fscanf(f, "%d", &child) == 1)
        count++;
    if (f)
        fclose(f);
    return count;
}

/* ---- events ---- */

static int fail(const char *what, const char *detail)
{
    fprintf(stderr, "bench_lambda: %s: %s\n", what, detail);
    return 1;
}

static int invoke(struct runtime_api *api, const char *event, double *ms)
{
    struct runtime_result r;
    double began = milliseconds(CLOCK_MONOTONIC);
    runtime_api_send(api, event, TIMEOUT_MS);
    runtime_api_wait(api, &r);
    *ms = milliseconds(CLOCK_MONOTONIC) - began;
    int rc = r.outcome != RUNTIME_RESPONSE || strstr(r.body, "itemIdentifier")
                 ? fail("an event was not taken", r.body)
                 : 0;
    free(r.body);
    return rc;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t count, double q)
{
    size_t i = (size_t)(q * (double)count);
    return count ? sorted[i < count ? i : count - 1] : 0;
}

static int read_event(FILE *f, char **line, size_t *size)
{
    ssize_t n = getline(line, size, f);
    if (n > 0 && (*line)[n - 1] == '\n')
        (*line)[n - 1] = '\0';
    return n > 0;
}

/* The first one pays for what is done late; it is told apart. */
static int invoke_all(struct runtime_api *api, FILE *events)
{
    static double took[EVENTS_MOST];
    double first = 0, cpu = 0;
    char *line = NULL;
    size_t size = 0, count = 0;
    pid_t pid = runtime_api_pid(api);
    int rc = read_event(events, &line, &size) ? invoke(api, line, &first) : 0;
    cpu = cpu_ms(pid);
    while (!rc && count < EVENTS_MOST && read_event(events, &line, &size))
        rc = invoke(api, line, &took[count++]);
    free(line);
    if (rc)
        return rc;
    double each = count ? (cpu_ms(pid) - cpu) / (double)count : 0;
    qsort(took, count, sizeof took[0], by_size);
    printf("\"first_ms\":%.3f,\"events\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"cpu_ms\":%.3f,"
           "\"peak_mib\":%.1f,\"children\":%d}\n",
           first, count, quantile(took, count, 0.5), quantile(took, count, 0.99), each,
           peak_mib(pid), children(pid));
    return 0;
}

static int measure(struct runtime_api *api, char **argv)
{
    const char *environment[VARIABLES + 1];
    choose_environment(environment);
    FILE *events = fopen(argv[3], "re");
    if (!events)
        return fail("there are no events", argv[3]);
    double began = milliseconds(CLOCK_MONOTONIC);
    runtime_api_launch(api, argv[1], argv[2], environment, argv[4]);
    int rc = runtime_api_wait_next(api) ? 0 : fail("the function does not start, see", argv[4]);
    double cold = milliseconds(CLOCK_MONOTONIC) - began;
    pid_t pid = runtime_api_pid(api);
    if (!rc)
        printf("{\"cold_ms\":%.3f,\"cold_cpu_ms\":%.3f,\"cold_mib\":%.1f,", cold, cpu_ms(pid),
               peak_mib(pid));
    rc = rc ? rc : invoke_all(api, events);
    fclose(events);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: bench_lambda PROGRAM HANDLER EVENTS LOG\n");
        return 2;
    }
    struct runtime_api *api = runtime_api_start();
    int rc = measure(api, argv);
    runtime_api_stop(api);
    return rc;
}
