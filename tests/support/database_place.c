#include "support/database_place.h"
#include "support/tree.h"

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

void place_remove(struct place *place)
{
    tree_remove(place->path);
}
