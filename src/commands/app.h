/*
 * app.h - the composition: the one place that names concrete adapters.
 *
 * A command asks for what it needs; nothing else is opened or loaded. What was opened is closed by
 * app_close, in the right order.
 */
#ifndef AEGIS_COMMANDS_APP_H
#define AEGIS_COMMANDS_APP_H

#include "commands/cli.h"
#include "commands/output.h"
#include "ports/database.h"
#include "ports/job_queue.h"
#include "ports/model_provider.h"
#include "ports/object_store.h"
#include "ports/secret_source.h"
#include "processor/processor.h"
#include "shared/arena.h"
#include "shared/cancel.h"
#include "shared/config.h"
#include "shared/error.h"

struct http_engine;
struct app_keys;
struct pg_pool;

struct app {
    const struct arguments *arguments;
    struct config *config;
    struct terminal terminal;
    bool json;
    struct arena arena; /* lives as long as the command */

    /* valid after app_database and so on returned 0 */
    struct object_store store;
    struct job_queue queue;
    struct database database;
    struct model_providers providers;

    struct pg_pool *queue_pool;   /* of a queue in PostgreSQL */
    struct secret_source secrets; /* "secrets" in the data directory, $CREDENTIALS_DIRECTORY */
    struct app_keys *keys;
    struct http_engine *http;
    struct model_provider offline, openai; /* opened, whichever operations they serve */
    struct app_embedders *embedders;       /* of other models than the set one (app_embedders.h) */
};

int app_init(struct app *app, const struct arguments *arguments);
void app_close(struct app *app);

/* The settings by file, environment and these flags, as they are now. */
int app_read_config(const struct arguments *arguments, struct config **out);

/* ERR_NOT_FOUND if there is nothing to read yet (SQLite only): for commands that only read. */
int app_require_data(struct app *app);

/* Each opens its part if it is not open; the data directory is made (0700) if need be. Database and
 * queue are in PostgreSQL where its URL is set, else in the data directory; objects are in the
 * folder of the setting store.directory, else in the data directory. */
int app_database(struct app *app);
int app_queue(struct app *app);
int app_store(struct app *app);
int app_providers(struct app *app);

/* PostgreSQL's URL, from the setting database.url (DATABASE_URL) or the secret "database_url"; ""
 * if none is set: then it is SQLite. Borrowed from the app. Not to be shown (pg_pool_name is). */
int app_database_url(struct app *app, const char **out);

/* Which provider serves an operation by the settings: "offline" or "openai". */
const char *app_provider_name(const struct app *app, enum model_operation operation);

/* The processor's settings by the configuration. Strings live in the app's arena. */
int app_processor_settings(struct app *app, struct processor_settings *out);

/* Starts a processor on the app's store, queue, database and providers, all opened for it. */
int app_processor_start(struct app *app, const struct processor_observer *observer,
                        struct processor **out);

/* Sends the messages of these jobs, in batches the queue takes. */
int app_send_jobs(struct app *app, const struct job_row *jobs, size_t count);

/* Prints the last error as "aegis: ..." to standard error and returns the status it stands for. */
int app_fail(const struct app *app);
enum exit_status status_of(const struct error *error);

/* A path in the data directory, in the app's arena. NULL with ERR_NO_MEMORY set. */
const char *app_path(struct app *app, const char *name);

/* "aegis: ..." to standard error: a note that is not an error. */
void app_note(const struct app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- signals ---- */

/* From now on SIGINT and SIGTERM ask to stop: the flag is returned by app_stop. A second one ends
 * the process at once with STATUS_INTERRUPTED. */
void app_catch_signals(void);
const struct cancel *app_stop(void);
bool app_stopped(void);
void app_request_stop(void); /* as a signal would */

/* A descriptor that becomes readable on the first signal; for poll(2). -1 before
 * app_catch_signals. */
int app_stop_fd(void);

/* Waits at most `ms`, less if a stop is asked for. */
void app_sleep(int ms);

#endif
