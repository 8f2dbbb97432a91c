#include "commands/event_intake.h"

#include "ingestion/ingest.h"
#include "shared/clock.h"

const char *event_result_name(enum event_result result)
{
    static const char *const names[] = {
        [EVENT_JOB_QUEUED] = "queued",
        [EVENT_DUPLICATE] = "duplicate",
        [EVENT_STALE] = "stale",
        [EVENT_MEDIA_REMOVED] = "removed",
        [EVENT_NOTHING_TO_REMOVE] = "nothing to remove",
    };
    return names[result];
}

int event_intake(struct app *app, struct event_document *d, struct telemetry *telemetry,
                 struct arena *arena, struct event_outcome **outcomes)
{
    const char *collection = config_string(app->config, "collection");
    for (size_t i = 0; i < d->count && *collection; i++)
        d->events[i].collection = collection;
    *outcomes = arena_array(arena, d->count + 1, sizeof **outcomes);
    if (!*outcomes)
        return ERR_NO_MEMORY;
    if (d->count == 0)
        return OK;
    int rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    if (rc)
        return rc;
    struct ingestion_ports ports = {.queue = app->queue,
                                    .database = app->database,
                                    .clock = clock_system(),
                                    .taken = telemetry_taken,
                                    .ctx = telemetry};
    return ingest_events(&ports, d->events, d->count, *outcomes);
}
