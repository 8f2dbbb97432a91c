/* The suite again with the server keeping the time, as it does outside of tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/postgres/queue_postgres.h"
#include "shared/error.h"
#include "support/pg_fixture.h"
#include "support/queue_conformance.h"

struct place {
    struct pg_fixture fixture;
    struct pg_pool *pool;
};

static int open_in_place(void *ctx, const struct clock *clock, int max_receives,
                         struct job_queue *out)
{
    struct place *p = ctx;
    (void)clock;
    pg_fixture_open(&p->fixture);
    int rc = pg_pool_open(p->fixture.url, NULL, &p->pool);
    if (rc)
        return rc;
    return postgres_queue_open(&(struct postgres_queue_options){.pool = p->pool,
                                                                .max_receives = max_receives,
                                                                .advance_every = 5},
                               out);
}

static void discard_place(void *ctx)
{
    struct place *p = ctx;
    pg_pool_close(p->pool);
    pg_fixture_close(&p->fixture);
}

int main(void)
{
    static struct place place;
    int why = pg_fixture_start();
    if (why)
        return why;
    return queue_conformance_run(
        &(struct queue_conformance){.name = "job_queue: postgres, the server's clock",
                                    .open = open_in_place,
                                    .discard = discard_place,
                                    .ctx = &place,
                                    .own_clock = true});
}
