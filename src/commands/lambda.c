#include <stdlib.h>
#include <string.h>

#include "commands/app_lambda.h"
#include "commands/commands.h"
#include "commands/db_postgres.h"
#include "commands/event_intake.h"
#include "shared/clock.h"
#include "shared/json.h"
#include "shared/log.h"

/* ---- ingestion ---- */

/* A document that cannot be read will not be readable the next time either: it is told once, and
 * the invocation succeeds. */
static int leave_unreadable(const struct lambda_call *call, struct buffer *answer)
{
    const struct error *e = error_last();
    emf_add(call->emf, "EventsUnreadable", "Count", 1);
    log_write(LOG_ERROR, "ingest.unreadable", LOG_STR("reason", e->reason),
              LOG_STR("message", e->message), LOG_END);
    int rc = buffer_append_string(answer, "{\"batchItemFailures\":[],\"unreadable\":");
    if (!rc)
        rc = json_append_string(answer, e->message, strlen(e->message));
    return rc ? rc : buffer_append_char(answer, '}');
}

static void log_events(const struct event_document *d, const struct event_outcome *outcomes)
{
    for (size_t i = 0; i < d->count; i++)
        log_write(LOG_INFO, "ingest.event", LOG_STR("bucket", d->events[i].bucket),
                  LOG_STR("key", d->events[i].key),
                  LOG_STR("result", event_result_name(outcomes[i].result)),
                  LOG_INT("job", outcomes[i].job_id), LOG_STR("trace_id", d->events[i].trace_id),
                  LOG_END);
    for (size_t i = 0; i < d->problem_count; i++)
        log_write(LOG_ERROR, "ingest.unreadable", LOG_INT("record", (int64_t)d->problems[i].record),
                  LOG_STR("message", d->problems[i].reason), LOG_END);
}

static void count_events(struct emf *emf, const struct event_document *d,
                         const struct event_outcome *outcomes)
{
    static const char *const names[] = {
        [EVENT_JOB_QUEUED] = "EventsQueued",
        [EVENT_DUPLICATE] = "EventsDuplicate",
        [EVENT_STALE] = "EventsStale",
        [EVENT_MEDIA_REMOVED] = "EventsRemoved",
        [EVENT_NOTHING_TO_REMOVE] = "EventsNothingToRemove",
    };
    for (size_t i = 0; i < d->count; i++)
        emf_add(emf, names[outcomes[i].result], "Count", 1);
    emf_add(emf, "EventsIgnored", "Count", (double)d->ignored);
    emf_add(emf, "EventsUnreadable", "Count", (double)d->problem_count);
}

/* Without "batchItemFailures" a mapping from SQS that asks for it would take all as failed. */
static int tell_events(const struct event_document *d, const struct event_outcome *outcomes,
                       struct buffer *answer)
{
    size_t queued = 0, removed = 0;
    for (size_t i = 0; i < d->count; i++) {
        queued += outcomes[i].result == EVENT_JOB_QUEUED;
        removed += outcomes[i].result == EVENT_MEDIA_REMOVED;
    }
    return buffer_printf(answer,
                         "{\"batchItemFailures\":[],\"events\":%zu,\"queued\":%zu,\"removed\":%zu,"
                         "\"ignored\":%zu,\"tests\":%zu,\"problems\":%zu}",
                         d->count, queued, removed, d->ignored, d->tests, d->problem_count);
}

static int take_events(struct app *app, const struct lambda_call *call, struct buffer *answer)
{
    struct event_document document;
    struct event_outcome *outcomes;
    int rc = event_parse(call->payload, call->length, clock_now(clock_system()), call->trace,
                         call->arena, &document);
    if (rc == ERR_INVALID || rc == ERR_TOO_LARGE)
        return leave_unreadable(call, answer);
    if (!rc)
        rc = event_intake(app, &document, call->telemetry, call->arena, &outcomes);
    if (rc)
        return rc;
    log_events(&document, outcomes);
    count_events(call->emf, &document, outcomes);
    return tell_events(&document, outcomes, answer);
}

/* ---- processor ---- */

