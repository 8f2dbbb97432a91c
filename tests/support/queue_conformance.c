#include "support/queue_conformance.h"

#include <stddef.h>
#include <stdio.h>

#include "support/queue_suite.h"

int queue_conformance_run(const struct queue_conformance *adapter)
{
    suite_adapter = adapter;
    fprintf(stderr, "adapter: %s\n", adapter->name);
    return queue_messages_tests() + queue_dead_tests() + queue_waiting_tests() +
           queue_model_tests();
}
