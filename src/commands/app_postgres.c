/*
 * app_postgres.c - database and queue on PostgreSQL. The queue has a pool of its own: its
 * connection that listens would else take one from the database's.
 */
#include <string.h>

#include "commands/app_parts.h"

#include "adapters/postgres/queue_postgres.h"
#include "database/postgres.h"
#include "shared/pg.h"

/* Dispatcher, keeper, the service's look at the queue, and one that listens. */
enum { QUEUE_CONNECTIONS = 4 };

/* Commits are gathered, so a few connections carry many workers. */
static int connections(const struct app *app)
{
    int set = (int)config_int(app->config, "database.connections");
    int workers = (int)config_int(app->config, "workers");
    if (set > 0)
        return set;
    if (!app->arguments->command->works)
        return 2;
    return workers < 64 ? 4 + workers / 16 : 8;
}

int app_postgres_database(struct app *app, const char *url)
{
    struct postgres_database_options options = {.url = url,
                                                .source = app_database_source(app),
                                                .clock = clock_system(),
                                                .connections = connections(app),
                                                .no_background = !app->arguments->command->works ||
                                                                 app->arguments->command->lambda};
    return postgres_database_open(&options, &app->database);
}

int app_postgres_queue(struct app *app, const char *url)
{
    struct pg_settings settings = {.connections = QUEUE_CONNECTIONS,
                                   .source = app_database_source(app),
                                   .application_name = "aegis queue"};
    int rc = pg_pool_open(url, &settings, &app->queue_pool);
    struct postgres_queue_options options = {
        .pool = app->queue_pool,
        .max_receives = (int)config_int(app->config, "queue.max_receives"),
    };
    return rc ? rc : postgres_queue_open(&options, &app->queue);
}

static bool on_postgres(const struct app *app)
{
    return app->database.ops && strcmp(app->database.ops->name, "postgres") == 0;
}

int app_tend(struct app *app, int64_t until_ms, bool *more)
{
    *more = false;
    return on_postgres(app) ? postgres_database_tend(&app->database, until_ms, more) : OK;
}

int app_thaw(struct app *app)
{
    return on_postgres(app) ? postgres_database_thaw(&app->database) : OK;
}
