#include <stddef.h>
#include <string.h>

#include "ports/database.h"
#include "shared/error.h"

static const char *const states[JOB_STATES] = {
    [JOB_QUEUED] = "queued",       [JOB_RUNNING] = "running",     [JOB_RETRYING] = "retrying",
    [JOB_PAUSED] = "paused",       [JOB_SUCCEEDED] = "succeeded", [JOB_DEAD] = "dead",
    [JOB_CANCELLED] = "cancelled",
};

const char *job_state_name(enum job_state state)
{
    return (unsigned)state < JOB_STATES ? states[state] : "unknown";
}

int job_state_parse(const char *name, enum job_state *out)
{
    for (int i = 0; i < JOB_STATES; i++) {
        if (!strcmp(name, states[i])) {
            *out = (enum job_state)i;
            return OK;
        }
    }
    return error_set(ERR_INVALID, NULL,
                     "'%.40s' is no job state: use queued, running, retrying, paused, succeeded, "
                     "dead or cancelled",
                     name);
}

const char *result_outcome_name(enum result_outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_CONTENT] = "content",
        [OUTCOME_EMPTY] = "empty",
        [OUTCOME_NO_SPEECH] = "no_speech",
        [OUTCOME_NO_AUDIO] = "no_audio",
    };
    return (unsigned)outcome < sizeof names / sizeof names[0] ? names[outcome] : "unknown";
}
