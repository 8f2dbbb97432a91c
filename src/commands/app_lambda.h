/*
 * app_lambda.h - the program as a function on AWS Lambda: invocations are taken one after the other
 * and given to a role. docs/lambda.md tells how it behaves.
 *
 * Between two invocations the process may stand still for hours, so a role leaves nothing under way
 * when it returns: no transaction, no request, no job.
 */
#ifndef AEGIS_COMMANDS_APP_LAMBDA_H
#define AEGIS_COMMANDS_APP_LAMBDA_H

#include "commands/telemetry.h"
#include "server/emf.h"
#include "shared/buffer.h"
#include "shared/trace_context.h"

struct lambda_call {
    const char *payload;
    size_t length;
    const struct trace_context *trace; /* by X-Ray's header; NULL: there is none */
    struct arena *arena;               /* for as long as the call */
    int64_t until_ms;                  /* clock_monotonic_ms: from then on work is given back */
    struct metrics *metrics;           /* of this call alone; NULL: not counted */
    struct telemetry *telemetry;       /* of the process; NULL: nobody is told */
    struct emf *emf;                   /* what is told to CloudWatch of it; NULL: nothing */
};

struct lambda_role {
    const char *name;
    int (*open)(struct app *app);
    /* Writes the answer, a JSON document. An error makes the invocation fail, and so come again. */
    int (*handle)(struct app *app, const struct lambda_call *call, struct buffer *answer);
};

/* Serves until SIGTERM. `role` NULL: the last error is why there is none. Returns an exit status.
 */
int app_lambda_serve(struct app *app, const struct lambda_role *role);

/* Reports the last error to Lambda, and as app_fail, as what keeps the program from starting.
 * Returns STATUS_FAILED. */
int app_lambda_cannot_start(struct app *app);

/* ---- for roles ---- */

/* Opens database and queue: ERR_INVALID if these would be on the function's own disk. */
int app_lambda_data(struct app *app);

/* Works on the messages of an SQS event until all are settled, the call's time is up or the process
 * is to stop, and writes which of them are to come again. ERR_INVALID "invalid_event": it is none.
 */
int app_lambda_process(struct app *app, const struct lambda_call *call, struct buffer *answer);

/* What a process that runs all the time does in the background: lost messages, results that nothing
 * points to, indexes. *more: the call's time was up before it was done. */
int app_lambda_upkeep(struct app *app, const struct lambda_call *call, bool *more);

#endif
