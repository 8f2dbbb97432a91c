#include "commands/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

enum { MANY_WORKERS = 128, VERY_MANY_WORKERS = 512, MOST_ARGUMENTS = 256 };

/* Splits /proc/self/cmdline; false if it does not fit. */
static bool split(struct buffer *line, char *argv[MOST_ARGUMENTS + 1])
{
    size_t n = 0;
    for (char *p = line->data; p < line->data + line->length; p += strlen(p) + 1) {
        if (n == MOST_ARGUMENTS)
            return false;
        argv[n++] = p;
    }
    argv[n] = NULL;
    return n > 0;
}

void memory_settle(int workers)
{
    char *argv[MOST_ARGUMENTS + 1];
    struct buffer line;
    if (workers < MANY_WORKERS || getenv("GLIBC_TUNABLES"))
        return;
    const char *tunables =
        workers < VERY_MANY_WORKERS ? "glibc.malloc.tcache_count=2" : "glibc.malloc.tcache_count=0";
    buffer_init(&line, KIB(64));
    if (file_read("/proc/self/cmdline", &line) == OK && split(&line, argv) &&
        setenv("GLIBC_TUNABLES", tunables, 0) == 0)
        execv("/proc/self/exe", argv);
    buffer_free(&line);
}
