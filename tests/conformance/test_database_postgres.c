#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "database/postgres.h"
#include "shared/error.h"
#include "support/database_conformance.h"
#include "support/pg_fixture.h"

static int open_again(void *ctx, const struct clock *clock, struct database *out)
{
    struct pg_fixture *p = ctx;
    struct postgres_database_options options = {.url = p->url, .clock = clock, .clock_rules = true};
    return postgres_database_open(&options, out);
}

static int open_new(void *ctx, const struct clock *clock, struct database *out)
{
    pg_fixture_open(ctx);
    return open_again(ctx, clock, out);
}

static int settle(void *ctx, struct database *database)
{
    (void)ctx;
    return postgres_database_settle(database);
}

static void destroy(void *ctx)
{
    pg_fixture_close(ctx);
}

int main(void)
{
    struct pg_fixture place;
    struct database_harness harness = {.name = "postgres",
                                       .open = open_new,
                                       .open_again = open_again,
                                       .settle = settle,
                                       .destroy = destroy,
                                       .ctx = &place};
    int rc = pg_fixture_start();
    return rc ? rc : database_conformance_run(&harness);
}
