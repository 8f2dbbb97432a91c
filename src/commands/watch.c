#include "ingestion/watch.h"

#include <pthread.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/monitoring.h"
#include "commands/service.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/log.h"

static const struct option_spec options[] = {
    {.name = "detach", .letter = 'd', .help = "only enqueue; `aegis serve` does the work"},
    {.name = "workers", .argument = "N", .help = "jobs in flight at a time", .setting = "workers"},
    {.name = "collection",
     .letter = 'c',
     .argument = "NAME",
     .help = "collection of what is added",
     .setting = "collection"},
    {.name = "bucket", .argument = "NAME", .help = "bucket to put it into", .setting = "bucket"},
    {.name = "prefix", .argument = "TEXT", .help = "keys are TEXT/ and the path in the folder"},
    {.name = "hidden", .help = "take hidden files and folders too"},
    {.name = "mirror", .help = "a file that goes takes its medium with it"},
    {0},
};
enum { FOLDER_OPTIONS = 2 }; /* from here on they are about the folder, not the work */

struct watching {
    struct app *app;
    struct service service;
    struct cancel ended; /* the watcher returned */
    int rc;
    struct error error;
};

static void log_file(enum log_level level, const char *event, const struct file_report *r)
{
    log_write(level, event, LOG_STR("path", r->path), LOG_STR("key", r->key),
              LOG_INT("job", r->outcome ? r->outcome->job_id : 0),
              LOG_STR("reason", r->error ? r->error->reason : ""),
              LOG_STR("message", r->error ? r->error->message : ""), LOG_END);
}

/* By enum file_result. */
static const char *const result_names[] = {
    [FILE_INGESTED] = "ingested", [FILE_UNCHANGED] = "unchanged", [FILE_SKIPPED] = "skipped",
    [FILE_REMOVED] = "removed",   [FILE_FAILED] = "failed",
};
enum { RESULT_NAMES = sizeof result_names / sizeof result_names[0] };

static int on_file(void *ctx, const struct file_report *r)
{
    struct watching *w = ctx;
    if ((size_t)r->result < RESULT_NAMES && result_names[r->result])
        monitoring_file(w->service.monitoring, result_names[r->result]);
    switch (r->result) {
    case FILE_INGESTED:
        log_file(LOG_INFO, "watch.ingested", r);
        break;
    case FILE_UNCHANGED:
    case FILE_SKIPPED:
        log_file(LOG_DEBUG, "watch.skipped", r);
        break;
    case FILE_REMOVED:
        log_file(LOG_INFO, "watch.removed", r);
        break;
    case FILE_FAILED:
        log_file(LOG_WARN, "watch.failed", r);
        break;
    default:
        break;
    }
    return OK;
}

static void on_ready(void *ctx)
{
    struct watching *w = ctx;
    log_write(LOG_INFO, "watch.ready", LOG_STR("folder", w->app->arguments->operands[0]),
              LOG_STR("data", config_data_directory(w->app->config)), LOG_END);
}

static void *watch(void *arg)
{
    struct watching *w = arg;
    struct app *app = w->app;
    const char *collection = config_string(app->config, "collection");
    struct ingestion_ports ports = {.store = app->store,
                                    .queue = app->queue,
                                    .database = app->database,
                                    .clock = clock_system(),
                                    .taken = monitoring_taken,
                                    .ctx = w->service.monitoring};
    struct watch_options watch_options = {
        .files = {.bucket = config_string(app->config, "bucket"),
                  .collection = *collection ? collection : NULL,
                  .prefix = arguments_value(app->arguments, "prefix", NULL),
                  .hidden = arguments_has(app->arguments, "hidden"),
                  .exclude = config_data_directory(app->config),
                  .trust_times = true,
                  .cancel = app_stop(),
                  .report = on_file,
                  .ctx = w},
        .mirror = arguments_has(app->arguments, "mirror"),
        .ready = on_ready,
    };
    w->rc = watch_folder(&ports, app->arguments->operands[0], &watch_options);
    w->error = *error_last();
    cancel_request(&w->ended);
    return NULL;
}

static int follow(struct watching *w)
{
    pthread_t thread;
    int e = pthread_create(&thread, NULL, watch, w);
    if (e)
        return error_set_errno(e, "cannot start a thread");
    int rc = service_loop(&w->service, false, &w->ended);
    struct error first = *error_last();
    if (rc) /* the watcher ends with the process's stop flag only */
        app_request_stop();
    pthread_join(thread, NULL);
    if (rc)
        return error_restore(&first);
    return w->rc ? error_restore(&w->error) : OK;
}

static int run(struct app *app)
{
    struct watching w = {.app = app};
    int rc = service_open(&w.service, app, !arguments_has(app->arguments, "detach"));
    if (!rc)
        rc = app_store(app);
    if (!rc)
        rc = follow(&w);
    service_close(&w.service);
    if (rc && rc != ERR_CANCELLED)
        return app_fail(app);
    log_write(LOG_INFO, "watch.stopped", LOG_INT("succeeded", w.service.succeeded),
              LOG_INT("dead", w.service.dead), LOG_END);
    return STATUS_OK;
}

static int run_ingest(struct app *app)
{
    struct watching w = {.app = app};
    app_catch_signals();
    int rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    if (!rc)
        rc = app_store(app);
    if (!rc)
        rc = monitoring_open(app, false, &w.service.monitoring);
    if (!rc) {
        watch(&w);
        rc = w.rc ? error_restore(&w.error) : OK;
    }
    monitoring_close(w.service.monitoring);
    if (rc && rc != ERR_CANCELLED)
        return app_fail(app);
    log_write(LOG_INFO, "watch.stopped", LOG_END);
    return STATUS_OK;
}

static const struct example ingest_examples[] = {
    {"aegis ingest /srv/uploads", "what is put there becomes a job; `aegis worker` does it"},
    {0},
};

static const struct example examples[] = {
    {"aegis watch ~/Recordings", "whatever is put there becomes searchable"},
    {"aegis watch /srv/inbox --mirror --collection inbox",
     "what is deleted there is forgotten too"},
    {0},
};

const struct command command_watch = {
    .name = "watch",
    .summary = "watch a folder: what appears in it is added",
    .operands = "DIR",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_DIRECTORY,
    .description =
        "Adds every file in a folder and below it: those there at the start, those that changed "
        "while nobody watched, and each new one once its writer closes it or it is renamed into "
        "place. Names of files under way (.part, .tmp, .crdownload, ~) are left alone.\n\n"
        "Works on the jobs too, unless --detach is given, and logs like `aegis serve`. Stops on "
        "SIGTERM or Ctrl-C as that does.",
    .options = options,
    .examples = examples,
    .service = true,
    .works = true,
    .run = run,
};

const struct command command_ingest = {
    .name = "ingest",
    .summary = "enqueue what appears in a folder, as one of many processes",
    .operands = "DIR",
    .min_operands = 1,
    .max_operands = 1,
    .operand_kind = OPERAND_DIRECTORY,
    .description =
        "As `aegis watch`, but it never works on jobs and logs only the files that it takes. With "
        "DATABASE_URL any number of these on any number of machines feed one queue, from which "
        "`aegis worker` takes; the role aegis_ingest is enough for it (docs/postgres.md). Events "
        "of an S3 bucket come in by `aegis ingest-event`.",
    .options = &options[FOLDER_OPTIONS],
    .examples = ingest_examples,
    .service = true,
    .run = run_ingest,
};
