/*
 * progress.h - what a waiting command shows: on a terminal a few lines that are redrawn in place at
 * most ten times a second, elsewhere a plain line now and then. All of it on standard error.
 */
#ifndef AEGIS_COMMANDS_PROGRESS_H
#define AEGIS_COMMANDS_PROGRESS_H

#include "commands/follow.h"

struct progress {
    struct app *app;
    int lines;            /* drawn and still on the screen */
    int64_t started_ms;   /* monotonic */
    int64_t drawn_ms;     /* when last drawn or noted */
    int64_t priced_ms;    /* when the cost was last read */
    int64_t cost_nanousd; /* spent since the start */
    int64_t cost_before;
    char pause[512];   /* why the pipeline is paused, "" if it runs */
    char storing[512]; /* what is being stored, "" if nothing is */
};

void progress_init(struct progress *p, struct app *app);

/* Draws if it is time to. */
void progress_draw(struct progress *p, struct tracker *t);

/* Takes what was drawn off the screen, so that something else can be printed. */
void progress_clear(struct progress *p);

#endif
