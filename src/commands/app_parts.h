/* app_parts.h - the pieces of the composition that app.c puts together. */
#ifndef AEGIS_COMMANDS_APP_PARTS_H
#define AEGIS_COMMANDS_APP_PARTS_H

#include "commands/app.h"
#include "shared/pg.h"

/* The HTTP engine that all share; opened once. */
int app_http(struct app *app);

/* Providers for one operation of one model; opened once. */
int app_offline(struct app *app);
/* `model` and `dimension` instead of those set for embeddings. NULL and 0: as set. */
int app_openai(struct app *app, const char *model, int dimension, struct model_provider *out);

/* app_embedders.c: the embedder of struct model_providers. */
int app_embedders_open(struct app *app);
void app_embedders_close(struct app *app);
int app_embedder(void *app, const char *provider, const char *model, int dimension,
                 struct model_provider *out);

/* Makes it, with mode 0700, if it is not there. */
int app_make_data_directory(const struct app *app);

/* Where objects are, for people, in the app's arena; then whether they can be reached there. */
int app_store_check(struct app *app, const char **where);
/* app_secrets.c: app->secrets, by the setting `secrets`. Reads and connects to nothing yet. */
int app_secrets_open(struct app *app);

/* app_url.c: where the pools look when a login is refused. */
struct pg_url_source app_database_source(struct app *app);

/* app_aws.c: the queue of queue.long_url, for sending alone. Its ops are NULL if none is set.
 * Closed by the caller. */
int app_long_queue(struct app *app, struct job_queue *out);

int app_postgres_database(struct app *app, const char *url);
int app_postgres_queue(struct app *app, const char *url);
int app_sqs_queue(struct app *app);

#endif
