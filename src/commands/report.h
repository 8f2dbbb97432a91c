/*
 * report.h - what came of the jobs a command waited for: a block per medium as each ends, then one
 * line for all.
 */
#ifndef AEGIS_COMMANDS_REPORT_H
#define AEGIS_COMMANDS_REPORT_H

#include "commands/follow.h"
#include "commands/views.h"
#include "yyjson.h"

enum { REPORT_BLOCKS = 20 }; /* with more media than that each gets one line */

struct report {
    struct app *app;
    bool brief; /* one line each */
    struct json_stream stream;
    size_t succeeded, dead, cancelled;
    size_t unchanged; /* of those succeeded: nothing had to be done */
    bool offline;     /* some result was made by the offline provider */
};

void report_begin(struct report *r, struct app *app);

/* For wait.ended. */
void report_ended(void *report, const struct tracked *item);

/* Closes the list: in JSON with `rest` as further members (may be NULL). */
void report_end(struct report *r, yyjson_mut_val *rest);

/* "3 media, 1 failed": the closing line, on standard error. */
void report_totals(const struct report *r, size_t waiting, int64_t started_ms);

#endif
