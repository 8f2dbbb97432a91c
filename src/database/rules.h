/*
 * rules.h - what both engines agree on about jobs and the outbox, as plain functions of values.
 */
#ifndef AEGIS_DATABASE_RULES_H
#define AEGIS_DATABASE_RULES_H

#include <stdint.h>

#include "ports/database.h"
#include "shared/buffer.h"

/* The numbers are stored. */
enum life_type {
    LIFE_MEDIA_REMOVED = 1,
    LIFE_JOB_QUEUED,
    LIFE_JOB_STARTED,
    LIFE_JOB_RETRYING,
    LIFE_JOB_PAUSED,
    LIFE_JOB_RESUMED,
    LIFE_JOB_SUCCEEDED,
    LIFE_JOB_DEAD,
    LIFE_JOB_CANCELLED,
    LIFE_JOB_GIVEN_BACK,
    LIFE_TYPES
};

enum closed_as {
    CLOSED_SUCCEEDED = 1,
    CLOSED_RETRY,
    CLOSED_DEAD,
    CLOSED_GIVEN_BACK,
    CLOSED_CANCELLED,
    CLOSED_LOST,
    CLOSED_KINDS
};

/* What an attempt's outcome makes of its job. */
struct outcome_rule {
    enum job_state state;
    enum closed_as closed;
    enum life_type event;
    bool uncounted; /* the attempt does not count */
};
const struct outcome_rule *outcome_rule(enum attempt_outcome outcome);

/* 0, or ERR_INVALID "invalid_event": it names no bucket or key, or a part is longer than its cap.
 */
int event_check(const struct media_event *event);

/* {"stage":..,"reason":..,"message":..,"due_ms":..} of what is not empty or 0. Initialises `out`;
 * the caller frees it. */
int life_detail(struct buffer *out, const char *stage, const char *reason, const char *message,
                int64_t due_ms);

/* ---- embedding spaces ---- */

/* ERR_NOT_FOUND: there is no such space. */
int space_unknown(int64_t space_id);
/* ERR_CONFLICT if it is half dropped (`dropping` > 0), space_unknown if < 0: no row was found. */
int space_usable_as(int64_t dropping, int64_t space_id);
/* ERR_CONFLICT: the one that serves is not dropped. */
int space_serves(int64_t space_id);

#endif
