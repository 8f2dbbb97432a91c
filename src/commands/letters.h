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
    bool whole;    /* there are no more than these */
    bool together; /* all are moved at the end, by letters_..._rest */
};

/* Where letters are paid for by the piece (queue_limits.dear_letters) it looks once, at the first
 * 10,000. */
int letters_read(struct app *app, struct letters *out);
void letters_free(struct letters *l);

/* Before all letters are redriven or dropped. Where each look at them is paid for they are then not
 * searched for page by page, but moved as they come once all jobs are done: three requests for ten
 * letters on SQS, however many there are. */
void letters_take_together(struct app *app, struct letters *l);

/*
 * First the jobs, then the messages they left: a message that comes first would be thrown away, and
 * the messages of many jobs cost one look at the queue.
 */

/* The job runs again with its attempts counted from 0. ERR_NOT_FOUND, ERR_CONFLICT (not dead). */
int letters_redrive_job(struct app *app, int64_t job_id);
/* The job is given up for good. Same errors. */
int letters_drop_job(struct app *app, int64_t job_id);

int letters_redrive_messages(struct app *app, const struct letters *l, const int64_t *jobs,
                             size_t count);
int letters_drop_messages(struct app *app, const struct letters *l, const int64_t *jobs,
                          size_t count);

/* What is left after all jobs: messages that name no job, which *strays counts. */
int letters_redrive_rest(struct app *app, const struct letters *l, int64_t *strays);
int letters_drop_rest(struct app *app, const struct letters *l, int64_t *strays);

#endif
