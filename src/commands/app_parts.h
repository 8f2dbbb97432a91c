/* app_parts.h - the pieces of the composition that app.c puts together. */
#ifndef AEGIS_COMMANDS_APP_PARTS_H
#define AEGIS_COMMANDS_APP_PARTS_H

#include "commands/app.h"

int app_postgres_database(struct app *app, const char *url);
int app_postgres_queue(struct app *app, const char *url);

#endif
