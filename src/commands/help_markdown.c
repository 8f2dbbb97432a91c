/* help_markdown.c - docs/cli.md and docs/configuration.md, made from the same tables. */
#include <ctype.h>
#include <string.h>

#include "commands/help.h"
#include "shared/config.h"

/* A table cell: a bar would end it. */
static void cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void option_table(FILE *out, const struct option_spec *options)
{
    fputs("| option | what it does |\n|---|---|\n", out);
    for (const struct option_spec *o = options; o->name; o++) {
        char label[64];
        fprintf(out, "| `%s` | ", help_option_label(o, label, sizeof label));
        cell(out, o->help);
        if (o->choices) {
            fputs(" (", out);
            cell(out, o->choices);
            fputc(')', out);
        }
        fputs(" |\n", out);
    }
    fputc('\n', out);
}

/* Paragraphs; a run of lines that start with a blank becomes a code block. */
static void paragraphs(FILE *out, const char *text, const char *language)
{
    bool literal = false;
    while (*text) {
        size_t length = strcspn(text, "\n");
        if ((*text == ' ') != literal) {
            literal = *text == ' ';
            fprintf(out, "```%s\n", literal ? language : "");
        }
        fprintf(out, "%.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
    fputs(literal ? "```\n\n" : "\n", out);
}

static void command_section(FILE *out, const struct command *c)
{
    fprintf(out, "## aegis %s\n\n%c%s.\n\n", c->name, toupper((unsigned char)c->summary[0]),
            c->summary + 1);
    fprintf(out, "    aegis %s [OPTION...]%s%s\n\n", c->name, *c->operands ? " " : "", c->operands);
    paragraphs(out, c->description, "");
    if (c->options && c->options->name)
        option_table(out, c->options);
    if (c->json) {
        fputs("With `--json`:\n\n", out);
        paragraphs(out, c->json, "json");
    }
    if (!c->examples)
        return;
    fputs("```sh\n", out);
    for (const struct example *e = c->examples; e->command; e++)
        fprintf(out, "# %s\n%s\n", e->text, e->command);
    fputs("```\n\n", out);
}

void help_markdown_cli(FILE *out)
{
    fputs("# The command line\n\n"
          "<!-- Made by `aegis help --markdown cli`; a test compares it with the program. -->\n\n"
          "`aegis COMMAND [OPTION...] [OPERAND...]`. Options may stand anywhere; `--` ends them.\n"
          "Every command also has a man page (`man aegis-search`) and completes in bash.\n\n"
          "## Exit status\n\n| status | meaning |\n|---|---|\n",
          out);
    for (const struct status_help *s = status_helps; s->meaning; s++)
        fprintf(out, "| %d | %s |\n", s->status, s->meaning);
    fputs("\n## Options of every command\n\n", out);
    option_table(out, global_options);
    fputs("Data goes to standard output, everything else to standard error, in one line that\n"
          "starts with `aegis:`. In JSON, times are RFC 3339 in UTC, positions and durations are\n"
          "milliseconds, costs are US dollars (`null`: the price is not known), and members that\n"
          "have no value are `null`. Members may be added in later versions; none is renamed or\n"
          "removed within one.\n\n",
          out);
    for (const struct command *const *c = commands; *c; c++)
        command_section(out, *c);
}

static void setting_row(FILE *out, const struct setting *s)
{
    char allowed[200];
    config_allowed(s, allowed, sizeof allowed);
    bool text = s->type == SETTING_STRING || s->type == SETTING_SECRET;
    fprintf(out, "| `%s` | ", s->key);
    cell(out, s->help);
    fputs(" | ", out);
    cell(out, s->type == SETTING_SECRET ? "secret text" : text ? "text" : allowed);
    fprintf(out, " | %s%s%s | `%s` |\n", *s->fallback ? "`" : "", s->fallback,
            *s->fallback ? "`" : "", s->env);
}

void help_markdown_configuration(FILE *out)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    fputs(
        "# Configuration\n\n"
        "<!-- Made by `aegis help --markdown configuration`; a test compares it with the program. "
        "-->\n\n"
        "Aegis needs none. What is set is taken from, in this order:\n\n"
        "1. flags: `--set KEY=VALUE` of any command, and short forms such as `--workers 8`;\n"
        "2. environment variables (an empty one counts as not set);\n"
        "3. `aegis.conf`: the file given with `--config` or `AEGIS_CONFIG`, else the one in the\n"
        "   data directory, else `$XDG_CONFIG_HOME/aegis/aegis.conf` (`~/.config/aegis/`);\n"
        "4. the defaults below.\n\n"
        "With `secrets` set to secrets_manager, the key for OpenAI and the database's URL come "
        "from\n"
        "AWS Secrets Manager if they are in none of them (docs/security.md); else an API key that "
        "is\n"
        "in none of them is looked for in `secrets` in the data directory:\n"
        "a file with lines such as `openai_api_key = sk-...` (the setting's key with `_` for "
        "`.`),\n"
        "or a folder with a file of that name that holds the key. It must have mode 0600 or be in\n"
        "a folder that only its owner can enter, as the data directory is.\n\n"
        "Settings are read once, when a command starts; keys are the exception. A key that the\n"
        "server refuses pauses the pipeline, burns no attempt, and is read anew from `aegis.conf`\n"
        "and `secrets` before every further try: write the right one there, and a running service\n"
        "goes on by itself within a minute. A key from a flag or the environment needs a "
        "restart.\n\n"
        "`aegis config` prints every setting with its value and where it came from, secrets\n"
        "masked. `aegis config check` reads everything and says what is wrong. An unknown key\n"
        "or a value that is not allowed is an error that names file, line and key.\n\n"
        "The data directory is `--data DIR`, else `AEGIS_DATA`, else `$XDG_DATA_HOME/aegis`\n"
        "(`~/.local/share/aegis`).\n\n"
        "## The file\n\n"
        "```ini\n"
        "; keys without a dot come first\n"
        "workers = 32\n"
        "budget  = 25          ; US dollars in all\n\n"
        "[openai]              ; openai.base_url, openai.summarise_model, ...\n"
        "base_url        = http://localhost:11434/v1\n"
        "summarise_model = llama3.2:3b\n\n"
        "[retry]\n"
        "cap = 10m\n\n"
        "[price]               ; US dollars per million tokens: input, cached input, output\n"
        "llama3.2:3b     = 0 0 0\n"
        "gpt-5.4-mini    = 0.25 0.025 2.00\n"
        "gpt-transcribe  = 0.006/min\n"
        "```\n\n"
        "Durations are written `500ms`, `30s`, `5m`, `2h`, `1h30m`; sizes `1400`, `64KiB`,\n"
        "`2MiB`, `5MB`. A comment starts with `;` or `#` at the start of a line, or with ` ;`\n"
        "after a value. Keep a file that holds a key readable by its owner only.\n\n"
        "## Settings\n\n"
        "| key | what it is | values | default | environment |\n|---|---|---|---|---|\n",
        out);
    for (size_t i = 0; i < count; i++)
        setting_row(out, &table[i]);
}
