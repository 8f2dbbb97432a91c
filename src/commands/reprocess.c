#include <inttypes.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/embed_model.h"
#include "commands/select.h"
#include "commands/work.h"
#include "shared/error.h"

enum { PAGE = 200 };

static const struct option_spec options[] = {
    {.name = "all", .help = "every medium"},
    {.name = "embed-model",
     .argument = "MODEL",
     .help = "embed everything with this model, then let it serve searches"},
    {.name = "embed-dimensions",
     .argument = "N",
     .help = "numbers in one embedding of a new model",
     .setting = "openai.embed_dimensions"},
    FILTER_OPTIONS,
    WORK_OPTIONS,
    {0},
};

struct reprocess {
    struct work work;
    size_t queued, busy;
    int64_t *ids; /* of the media named, or NULL for the filter */
    size_t id_count;
    struct media_filter filter;
};

static int choose(struct app *app, struct reprocess *r)
{
    const struct arguments *a = app->arguments;
    int rc = select_filter(app, &r->filter);
    if (rc)
        return rc;
    bool named = a->operand_count > 0, all = arguments_has(a, "all");
    bool filtered = !filter_is_empty(&r->filter);
    if (named + all + filtered != 1)
        return error_set(ERR_INVALID, NULL,
                         "say which media: KEY|ID..., a filter such as --kind audio, or --all");
    if (!named)
        return OK;
    r->ids = arena_array(&app->arena, a->operand_count, sizeof r->ids[0]);
    if (!r->ids)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < a->operand_count; i++) {
        struct media_row media;
        rc = select_media(app, a->operands[i], &media);
        if (rc)
            return rc;
        r->ids[r->id_count++] = media.media_id;
    }
    return OK;
}

/* All pages of one filter become jobs on the queue. */
static int enqueue(struct app *app, struct reprocess *r, const struct media_filter *filter)
{
    const struct database *db = &app->database;
    int64_t after = 0;
    size_t count;
    int rc;
    struct arena page;
    arena_init(&page, MIB(16));
    do {
        struct job_row *jobs;
        count = 0;
        rc = db->ops->reprocess(db->ctx, filter, after, PAGE, &page, &jobs, &count);
        for (size_t i = 0; !rc && i < count; i++) {
            after = jobs[i].media_id;
            rc = work_add(&r->work, jobs[i].job_id, jobs[i].media_id, jobs[i].key);
        }
        if (!rc && count > 0)
            rc = app_send_jobs(app, jobs, count);
        r->queued += count;
        arena_free(&page);
    } while (!rc && count == PAGE && !app_stopped());
    return rc;
}

static int enqueue_all(struct app *app, struct reprocess *r)
{
    if (!r->ids)
        return enqueue(app, r, &r->filter);
    for (size_t i = 0; i < r->id_count; i++) {
        struct media_filter one = {.media_id = r->ids[i]};
        int rc = enqueue(app, r, &one);
        if (rc)
            return rc;
    }
    return OK;
}

/* ---- the embedding model ---- */

static int run_embed_model(struct app *app)
{
    const struct arguments *a = app->arguments;
    struct media_filter filter;
    struct embedder embedder;
    struct fill_state state;
    app_catch_signals();
    int rc = select_filter(app, &filter);
    bool alone = a->operand_count == 0 && !arguments_has(a, "all") && !arguments_has(a, "detach");
    if (!rc && (!alone || !filter_is_empty(&filter)))
        rc = error_set(ERR_INVALID, NULL,
                       "--embed-model is for everything there is: it goes without KEY, filters, "
                       "--all and --detach");
    if (!rc)
        rc = embed_model_find(app, arguments_value(a, "embed-model", ""), &embedder);
    if (!rc)
        rc = embed_model_change(app, &embedder, &state);
    if (rc)
        return app_fail(app);
    embed_model_print(app, &embedder, &state);
    return STATUS_OK;
}

