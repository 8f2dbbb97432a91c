#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/select.h"
#include "commands/subtitles.h"
#include "commands/views.h"
#include "shared/error.h"

static const struct option_spec options[] = {
    {.name = "format",
     .argument = "FORMAT",
     .choices = "txt|srt|vtt|json",
     .help = "how it is written; --json is the same as --format json (txt)"},
    {.name = "plain", .help = "with txt: without times and speakers' names"},
    {0},
};

static int print_json_segment(void *ctx, const struct segment_row *s)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "start_ms", yyjson_mut_sint(doc, s->start_ms));
    yyjson_mut_obj_add_val(doc, o, "end_ms", yyjson_mut_sint(doc, s->end_ms));
    yyjson_mut_obj_add_val(doc, o, "speaker",
                           *s->speaker ? js(doc, s->speaker) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, o, "text", js(doc, s->text));
    json_stream_row(ctx, doc, o);
    return OK;
}

static int print_as_json(struct app *app, const struct media_row *m)
{
    struct json_stream stream = {0};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    printf("{\"media\":%" PRId64 ",\"key\":", m->media_id);
    print_json_value(js(doc, m->key));
    printf(",\"language\":\"%s\",\"draft\":%s,\"incomplete\":%s,\"duration_ms\":%" PRId64
           ",\"segments\":[",
           m->language, m->draft ? "true" : "false", m->missing_ms != 0 ? "true" : "false",
           m->duration_ms);
    yyjson_mut_doc_free(doc);
    int rc = app->database.ops->segments_each(app->database.ctx, m->media_id, print_json_segment,
                                              &stream);
    json_stream_end(&stream);
    return rc;
}

static int no_transcript(struct app *app, const struct media_row *m)
{
    int rc = media_has_nothing(app, m);
    if (rc)
        return rc;
    if (outcome_text(m->outcome))
        return error_set(ERR_NOT_FOUND, NULL, "'%.200s' has no transcript: %s", m->key,
                         outcome_text(m->outcome));
    return error_set(ERR_NOT_FOUND, NULL,
                     "'%.200s' is a document (%s), not a recording; see `aegis summary %" PRId64
                     "`",
                     m->key, m->kind, m->media_id);
}

static int print_transcript(struct app *app, const struct media_row *m, const char *format)
{
    if (!strcmp(format, "json"))
        return print_as_json(app, m);
    struct subtitle_writer w = {
        .out = stdout,
        .plain = arguments_has(app->arguments, "plain"),
        .draft = m->draft,
        .incomplete = m->missing_ms != 0,
    };
    const char *label = label_text(w.draft, w.incomplete);
    int (*row)(void *, const struct segment_row *) = subtitles_txt;
    if (!strcmp(format, "srt"))
        row = subtitles_srt;
    if (!strcmp(format, "vtt"))
        row = subtitles_vtt;
    if (*label && row == subtitles_srt) /* SRT knows no comments */
        app_note(app, "%s transcript", label);
    subtitles_begin(&w, row);
    return app->database.ops->segments_each(app->database.ctx, m->media_id, row, &w);
}

static int run(struct app *app)
{
    const struct arguments *a = app->arguments;
    const char *format = arguments_value(a, "format", app->json ? "json" : "txt");
    struct media_row media;
    int rc = app_require_data(app);
    if (!rc)
        rc = select_media(app, a->operands[0], &media);
    if (!rc && media.segment_count == 0)
        rc = no_transcript(app, &media);
    if (!rc)
        rc = print_transcript(app, &media, format);
    return rc ? app_fail(app) : STATUS_OK;
}

static const struct example examples[] = {
    {"aegis transcript talk.mp3", "lines with their times"},
    {"aegis transcript talk.mp3 --format vtt > talk.vtt", "subtitles for a player"},
    {0},
};

const struct command command_transcript = {
    .name = "transcript",
    .summary = "print the transcript of a recording, as text or subtitles",
    .operands = "KEY|ID",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_MEDIA,
    .description =
        "Prints what was said in a recording, or the cues of a subtitle file, with times in the "
        "recording's own time: as text, SubRip (SRT), WebVTT (VTT) or JSON.\n\n"
        "A draft transcript, made without a speech model worth the name, says so: in its first "
        "line, in a NOTE of the VTT file, on standard error for SRT, as `draft` in JSON. So does "
        "an "
        "incomplete one, of a recording that ended early or was damaged (`incomplete`).",
    .options = options,
    .examples = examples,
    .json = "  {\"media\": 12, \"key\": \"talk.mp3\", \"language\": \"en\", \"draft\": true,\n"
            "   \"incomplete\": false, \"duration_ms\": 61000,\n"
            "   \"segments\": [{\"start_ms\": 0, \"end_ms\": 4100,\n"
            "     \"speaker\": null, \"text\": \"...\"}]}",
    .run = run,
};
