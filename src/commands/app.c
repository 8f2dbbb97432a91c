#include "commands/app.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/local/queue_sqlite.h"
#include "commands/app_aws.h"
#include "commands/app_keys.h"
#include "commands/app_parts.h"
#include "database/sqlite.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/http.h"
#include "shared/job_message.h"
#include "shared/log.h"
#include "shared/pg.h"

/* ---- setting up ---- */

static int set_flags(const struct arguments *a, struct config *config)
{
    for (size_t i = 0; i < a->given_count; i++) {
        const struct given_option *given = &a->given[i];
        char from[64], key[128];
        int rc = OK;
        snprintf(from, sizeof from, "--%s", given->option->name);
        if (given->option->setting) {
            rc = config_set_from(config, given->option->setting, given->value, from);
        } else if (!strcmp(given->option->name, "set")) {
            const char *equals = strchr(given->value, '=');
            if (!equals || (size_t)(equals - given->value) >= sizeof key)
                return error_set(ERR_INVALID, NULL, "'--set %.64s' is not KEY=VALUE", given->value);
            snprintf(key, sizeof key, "%.*s", (int)(equals - given->value), given->value);
            rc = config_set(config, key, equals + 1);
        }
        if (rc)
            return strcmp(from, "--set") ? error_prefix("%s", from) : rc;
    }
    return OK;
}

int app_read_config(const struct arguments *a, struct config **out)
{
    bool in_tmp = a->command && a->command->lambda && !getenv("AEGIS_DATA");
    int rc = config_open(arguments_value(a, "data", in_tmp ? "/tmp/aegis" : NULL),
                         arguments_value(a, "config", NULL), out);
    if (!rc)
        rc = set_flags(a, *out);
    if (rc) {
        config_close(*out);
        *out = NULL;
    }
    return rc;
}

static void configure_log(const struct app *app)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    enum log_level level = LOG_INFO;
    bool by_default = config_source(app->config, "log.level") == SOURCE_DEFAULT;
    const char *wanted = config_string(app->config, "log.level");
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], wanted))
            level = (enum log_level)i;
    if (by_default && !app->arguments->command->service) /* lines would tear the progress apart */
        level = app->terminal.err_tty ? LOG_ERROR : LOG_WARN;
    const char *format = config_string(app->config, "log.format");
    bool json = !strcmp(format, "json") || (!strcmp(format, "auto") && !app->terminal.err_tty);
    log_configure(level, json ? LOG_JSON : LOG_TEXT, STDERR_FILENO);
}

int app_init(struct app *app, const struct arguments *arguments)
{
    *app = (struct app){.arguments = arguments};
    arena_init(&app->arena, GIB(1));
    terminal_look(&app->terminal, arguments_value(arguments, "color", "auto"));
    app->json = arguments_has(arguments, "json");
    int rc = app_read_config(arguments, &app->config);
    if (!rc)
        rc = app_secrets_open(app);
    if (!rc)
        configure_log(app);
    return rc;
}

static void *close_queue_and_store(void *ctx)
{
    struct app *app = ctx;
    if (app->queue.ops)
        app->queue.ops->close(app->queue.ctx);
    pg_pool_close(app->queue_pool);
    if (app->store.ops)
        app->store.ops->close(app->store.ctx);
    return NULL;
}

/* Each has files of its own to leave in order, so one waits for its disk beside the other. */
static void close_data(struct app *app)
{
    pthread_t thread;
    bool beside = app->database.ops && app->queue.ops &&
                  pthread_create(&thread, NULL, close_queue_and_store, app) == 0;
    if (!beside)
        close_queue_and_store(app);
    if (app->database.ops)
        app->database.ops->close(app->database.ctx);
    if (beside)
        pthread_join(thread, NULL);
}

void app_close(struct app *app)
{
    app_embedders_close(app);
    if (app->openai.ops)
        app->openai.ops->close(app->openai.ctx);
    if (app->offline.ops)
        app->offline.ops->close(app->offline.ctx);
    app_keys_close(app->keys);
    close_data(app); /* which may look for another password still */
    if (app->secrets.ops)
        app->secrets.ops->close(app->secrets.ctx);
    app_aws_close(app);
    http_engine_close(app->http);
    config_close(app->config);
    arena_free(&app->arena);
}

/* ---- the data directory ---- */

const char *app_path(struct app *app, const char *name)
{
    return arena_printf(&app->arena, "%s/%s", config_data_directory(app->config), name);
}

int app_require_data(struct app *app)
{
    const char *path = app_path(app, "aegis.db"), *url;
    if (!path)
        return ERR_NO_MEMORY;
    int rc = app_database_url(app, &url);
    if (rc || *url || access(path, F_OK) == 0)
        return rc;
    return error_set(
        ERR_NOT_FOUND, NULL,
        "nothing has been added to '%s' yet; begin with `aegis add PATH`, or say where "
        "your data is with --data DIR",
        config_data_directory(app->config));
}

int app_make_data_directory(const struct app *app)
{
    const char *data = config_data_directory(app->config);
    umask(077); /* what is in it is nobody else's business, whatever the directory's own mode */
    return file_make_directory(data) ? error_prefix("data directory") : OK;
}

int app_database(struct app *app)
{
    const char *url;
    if (app->database.ops)
        return OK;
    int rc = app_database_url(app, &url);
    if (!rc && *url)
        return app_postgres_database(app, url);
    if (!rc)
        rc = app_make_data_directory(app);
    if (rc)
        return rc;
    struct sqlite_database_options options = {.directory = config_data_directory(app->config)};
    return sqlite_database_open(&options, &app->database);
}

