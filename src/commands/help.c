#include "commands/help.h"

#include <string.h>

#include "commands/output.h"
#include "shared/config.h"

enum { HELP_WIDTH = 80, OPTION_COLUMN = 24, COMMAND_COLUMN = 13, STATUS_COLUMN = 4 };

const struct status_help status_helps[] = {
    {STATUS_OK, "everything asked for was done"},
    {STATUS_FAILED, "something went wrong; standard error says what and what to do"},
    {STATUS_USAGE, "a wrong option, operand, setting or input document"},
    {STATUS_NOT_FOUND, "the named medium, job or file does not exist"},
    {STATUS_SOME_FAILED, "some inputs were refused or became dead letters"},
    {STATUS_PAUSED, "the pipeline is paused: wrong key, provider not reached, quota or budget "
                    "used up, disk full"},
    {STATUS_NEWER, "the data directory was written by a newer Aegis; it was left untouched"},
    {STATUS_INTERRUPTED, "interrupted before it was done; what was queued stays queued"},
    {0, NULL},
};

char *help_option_label(const struct option_spec *o, char *out, size_t size)
{
    char letter[8] = "";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, size, "%s--%s%s%s", letter, o->name, o->argument ? " " : "",
             o->argument ? o->argument : "");
    return out;
}

void help_setting_facts(const struct setting *s, char *out, size_t size)
{
    char allowed[160];
    config_allowed(s, allowed, sizeof allowed);
    if (s->type == SETTING_STRING || s->type == SETTING_SECRET)
        snprintf(allowed, sizeof allowed, "%s", s->type == SETTING_SECRET ? "secret" : "text");
    const char *fallback = *s->fallback ? s->fallback : "empty";
    snprintf(out, size, "%s; default %s; %s", allowed, fallback, s->env);
}

/* A label in its column and a text wrapped beside it. */
static void print_row(FILE *out, int column, const char *label, const char *text)
{
    if (fprintf(out, "  %-*s", column, label) - 2 > column)
        fprintf(out, "\n  %*s", column, "");
    int room = HELP_WIDTH - column - 2;
    while (strlen(text) > (size_t)room) {
        int take = room;
        while (take > 0 && text[take] != ' ')
            take--;
        if (take == 0)
            take = (int)strcspn(text, " ");
        fprintf(out, "%.*s\n", take, text);
        text += take;
        text += *text == ' ';
        if (!*text)
            return;
        fprintf(out, "  %*s", column, "");
    }
    fprintf(out, "%s\n", text);
}

static void print_options(FILE *out, const struct option_spec *options)
{
    for (const struct option_spec *o = options; o->name; o++) {
        char label[64], text[256];
        help_option_label(o, label, sizeof label);
        snprintf(text, sizeof text, "%s%s%s%s", o->help, o->choices ? " (" : "",
                 o->choices ? o->choices : "", o->choices ? ")" : "");
        print_row(out, OPTION_COLUMN, label, text);
    }
}

/* Paragraphs wrapped; lines that start with a blank are printed as they stand. */
static void print_description(FILE *out, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[2048];
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        if (*line == ' ')
            fprintf(out, "%s\n", line);
        else if (*line)
            print_wrapped(out, line, 0, HELP_WIDTH);
        else
            fputc('\n', out);
        text += length + (text[length] == '\n');
    }
}

static void print_title(FILE *out, const char *title, bool color)
{
    fprintf(out, "\n%s%s%s\n", style_text(color, STYLE_BOLD), title, style_text(color, STYLE_NONE));
}

static void print_statuses(FILE *out)
{
    for (const struct status_help *s = status_helps; s->meaning; s++) {
        char label[16];
        snprintf(label, sizeof label, "%d", s->status);
        print_row(out, STATUS_COLUMN, label, s->meaning);
    }
}

void help_overview(FILE *out, bool color)
{
    fprintf(out, "Aegis turns recordings and documents into transcripts, summaries and searchable\n"
                 "answers. Without any configuration it works whole on this machine.\n");
    print_title(out, "Usage", color);
    fprintf(out, "  aegis COMMAND [OPTION...] [OPERAND...]\n");
    print_title(out, "Commands", color);
    for (const struct command *const *c = commands; *c; c++)
        print_row(out, COMMAND_COLUMN, (*c)->name, (*c)->summary);
    print_title(out, "Options of every command", color);
    print_options(out, global_options);
    print_title(out, "Exit status", color);
    print_statuses(out);
    print_title(out, "To begin with", color);
    fprintf(out, "  aegis add talk.mp3 notes.pdf       # take them in, wait, see what came out\n"
                 "  aegis search \"what we decided\"     # lands at the right second\n"
                 "  aegis ask \"Who does the follow-up?\"\n"
                 "\n`aegis COMMAND --help` says more.\n");
}

static void print_global_names(FILE *out)
{
    char line[512] = "", label[64];
    for (const struct option_spec *o = global_options; o->name; o++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s", *line ? ", " : "",
                 help_option_label(o, label, sizeof label));
    print_wrapped(out, line, 2, HELP_WIDTH);
}

void help_command(FILE *out, const struct command *c, bool color)
{
    fprintf(out, "aegis %s: %s\n", c->name, c->summary);
    print_title(out, "Usage", color);
    fprintf(out, "  aegis %s [OPTION...]%s%s\n\n", c->name, *c->operands ? " " : "", c->operands);
    print_description(out, c->description);
    if (c->options && c->options->name) {
        print_title(out, "Options", color);
        print_options(out, c->options);
    }
    print_title(out, "Options of every command (see `aegis --help`)", color);
    print_global_names(out);
    if (c->json) {
        print_title(out, "With --json", color);
        print_description(out, c->json);
    }
    if (!c->examples)
        return;
    print_title(out, "Examples", color);
    for (const struct example *e = c->examples; e->command; e++)
        fprintf(out, "  %s\n      %s\n", e->command, e->text);
}
