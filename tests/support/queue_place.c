#include "support/queue_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void queue_place_make(struct queue_place *p)
{
    const char *parent = getenv("TMPDIR");
    snprintf(p->directory, sizeof p->directory, "%s/aegis-queue.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(p->directory));
    snprintf(p->path, sizeof p->path, "%s/queue.db", p->directory);
}

void queue_place_remove(struct queue_place *p)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char path[320];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", p->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(p->directory), 0);
}
