/* packed.c - see packed.h. */
#include "shared/packed.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool packed_path(const char *name, char *out, size_t capacity)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program);
    const char *slash = n > 0 ? memrchr(program, '/', (size_t)n) : NULL;
    if (!slash)
        return false;
    int length = snprintf(out, capacity, "%.*s/%s", (int)(slash - program), program, name);
    return length > 0 && (size_t)length < capacity && access(out, R_OK) == 0;
}

static void prefer_programs(void)
{
    char bin[PATH_MAX];
    const char *path = getenv("PATH");
    if (!packed_path("bin/pdftotext", bin, sizeof bin))
        return;
    *strrchr(bin, '/') = '\0';
    size_t size = strlen(bin) + (path ? strlen(path) : 0) + sizeof ":/usr/bin:/bin";
    char *both = malloc(size);
    if (!both)
        return;
    snprintf(both, size, "%s:%s", bin, path && *path ? path : "/usr/bin:/bin");
    setenv("PATH", both, 1);
    free(both);
}

static void settle(const char *variable, const char *name)
{
    char path[PATH_MAX];
    if (packed_path(name, path, sizeof path))
        setenv(variable, path, 0);
}

void packed_settle(void)
{
    prefer_programs();
    settle("SSL_CERT_FILE", "share/ca-bundle.crt");
    settle("GCONV_PATH", "lib/gconv");
}
