#include "commands/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/app.h"
#include "commands/app_lambda.h"
#include "commands/commands.h"
#include "commands/help.h"
#include "shared/error.h"

static bool wants_color(const struct arguments *arguments)
{
    struct terminal t = {0};
    terminal_look(&t, arguments_value(arguments, "color", "auto"));
    return t.out_color;
}

/* What was printed must have arrived: a full disk is an error, a reader that went away is not worth
 * a word. */
static int check_output(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno != EPIPE)
        fprintf(stderr, "aegis: cannot write all of the output%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
    return status ? status : STATUS_FAILED;
}

static int run_command(const struct arguments *arguments)
{
    struct app app;
    int status = app_init(&app, arguments);
    if (status)
        status = arguments->command->lambda ? app_lambda_cannot_start(&app) : app_fail(&app);
    else
        status = arguments->command->run(&app);
    app_close(&app);
    return status;
}

static int dispatch(const struct arguments *arguments)
{
    if (arguments_has(arguments, "version")) {
        printf("aegis %s\n", AEGIS_VERSION);
        return STATUS_OK;
    }
    if (arguments_has(arguments, "help")) {
        if (arguments->command)
            help_command(stdout, arguments->command, wants_color(arguments));
        else
            help_overview(stdout, wants_color(arguments));
        return STATUS_OK;
    }
    if (arguments->command)
        return run_command(arguments);
    help_overview(stderr, false);
    return STATUS_USAGE;
}

/* AWS Lambda starts the file "bootstrap" of a function's package. */
static bool started_by_lambda(const char *program)
{
    const char *slash = strrchr(program, '/');
    return getenv("AWS_LAMBDA_RUNTIME_API") || !strcmp(slash ? slash + 1 : program, "bootstrap");
}

static void choose_command(const char *program, struct arguments *a)
{
    if (!a->command && !arguments_has(a, "help") && !arguments_has(a, "version") &&
        started_by_lambda(program))
        a->command = &command_lambda;
}

int cli_main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    struct arguments arguments;
    int status = arguments_parse(argc, argv, &arguments);
    choose_command(argc > 0 ? argv[0] : "", &arguments);
    if (status)
        status = app_fail(NULL);
    else
        status = dispatch(&arguments);
    arguments_free(&arguments);
    return check_output(status);
}
