#include <string.h>

#include "commands/app.h"
#include "commands/commands.h"
#include "commands/libraries.h"

static int run(struct app *app)
{
    struct library libraries[LIBRARIES_CAP];
    size_t count = libraries_list(libraries);
    if (!app->json) {
        printf("aegis %s\n", AEGIS_VERSION);
        for (size_t i = 0; i < count; i++)
            printf("  %-14s %s\n", libraries[i].name, libraries[i].version);
        return STATUS_OK;
    }
    json_t *o = json_object(), *list = json_object();
    json_object_set_new(o, "version", js(AEGIS_VERSION));
    for (size_t i = 0; i < count; i++)
        json_object_set_new(list, libraries[i].name, js(libraries[i].version));
    json_object_set_new(o, "libraries", list);
    print_json(&app->terminal, o);
    return STATUS_OK;
}

const struct command command_version = {
    .name = "version",
    .summary = "print the version, and those of the libraries in use",
    .operands = "",
    .description = "Prints the version of Aegis and of the libraries it runs with.",
    .json = "  {\"version\": \"0.1.0\", \"libraries\": {\"libcurl\": \"7.88.1\"}}",
    .run = run,
};
