/* life_log.h - life-cycle steps of jobs as log lines. */
#ifndef AEGIS_COMMANDS_LIFE_LOG_H
#define AEGIS_COMMANDS_LIFE_LOG_H

#include "processor/processor.h"
#include "shared/log.h"

/* Of a life event's type: errors are jobs that died, warnings what holds one up. */
enum log_level life_log_level(const char *type);

/* The end of an attempt, in the shape of the life event that the database has of it: for a process
 * that does not read these. */
void life_log_attempt(const struct attempt_report *report);

#endif
