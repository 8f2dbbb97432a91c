/*
 * cli.h - the command line: what a command is, and how argv becomes arguments.
 *
 * Every command is a row of `commands` (commands.c) that names its options once; the parser,
 * --help, the man pages, docs/cli.md and the bash completion all read that table.
 */
#ifndef AEGIS_COMMANDS_CLI_H
#define AEGIS_COMMANDS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app;

/* What `aegis` exits with (docs/cli.md). */
enum exit_status {
    STATUS_OK = 0,
    STATUS_FAILED = 1,        /* something went wrong; standard error says what */
    STATUS_USAGE = 2,         /* wrong option, operand, setting or input document */
    STATUS_NOT_FOUND = 3,     /* the named medium, job or file does not exist */
    STATUS_SOME_FAILED = 4,   /* some inputs were refused or became dead letters */
    STATUS_PAUSED = 5,        /* the pipeline is paused (wrong key, quota, budget, disk full) */
    STATUS_NEWER = 6,         /* the data directory was written by a newer Aegis */
    STATUS_INTERRUPTED = 130, /* by Ctrl-C or SIGTERM before it was done */
};

struct option_spec {
    const char *name;     /* long name without dashes; NULL ends a list */
    char letter;          /* short name, 0 for none */
    const char *argument; /* placeholder such as "FILE"; NULL: takes no value */
    const char *choices;  /* "txt|srt": what it may be, checked by the parser; NULL: anything */
    const char *help;     /* one line */
    const char *setting;  /* key it is a short form for ("workers"), NULL otherwise */
};

enum operand_kind {
    OPERAND_NONE,
    OPERAND_TEXT,
    OPERAND_FILES,
    OPERAND_DIRECTORY,
    OPERAND_MEDIA,   /* key or id of a medium */
    OPERAND_WORDS,   /* the first is one of `words` */
    OPERAND_COMMAND, /* a command's name */
};

struct example {
    const char *command, *text; /* a list ends with a NULL command */
};

struct command {
    const char *name;
    const char *summary;            /* one line, no full stop */
    const char *operands;           /* as in the usage line: "PATH..."; "" for none */
    int min_operands, max_operands; /* max -1: any number */
    enum operand_kind operand_kind;
    const char *words;       /* "list|show|redrive|drop" */
    const char *description; /* paragraphs, separated by empty lines */
    const struct option_spec *options;
    const struct example *examples;
    const char *json; /* what --json prints, NULL if it changes nothing */
    bool service; /* runs until stopped, and logs as log.level says; others only what is wrong */
    bool works;   /* may work on jobs itself, and look after the database in the background */
    bool lambda;  /* on AWS Lambda: data in /tmp, no background, what keeps it from starting told */
    int (*run)(struct app *app); /* an exit_status */
};

/* Both end with NULL entries. */
extern const struct command *const commands[];
extern const struct option_spec global_options[];

const struct command *command_find(const char *name);

struct given_option {
    const struct option_spec *option;
    const char *value; /* NULL where it takes none */
};

/* What stood on the command line. Values point into argv. */
struct arguments {
    const struct command *command; /* NULL: none was named */
    struct given_option *given;
    size_t given_count;
    const char **operands;
    size_t operand_count;
};

/* Options may stand anywhere; "--" ends them; "-" is an operand. On ERR_INVALID the text says what
 * is wrong and what was probably meant; out->command is set if it was recognised. Operands are
 * counted only if neither --help nor --version was given. Free in any case. */
int arguments_parse(int argc, char **argv, struct arguments *out);
void arguments_free(struct arguments *arguments);

/* The last value given, else `fallback`. The option must be one of the command's or a global one.
 */
const char *arguments_value(const struct arguments *a, const char *option, const char *fallback);
bool arguments_has(const struct arguments *a, const char *option);

/* A whole number from `min` to `max`; *out is `fallback` if not given. ERR_INVALID. */
int arguments_int(const struct arguments *a, const char *option, int64_t fallback, int64_t min,
                  int64_t max, int64_t *out);

/* All operands from `first` on, joined by blanks. malloc'd; NULL with ERR_NO_MEMORY set. */
char *arguments_join(const struct arguments *a, size_t first);

/* The program. Returns the exit status. */
int cli_main(int argc, char **argv);

#endif
