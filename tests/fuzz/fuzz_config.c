/* fuzz_config.c - any bytes as aegis.conf: no crash, and an accepted file gives valid values. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/config.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_values(const struct config *config)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];
        if (s->type != SETTING_INT && s->type != SETTING_DURATION_MS && s->type != SETTING_BYTES)
            continue;
        int64_t value = config_int(config, s->key);
        if (value < s->min || value > s->max)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("aegis.conf", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) || pwrite(fd, bytes, size, 0) != (ssize_t)size)
        abort();
    struct config *config;
    int rc = config_open("/nowhere", path, &config);
    if (rc == OK)
        check_values(config);
    else if (!error_last()->message[0])
        abort();
    config_close(rc ? NULL : config);
    return 0;
}
