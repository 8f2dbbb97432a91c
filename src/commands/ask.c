#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/hits.h"
#include "commands/select.h"
#include "commands/views.h"
#include "shared/error.h"

enum { DEFAULT_PASSAGES = 8 };

static const struct option_spec options[] = {
    {.name = "limit", .letter = 'n', .argument = "N", .help = "passages to answer from (8)"},
    {.name = "per-media", .argument = "N", .help = "at most so many passages of one medium"},
    FILTER_OPTIONS,
    {0},
};

struct asked {
    const char *question;
    struct search_answer found;
    struct answer_result answer;
    struct model_identity model;
    struct model_calls calls;
};

static int answer(struct app *app, struct asked *q)
{
    const struct model_provider *p = &app->providers.by_operation[MODEL_ANSWER];
    struct answer_passage *passages = arena_array(&app->arena, q->found.count, sizeof passages[0]);
    if (!passages)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < q->found.count; i++)
        passages[i] =
            (struct answer_passage){.text = q->found.hits[i].passage.text,
                                    .source = hit_source(&app->arena, &q->found.hits[i].passage)};
    struct answer_request request = {
        .question = q->question, .passages = passages, .count = q->found.count};
    q->calls.arena = &app->arena;
    int rc = p->ops->identify(p->ctx, MODEL_ANSWER, &q->model);
    if (rc)
        return rc;
    rc = p->ops->answer(p->ctx, &request, app_stop(), &app->arena, &q->calls, &q->answer);
    struct error e = *error_last();
    hits_record(app, &q->calls);
    return rc ? error_restore(&e) : OK;
}

static bool cited(const char *text, size_t number)
{
    char mark[16];
    snprintf(mark, sizeof mark, "[%zu]", number);
    return strstr(text, mark) != NULL;
}

static int64_t cost(const struct model_calls *calls, bool *known)
{
    int64_t sum = 0;
    for (size_t i = 0; i < calls->count; i++)
        if (calls->items[i].cost_nanousd < 0)
            *known = false;
        else
            sum += calls->items[i].cost_nanousd;
    return sum;
}

static void print_as_json(struct app *app, const struct asked *q)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *sources = yyjson_mut_arr(doc);
    bool known = true, answered = q->found.count > 0;
    int64_t nanousd = cost(&q->found.calls, &known) + cost(&q->calls, &known);
    for (size_t i = 0; i < q->found.count; i++) {
        yyjson_mut_val *hit = hit_json(doc, &q->found.hits[i], i + 1);
        yyjson_mut_obj_add_val(doc, hit, "cited",
                               yyjson_mut_bool(doc, cited(q->answer.text, i + 1)));
        yyjson_mut_arr_append(sources, hit);
    }
    yyjson_mut_obj_add_val(doc, o, "question", js(doc, q->question));
    yyjson_mut_obj_add_val(doc, o, "answer",
                           answered ? js(doc, q->answer.text) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "quoted", yyjson_mut_bool(doc, q->answer.quoted));
    yyjson_mut_obj_add_val(doc, o, "provider",
                           answered ? js(doc, q->model.provider) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "model",
                           answered ? js(doc, q->model.model) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "cost_usd", js_cost(doc, nanousd, known));
    yyjson_mut_obj_add_val(doc, o, "sources", sources);
    yyjson_mut_obj_add_val(doc, o, "warnings", hit_warnings_json(doc, &q->found));
    print_json(&app->terminal, doc, o);
}

static void print_answer(struct app *app, const char *text)
{
    char *copy = arena_strdup(&app->arena, text_clean_lines(&app->arena, text)), *save = copy;
    for (char *line; copy && (line = strsep(&save, "\n"));)
        if (*line)
            print_wrapped(stdout, line, 0, app->terminal.width);
        else
            putchar('\n');
}

static void print_text(struct app *app, const struct asked *q)
{
    bool color = app->terminal.out_color;
    hit_warnings_print(app, &q->found);
    if (q->found.count == 0) {
        printf("Nothing was found to answer from.\n");
        return;
    }
    if (q->answer.quoted)
        printf("%sNo model wrote this: these are the best passages, quoted. Set OPENAI_API_KEY for "
               "an answer.%s\n\n",
               style_text(color, STYLE_DIM), style_text(color, STYLE_NONE));
    print_answer(app, q->answer.text);
    printf("\n%sSources%s\n", style_text(color, STYLE_BOLD), style_text(color, STYLE_NONE));
    for (size_t i = 0; i < q->found.count; i++) {
        const struct passage *p = &q->found.hits[i].passage;
        const char *label = label_text(p->draft, p->incomplete);
        if (cited(q->answer.text, i + 1))
            printf("  [%zu] %s%s%s%s\n", i + 1, hit_source(&app->arena, p), *label ? "  [" : "",
                   label, *label ? "]" : "");
    }
}

static int ask(struct app *app, struct asked *q)
{
    struct search_request request;
    int rc = hits_request(app, q->question, DEFAULT_PASSAGES, &request);
    if (!rc)
        rc = hits_find(app, &request, &q->found);
    if (!rc && q->found.count > 0)
        rc = answer(app, q);
    return rc;
}

static int run(struct app *app)
{
    char *question = arguments_join(app->arguments, 0);
    struct asked q = {.question = question, .answer = {.text = ""}};
    int status = STATUS_OK;
    if (!question || ask(app, &q))
        status = app_fail(app);
    else if (app->json)
        print_as_json(app, &q);
    else
        print_text(app, &q);
    free(question);
    return status;
}

static const struct example examples[] = {
    {"aegis ask \"Who does the follow-up, and until when?\"", "answered with citations"},
    {"aegis ask \"What did we decide?\" --prefix board/", "from some media only"},
    {0},
};

const struct command command_ask = {
    .name = "ask",
    .summary = "answer a question from what was found, with citations",
    .operands = "QUESTION...",
    .min_operands = 1,
    .max_operands = -1,
    .operand_kind = OPERAND_TEXT,
    .description =
        "Searches, lets the model answer from the passages found, and names the sources it cites. "
        "Without a model the best passages are quoted instead, and it says so.",
    .options = options,
    .examples = examples,
    .json = "  {\"question\": \"...\", \"answer\": \"... [1] ...\", \"quoted\": false,\n"
            "   \"provider\": \"openai\", \"model\": \"...\", \"cost_usd\": 0.0003,\n"
            "   \"sources\": [HIT, ...], \"warnings\": []}\n\n"
            "where HIT is as in `aegis search --json`, with `cited`: whether the answer names it.\n"
            "`answer` is null if nothing was found.",
    .run = run,
};
