#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/event_intake.h"
#include "commands/work.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/file.h"

static const struct option_spec options[] = {
    {.name = "collection",
     .letter = 'c',
     .argument = "NAME",
     .help = "collection of the media; the bucket's name unless given",
     .setting = "collection"},
    {0},
};

static int read_document(struct app *app, struct buffer *text)
{
    const char *path = app->arguments->operands[0];
    buffer_init(text, CAP_EVENT_DOCUMENT);
    return strcmp(path, "-") ? file_read(path, text)
                             : file_read_fd(STDIN_FILENO, "standard input", text);
}

static int take(struct app *app, struct event_document *document, struct event_outcome **outcomes)
{
    struct telemetry *telemetry = NULL;
    int rc = telemetry_wanted(app) ? telemetry_open(app, NULL, &telemetry) : OK;
    if (!rc)
        rc = event_intake(app, document, telemetry, &app->arena, outcomes);
    telemetry_close(telemetry);
    return rc;
}

static yyjson_mut_val *event_json(yyjson_mut_doc *doc, const struct media_event *e,
                                  const struct event_outcome *o)
{
    yyjson_mut_val *event = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, event, "bucket", js(doc, e->bucket));
    yyjson_mut_obj_add_val(doc, event, "key", js(doc, e->key));
    yyjson_mut_obj_add_val(doc, event, "event",
                           js(doc, e->kind == EVENT_CREATED ? "created" : "removed"));
    yyjson_mut_obj_add_val(doc, event, "result", js(doc, event_result_name(o->result)));
    yyjson_mut_obj_add_val(doc, event, "media",
                           o->media_id ? yyjson_mut_sint(doc, o->media_id) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, event, "job",
                           o->job_id ? yyjson_mut_sint(doc, o->job_id) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_val(doc, event, "trace_id", js(doc, e->trace_id));
    return event;
}

static void print_as_json(struct app *app, const struct event_document *d,
                          const struct event_outcome *outcomes)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc), *events = yyjson_mut_arr(doc),
                   *problems = yyjson_mut_arr(doc);
    for (size_t i = 0; i < d->count; i++)
        yyjson_mut_arr_append(events, event_json(doc, &d->events[i], &outcomes[i]));
    for (size_t i = 0; i < d->problem_count; i++) {
        yyjson_mut_val *problem = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_val(doc, problem, "record", yyjson_mut_sint(doc, d->problems[i].record));
        yyjson_mut_obj_add_val(doc, problem, "message", js(doc, d->problems[i].reason));
        yyjson_mut_arr_append(problems, problem);
    }
    yyjson_mut_obj_add_val(doc, o, "events", events);
    yyjson_mut_obj_add_val(doc, o, "problems", problems);
    yyjson_mut_obj_add_val(doc, o, "ignored", yyjson_mut_sint(doc, d->ignored));
    yyjson_mut_obj_add_val(doc, o, "tests", yyjson_mut_sint(doc, d->tests));
    print_json(&app->terminal, doc, o);
}

static void print_text(struct app *app, const struct event_document *d,
                       const struct event_outcome *outcomes)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct event_outcome *o = &outcomes[i];
        printf("%-17s  %s/%s", event_result_name(o->result),
               text_clean(&app->arena, d->events[i].bucket),
               text_clean(&app->arena, d->events[i].key));
        if (o->job_id)
            printf("  (job %" PRId64 ")", o->job_id);
        putchar('\n');
    }
    if (d->tests)
        printf("%zu test event%s\n", d->tests, d->tests == 1 ? "" : "s");
    if (d->ignored)
        printf("%zu record%s ignored\n", d->ignored, d->ignored == 1 ? "" : "s");
    for (size_t i = 0; i < d->problem_count; i++)
        app_note(app, "record %zu: %s", d->problems[i].record,
                 text_clean(&app->arena, d->problems[i].reason));
}

static int run(struct app *app)
{
    struct buffer text;
    struct event_document document = {0};
    struct event_outcome *outcomes = NULL;
    int rc = read_document(app, &text);
    if (!rc)
        rc = event_parse(buffer_string(&text), text.length, clock_now(clock_system()), NULL,
                         &app->arena, &document);
    if (!rc)
        rc = take(app, &document, &outcomes);
    buffer_free(&text);
    if (rc)
        return app_fail(app);
    if (app->json)
        print_as_json(app, &document, outcomes);
    else
        print_text(app, &document, outcomes);
    return document.problem_count > 0 ? STATUS_SOME_FAILED : STATUS_OK;
}

static const struct example examples[] = {
    {"aegis ingest-event event.json", "an S3 notification from a file"},
    {"aws sqs receive-message --queue-url ... | aegis ingest-event -", "from SQS"},
    {0},
};

const struct command command_ingest_event = {
    .name = "ingest-event",
    .summary = "take in an S3 event document: objects become jobs, once",
    .operands = "FILE|-",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_FILES,
    .description =
        "Reads one event document, as S3, SNS, SQS or EventBridge deliver it, and enqueues a job "
        "for each object that is new. Events that came before, and events older than what is "
        "known, change nothing; a removal takes the medium out of every search. `aegis serve` "
        "does the work.\n\n"
        "Exits 2 if the document is no event document at all, 4 if some of its records could not "
        "be read (the others are taken). docs/event-formats.md shows the formats.",
    .options = options,
    .examples = examples,
    .json =
        "  {\"events\": [{\"bucket\": \"media\", \"key\": \"talk.mp3\", \"event\": \"created\",\n"
        "   \"result\": \"queued\", \"media\": 12, \"job\": 12, \"trace_id\": \"...\"}],\n"
        "   \"problems\": [{\"record\": 2, \"message\": \"...\"}], \"ignored\": 0, \"tests\": "
        "0}\n\n"
        "`result` is queued, duplicate, stale, removed or nothing to remove.",
    .works = true,
    .run = run,
};
