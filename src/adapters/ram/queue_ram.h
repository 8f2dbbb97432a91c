/*
 * queue_ram.h - the job queue in this process's memory: for tests and for pipelines that need not
 * survive their process. It follows the port's contract to the letter, durability apart.
 */
#ifndef AEGIS_ADAPTERS_RAM_QUEUE_RAM_H
#define AEGIS_ADAPTERS_RAM_QUEUE_RAM_H

#include "ports/job_queue.h"
#include "shared/clock.h"

struct ram_queue_options {
    int max_receives; /* 0: 20 */
    size_t max_bytes; /* of all messages together; past it send is ERR_DISK_FULL. 0: 256 MiB */
    const struct clock *clock; /* NULL: the system's; borrowed */
};

/* An empty queue. Give it back with out->ops->close(out->ctx), when no method is running. */
int ram_queue_open(const struct ram_queue_options *options, struct job_queue *out);

#endif
