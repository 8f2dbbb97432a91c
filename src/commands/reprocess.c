#include <inttypes.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/select.h"
#include "commands/work.h"
#include "shared/error.h"

enum { PAGE = 200 };

static const struct option_spec options[] = {
    {.name = "all", .help = "every medium"},
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

static int finish(struct app *app, struct reprocess *r)
{
    if (r->work.detach) {
        if (app->json)
            print_json(&app->terminal, json_pack("{s:I}", "queued", (json_int_t)r->queued));
        else
            printf("%zu queued\n", r->queued);
        return STATUS_OK;
    }
    int rc = work_wait(&r->work);
    report_end(&r->work.report, json_pack("{s:I}", "queued", (json_int_t)r->queued));
    return work_status(&r->work, rc);
}

static int run(struct app *app)
{
    struct reprocess r = {0};
    int status;
    int rc = app_require_data(app);
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
        "Waits and shows what came out, like `aegis add`; --detach only enqueues.",
    .options = options,
    .examples = examples,
    .json = "  {\"media\": [MEDIA, ...], \"queued\": 3}\n\nwith MEDIA as in `aegis list --json`; "
            "with --detach only `queued`.",
    .works = true,
    .run = run,
};
