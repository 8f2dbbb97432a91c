/*
 * openai.h - the model provider that speaks OpenAI's HTTP API, and so also to every server that is
 * compatible with it (Ollama, llama.cpp, vLLM, LocalAI, whisper servers). The shapes are those of
 * the official Node client (npm "openai" 7.57) and https://developers.openai.com/api/reference.
 *
 *   transcribe  POST /audio/transcriptions. gpt-transcribe and gpt-4o-*: one segment for the piece;
 *               *-diarize: segments with speakers; whisper-1 and everything else: verbose_json
 *               segments with times, or one segment if the server knows no verbose_json.
 *   summarise   POST /chat/completions (or /responses) with a strict JSON schema; a server that
 *               refuses json_schema is asked for json_object, then for JSON in words.
 *   embed       POST /embeddings in base64, split over the API's three limits.
 *   answer      POST /chat/completions (or /responses).
 *
 * What a server turns out not to know is remembered as long as the provider is open.
 *
 * Nothing here sleeps or retries a failed call: the error says whether and when it is worth it
 * (docs/retry.md), and the job's attempts decide. Only a reply cut off by its length limit is asked
 * for once more at once, with a higher limit, and a request that the server took no part of because
 * of a parameter it does not know is sent once more without it.
 *
 *   what came back                                  error
 *   401, 403; no key where one is needed            ERR_SYSTEMIC  invalid_key
 *   404 about the model                             ERR_SYSTEMIC  model_not_found
 *   any other 404, 405, a redirect                  ERR_SYSTEMIC  endpoint_not_found
 *   402; 429 insufficient_quota                     ERR_SYSTEMIC  quota_exhausted
 *   any other 429                                   ERR_TRANSIENT rate_limited, with the time named
 *   408, 409, 425, 5xx                              ERR_TRANSIENT server_error, with the time named
 *   connection refused or not made in time, no      ERR_SYSTEMIC  provider_unreachable (every job
 *   such host                                       would meet it)
 *   broken, slow                                    ERR_TRANSIENT connection_reset,
 *                                                   incomplete_body, timeout, ...
 *   a certificate that cannot be trusted            ERR_SYSTEMIC  tls
 *   400 context_length_exceeded                     ERR_PERMANENT context_length_exceeded
 *   400 or 413 about the audio                      ERR_PERMANENT unsupported_audio, too_large
 *   any other 4xx                                   ERR_PERMANENT bad_request
 *   a refusal, content_filter                       ERR_PERMANENT refused
 *   cut off even at the higher limit                ERR_PERMANENT truncated_reply
 *   not the JSON that was asked for; missing, odd   ERR_TRANSIENT malformed_reply (models are not
 *   or not finite embeddings                        deterministic: the next attempt may do better)
 *   embeddings of another dimension than set        ERR_SYSTEMIC  wrong_dimension
 *
 * x-should-retry overrules: "true" makes a 4xx transient, "false" a 5xx permanent and a 429
 * systemic. The time named is that of retry-after-ms, else Retry-After, else x-ratelimit-reset-*.
 */
#ifndef AEGIS_OPENAI_OPENAI_H
#define AEGIS_OPENAI_OPENAI_H

#include "ports/model_provider.h"
#include "shared/clock.h"
#include "shared/http.h"

#define OPENAI_BASE_URL "https://api.openai.com/v1"

enum {
    OPENAI_UPLOAD_LIMIT = 26214400,    /* bytes of one transcription request, framing counted */
    OPENAI_UPLOAD_FRAMING = 8192,      /* of them kept free for the form around the audio */
    OPENAI_TRANSCRIBE_MAX_MS = 1300000 /* some models take no more than 1,400 s at a time */
};

/* NULL and "" mean the default throughout. */
struct openai_operation {
    const char *base_url; /* OPENAI_BASE_URL; usually ends in /v1 */
    const char *api_key;  /* none is sent: local servers need none */
    const char *model;    /* gpt-transcribe, gpt-5.4-mini, text-embedding-3-small; answers:
                             gpt-5.4-mini */
};

/* Keys that may change while the provider is open: asked for before every request, so that a key
 * that is mended needs no restart. Thread-safe. */
struct openai_keys {
    /* Copies the operation's key as a string, "" for none. May block. An error is the request's:
     * ERR_SYSTEMIC if the key cannot be read. */
    int (*get)(void *ctx, enum model_operation operation, char *out, size_t capacity);
    /* The server refused the operation's key: the next get reads it anew. */
    void (*refused)(void *ctx, enum model_operation operation);
    void *ctx;
};

struct openai_options {
    struct openai_operation operations[MODEL_OPERATIONS];
    struct openai_keys keys;      /* get NULL: those of the operations; else instead of them */
    const char *organization;     /* sent as OpenAI-Organization */
    const char *project;          /* sent as OpenAI-Project */
    const char *reasoning_effort; /* of summaries and answers, sent to reasoning models only */
    const char *summary_api;      /* "chat" (the default) or "responses" */
    int embed_dimensions;         /* 0: 1536 */
    int64_t timeout_ms;           /* of one request; 0: 10 minutes */
    int64_t idle_timeout_ms;      /* no byte for so long; 0: as long as timeout_ms */
    int64_t connect_timeout_ms;   /* 0: 10 s */
    int64_t transcribe_max_ms;    /* longest piece of audio; 0: OPENAI_TRANSCRIBE_MAX_MS */
    size_t max_input;             /* bytes of text of one summary call; 0: by the model's name */

    /* The user's price of a model: "0.25 0.025 2.00" (US dollars per million input, cached input
     * and output tokens) or "0.006/min"; NULL: the built-in table, else not known. Optional. */
    const char *(*price)(void *ctx, const char *model);
    void *price_ctx;

    const struct clock *clock; /* NULL: the system's; for Retry-After dates */
};

/* Strings are copied; `engine`, `clock` and the ctx of `keys` must outlive the provider.
 * ERR_INVALID if a base URL, a key or summary_api cannot be used, naming it (never the key itself).
 * Does not connect. */
int openai_provider_open(const struct openai_options *options, struct http_engine *engine,
                         struct model_provider *out);

#endif
