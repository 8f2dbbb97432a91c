/* commands.h - the rows of the command table, one per file. */
#ifndef AEGIS_COMMANDS_COMMANDS_H
#define AEGIS_COMMANDS_COMMANDS_H

#include "commands/cli.h"

extern const struct command command_worker, command_add, command_watch, command_ingest,
    command_ingest_event, command_serve, command_list, command_show, command_transcript,
    command_summary, command_search, command_ask, command_jobs, command_dead, command_reprocess,
    command_remove, command_usage, command_db, command_export, command_import, command_config,
    command_doctor, command_version, command_help, command_spaces, command_lambda, command_health;

#endif
