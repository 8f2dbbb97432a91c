/*
 * embed_model.h - changing over to another embedding model, and telling that one is set that does
 * not serve.
 */
#ifndef AEGIS_COMMANDS_EMBED_MODEL_H
#define AEGIS_COMMANDS_EMBED_MODEL_H

#include "commands/app.h"
#include "processor/fill.h"
#include "shared/embedder.h"
#include "yyjson.h"

/* Opens database and providers. Who embeds with the model of this name: that of a space there is
 * already, else as the settings have it. "offline": the offline provider's. ERR_INVALID: several
 * spaces have that name. */
int embed_model_find(struct app *app, const char *name, struct embedder *out);

/* Who embeds by the settings, if that is not the space that serves, or if that one lacks something;
 * else ERR_NOT_FOUND. Opens as above. */
int embed_model_set(struct app *app, struct embedder *out);

/* Fills the space and makes it the serving one, showing how far it is. */
int embed_model_change(struct app *app, const struct embedder *embedder, struct fill_state *out);
/* One line about what was done, or the object for --json. */
void embed_model_print(struct app *app, const struct embedder *embedder,
                       const struct fill_state *state);
yyjson_mut_val *embed_model_json(yyjson_mut_doc *doc, const struct embedder *embedder,
                                 const struct fill_state *state);

/* One line in the app's arena if another model is set than serves; NULL if not, or if that cannot
 * be told. Opens as above. */
const char *embed_model_difference(struct app *app);

#endif
