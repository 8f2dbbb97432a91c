/*
 * help.h - what the command table says, for people (--help), man(1), docs/ and the shell.
 */
#ifndef AEGIS_COMMANDS_HELP_H
#define AEGIS_COMMANDS_HELP_H

#include <stdbool.h>
#include <stdio.h>

#include "commands/cli.h"

struct status_help {
    int status;
    const char *meaning;
};
extern const struct status_help status_helps[]; /* ends with a NULL meaning */

void help_overview(FILE *out, bool color);
void help_command(FILE *out, const struct command *command, bool color);

/* man pages in man(7) macros: aegis(1), or aegis-NAME(1) */
void help_man(FILE *out, const struct command *command);

/* docs/cli.md and docs/configuration.md */
void help_markdown_cli(FILE *out);
void help_markdown_configuration(FILE *out);

/* completion/aegis.bash */
void help_bash_completion(FILE *out);

/* "--format FORMAT", "-h, --help"; returns `out`. */
char *help_option_label(const struct option_spec *option, char *out, size_t size);

/* "true or false, default no": the environment variable, range and default of a setting. */
struct setting;
void help_setting_facts(const struct setting *setting, char *out, size_t size);

#endif