/* With --all the embeddings become those of the settings too; of some media they cannot. */
static int follow_settings(struct app *app, yyjson_mut_doc *doc, yyjson_mut_val *report)
{
    struct embedder embedder;
    struct fill_state state;
    if (!arguments_has(app->arguments, "all"))
        return OK;
    int rc = embed_model_set(app, &embedder);
    if (rc)
        return rc == ERR_NOT_FOUND ? OK : rc;
    rc = embed_model_change(app, &embedder, &state);
    if (!rc && app->json)
        yyjson_mut_obj_add_val(doc, report, "embeddings", embed_model_json(doc, &embedder, &state));
    else if (!rc)
        embed_model_print(app, &embedder, &state);
    return rc;
}

static void note_difference(struct app *app, const struct reprocess *r)
{
    bool follows = arguments_has(app->arguments, "all") && !r->work.detach;
    const char *line = follows || app->json ? NULL : embed_model_difference(app);
    if (line)
        app_note(app, "%s", line);
}

/* ---- the command ---- */

static int finish(struct app *app, struct reprocess *r)
{
    note_difference(app, r);
    if (r->work.detach) {
        if (app->json) {
            yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
            print_json(&app->terminal, doc,
                       js_object(doc, "queued", yyjson_mut_sint(doc, r->queued), NULL));
        } else {
            printf("%zu queued\n", r->queued);
        }
        return STATUS_OK;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *rest = js_object(doc, "queued", yyjson_mut_sint(doc, r->queued), NULL);
    int rc = work_wait(&r->work);
    if (!rc)
        rc = follow_settings(app, doc, rest);
    struct error e = *error_last();
    report_end(&r->work.report, rest);
    yyjson_mut_doc_free(doc);
    if (rc)
        error_restore(&e);
    return work_status(&r->work, rc);
}

static int run(struct app *app)
{
    struct reprocess r = {0};
    int status;
    int rc = app_require_data(app);
    if (!rc && arguments_has(app->arguments, "embed-model"))
        return run_embed_model(app);
    if (!rc)
        rc = choose(app, &r);
    if (rc)
        return app_fail(app);
    rc = work_begin(&r.work, app);
    if (!rc)
        rc = enqueue_all(app, &r);
    if (!rc && r.queued == 0 && !app->json)
        app_note(app, "nothing to do: no medium matches that has no unfinished job already");
    status = rc ? app_fail(app) : finish(app, &r);
    work_end(&r.work);
    return status;
}

static const struct example examples[] = {
    {"aegis reprocess --all", "after a model, a prompt or a setting was changed"},
    {"aegis reprocess --kind audio --detach", "enqueue only"},
    {"aegis reprocess talk.mp3", "one medium"},
    {"aegis reprocess --embed-model text-embedding-3-large --embed-dimensions 3072",
     "search by the embeddings of another model from then on"},
    {0},
};

const struct command command_reprocess = {
    .name = "reprocess",
    .summary = "process media again with the present models and settings",
    .operands = "[KEY|ID...]",
    .max_operands = -1,
    .operand_kind = OPERAND_MEDIA,
    .description =
        "Runs media through the pipeline again. Only the stages whose model, prompt or settings "
        "changed are done anew; everything else is taken from the checkpoints and costs nothing. "
        "The old results stay searchable until the new ones are in.\n\n"
        "Waits and shows what came out, like `aegis add`; --detach only enqueues.\n\n"
        "Embeddings are compared with each other, so their model is changed for everything at "
        "once: --embed-model MODEL fills the space of that model while the old one goes on serving "
        "searches and new media, and changes over in one transaction when nothing is missing in "
        "it. Stopped or killed, the same command goes on where it was. The old space stays (`aegis "
        "spaces`), and changing back to it costs only what came since. MODEL is one of the "
        "provider's, or `offline`. --all does the same for the model that is set, if another one "
        "serves.",
    .options = options,
    .examples = examples,
    .json = "  {\"media\": [MEDIA, ...], \"queued\": 3}\n\nwith MEDIA as in `aegis list --json`; "
            "with --detach only `queued`; with --all also `embeddings` if the model was changed, "
            "which is what --embed-model prints:\n\n"
            "  {\"provider\": \"openai\", \"model\": \"text-embedding-3-large\", \"dimensions\": "
            "1536,\n"
            "   \"embedded\": 1200, \"calls\": 10, \"cost_usd\": 0.02, \"serves\": true}",
    .works = true,
    .run = run,
};
