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
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *list = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "version", js(doc, AEGIS_VERSION));
    for (size_t i = 0; i < count; i++)
        yyjson_mut_obj_add_val(doc, list, libraries[i].name, js(doc, libraries[i].version));
    yyjson_mut_obj_add_val(doc, o, "libraries", list);
    print_json(&app->terminal, doc, o);
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
