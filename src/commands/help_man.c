/* help_man.c - man pages in the macros of man(7), made from the command and settings tables. */
#include <string.h>

#include "commands/help.h"
#include "shared/config.h"

/* Text as roff: no line starts with a control character, backslashes and hyphens stay themselves.
 */
static void roff(FILE *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool starts = p == text || p[-1] == '\n';
        if (starts && (*p == '.' || *p == '\''))
            fputs("\\&", out);
        if (*p == '\\')
            fputs("\\e", out);
        else if (*p == '-')
            fputs("\\-", out);
        else
            fputc(*p, out);
    }
}

/* Paragraphs; a run of lines that start with a blank is set as it stands. */
static void roff_paragraphs(FILE *out, const char *text)
{
    bool literal = false;
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[2048];
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        if ((*line == ' ') != literal && *line) {
            literal = *line == ' ';
            fputs(literal ? ".PP\n.nf\n" : ".fi\n", out);
        }
        if (*line) {
            roff(out, line);
            fputc('\n', out);
        } else if (!literal) {
            fputs(".PP\n", out);
        }
        text += length + (text[length] == '\n');
    }
    if (literal)
        fputs(".fi\n", out);
}

static void option_row(FILE *out, const struct option_spec *o)
{
    fputs(".TP\n", out);
    if (o->letter)
        fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", out);
    roff(out, o->name);
    fputs("\\fR", out);
    if (o->argument) {
        fputs(" \\fI", out);
        roff(out, o->argument);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    roff(out, o->help);
    if (o->choices) {
        fputs(" (", out);
        roff(out, o->choices);
        fputc(')', out);
    }
    fputc('\n', out);
}

static void option_rows(FILE *out, const struct option_spec *options)
{
    for (const struct option_spec *o = options; o && o->name; o++)
        option_row(out, o);
}

static void statuses(FILE *out)
{
    fputs(".SH EXIT STATUS\n", out);
    for (const struct status_help *s = status_helps; s->meaning; s++) {
        fprintf(out, ".TP\n\\fB%d\\fR\n", s->status);
        roff(out, s->meaning);
        fputc('\n', out);
    }
}

static void settings(FILE *out)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    fputs(".SH SETTINGS\n"
          "Flags win over the environment, the environment over \\fIaegis.conf\\fR, the file over "
          "the defaults.\nIn the file the part before the first dot of a key is the section: "
          "\\fBretry.cap\\fR is \\fBcap\\fR under \\fB[retry]\\fR.\nPrices stand under "
          "\\fB[price]\\fR, one model a line.\n",
          out);
    for (size_t i = 0; i < count; i++) {
        char facts[256];
        help_setting_facts(&table[i], facts, sizeof facts);
        fputs(".TP\n\\fB", out);
        roff(out, table[i].key);
        fputs("\\fR\n", out);
        roff(out, table[i].help);
        fputs("\n.br\n(", out);
        roff(out, facts);
        fputs(")\n", out);
    }
}

static void files(FILE *out)
{
    fputs(".SH FILES\n"
          ".TP\n\\fI~/.local/share/aegis\\fR\nthe data directory, unless \\fB\\-\\-data\\fR, "
          "\\fBAEGIS_DATA\\fR or \\fBXDG_DATA_HOME\\fR say otherwise\n"
          ".TP\n\\fIaegis.conf\\fR\nin the data directory, else in \\fI~/.config/aegis\\fR "
          "(\\fBXDG_CONFIG_HOME\\fR)\n",
          out);
}

static void man_overview(FILE *out)
{
    fputs(".TH AEGIS 1 \"\" \"Aegis " AEGIS_VERSION "\" \"User Commands\"\n"
          ".SH NAME\naegis \\- files in, transcripts, summaries and searchable answers out\n"
          ".SH SYNOPSIS\n.B aegis\n.I COMMAND\n[\\fIOPTION\\fR...] [\\fIOPERAND\\fR...]\n"
          ".SH DESCRIPTION\n"
          "Recordings and documents go in; transcripts, summaries and searchable meaning come "
          "out.\nEverything between is asynchronous: an upload raises an event, the event becomes "
          "a job on a durable queue, workers take jobs and call a model provider, results land in "
          "a database.\nWithout any configuration all of it runs on one machine, in one data "
          "directory, with no account and no key.\n"
          ".SH COMMANDS\n",
          out);
    for (const struct command *const *c = commands; *c; c++) {
        fputs(".TP\n\\fBaegis\\-", out);
        roff(out, (*c)->name);
        fputs("\\fR(1)\n", out);
        roff(out, (*c)->summary);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS\nEvery command takes these.\n", out);
    option_rows(out, global_options);
    settings(out);
    statuses(out);
    files(out);
}

static void man_name(FILE *out, const struct command *c)
{
    fputs(".TH AEGIS\\-", out);
    for (const char *p = c->name; *p; p++)
        fputc(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p, out);
    fputs(" 1 \"\" \"Aegis " AEGIS_VERSION "\" \"User Commands\"\n.SH NAME\naegis\\-", out);
    roff(out, c->name);
    fputs(" \\- ", out);
    roff(out, c->summary);
    fprintf(out, "\n.SH SYNOPSIS\n.B aegis %s\n[\\fIOPTION\\fR...]", c->name);
    fputs(*c->operands ? " \\fI" : "", out);
    roff(out, c->operands);
    fputs(*c->operands ? "\\fR\n" : "\n", out);
}

static void man_command(FILE *out, const struct command *c)
{
    man_name(out, c);
    fputs(".SH DESCRIPTION\n", out);
    roff_paragraphs(out, c->description);
    fputs(".SH OPTIONS\n", out);
    option_rows(out, c->options);
    option_rows(out, global_options);
    if (c->json) {
        fputs(".SH JSON\n", out);
        roff_paragraphs(out, c->json);
    }
    statuses(out);
    if (c->examples)
        fputs(".SH EXAMPLES\n", out);
    for (const struct example *e = c->examples; e && e->command; e++) {
        fputs(".TP\n\\fB", out);
        roff(out, e->command);
        fputs("\\fR\n", out);
        roff(out, e->text);
        fputc('\n', out);
    }
    fputs(".SH SEE ALSO\n\\fBaegis\\fR(1)\n", out);
}

void help_man(FILE *out, const struct command *command)
{
    if (command)
        man_command(out, command);
    else
        man_overview(out);
}
