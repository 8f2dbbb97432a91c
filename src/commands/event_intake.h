/* event_intake.h - event documents become jobs: what commands that take them share. */
#ifndef AEGIS_COMMANDS_EVENT_INTAKE_H
#define AEGIS_COMMANDS_EVENT_INTAKE_H

#include "commands/telemetry.h"
#include "ingestion/event.h"

/* Records the document's events in the app's database and queues their jobs; both are opened if
 * there is any. `telemetry` (NULL: nobody) is told of each job. *outcomes is in the arena. As
 * ingest_events. */
int event_intake(struct app *app, struct event_document *document, struct telemetry *telemetry,
                 struct arena *arena, struct event_outcome **outcomes);

/* "queued", "duplicate", "stale", "removed", "nothing to remove" */
const char *event_result_name(enum event_result result);

#endif
