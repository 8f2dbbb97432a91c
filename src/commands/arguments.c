#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/cli.h"
#include "shared/error.h"
#include "shared/nearest.h"

const struct option_spec global_options[] = {
    {.name = "data", .argument = "DIR", .help = "data directory (also AEGIS_DATA)"},
    {.name = "config",
     .argument = "FILE",
     .help = "configuration file instead of aegis.conf (also AEGIS_CONFIG)"},
    {.name = "set", .argument = "KEY=VALUE", .help = "set one setting; may be repeated"},
    {.name = "json", .help = "print JSON instead of text for people"},
    {.name = "color",
     .argument = "WHEN",
     .choices = "auto|always|never",
     .help = "colours: auto is on a terminal unless NO_COLOR is set"},
    {.name = "log-level",
     .argument = "LEVEL",
     .choices = "debug|info|warn|error",
     .help = "least level logged to standard error",
     .setting = "log.level"},
    {.name = "log-format",
     .argument = "FORMAT",
     .choices = "auto|text|json",
     .help = "how log lines look; auto is JSON when not on a terminal",
     .setting = "log.format"},
    {.name = "help", .letter = 'h', .help = "print help and exit"},
    {.name = "version", .letter = 'V', .help = "print the version and exit"},
    {0},
};

const struct command *command_find(const char *name)
{
    for (const struct command *const *c = commands; *c; c++)
        if (!strcmp((*c)->name, name))
            return *c;
    return NULL;
}

/* ---- the parser ---- */

struct parser {
    int argc;
    char **argv;
    int at;
    struct arguments *out;
};

/* `what` is one option: "see `aegis list --help`" */
static const char *see(const struct arguments *a, char *out, size_t size)
{
    if (a->command)
        snprintf(out, size, "see `aegis %s --help`", a->command->name);
    else
        snprintf(out, size, "see `aegis --help`");
    return out;
}

static const struct option_spec *find_in(const struct option_spec *options, const char *name,
                                         size_t length)
{
    for (const struct option_spec *o = options; o && o->name; o++)
        if (strlen(o->name) == length && !memcmp(o->name, name, length))
            return o;
    return NULL;
}

