#include "database/search.h"

#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/hits.h"
#include "commands/select.h"
#include "shared/error.h"

static const struct option_spec options[] = {
    {.name = "limit", .letter = 'n', .argument = "N", .help = "at most so many hits (10)"},
    {.name = "per-media", .argument = "N", .help = "at most so many hits of one medium"},
    {.name = "arm",
     .argument = "ARM",
     .choices = "both|words|meaning",
     .help = "search by words, by meaning, or fuse both"},
    FILTER_OPTIONS,
    {0},
};

static unsigned arms(const struct app *app)
{
    const char *arm = arguments_value(app->arguments, "arm", "both");
    if (!strcmp(arm, "words"))
        return SEARCH_LEXICAL;
    return !strcmp(arm, "meaning") ? SEARCH_VECTOR : SEARCH_LEXICAL | SEARCH_VECTOR;
}

static void print_as_json(struct app *app, const char *query, const struct search_answer *answer)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *hits = yyjson_mut_arr(doc);
    for (size_t i = 0; i < answer->count; i++)
        yyjson_mut_arr_append(hits, hit_json(doc, &answer->hits[i], i + 1));
    yyjson_mut_obj_add_val(doc, o, "query", js(doc, query));
    yyjson_mut_obj_add_val(doc, o, "hits", hits);
    yyjson_mut_obj_add_val(doc, o, "warnings", hit_warnings_json(doc, answer));
    print_json(&app->terminal, doc, o);
}

static void print_text(struct app *app, const struct search_answer *answer)
{
    hit_warnings_print(app, answer);
    if (answer->count == 0)
        printf("Nothing was found.\n");
    for (size_t i = 0; i < answer->count; i++) {
        if (i > 0)
            putchar('\n');
        hit_print(app, &answer->hits[i], i + 1);
    }
}

static int run(struct app *app)
{
    struct search_request request;
    struct search_answer answer;
    char *query = arguments_join(app->arguments, 0);
    int rc = query ? hits_request(app, query, SEARCH_DEFAULT_LIMIT, &request) : ERR_NO_MEMORY;
    if (!rc) {
        request.arms = arms(app);
        rc = hits_find(app, &request, &answer);
    }
    int status = STATUS_OK;
    if (rc)
        status = app_fail(app);
    else if (app->json)
        print_as_json(app, query, &answer);
    else
        print_text(app, &answer);
    free(query);
    return status;
}

static const struct example examples[] = {
    {"aegis search \"valve pressure\"", "passages that say it, or mean it"},
    {"aegis search '\"exact phrase\"' --kind audio", "the words as they stand, in recordings"},
    {"aegis search budget --json | jq -r '.hits[] | \"\\(.key) \\(.start_ms)\"'",
     "where to start playing"},
    {0},
};

const struct command command_search = {
    .name = "search",
    .summary = "search everything, by words and by meaning",
    .operands = "QUERY...",
    .min_operands = 1,
    .max_operands = -1,
    .operand_kind = OPERAND_TEXT,
    .description =
        "Finds passages by their words (stemmed; \"quoted phrases\" must occur) and by their "
        "meaning (embeddings), and fuses both lists. A hit in a recording says where it is: `at "
        "3:07`. A passage of a transcript that is only a draft, or incomplete, is labelled so.\n\n"
        "If one way of searching failed or saw only part, the answer says so.",
    .options = options,
    .examples = examples,
    .json = "  {\"query\": \"...\", \"warnings\": [{\"reason\": \"...\", \"message\": \"...\"}],\n"
            "   \"hits\": [HIT, ...]}\n\nwhere HIT is\n\n" HIT_JSON_HELP,
    .run = run,
};
