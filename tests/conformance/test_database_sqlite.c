#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "database/sqlite.h"
#include "shared/error.h"
#include "support/database_conformance.h"
#include "support/database_place.h"

struct sqlite_place {
    struct place place;
};

static int open_again(void *ctx, const struct clock *clock, struct database *out)
{
    struct sqlite_place *p = ctx;
    struct sqlite_database_options options = {.directory = p->place.path, .clock = clock};
    return sqlite_database_open(&options, out);
}

static int open_new(void *ctx, const struct clock *clock, struct database *out)
{
    struct sqlite_place *p = ctx;
    place_make(&p->place);
    return open_again(ctx, clock, out);
}

static int settle(void *ctx, struct database *database)
{
    (void)ctx;
    return sqlite_database_settle(database);
}

/* Every test ends with a look at every page. */
static void destroy(void *ctx)
{
    struct sqlite_place *p = ctx;
    struct database db;
    assert_int_equal(open_again(ctx, NULL, &db), 0);
    int rc = sqlite_database_check(&db);
    if (rc)
        print_error("%s\n", error_last()->message);
    db.ops->close(db.ctx);
    place_remove(&p->place);
    assert_int_equal(rc, 0);
}

int main(void)
{
    struct sqlite_place place;
    struct database_harness harness = {.name = "sqlite",
                                       .open = open_new,
                                       .open_again = open_again,
                                       .settle = settle,
                                       .destroy = destroy,
                                       .ctx = &place};
    return database_conformance_run(&harness);
}
