/*
 * app_keys.h - the API keys of the model operations, and how a wrong one is mended.
 *
 * A key comes from the settings (flag, environment, aegis.conf), else from the file or folder
 * "secrets" in the data directory (adapters/local/secrets_file.h), where "openai_api_key" stands
 * for the setting openai.api_key, or from AWS Secrets Manager (adapters/aws/secrets_manager.h). One
 * that a server refused is read anew before it is used again, so that a running service goes on
 * with the right one.
 */
#ifndef AEGIS_COMMANDS_APP_KEYS_H
#define AEGIS_COMMANDS_APP_KEYS_H

#include "adapters/openai/openai.h"
#include "commands/app.h"

struct app_keys;

/* Lives until app_close. */
int app_keys_open(struct app *app, struct app_keys **out);
void app_keys_close(struct app_keys *keys);

/* The getter for the provider. */
struct openai_keys app_keys_getter(struct app_keys *keys);

/* Whether an operation has a key of its own or, if `common`, the one for all. A secrets file that
 * cannot be read counts: its error is told when the key is used. */
bool app_has_key(const struct app *app, enum model_operation operation, bool common);

/* Where the common key comes from, for people, in the app's arena: "OPENAI_API_KEY",
 * "aegis.conf:3", "the secret 'x' in AWS Secrets Manager"; "" if there is none, NULL with the error
 * set if that cannot be told. */
const char *app_key_origin(struct app *app);

#endif
