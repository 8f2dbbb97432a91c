#include <stdlib.h>
#include <string.h>

#include "commands/app.h"
#include "commands/commands.h"
#include "commands/help.h"
#include "shared/error.h"
#include "shared/file.h"

static const struct option_spec options[] = {
    {.name = "man", .help = "print the man page, as roff"},
    {.name = "markdown",
     .argument = "PAGE",
     .choices = "cli|configuration",
     .help = "print a page of the documentation"},
    {.name = "completion", .argument = "SHELL", .choices = "bash", .help = "print completion code"},
    {.name = "generate",
     .argument = "DIR",
     .help = "write all man pages (DIR/man1) and the completion (DIR/completions)"},
    {0},
};

static int find_operand(const struct app *app, const struct command **out)
{
    *out = NULL;
    if (app->arguments->operand_count == 0)
        return OK;
    const char *name = app->arguments->operands[0];
    *out = command_find(name);
    return *out ? OK
                : error_set(ERR_INVALID, NULL,
                            "unknown command '%.64s'; `aegis --help` lists them all", name);
}

/* ---- what is installed beside the program ---- */

static void print_completion(FILE *out, const struct command *command)
{
    (void)command;
    help_bash_completion(out);
}

static int write_file(const char *path, void (*print)(FILE *, const struct command *),
                      const struct command *command)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    print(out, command);
    int rc = fclose(out) ? error_set(ERR_NO_MEMORY, NULL, "out of memory")
                         : file_replace(path, text, length, 0644);
    free(text);
    return rc;
}

static int generate(struct app *app, const char *directory)
{
    const char *man = arena_printf(&app->arena, "%s/man1", directory);
    const char *completions = arena_printf(&app->arena, "%s/completions", directory);
    int rc = file_make_directory(man);
    if (!rc)
        rc = file_make_directory(completions);
    if (!rc)
        rc = write_file(arena_printf(&app->arena, "%s/aegis", completions), print_completion, NULL);
    if (!rc)
        rc = write_file(arena_printf(&app->arena, "%s/aegis.1", man), help_man, NULL);
    for (const struct command *const *c = commands; *c && !rc; c++)
        rc = write_file(arena_printf(&app->arena, "%s/aegis-%s.1", man, (*c)->name), help_man, *c);
    return rc;
}

static int run(struct app *app)
{
    const struct command *command;
    const char *directory = arguments_value(app->arguments, "generate", NULL);
    if (directory)
        return generate(app, directory) ? app_fail(app) : STATUS_OK;
    if (find_operand(app, &command))
        return app_fail(app);
    const char *page = arguments_value(app->arguments, "markdown", NULL);
    if (arguments_has(app->arguments, "man"))
        help_man(stdout, command);
    else if (page && !strcmp(page, "cli"))
        help_markdown_cli(stdout);
    else if (page)
        help_markdown_configuration(stdout);
    else if (arguments_has(app->arguments, "completion"))
        help_bash_completion(stdout);
    else if (command)
        help_command(stdout, command, app->terminal.out_color);
    else
        help_overview(stdout, app->terminal.out_color);
    return STATUS_OK;
}

static const struct example examples[] = {
    {"aegis help search", "the same as `aegis search --help`"},
    {"source <(aegis help --completion bash)", "completion for this shell"},
    {0},
};

const struct command command_help = {
    .name = "help",
    .summary = "print help about a command",
    .operands = "[COMMAND]",
    .max_operands = 1,
    .operand_kind = OPERAND_COMMAND,
    .description = "Prints what all commands do, or one of them. The other forms print what is "
                   "made from the same tables: man pages, documentation, shell completion.",
    .options = options,
    .examples = examples,
    .run = run,
};
