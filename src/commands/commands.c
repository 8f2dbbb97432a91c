#include "commands/commands.h"

const struct command *const commands[] = {
    &command_add,    &command_watch,      &command_ingest,  &command_ingest_event,
    &command_serve,  &command_worker,     &command_lambda,  &command_list,
    &command_show,   &command_transcript, &command_summary, &command_search,
    &command_ask,    &command_jobs,       &command_dead,    &command_reprocess,
    &command_remove, &command_usage,      &command_spaces,  &command_db,
    &command_export, &command_import,     &command_config,  &command_doctor,
    &command_health, &command_version,    &command_help,    0,
};
