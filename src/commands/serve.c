#include <unistd.h>

#include "commands/commands.h"
#include "commands/embed_model.h"
#include "commands/memory.h"
#include "commands/service.h"
#include "shared/log.h"

static const struct option_spec options[] = {
    {.name = "workers", .argument = "N", .help = "jobs in flight at a time", .setting = "workers"},
    {.name = "until-idle", .help = "exit once the queue is empty and nothing is under way"},
    {0},
};

static void log_ready(struct app *app)
{
    log_write(LOG_INFO, "serve.ready", LOG_INT("pid", getpid()),
              LOG_INT("workers", config_int(app->config, "workers")),
              LOG_STR("data", config_data_directory(app->config)),
              LOG_STR("transcribe", app_provider_name(app, MODEL_TRANSCRIBE)),
              LOG_STR("summarise", app_provider_name(app, MODEL_SUMMARISE)),
              LOG_STR("embed", app_provider_name(app, MODEL_EMBED)), LOG_END);
    const char *difference = embed_model_difference(app);
    if (difference)
        log_write(LOG_WARN, "embeddings.other_model", LOG_STR("message", difference), LOG_END);
}

static int run(struct app *app)
{
    struct service s = {.own_jobs_only = app->arguments->command == &command_worker};
    bool until_idle = arguments_has(app->arguments, "until-idle");
    memory_settle((int)config_int(app->config, "workers"));
    int rc = service_open(&s, app, true);
    if (!rc) {
        log_ready(app);
        rc = service_loop(&s, until_idle, NULL);
    }
    service_close(&s);
    if (rc)
        return app_fail(app);
    log_write(LOG_INFO, "serve.stopped", LOG_INT("succeeded", s.succeeded), LOG_INT("dead", s.dead),
              LOG_END);
    if (until_idle && app_stopped())
        return STATUS_INTERRUPTED;
    return until_idle && s.dead ? STATUS_SOME_FAILED : STATUS_OK;
}

static const struct example examples[] = {
    {"aegis serve --workers 64", "many jobs wait for a model at a time"},
    {"aegis serve --log-format json 2> aegis.log", "one JSON line per life-cycle step"},
    {"aegis serve --until-idle", "work off the queue, then exit"},
    {0},
};

static const struct example worker_examples[] = {
    {"aegis worker --workers 64", "one of many, on any machine that reaches database and objects"},
    {0},
};

const struct command command_worker = {
    .name = "worker",
    .summary = "take jobs from the queue until stopped, as one of many processes",
    .operands = "",
    .description =
        "As `aegis serve`, but it logs only the jobs that it works on itself. With DATABASE_URL "
        "any number of workers on any number of machines share one queue; each needs the same "
        "objects (setting `store.directory`, or `store`) and the same provider. A worker that dies "
        "is noticed "
        "when its messages become visible again (setting `queue.visibility`), and another takes "
        "its jobs up at the stage that was not finished. docs/scaling.md has more.",
    .options = options,
    .examples = worker_examples,
    .service = true,
    .works = true,
    .run = run,
};

const struct command command_serve = {
    .name = "serve",
    .summary = "take jobs from the queue and work on them until stopped",
    .operands = "",
    .description =
        "The worker loop. It logs one line per life-cycle step of every job on the data directory "
        "to standard error: in JSON when that is not a terminal (or with --log-format json), with "
        "the job's id, its trace id and the time each stage took. Several may run on one data "
        "directory; they share the work.\n\n"
        "SIGTERM or Ctrl-C: no new job is taken, what is under way may finish within the setting "
        "`drain`, the rest goes back to the queue. A second one exits at once; interrupted jobs "
        "are taken up again later.\n\n"
        "With --until-idle the exit status is 4 if jobs became dead letters, 5 if the pipeline is "
        "paused.",
    .options = options,
    .examples = examples,
    .service = true,
    .works = true,
    .run = run,
};
