#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/aws/queue_sqs.h"
#include "adapters/ram/store_ram.h"
#include "shared/error.h"
#include "support/queue_conformance.h"
#include "support/sqs_place.h"

struct place {
    struct sqs_place sqs;
    struct job_queue queue;
    struct arena arena;
};

static void open_queue(struct place *p, const struct sqs_queue_options *more)
{
    struct sqs_queue_options options = *more;
    options.client = p->sqs.client;
    options.url = p->sqs.url;
    options.short_dead_poll = true;
    if (sqs_queue_open(&options, &p->queue))
        fail_msg("%s", error_last()->message);
}

static int open_in_place(void *ctx, const struct clock *clock, int max_receives,
                         struct job_queue *out)
{
    struct place *p = ctx;
    (void)clock; /* SQS has its own */
    sqs_place_make(&p->sqs, "", max_receives);
    return sqs_queue_open(&(struct sqs_queue_options){.client = p->sqs.client,
                                                      .url = p->sqs.url,
                                                      .short_dead_poll = true},
                          out);
}

static void discard_place(void *ctx)
{
    struct place *p = ctx;
    sqs_place_remove(&p->sqs);
}

int main(void)
{
    static struct place place;
    if (!getenv("AWS_ENDPOINT_URL"))
        return 77;
    (void)open_queue;
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
