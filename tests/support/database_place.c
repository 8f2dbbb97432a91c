#include "support/database_place.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void place_make(struct place *place)
{
    const char *base = getenv("TMPDIR");
    snprintf(place->path, sizeof place->path, "%s/aegis-database-XXXXXX",
             base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(place->path));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void place_remove(struct place *place)
{
    nftw(place->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