int app_queue(struct app *app)
{
    const char *url;
    if (app->queue.ops)
        return OK;
    if (*config_string(app->config, "queue.url"))
        return app_sqs_queue(app);
    int rc = app_database_url(app, &url);
    if (!rc && *url)
        return app_postgres_queue(app, url);
    if (!rc)
        rc = app_make_data_directory(app);
    if (rc)
        return rc;
    struct sqlite_queue_options options = {
        .path = app_path(app, "queue.db"),
        .max_receives = (int)config_int(app->config, "queue.max_receives"),
    };
    return options.path ? sqlite_queue_open(&options, &app->queue) : ERR_NO_MEMORY;
}

/* ---- processing ---- */

int app_processor_settings(struct app *app, struct processor_settings *out)
{
    const struct config *c = app->config;
    char host[65] = "localhost";
    gethostname(host, sizeof host - 1);
    *out = (struct processor_settings){
        .workers = (int)config_int(c, "workers"),
        .cpu_slots = (int)config_int(c, "cpu_slots"),
        .worker_name = arena_printf(&app->arena, "%s:%d", host, (int)getpid()),
        .spool_directory = config_data_directory(c),
        .retry = {.base_ms = config_int(c, "retry.base"),
                  .cap_ms = config_int(c, "retry.cap"),
                  .max_attempts = (int)config_int(c, "retry.max_attempts")},
        .visibility_ms = config_int(c, "queue.visibility"),
        .drain_ms = config_int(c, "drain"),
        .chunk_bytes = (size_t)config_int(c, "chunk.bytes"),
        .piece_ms = config_int(c, "transcribe.piece"),
        .transcribe_window = (int)config_int(c, "transcribe.window"),
        .summary_max_bytes = (size_t)config_int(c, "summary.max_bytes"),
        .budget_nanousd = (int64_t)(config_number(c, "budget") * 1e9),
        .text_bytes = config_int(c, "media.max_text"),
        .parser_ms = config_int(c, "media.parser_timeout"),
        .accept_truncated = config_bool(c, "media.accept_truncated"),
    };
    return out->worker_name ? OK : ERR_NO_MEMORY;
}

int app_processor_ports(struct app *app, struct processor_ports *out)
{
    int rc = app_store(app);
    if (!rc)
        rc = app_database(app);
    if (!rc)
        rc = app_queue(app);
    if (!rc)
        rc = app_providers(app);
    *out = (struct processor_ports){.store = app->store,
                                    .queue = app->queue,
                                    .database = app->database,
                                    .providers = app->providers,
                                    .clock = clock_system()};
    return rc;
}

int app_processor_start(struct app *app, const struct processor_observer *observer,
                        struct processor **out)
{
    struct processor_settings settings;
    struct processor_ports ports;
    int rc = app_processor_ports(app, &ports);
    if (!rc)
        rc = app_processor_settings(app, &settings);
    return rc ? rc : processor_start(&ports, &settings, observer, out);
}

int app_send_jobs(struct app *app, const struct job_row *jobs, size_t count)
{
    enum { BATCH = 100 };
    struct queue_limits limits;
    app->queue.ops->limits(app->queue.ctx, &limits);
    size_t batch = limits.max_batch < BATCH ? (size_t)limits.max_batch : BATCH;
    for (size_t at = 0; at < count;) {
        struct queue_send messages[BATCH];
        char bodies[BATCH][JOB_MESSAGE_TEXT], traceparents[BATCH][TRACEPARENT_TEXT];
        size_t n = count - at < batch ? count - at : batch;
        for (size_t i = 0; i < n; i++) {
            struct job_message message = {.job_id = jobs[at + i].job_id};
            snprintf(message.trace_id, sizeof message.trace_id, "%s", jobs[at + i].trace_id);
            size_t length = job_message_format(&message, bodies[i]);
            messages[i] = (struct queue_send){
                .body = bodies[i],
                .length = length,
                .group = jobs[at + i].collection,
                .traceparent = job_message_traceparent(&message, true, traceparents[i])};
        }
        int rc = app->queue.ops->send(app->queue.ctx, messages, n, NULL);
        if (rc)
            return error_prefix("while queueing jobs");
        at += n;
    }
    return OK;
}

/* ---- errors ---- */

enum exit_status status_of(const struct error *e)
{
    switch (e->code) {
    case OK:
        return STATUS_OK;
    case ERR_INVALID:
        return STATUS_USAGE;
    case ERR_NOT_FOUND:
        return STATUS_NOT_FOUND;
    case ERR_SYSTEMIC:
    case ERR_DISK_FULL:
        return STATUS_PAUSED;
    case ERR_SCHEMA:
        return STATUS_NEWER;
    case ERR_CANCELLED:
        return STATUS_INTERRUPTED;
    default:
        return STATUS_FAILED;
    }
}

int app_fail(const struct app *app)
{
    const struct error *e = error_last();
    struct arena arena;
    arena_init(&arena, KIB(64));
    fflush(stdout);
    bool color = app && app->terminal.err_color;
    fprintf(stderr, "%saegis:%s %s\n", style_text(color, STYLE_RED), style_text(color, STYLE_NONE),
            text_clean(&arena, e->message));
    arena_free(&arena);
    return status_of(e);
}

void app_note(const struct app *app, const char *format, ...)
{
    (void)app;
    va_list ap;
    va_start(ap, format);
    fflush(stdout);
    fputs("aegis: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}
