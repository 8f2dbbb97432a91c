/*
 * bench_decode - how fast recordings become pieces, against the ffmpeg program.
 *
 *   bench_decode FILE [ROUNDS]
 *
 * Decodes FILE with media_decode_audio's receiving half, as a worker does it (child, resampling,
 * cutting, spool files), and with `ffmpeg -i FILE -ar 16000 -ac 1 -f s16le`, in turn, ROUNDS times
 * (3), and prints rows of JSON: name, value, unit, peer, peer's value. Times are of the median run;
 * processor time is that of all threads and processes (of ours: child and receiving half).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "media/audio.h"
#include "shared/clock.h"

enum { MOST_ROUNDS = 99 };

struct run {
    int64_t us, cpu_us, peak_rss, first_us; /* first_us: until the first sound arrived */
    int pieces;
    struct audio_info info;
    int64_t began;
};

static int64_t time_us(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

/* Of this process and of the children it has waited for. */
static int64_t cpu_us(void)
{
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return time_us(self.ru_utime) + time_us(self.ru_stime) + time_us(children.ru_utime) +
           time_us(children.ru_stime);
}

static int take_piece(void *ctx, const struct audio_piece *piece)
{
    struct run *run = ctx;
    run->pieces++;
    close(piece->fd);
    return 0;
}

static void take_progress(void *ctx, int64_t done_ms, int64_t total_ms)
{
    struct run *run = ctx;
    (void)done_ms, (void)total_ms;
    if (!run->first_us)
        run->first_us = clock_monotonic_us() - run->began;
}

static int decode(int fd, int64_t size, const char *name, struct run *run)
{
    struct media_identity identity;
    struct child_limits limits = {.idle_timeout_ms = 60000};
    const char *spool = getenv("TMPDIR");
    struct audio_options options = {.spool_directory = spool ? spool : "/tmp"};
    struct audio_sink sink = {.piece = take_piece, .progress = take_progress, .ctx = run};
    struct child *child;
    memset(run, 0, sizeof *run);
    int64_t cpu_before = cpu_us();
    run->began = clock_monotonic_us();
    int rc = media_identify(fd, size, name, &identity);
    if (!rc)
        rc = child_spawn("audio", NULL, fd, &limits, &child);
    if (rc)
        return rc;
    rc = audio_receive(child, &identity, &options, NULL, &sink, &run->info);
    child_close(child, &run->peak_rss);
    run->us = clock_monotonic_us() - run->began;
    run->cpu_us = cpu_us() - cpu_before;
    return rc;
}

static int run_ffmpeg(const char *name, struct run *run)
{
    char *argv[] = {(char *)"ffmpeg", (char *)"-nostdin", (char *)"-v",        (char *)"error",
                    (char *)"-y",     (char *)"-i",       (char *)name,        (char *)"-vn",
                    (char *)"-ar",    (char *)"16000",    (char *)"-ac",       (char *)"1",
                    (char *)"-f",     (char *)"s16le",    (char *)"/dev/null", NULL};
    struct rusage usage;
    pid_t pid;
    int status;
    run->began = clock_monotonic_us();
    if (posix_spawnp(&pid, "ffmpeg", NULL, NULL, argv, environ) ||
        wait4(pid, &status, 0, &usage) < 0)
        return -1;
    run->us = clock_monotonic_us() - run->began;
    run->cpu_us = time_us(usage.ru_utime) + time_us(usage.ru_stime);
    run->peak_rss = (int64_t)usage.ru_maxrss * 1024;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const struct run *)a)->us, y = ((const struct run *)b)->us;
    return (x > y) - (x < y);
}

static void row(const char *name, double value, const char *unit, double peer)
{
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"", name, value, unit);
    if (peer > 0)
        printf(",\"peer\":\"ffmpeg\",\"peer_value\":%.3f", peer);
    puts("}");
}

static int report(const char *name, int rounds, struct run *ours, struct run *theirs)
{
    struct rusage self;
    getrusage(RUSAGE_SELF, &self);
    qsort(ours, (size_t)rounds, sizeof *ours, by_time);
    qsort(theirs, (size_t)rounds, sizeof *theirs, by_time);
    const struct run *a = &ours[rounds / 2], *b = &theirs[rounds / 2];
    const double mib = 1 << 20;
    fprintf(stderr, "%s: %s in %s, %.1f min, %.1f min of sound, %d pieces%s\n", name, a->info.codec,
            a->info.format, (double)a->info.duration_ms / 60000, (double)a->info.voiced_ms / 60000,
            a->pieces, a->info.truncated ? ", truncated" : "");
    row("sound", (double)a->info.duration_ms / 1e3, "s", 0);
    row("seconds", (double)a->us / 1e6, "s", (double)b->us / 1e6);
    row("cpu", (double)a->cpu_us / 1e6, "s", (double)b->cpu_us / 1e6);
    row("realtime", (double)a->info.duration_ms * 1e3 / (double)a->us, "x",
        (double)a->info.duration_ms * 1e3 / (double)b->us);
    row("first_sound", (double)a->first_us / 1e3, "ms", 0);
    row("child_peak_rss", (double)a->peak_rss / mib, "MiB", (double)b->peak_rss / mib);
    row("parent_peak_rss", (double)self.ru_maxrss / 1024, "MiB", 0);
    return 0;
}

int main(int argc, char **argv)
{
    struct run ours[MOST_ROUNDS], theirs[MOST_ROUNDS];
    struct stat st;
    child_dispatch(argc, argv, media_children);
    int rounds = argc > 2 ? atoi(argv[2]) : 3;
    if (argc < 2 || rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: bench_decode FILE [ROUNDS]\n");
        return 2;
    }
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 0; i < rounds; i++) {
        if (decode(fd, st.st_size, argv[1], &ours[i])) {
            fprintf(stderr, "%s\n", error_last()->message);
            return 1;
        }
        if (run_ffmpeg(argv[1], &theirs[i])) {
            fprintf(stderr, "ffmpeg failed on '%s'\n", argv[1]);
            return 1;
        }
    }
    close(fd);
    return report(argv[1], rounds, ours, theirs);
}
