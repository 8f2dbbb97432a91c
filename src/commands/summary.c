#include "commands/commands.h"
#include "commands/select.h"
#include "commands/views.h"
#include "shared/error.h"

static int get_summary(struct app *app, const struct media_row *media, struct summary *out)
{
    int rc = app->database.ops->summary_get(app->database.ctx, media->media_id, &app->arena, out);
    if (rc != ERR_NOT_FOUND)
        return rc;
    const char *why = outcome_text(media->outcome);
    return error_set(ERR_NOT_FOUND, NULL, "'%.200s' has no summary: %s", media->key,
                     why ? why : "there is no text in it");
}

static int run(struct app *app)
{
    struct media_row media;
    struct summary summary;
    int rc = app_require_data(app);
    if (!rc)
        rc = select_media(app, app->arguments->operands[0], &media);
    if (!rc)
        rc = media_has_nothing(app, &media);
    if (!rc)
        rc = get_summary(app, &media, &summary);
    if (rc)
        return app_fail(app);
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *o = summary_json(doc, &summary);
        yyjson_mut_obj_add_val(doc, o, "media", yyjson_mut_sint(doc, media.media_id));
        yyjson_mut_obj_add_val(doc, o, "key", js(doc, media.key));
        yyjson_mut_obj_add_val(doc, o, "draft", yyjson_mut_bool(doc, media.draft));
        yyjson_mut_obj_add_val(doc, o, "incomplete", yyjson_mut_bool(doc, media.missing_ms != 0));
        print_json(&app->terminal, doc, o);
        return STATUS_OK;
    }
    bool color = app->terminal.out_color;
    const char *label = label_text(media.draft, media.missing_ms != 0);
    printf("%s%s%s%s%s%s\n", style_text(color, STYLE_BOLD), media_name(&app->arena, &media),
           style_text(color, STYLE_NONE), *label ? "  [" : "", label, *label ? " transcript]" : "");
    print_summary(app, &summary, 0);
    return STATUS_OK;
}

static const struct example examples[] = {
    {"aegis summary talk.mp3", "by key"},
    {"aegis summary 12 --json | jq -r '.action_items[].text'", "what is to be done"},
    {0},
};

const struct command command_summary = {
    .name = "summary",
    .summary = "print the summary of a medium",
    .operands = "KEY|ID",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_MEDIA,
    .description = "Prints the abstract, key points, action items, topics and names of a medium.",
    .examples = examples,
    .json = "  {\"title\": \"...\", \"abstract\": \"...\", \"language\": \"en\", \"key_points\": "
            "[\"...\"],\n   \"topics\": [\"...\"], \"entities\": [\"...\"],\n"
            "   \"action_items\": [{\"text\": \"...\", \"owner\": null}],\n"
            "   \"media\": 12, \"key\": \"talk.mp3\", \"draft\": false,\n"
            "   \"incomplete\": false}",
    .run = run,
};
