/*
 * letters.h - dead letters: dead jobs in the database, and the messages they left on the queue.
 */
#ifndef AEGIS_COMMANDS_LETTERS_H
#define AEGIS_COMMANDS_LETTERS_H

#include "commands/app.h"

/* The messages among the dead letters, by the job they name. */
struct letters {
    struct letter {
        int64_t job_id; /* 0: the message names no job (malformed) */
        char id[QUEUE_ID_TEXT];
    } * items; /* by job_id */
    size_t count;
};

int letters_read(struct app *app, struct letters *out);
void letters_free(struct letters *l);

/* The job runs again with its attempts counted from 0. ERR_NOT_FOUND, ERR_CONFLICT (not dead). */
int letters_redrive(struct app *app, const struct letters *l, int64_t job_id);
/* The job is given up for good. Same errors. */
int letters_drop(struct app *app, const struct letters *l, int64_t job_id);

/* Messages that name no job, redriven or dropped; *done counts them. */
int letters_redrive_strays(struct app *app, const struct letters *l, int64_t *done);
int letters_drop_strays(struct app *app, const struct letters *l, int64_t *done);

#endif
