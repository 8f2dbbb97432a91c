#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/offline/answer.h"
#include "adapters/offline/embedding.h"
#include "adapters/offline/offline.h"
#include "adapters/offline/speech.h"
#include "adapters/offline/summary.h"
#include "shared/clock.h"
#include "shared/error.h"

struct offline {
    struct stopwords *stopwords;
    struct language_detector *detector;
    char *speech_model;
};

static const char *const models[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = SPEECH_MODEL,
    [MODEL_SUMMARISE] = "offline-extract",
    [MODEL_EMBED] = "offline-hash",
    [MODEL_ANSWER] = "offline-quote",
};

static const char *const revisions[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = SPEECH_REVISION,
    [MODEL_SUMMARISE] = SUMMARY_REVISION,
    [MODEL_EMBED] = EMBEDDING_REVISION,
    [MODEL_ANSWER] = ANSWER_REVISION,
};

static void offline_close(void *ctx)
{
    struct offline *o = ctx;
    language_close(o->detector);
    stopwords_close(o->stopwords);
    free(o->speech_model);
    free(o);
}

static int offline_identify(void *ctx, enum model_operation operation, struct model_identity *out)
{
    (void)ctx;
    if ((unsigned)operation >= MODEL_OPERATIONS)
        return error_set(ERR_NOT_FOUND, NULL, "the offline provider has no operation %d",
                         (int)operation);
    *out = (struct model_identity){.provider = "offline", .max_batch = 256};
    snprintf(out->model, sizeof out->model, "%s", models[operation]);
    snprintf(out->revision, sizeof out->revision, "%s", revisions[operation]);
    out->dimension = operation == MODEL_EMBED ? EMBEDDING_DIMENSION : 0;
    out->max_input = SUMMARY_MAX_INPUT;
    if (operation == MODEL_TRANSCRIBE) {
        out->draft = out->cpu_heavy = true;
        out->max_ms = SPEECH_PIECE_MS;
    }
    return OK;
}

/* Every call is recorded, free as it is, so that usage shows what was done. */
static int record(struct model_calls *calls, enum model_operation operation, int64_t began_ms,
                  int64_t audio_ms)
{
    struct model_call call = {.provider = "offline",
                              .operation = operation,
                              .audio_ms = audio_ms,
                              .duration_ms = clock_monotonic_ms() - began_ms};
    snprintf(call.model, sizeof call.model, "%s", models[operation]);
    return model_calls_add(calls, &call);
}

static int check_cancelled(const struct cancel *cancel)
{
    return cancel_requested(cancel) ? error_set(ERR_CANCELLED, NULL, "cancelled") : OK;
}

static int offline_transcribe(void *ctx, const struct transcribe_request *request,
                              const struct cancel *cancel, struct arena *arena,
                              struct model_calls *calls, struct transcribe_result *out)
{
    struct offline *o = ctx;
    int64_t began = clock_monotonic_ms();
    int rc = speech_transcribe(o->speech_model, request, cancel, arena, out);
    return rc ? rc : record(calls, MODEL_TRANSCRIBE, began, request->duration_ms);
}

static int offline_summarise(void *ctx, const struct summarise_request *request,
                             const struct cancel *cancel, struct arena *arena,
                             struct model_calls *calls, struct summary *out)
{
    struct offline *o = ctx;
    int64_t began = clock_monotonic_ms();
    int rc = check_cancelled(cancel);
    if (!rc && request->part == SUMMARY_REDUCE)
        rc = summary_of_parts(o->stopwords, o->detector, request, cancel, arena, out);
    else if (!rc)
        rc = summary_of_text(o->stopwords, o->detector, request, cancel, arena, out);
    return rc ? rc : record(calls, MODEL_SUMMARISE, began, 0);
}

static int offline_embed(void *ctx, const struct embed_request *request,
                         const struct cancel *cancel, struct arena *arena,
                         struct model_calls *calls, struct embed_result *out)
{
    struct offline *o = ctx;
    int64_t began = clock_monotonic_ms();
    out->dimension = EMBEDDING_DIMENSION;
    out->vectors = arena_array(arena, request->count, EMBEDDING_DIMENSION * sizeof *out->vectors);
    int rc = out->vectors ? OK : ERR_NO_MEMORY;
    for (size_t i = 0; !rc && i < request->count; i++) {
        rc = check_cancelled(cancel);
        if (!rc)
            rc = embedding_of(o->stopwords, o->detector, request->purpose, request->texts[i],
                              request->lengths[i], out->vectors + i * EMBEDDING_DIMENSION);
    }
    return rc ? rc : record(calls, MODEL_EMBED, began, 0);
}

static int offline_answer(void *ctx, const struct answer_request *request,
                          const struct cancel *cancel, struct arena *arena,
                          struct model_calls *calls, struct answer_result *out)
{
    struct offline *o = ctx;
    int64_t began = clock_monotonic_ms();
    int rc = check_cancelled(cancel);
    if (!rc)
        rc = answer_from(o->stopwords, o->detector, request, arena, out);
    return rc ? rc : record(calls, MODEL_ANSWER, began, 0);
}

static int offline_check(void *ctx, enum model_operation operation, const struct cancel *cancel)
{
    struct offline *o = ctx;
    return operation == MODEL_TRANSCRIBE ? speech_check(o->speech_model, cancel) : OK;
}

static const struct model_provider_ops offline_ops = {
    .name = "offline",
    .close = offline_close,
    .identify = offline_identify,
    .transcribe = offline_transcribe,
    .summarise = offline_summarise,
    .embed = offline_embed,
    .answer = offline_answer,
    .check = offline_check,
};

int offline_provider_open(const struct offline_options *options, struct model_provider *out)
{
    const char *model = options && options->speech_model ? options->speech_model : "";
    struct offline *o = calloc(1, sizeof *o);
    if (!o)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the offline provider");
    int rc = stopwords_open(&o->stopwords);
    if (!rc)
        rc = language_open(o->stopwords, &o->detector);
    o->speech_model = strdup(*model ? model : speech_default_model());
    if (!rc && !o->speech_model)
        rc = error_set(ERR_NO_MEMORY, NULL, "out of memory for the offline provider");
    if (rc) {
        offline_close(o);
        return rc;
    }
    *out = (struct model_provider){.ops = &offline_ops, .ctx = o};
    return OK;
}

const struct child_main offline_children[] = {
    {.name = "speech", .run = speech_child},
    {.name = NULL},
};
