#include <string.h>

#include "fake.h"
#include "shared/json.h"

struct known_model {
    const char *name;
    enum model_kind kind;
    int dimension;
};

static const struct known_model known[] = {
    {"gpt-5.4-mini", MODEL_REASONING, 0},
    {"gpt-5.4-nano", MODEL_REASONING, 0},
    {"gpt-5.4", MODEL_REASONING, 0},
    {"gpt-4.1-mini", MODEL_CHAT, 0},
    {"gpt-4o-mini", MODEL_CHAT, 0},
    {"text-embedding-3-small", MODEL_EMBEDDING, 1536},
    {"text-embedding-3-large", MODEL_EMBEDDING, 3072},
    {"text-embedding-ada-002", MODEL_EMBEDDING, 1536},
    {"gpt-transcribe", MODEL_TRANSCRIPTION, 0},
    {"gpt-4o-transcribe", MODEL_TRANSCRIPTION, 0},
    {"gpt-4o-mini-transcribe", MODEL_TRANSCRIPTION, 0},
    {"gpt-4o-transcribe-diarize", MODEL_TRANSCRIPTION, 0},
    {"whisper-1", MODEL_TRANSCRIPTION, 0},
};
enum { KNOWN = sizeof known / sizeof known[0] };

static const struct known_model *find(const char *name)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    return NULL;
}

static bool is_extra(const struct options *o, const char *name)
{
    for (size_t i = 0; i < o->model_count; i++)
        if (strcmp(o->models[i], name) == 0)
            return true;
    return false;
}

enum model_kind model_kind(const struct options *options, const char *name)
{
    const struct known_model *m = find(name);
    if (m)
        return m->kind;
    /* a local model does whatever it is asked for */
    return is_extra(options, name) ? MODEL_CHAT : MODEL_UNKNOWN;
}

bool model_accept(struct exchange *x, const char *name, enum model_kind kind, enum model_kind other)
{
    const struct options *o = server_options(x->server);
    if (is_extra(o, name))
        return true;
    enum model_kind found = model_kind(o, name);
    if (found == kind || found == other)
        return true;
    if (found == MODEL_UNKNOWN)
        reply_error(x, 404, "invalid_request_error", NULL, "model_not_found",
                    "The model `%s` does not exist or you do not have access to it.", name);
    else
        reply_error(x, 404, "invalid_request_error", "model", NULL,
                    "This is not a model supported in this endpoint: `%s`.", name);
    return false;
}

int models_dimension(const char *name)
{
    const struct known_model *m = find(name);
    return m && m->dimension ? m->dimension : 1536;
}

static void append_model(struct buffer *out, const char *name)
{
    buffer_append_string(out, "{\"id\":");
    json_append_string(out, name, strlen(name));
    buffer_append_string(out,
                         ",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"system\"}");
}

void models_list(struct exchange *x)
{
    const struct options *o = server_options(x->server);
    buffer_append_string(&x->reply, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < KNOWN + o->model_count; i++) {
        if (i)
            buffer_append_char(&x->reply, ',');
        append_model(&x->reply, i < KNOWN ? known[i].name : o->models[i - KNOWN]);
    }
    buffer_append_string(&x->reply, "]}");
    x->status = 200;
}

void models_get(struct exchange *x, const char *name)
{
    if (!find(name) && !is_extra(server_options(x->server), name)) {
        reply_error(x, 404, "invalid_request_error", "model", "model_not_found",
                    "The model '%s' does not exist", name);
        return;
    }
    append_model(&x->reply, name);
    x->status = 200;
}