static const struct option_spec *find_letter(const struct option_spec *options, char letter)
{
    for (const struct option_spec *o = options; o && o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

static const struct option_spec *own_options(const struct arguments *a)
{
    return a->command ? a->command->options : NULL;
}

static void offer_all(struct nearest *n, const struct option_spec *options)
{
    for (const struct option_spec *o = options; o && o->name; o++)
        nearest_offer(n, o->name);
}

static int unknown_option(const struct arguments *a, const char *name)
{
    char hint[96];
    struct nearest n = {.typed = name};
    offer_all(&n, own_options(a));
    offer_all(&n, global_options);
    if (n.best)
        return error_set(ERR_INVALID, NULL, "unknown option '--%.64s'; did you mean '--%s'?", name,
                         n.best);
    if (!a->command)
        return error_set(ERR_INVALID, NULL,
                         "unknown option '--%.64s' before the command's name; %s", name,
                         see(a, hint, sizeof hint));
    return error_set(ERR_INVALID, NULL, "`aegis %s` has no option '--%.64s'; %s", a->command->name,
                     name, see(a, hint, sizeof hint));
}

static int unknown_command(const char *name)
{
    struct nearest n = {.typed = name};
    for (const struct command *const *c = commands; *c; c++)
        nearest_offer(&n, (*c)->name);
    if (n.best)
        return error_set(ERR_INVALID, NULL, "unknown command '%.64s'; did you mean '%s'?", name,
                         n.best);
    return error_set(ERR_INVALID, NULL, "unknown command '%.64s'; `aegis --help` lists them all",
                     name);
}

/* "txt|srt|vtt" as "txt, srt or vtt" */
static void list_choices(const char *choices, char *out, size_t size)
{
    size_t used = 0;
    const char *last = strrchr(choices, '|');
    for (const char *p = choices; *p && used + 5 < size; p++) {
        const char *piece = p == last ? " or " : ", ";
        if (*p == '|')
            used += (size_t)snprintf(out + used, size - used, "%s", piece);
        else
            out[used++] = *p;
    }
    out[used < size ? used : size - 1] = '\0';
}

static bool allowed(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *p = choices; *p; p += *p == '|') {
        size_t step = strcspn(p, "|");
        if (step == length && !memcmp(p, value, length))
            return true;
        p += step;
    }
    return false;
}

static int check_choice(const char *what, const char *choices, const char *value)
{
    if (!choices || allowed(choices, value))
        return OK;
    char list[200];
    list_choices(choices, list, sizeof list);
    return error_set(ERR_INVALID, NULL, "%s must be %s, not '%.64s'", what, list, value);
}

static int give(struct parser *p, const struct option_spec *option, const char *value)
{
    char name[48];
    snprintf(name, sizeof name, "'--%s'", option->name);
    if (value) {
        int rc = check_choice(name, option->choices, value);
        if (rc)
            return rc;
    }
    p->out->given[p->out->given_count++] = (struct given_option){option, value};
    return OK;
}

/* The next word as the option's value. */
static int give_next(struct parser *p, const struct option_spec *option)
{
    if (p->at + 1 >= p->argc)
        return error_set(ERR_INVALID, NULL, "option '--%s' needs a value: --%s %s", option->name,
                         option->name, option->argument);
    return give(p, option, p->argv[++p->at]);
}

static int long_option(struct parser *p, const char *word)
{
    size_t length = strcspn(word, "=");
    const struct option_spec *option = find_in(own_options(p->out), word, length);
    if (!option)
        option = find_in(global_options, word, length);
    if (!option) {
        char name[65];
        snprintf(name, sizeof name, "%.*s", (int)(length < 64 ? length : 64), word);
        return unknown_option(p->out, name);
    }
    if (!option->argument && word[length] == '=')
        return error_set(ERR_INVALID, NULL, "option '--%s' takes no value", option->name);
    if (!option->argument)
        return give(p, option, NULL);
    return word[length] == '=' ? give(p, option, word + length + 1) : give_next(p, option);
}

/* "-h", "-n5", "-n 5", "-ab" */
static int short_options(struct parser *p, const char *word)
{
    for (; *word; word++) {
        const struct option_spec *option = find_letter(own_options(p->out), *word);
        if (!option)
            option = find_letter(global_options, *word);
        if (!option) {
            char hint[96];
            return error_set(ERR_INVALID, NULL, "unknown option '-%c'; %s", *word,
                             see(p->out, hint, sizeof hint));
        }
        if (option->argument)
            return word[1] ? give(p, option, word + 1) : give_next(p, option);
        int rc = give(p, option, NULL);
        if (rc)
            return rc;
    }
    return OK;
}

static int operand(struct parser *p, const char *word)
{
    if (p->out->command) {
        p->out->operands[p->out->operand_count++] = word;
        return OK;
    }
    p->out->command = command_find(word);
    return p->out->command ? OK : unknown_command(word);
}

static int count_operands(const struct arguments *a)
{
    char hint[96];
    const struct command *c = a->command;
    if (a->operand_count < (size_t)c->min_operands)
        return error_set(ERR_INVALID, NULL, "`aegis %s` needs %s; %s", c->name, c->operands,
                         see(a, hint, sizeof hint));
    if (c->max_operands >= 0 && a->operand_count > (size_t)c->max_operands)
        return error_set(ERR_INVALID, NULL, "`aegis %s` does not take '%.64s'; %s", c->name,
                         a->operands[c->max_operands], see(a, hint, sizeof hint));
    if (c->operand_kind != OPERAND_WORDS || a->operand_count == 0)
        return OK;
    struct nearest n = {.typed = a->operands[0]};
    char words[200], name[96];
    snprintf(words, sizeof words, "%s", c->words);
    if (allowed(words, a->operands[0]))
        return OK;
    for (char *save = NULL, *w = strtok_r(words, "|", &save); w; w = strtok_r(NULL, "|", &save))
        nearest_offer(&n, w);
    if (n.best)
        return error_set(ERR_INVALID, NULL, "unknown `aegis %s %.64s`; did you mean '%s'?", c->name,
                         a->operands[0], n.best);
    snprintf(name, sizeof name, "what follows `aegis %s`", c->name);
    return check_choice(name, c->words, a->operands[0]);
}

int arguments_parse(int argc, char **argv, struct arguments *out)
{
    *out = (struct arguments){0};
    /* A word holds at most as many options as it has letters. */
    size_t words = (size_t)argc, letters = 1;
    for (int i = 1; i < argc; i++)
        letters += strlen(argv[i]) + 1;
    out->given = calloc(letters, sizeof out->given[0]);
    out->operands = calloc(words + 1, sizeof out->operands[0]);
    if (!out->given || !out->operands)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    struct parser p = {.argc = argc, .argv = argv, .at = 1, .out = out};
    bool only_operands = false;
    for (; p.at < argc; p.at++) {
        const char *word = argv[p.at];
        int rc;
        if (only_operands || word[0] != '-' || word[1] == '\0')
            rc = operand(&p, word);
        else if (!strcmp(word, "--"))
            rc = (only_operands = true, OK);
        else if (word[1] == '-')
            rc = long_option(&p, word + 2);
        else
            rc = short_options(&p, word + 1);
        if (rc)
            return rc;
    }
    if (!out->command || arguments_has(out, "help") || arguments_has(out, "version"))
        return OK;
    return count_operands(out);
}

void arguments_free(struct arguments *a)
{
    free(a->given);
    free(a->operands);
    *a = (struct arguments){0};
}

/* ---- reading them ---- */

static const struct given_option *last_given(const struct arguments *a, const char *option)
{
    for (size_t i = a->given_count; i-- > 0;)
        if (!strcmp(a->given[i].option->name, option))
            return &a->given[i];
    return NULL;
}

const char *arguments_value(const struct arguments *a, const char *option, const char *fallback)
{
    const struct given_option *given = last_given(a, option);
    return given ? given->value : fallback;
}

bool arguments_has(const struct arguments *a, const char *option)
{
    return last_given(a, option) != NULL;
}

int arguments_int(const struct arguments *a, const char *option, int64_t fallback, int64_t min,
                  int64_t max, int64_t *out)
{
    const char *text = arguments_value(a, option, NULL);
    *out = fallback;
    if (!text)
        return OK;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        return error_set(ERR_INVALID, NULL,
                         "'--%s' must be a whole number from %" PRId64 " to %" PRId64
                         ", not '%.64s'",
                         option, min, max, text);
    *out = value;
    return OK;
}

char *arguments_join(const struct arguments *a, size_t first)
{
    size_t length = 1;
    for (size_t i = first; i < a->operand_count; i++)
        length += strlen(a->operands[i]) + 1;
    char *out = calloc(1, length);
    if (!out) {
        error_set(ERR_NO_MEMORY, NULL, "out of memory");
        return NULL;
    }
    size_t used = 0;
    for (size_t i = first; i < a->operand_count; i++)
        used += (size_t)snprintf(out + used, length - used, "%s%s", i > first ? " " : "",
                                 a->operands[i]);
    return out;
}
