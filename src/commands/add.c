#include <inttypes.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/work.h"
#include "ingestion/files.h"
#include "shared/clock.h"
#include "shared/error.h"

static const struct option_spec options[] = {
    {.name = "collection",
     .letter = 'c',
     .argument = "NAME",
     .help = "collection of what is added",
     .setting = "collection"},
    {.name = "bucket", .argument = "NAME", .help = "bucket to put it into", .setting = "bucket"},
    {.name = "prefix",
     .argument = "TEXT",
     .help = "keys are TEXT/ and the path below the argument's parent"},
    {.name = "key", .argument = "KEY", .help = "the key of a single file or of standard input"},
    {.name = "hidden", .help = "take hidden files and folders too"},
    {.name = "trust-times", .help = "files whose size and time did not change are not read again"},
    WORK_OPTIONS,
    {0},
};

struct add {
    struct app *app;
    struct work work;
    yyjson_mut_doc *doc;     /* for JSON: what is printed at the end */
    yyjson_mut_val *refused; /* files that were not taken */
    size_t noted;            /* skipped files that were printed */
};

enum { NOTES = 20 };

/* ---- files as they are stored ---- */

static int show_storing(struct add *a, const struct file_report *r)
{
    const char *name = strrchr(r->path, '/');
    char text[300], done[HUMAN_TEXT];
    name = name ? name + 1 : r->path;
    if (r->size > 0)
        snprintf(text, sizeof text, "%.200s, %" PRId64 "%%", name, r->done * 100 / r->size);
    else
        snprintf(text, sizeof text, "%.200s, %s", name, human_bytes(r->done, done));
    return work_show(&a->work, text);
}

static void not_taken(struct add *a, const struct file_report *r)
{
    bool failed = r->result == FILE_FAILED;
    if (a->app->json) {
        yyjson_mut_doc *doc = a->doc;
        yyjson_mut_val *o = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_val(doc, o, "path", js(doc, r->path));
        yyjson_mut_obj_add_val(doc, o, "skipped", yyjson_mut_bool(doc, !failed));
        yyjson_mut_obj_add_val(
            doc, o, "reason", *r->error->reason ? js(doc, r->error->reason) : yyjson_mut_null(doc));
        yyjson_mut_obj_add_val(doc, o, "message", js(doc, r->error->message));
        yyjson_mut_arr_append(a->refused, o);
        return;
    }
    progress_clear(&a->work.progress);
    if (failed || a->noted++ < NOTES)
        app_note(a->app, "%s%s",
                 failed ? "" : "skipped: ", text_clean(&a->app->arena, r->error->message));
}

static int taken(struct add *a, const struct file_report *r)
{
    const struct event_outcome *o = r->outcome;
    if (o->job_id == 0 || o->result == EVENT_STALE)
        return OK;
    a->work.report.unchanged += r->result == FILE_UNCHANGED && o->result == EVENT_DUPLICATE;
    return work_add(&a->work, o->job_id, o->media_id, r->key);
}

static int on_file(void *ctx, const struct file_report *r)
{
    struct add *a = ctx;
    switch (r->result) {
    case FILE_UPLOADING:
        return show_storing(a, r);
    case FILE_INGESTED:
    case FILE_UNCHANGED:
        return taken(a, r);
    case FILE_SKIPPED:
    case FILE_FAILED:
        not_taken(a, r);
        return OK;
    default:
        return OK;
    }
}

/* ---- the command ---- */

static int store(struct add *a, struct file_totals *totals)
{
    struct app *app = a->app;
    const char *collection = config_string(app->config, "collection");
    struct ingestion_ports ports = {.store = app->store,
                                    .queue = app->queue,
                                    .database = app->database,
                                    .clock = clock_system()};
    struct file_options file_options = {
        .bucket = config_string(app->config, "bucket"),
        .collection = *collection ? collection : NULL,
        .prefix = arguments_value(app->arguments, "prefix", NULL),
        .key = arguments_value(app->arguments, "key", NULL),
        .hidden = arguments_has(app->arguments, "hidden"),
        .trust_times = arguments_has(app->arguments, "trust-times"),
        .exclude = config_data_directory(app->config),
        .cancel = app_stop(),
        .report = on_file,
        .ctx = a,
    };
    return ingest_paths(&ports, app->arguments->operands, app->arguments->operand_count,
                        &file_options, totals);
}