static int open_processor(struct app *app)
{
    struct processor_ports ports;
    int rc = app_lambda_data(app);
    return rc ? rc : app_processor_ports(app, &ports);
}

/* An EventBridge rule or schedule, with its own event or any that says {"aegis":"upkeep"}. */
static bool is_upkeep(const struct lambda_call *call)
{
    yyjson_doc *doc;
    if (json_parse(call->payload, call->length, "the invocation", &doc))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool is = !strcmp(json_string_at(root, "detail-type", ""), "Scheduled Event") ||
              !strcmp(json_string_at(root, "aegis", ""), "upkeep");
    yyjson_doc_free(doc);
    return is;
}

static int process(struct app *app, const struct lambda_call *call, struct buffer *answer)
{
    bool more;
    if (!is_upkeep(call))
        return app_lambda_process(app, call, answer);
    int rc = app_lambda_upkeep(app, call, &more);
    return rc ? rc : buffer_printf(answer, "{\"more\":%s}", more ? "true" : "false");
}

/* ---- migrate ---- */

static int open_migrate(struct app *app)
{
    const char *url;
    int rc = app_database_url(app, &url);
    return rc || *url
               ? rc
               : error_set(
                     ERR_INVALID, "no_database",
                     "there is no database to migrate: set DATABASE_URL or AEGIS_DATABASE_SECRET");
}

static int migrate(struct app *app, const struct lambda_call *call, struct buffer *answer)
{
    const char *url;
    int applied = 0;
    (void)call;
    int rc = app_database_url(app, &url);
    if (!rc)
        rc = db_postgres_apply(url, &applied);
    return rc ? rc : buffer_printf(answer, "{\"applied\":%d}", applied);
}

/* ---- the command ---- */

static const struct lambda_role roles[] = {
    {.name = "ingestion", .open = app_lambda_data, .handle = take_events},
    {.name = "processor", .open = open_processor, .handle = process},
    {.name = "migrate", .open = open_migrate, .handle = migrate},
};

/* A zip is told by its handler; an image has none, but a command. */
static const struct lambda_role *find_role(const struct arguments *a)
{
    const char *handler = a->operand_count > 0 ? a->operands[0] : getenv("_HANDLER");
    for (size_t i = 0; handler && i < sizeof roles / sizeof roles[0]; i++)
        if (!strcmp(roles[i].name, handler))
            return &roles[i];
    error_set(ERR_INVALID, "unknown_handler",
              "the function's handler is '%.64s': set it to ingestion, processor or migrate",
              handler ? handler : "");
    return NULL;
}

static int run(struct app *app)
{
    return app_lambda_serve(app, find_role(app->arguments));
}

static const struct example examples[] = {
    {"make lambda", "in the source: dist/aegis-lambda.zip"},
    {"aegis lambda ingestion", "the command of a function that is a container image"},
    {0},
};

const struct command command_lambda = {
    .name = "lambda",
    .summary = "run as a function on AWS Lambda",
    .operands = "[ingestion|processor|migrate]",
    .max_operands = 1,
    .operand_kind = OPERAND_WORDS,
    .words = "ingestion|processor|migrate",
    .description =
        "The custom runtime of AWS Lambda (provided.al2023): it takes invocations from the "
        "Runtime API that AWS_LAMBDA_RUNTIME_API names, and works only there. A program named "
        "\"bootstrap\", or started there without a command, does this by itself. The function's "
        "handler, or in a container image the operand, chooses what it is:\n\n"
        "`ingestion` takes S3 events, directly or through SQS, SNS or EventBridge, and makes jobs "
        "of them.\n\n"
        "`processor` works on messages of the job queue that SQS hands over, and reports which are "
        "to come again (ReportBatchItemFailures). A scheduled event makes it do what `aegis serve` "
        "does in the background.\n\n"
        "`migrate` brings the database's schema up to date.\n\n"
        "The database is PostgreSQL (DATABASE_URL, or AEGIS_DATABASE_SECRET). The data directory "
        "is /tmp/aegis unless said "
        "otherwise. SIGTERM: what is under way is given back, and the exit status is 0. "
        "docs/lambda.md has more.",
    .examples = examples,
    .service = true,
    .works = true,
    .lambda = true,
    .run = run,
};
