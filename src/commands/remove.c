#include <inttypes.h>

#include "commands/commands.h"
#include "commands/select.h"
#include "ingestion/ingest.h"
#include "shared/clock.h"
#include "shared/error.h"

static int remove_one(struct app *app, const char *reference, yyjson_mut_doc *doc,
                      yyjson_mut_val *removed)
{
    struct media_row media;
    struct event_outcome outcome;
    int rc = select_media(app, reference, &media);
    if (rc)
        return rc;
    struct ingestion_ports ports = {.store = app->store,
                                    .queue = app->queue,
                                    .database = app->database,
                                    .clock = clock_system()};
    rc = ingest_remove(&ports, media.bucket, media.key, &outcome);
    if (rc)
        return error_prefix("while removing '%.200s'", media.key);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "id", yyjson_mut_sint(doc, media.media_id));
    yyjson_mut_obj_add_val(doc, o, "bucket", js(doc, media.bucket));
    yyjson_mut_obj_add_val(doc, o, "key", js(doc, media.key));
    yyjson_mut_arr_append(removed, o);
    if (!app->json)
        printf("removed %" PRId64 "  %s/%s\n", media.media_id, media.bucket,
               text_clean(&app->arena, media.key));
    return OK;
}

static int open_all(struct app *app)
{
    int rc = app_require_data(app);
    if (!rc)
        rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    return rc ? rc : app_store(app);
}

static int run(struct app *app)
{
    const struct arguments *a = app->arguments;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *removed = yyjson_mut_arr(doc);
    size_t failed = 0;
    int status = open_all(app) ? app_fail(app) : STATUS_OK;
    for (size_t i = 0; i < a->operand_count && !(status && failed == 0); i++)
        if (remove_one(app, a->operands[i], doc, removed)) {
            status = app_fail(app);
            failed++;
        }
    if (failed > 0 && yyjson_mut_arr_size(removed) > 0)
        status = STATUS_SOME_FAILED;
    if (app->json)
        print_json(&app->terminal, doc, js_object(doc, "removed", removed, NULL));
    else
        yyjson_mut_doc_free(doc);
    return status;
}

static const struct example examples[] = {
    {"aegis remove talk.mp3", "by key"},
    {"aegis remove 12 15", "by id"},
    {0},
};

const struct command command_remove = {
    .name = "remove",
    .summary = "remove media: the object and everything found in it",
    .operands = "KEY|ID...",
    .min_operands = 1,
    .max_operands = -1,
    .operand_kind = OPERAND_MEDIA,
    .description =
        "Removes objects with all their versions from the store and takes them out of every "
        "search, for good. Unfinished jobs are cancelled. What was paid stays in `aegis usage`. "
        "The files they were added from are not touched.",
    .examples = examples,
    .json = "  {\"removed\": [{\"id\": 12, \"bucket\": \"media\", \"key\": \"talk.mp3\"}]}",
    .run = run,
};