static yyjson_mut_val *totals_json(const struct add *a, const struct file_totals *t)
{
    yyjson_mut_doc *doc = a->doc;
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_val(doc, o, "refused", a->refused);
    yyjson_mut_obj_add_val(doc, o, "stored", yyjson_mut_sint(doc, t->ingested));
    yyjson_mut_obj_add_val(doc, o, "unchanged", yyjson_mut_sint(doc, t->unchanged));
    yyjson_mut_obj_add_val(doc, o, "skipped", yyjson_mut_sint(doc, t->skipped));
    yyjson_mut_obj_add_val(doc, o, "failed", yyjson_mut_sint(doc, t->failed));
    return o;
}

static int detached(struct add *a, const struct file_totals *t, int rc)
{
    char size[HUMAN_TEXT];
    if (a->app->json) {
        print_json(&a->app->terminal, a->doc, totals_json(a, t));
        a->doc = NULL;
    } else {
        printf("%zu stored (%s), %zu unchanged, %zu skipped, %zu failed; `aegis serve` does the "
               "work\n",
               t->ingested, human_bytes(t->bytes, size), t->unchanged, t->skipped, t->failed);
    }
    return rc ? app_fail(a->app) : STATUS_OK;
}

static int finish(struct add *a, const struct file_totals *totals, int rc)
{
    if (a->work.detach)
        return detached(a, totals, rc);
    if (!rc)
        rc = work_wait(&a->work);
    struct error e = *error_last();
    progress_clear(&a->work.progress);
    report_end(&a->work.report, totals_json(a, totals));
    error_restore(&e);
    return work_status(&a->work, rc);
}

static int run(struct app *app)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    struct add a = {.app = app, .doc = doc, .refused = yyjson_mut_arr(doc)};
    struct file_totals totals = {0};
    int status;
    int rc = work_begin(&a.work, app);
    if (rc) {
        status = app_fail(app);
    } else {
        rc = store(&a, &totals);
        status = finish(&a, &totals, rc);
    }
    work_end(&a.work);
    yyjson_mut_doc_free(a.doc);
    return status == STATUS_OK && totals.failed > 0 ? STATUS_SOME_FAILED : status;
}

static const struct example examples[] = {
    {"aegis add talk.mp3 notes.pdf", "two files: wait, and show what came out"},
    {"aegis add ~/Recordings --collection talks", "a folder with all that is below it"},
    {"curl -s https://example.org/ | aegis add - --key example.html", "standard input"},
    {"aegis add --detach /srv/archive", "enqueue only; `aegis serve` works on it"},
    {0},
};

const struct command command_add = {
    .name = "add",
    .summary = "add files and folders, wait, and show what came out",
    .operands = "PATH...",
    .min_operands = 1,
    .max_operands = -1,
    .operand_kind = OPERAND_FILES,
    .description =
        "Takes in files, folders (with everything below them) and, as `-`, standard input. What a "
        "file is, is told by its content: text, Markdown, HTML, PDF, DOCX, SRT and VTT, and any "
        "common kind of audio or video. Then it works on them, beside any `aegis serve` on the "
        "same data directory, shows progress, and prints what came out.\n\n"
        "Adding the same file again costs nothing. A changed file becomes a new version; the old "
        "results stay searchable until the new ones are in.\n\n"
        "Ctrl-C finishes what is under way; a second one exits at once. What was queued stays "
        "queued. Exits 4 if some files failed, 5 if the pipeline is paused (wrong key, provider "
        "not reached, quota, budget).",
    .options = options,
    .examples = examples,
    .json =
        "  {\"media\": [MEDIA, ...], \"refused\": [{\"path\": \"...\", \"skipped\": false,\n"
        "   \"reason\": null, \"message\": \"...\"}], \"stored\": 2, \"unchanged\": 0,\n"
        "   \"skipped\": 0, \"failed\": 0}\n\nwith MEDIA as in `aegis list --json`, in the order "
        "they ended; with --detach without `media`.",
    .works = true,
    .run = run,
};
