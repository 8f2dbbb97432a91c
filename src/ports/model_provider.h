/*
 * model_provider.h - the port to AI models (offline, OpenAI and everything that speaks its API).
 *
 * One provider may serve transcription, summaries and embeddings, or each comes from its own.
 * All methods are thread-safe and block. Results live in the caller's arena. Errors carry a class:
 * ERR_TRANSIENT (429, 5xx, resets, timeouts; retry_after_ms set when known), ERR_PERMANENT with a
 * reason ("refused", "truncated_reply", "unsupported_audio", ...), ERR_SYSTEMIC with a
 * reason ("invalid_key", "quota_exhausted", "model_not_found", "provider_unreachable"), or
 * ERR_CANCELLED.
 *
 * Every call that reached a provider is described in *call, also when it failed after being billed.
 */
#ifndef AEGIS_PORTS_MODEL_PROVIDER_H
#define AEGIS_PORTS_MODEL_PROVIDER_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/arena.h"
#include "shared/cancel.h"

enum model_operation {
    MODEL_TRANSCRIBE,
    MODEL_SUMMARISE,
    MODEL_EMBED,
    MODEL_ANSWER,
    MODEL_OPERATIONS
};

/* What an operation is done with. Everything here that changes results enters the stage's settings
 * digest, so that changing it re-runs that stage and no other. */
struct model_identity {
    char provider[32]; /* "offline", "openai" */
    char model[96];    /* "gpt-5.4-mini", "offline-hash-v1" */
    char revision[96]; /* provider's own version of prompt, schema, parameters */
    int dimension;     /* embeddings only, else 0 */
    bool draft;        /* transcripts only: not to be trusted, label it "draft" */
    bool timestamps;   /* transcribe: replies carry segment times; without, pieces are kept short */
    bool cpu_heavy;    /* hold a CPU slot while calling */
    int64_t max_bytes; /* transcribe: bytes of one audio upload, framing counted; 0: no limit */
    int64_t max_ms;    /* transcribe: length of one piece; 0: no limit */
    size_t max_input; /* summarise, answer: bytes of text of one call that surely fit the context */
    size_t max_batch; /* embed: inputs of one call */
};

/* One billed (or free) call. */
struct model_call {
    char provider[32];
    char model[96];
    enum model_operation operation;
    int64_t input_tokens, cached_tokens, output_tokens; /* 0 where not applicable */
    int64_t audio_ms;                                   /* length of audio sent */
    int64_t cost_nanousd;                               /* 10^-9 US dollars; -1: price not known */
    int64_t duration_ms;                                /* wall time of the call */
    int http_status;                                    /* 0 for offline or when no reply came */
};

struct transcribe_request {
    int fd;       /* a WAV file (RIFF, 16 kHz, mono, s16), read from offset 0 with pread */
    int64_t size; /* its bytes */
    int64_t duration_ms;
    const char *language; /* ISO 639-1 hint or "" */
    const char *prompt;   /* context such as the end of the piece before; "" if none */
};

/* Times are milliseconds within the piece. Without model timestamps there is one segment that
 * covers the piece. `speaker` is "" if not known. */
struct transcript_segment {
    int64_t start_ms, end_ms;
    const char *text;
    const char *speaker;
};

struct transcribe_result {
    struct transcript_segment *segments; /* none: no speech in this piece */
    size_t count;
    char language[16]; /* ISO 639-1, "" if not told */
};

enum summary_part { SUMMARY_WHOLE, SUMMARY_MAP, SUMMARY_REDUCE };

struct summarise_request {
    enum summary_part
        part;         /* MAP: one part of a long text; REDUCE: the map results, one JSON a line */
    const char *text; /* UTF-8 */
    size_t length;
    const char *title_hint; /* file name or document title, "" if none */
    const char *language;   /* of the text if known, else "" */
};

struct action_item {
    const char *text;
    const char *owner; /* "" if not said */
};

/* Strings are "" and arrays empty where the text gives nothing. */
struct summary {
    const char *title;
    const char *abstract;
    const char *language; /* ISO 639-1 of the text, "" if unsure */
    const char **key_points;
    size_t key_point_count;
    const char **topics;
    size_t topic_count;
    const char **entities;
    size_t entity_count;
    struct action_item *action_items;
    size_t action_item_count;
};

enum embed_purpose { EMBED_DOCUMENT, EMBED_QUERY };

struct embed_request {
    enum embed_purpose purpose;
    const char *const *texts; /* UTF-8, none empty */
    const size_t *lengths;
    size_t count; /* any number: the provider splits over its request limits */
};

struct embed_result {
    float *vectors; /* count x dimension, row-major float32, each row L2-normalised */
    int dimension;
};

struct answer_passage {
    const char *text;
    const char *source; /* "talk.mp3 at 3:07" */
};

struct answer_request {
    const char *question;
    const struct answer_passage *passages; /* cited as [1], [2], ... in this order */
    size_t count;
};

struct answer_result {
    const char *text; /* cites passages as [n] */
    bool quoted;      /* true: no model wrote this, the passages are quoted */
};

/* calls: appended to a caller's list; grows in the arena. */
struct model_calls {
    struct arena *arena;
    struct model_call *items;
    size_t count, capacity;
};

/* Appends a copy. 0 or ERR_NO_MEMORY. */
int model_calls_add(struct model_calls *calls, const struct model_call *call);

struct model_provider_ops {
    const char *name;
    void (*close)(void *ctx);

    /* Fills *out. ERR_NOT_FOUND if this provider does not do the operation. Does not block. */
    int (*identify)(void *ctx, enum model_operation operation, struct model_identity *out);

    int (*transcribe)(void *ctx, const struct transcribe_request *request,
                      const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                      struct transcribe_result *out);
    int (*summarise)(void *ctx, const struct summarise_request *request,
                     const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                     struct summary *out);
    int (*embed)(void *ctx, const struct embed_request *request, const struct cancel *cancel,
                 struct arena *arena, struct model_calls *calls, struct embed_result *out);
    int (*answer)(void *ctx, const struct answer_request *request, const struct cancel *cancel,
                  struct arena *arena, struct model_calls *calls, struct answer_result *out);

    /* For doctor: is the service reachable and the key accepted? One cheap request per operation.
     * ERR_SYSTEMIC or ERR_TRANSIENT with the text saying what to do. */
    int (*check)(void *ctx, enum model_operation operation, const struct cancel *cancel);
};

struct model_provider {
    const struct model_provider_ops *ops;
    void *ctx;
};

/* Which provider does what; each may be another instance. */
struct model_providers {
    struct model_provider by_operation[MODEL_OPERATIONS];
    /* Who embeds with a model that is not by_operation's: that of an older embedding space, or of
     * one that is to be filled. Thread-safe; *out lives as long as these. ERR_NOT_FOUND: nobody
     * does. NULL: nobody ever does. */
    int (*embedder)(void *ctx, const char *provider, const char *model, int dimension,
                    struct model_provider *out);
    void *ctx;
};

#endif
