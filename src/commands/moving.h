/* moving.h - what `aegis export` and `aegis import` share: progress on a terminal, and the report.
 */
#ifndef AEGIS_COMMANDS_MOVING_H
#define AEGIS_COMMANDS_MOVING_H

#include "commands/app.h"
#include "database/move.h"

struct moving {
    struct app *app;
    struct move_options options; /* for move.h */
    int64_t drawn_ms;            /* monotonic; 0: nothing is on the screen */
};

/* From now on Ctrl-C stops between two batches. */
void moving_begin(struct moving *m, struct app *app);
/* Takes the progress off the screen. */
void moving_end(struct moving *m);

/* "user@host:port/database" of a URL, without its password; in the app's arena. */
const char *moving_place(struct app *app, const char *url);

/* "42 rows exported from ..."; `what` is "exported" or "imported", `place` where they
 * are now; with --json the tables with their digests. */
void moving_print(struct moving *m, const struct move_report *report, const char *what,
                  const char *engine, const char *file, const char *place);

#endif
