#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/aws/queue_sqs.h"
#include "support/aws_fixture.h"
#include "support/queue_conformance.h"
#include "support/sqs_place.h"

static int open_in_place(void *ctx, const struct clock *clock, int max_receives,
                         struct job_queue *out)
{
    struct sqs_place *p = ctx;
    (void)clock; /* SQS has its own */
    sqs_place_make(p, "", max_receives);
    return sqs_queue_open(
        &(struct sqs_queue_options){.client = p->client, .url = p->url, .short_dead_poll = true},
        out);
}

static void discard_place(void *ctx)
{
    struct sqs_place *p = ctx;
    sqs_place_remove(p);
}

int main(void)
{
    static struct sqs_place place;
    struct aws_fixture moto;
    int why = aws_fixture_moto(&moto);
    if (why)
        return why;
    aws_fixture_setenv(&moto);
    return queue_conformance_run(&(struct queue_conformance){.name = "job_queue: sqs",
                                                             .open = open_in_place,
                                                             .discard = discard_place,
                                                             .ctx = &place,
                                                             .own_clock = true,
                                                             .unfair = true,
                                                             .void_looks_valid = true,
                                                             .no_age = true,
                                                             .counts_untaken = true,
                                                             .delivers_twice = true});
}
