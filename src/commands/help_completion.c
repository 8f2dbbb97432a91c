/* help_completion.c - bash completion, made from the command table. */
#include <string.h>

#include "commands/help.h"
#include "shared/config.h"

static void words(FILE *out, const char *choices)
{
    for (; *choices; choices++)
        fputc(*choices == '|' ? ' ' : *choices, out);
}

static void option_names(FILE *out, const struct option_spec *options)
{
    for (const struct option_spec *o = options; o && o->name; o++)
        fprintf(out, " --%s", o->name);
}

static bool is_path(const char *argument)
{
    return !strcmp(argument, "FILE") || !strcmp(argument, "PATH");
}

/* "list:--format" and the like: what the value of an option may be. */
static void option_value_cases(FILE *out, const char *command, const struct option_spec *options)
{
    for (const struct option_spec *o = options; o && o->name; o++) {
        if (!o->argument)
            continue;
        fprintf(out, "    %s:--%s) ", command, o->name);
        if (o->choices) {
            fputs("COMPREPLY=($(compgen -W \"", out);
            words(out, o->choices);
            fputs("\" -- \"$cur\"))", out);
        } else if (!strcmp(o->argument, "DIR")) {
            fputs("COMPREPLY=($(compgen -d -- \"$cur\"))", out);
        } else if (is_path(o->argument)) {
            fputs("COMPREPLY=($(compgen -f -- \"$cur\"))", out);
        } else if (!strcmp(o->name, "set")) {
            fputs("COMPREPLY=($(compgen -W \"$settings\" -S = -- \"$cur\")); compopt -o nospace",
                  out);
        } else {
            fputs("COMPREPLY=()", out);
        }
        fputs("; return ;;\n", out);
    }
}

static void operand_case(FILE *out, const struct command *c)
{
    fprintf(out, "    %s) ", c->name);
    switch (c->operand_kind) {
    case OPERAND_FILES:
        fputs("COMPREPLY=($(compgen -f -- \"$cur\"))", out);
        break;
    case OPERAND_DIRECTORY:
        fputs("COMPREPLY=($(compgen -d -- \"$cur\"))", out);
        break;
    case OPERAND_MEDIA:
        fputs("local IFS=$'\\n'; COMPREPLY=($(compgen -W \"$(aegis list --keys --prefix \"$cur\" "
              "--limit 200 2>/dev/null)\" -- \"$cur\"))",
              out);
        break;
    case OPERAND_WORDS:
        fputs("COMPREPLY=($(compgen -W \"", out);
        words(out, c->words);
        fputs("\" -- \"$cur\"))", out);
        break;
    case OPERAND_COMMAND:
        fputs("COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))", out);
        break;
    default:
        fputs("COMPREPLY=()", out);
    }
    fputs(" ;;\n", out);
}

static void options_case(FILE *out, const struct command *c)
{
    fprintf(out, "    %s) options+=\"", c->name);
    option_names(out, c->options);
    fputs("\" ;;\n", out);
}

static void value_arguments(FILE *out)
{
    for (const struct option_spec *o = global_options; o->name; o++)
        if (o->argument)
            fprintf(out, "%s--%s", o == global_options ? "" : "|", o->name);
}

void help_bash_completion(FILE *out)
{
    size_t count;
    const struct setting *settings = config_settings(&count);
    fputs("# bash completion for aegis; made by `aegis help --completion bash`\n"
          "_aegis() {\n"
          "  local cur prev command= i commands options settings\n"
          "  cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "  commands=\"",
          out);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, "%s%s", c == commands ? "" : " ", (*c)->name);
    fputs("\"\n  settings=\"", out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%s", i ? " " : "", settings[i].key);
    fputs("\"\n  options=\"", out);
    option_names(out, global_options);
    fputs("\"\n"
          "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "    case ${COMP_WORDS[i]} in\n"
          "      ",
          out);
    value_arguments(out);
    fputs(") ((i++)) ;;\n"
          "      -*) ;;\n"
          "      *) command=${COMP_WORDS[i]}; break ;;\n"
          "    esac\n"
          "  done\n"
          "  case $command:$prev in\n",
          out);
    option_value_cases(out, "*", global_options);
    for (const struct command *const *c = commands; *c; c++)
        option_value_cases(out, (*c)->name, (*c)->options);
    fputs("  esac\n"
          "  case $command in\n",
          out);
    for (const struct command *const *c = commands; *c; c++)
        options_case(out, *c);
    fputs("  esac\n"
          "  if [[ $cur == -* ]]; then\n"
          "    COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
          "    return\n"
          "  fi\n"
          "  case $command in\n"
          "    '') COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\")) ;;\n",
          out);
    for (const struct command *const *c = commands; *c; c++)
        operand_case(out, *c);
    fputs("  esac\n"
          "}\n"
          "complete -o filenames -F _aegis aegis\n",
          out);
}
