/*
 * internal.h - what the files of this adapter share.
 */
#ifndef AEGIS_OPENAI_INTERNAL_H
#define AEGIS_OPENAI_INTERNAL_H

#include <stdatomic.h>

#include "adapters/openai/openai.h"
#include "ports/secret_source.h"
#include "shared/buffer.h"
#include "yyjson.h"

/* What a server turned out not to know, as bits of endpoint.lacks. */
enum lack {
    LACKS_JSON_SCHEMA = 1,
    LACKS_JSON_OBJECT = 2,
    LACKS_REASONING = 4,
    LACKS_MAX_COMPLETION_TOKENS = 8, /* knows max_tokens instead */
    LACKS_VERBOSE_JSON = 16,
    LACKS_BASE64 = 32,
    LACKS_MAX_TOKENS = 64, /* knows max_completion_tokens instead */
};

/* Where and with what one operation is done. */
struct endpoint {
    char *base_url; /* without a slash at the end */
    char *api_key;  /* "" for none, or if openai.keys has it */
    char *model;
    bool is_openai; /* OpenAI itself, not a compatible server */
    bool reasoning; /* by the model's name */
    struct model_identity identity;
    atomic_uint lacks;
};

struct openai {
    struct http_engine *engine;
    struct endpoint endpoints[MODEL_OPERATIONS];
    struct openai_keys keys;
    char *organization, *project, *reasoning_effort;
    bool responses; /* summaries and answers by the Responses API */
    int dimension;
    int64_t timeout_ms, idle_timeout_ms, connect_timeout_ms, transcribe_max_ms;
    size_t max_input;
    const char *(*price)(void *ctx, const char *model);
    void *price_ctx;
    const struct clock *clock;
};

/* One call of an operation: what it needs besides its own request. */
struct call {
    struct openai *openai;
    enum model_operation operation;
    const struct cancel *cancel;
    struct arena *arena;
    struct model_calls *calls;
    struct endpoint *at;
    struct model_call record; /* of the request under way */
};

/* ---- request.c ---- */

/* Sends one request and judges the reply: 0 if its status is 2xx, else an error as openai.h says,
 * recorded among the calls. After 0 the caller reads the reply, fills call->record's usage and
 * calls call_record. *out is freed by the caller in any case. */
int call_post_json(struct call *call, const char *path, const struct buffer *body,
                   struct http_response *out);
int call_post_parts(struct call *call, const char *path, const struct http_part *parts,
                    size_t count, struct http_response *out);
int call_get(struct call *call, const char *path, int64_t timeout_ms, struct http_response *out);

/* The key for the operation's next request: trimmed, "" for none. ERR_SYSTEMIC "invalid_key" if it
 * cannot be a key, or what openai.keys says. */
int openai_key(const struct openai *openai, enum model_operation operation, char out[SECRET_TEXT]);

/* Prices the record and appends it. `rc` is returned unless that fails. */
int call_record(struct call *call, int rc);

/* Did the last error come from a reply that complains about this parameter? */
bool call_refused_parameter(const struct http_response *reply, const char *name);

/* Remembers what the server lacks; true if that was news, so that trying again makes sense. */
bool call_remember(struct call *call, unsigned lack);
bool call_lacks(const struct call *call, unsigned lack);

/* ERR_TRANSIENT "malformed_reply". `what` is wrong, in words. */
int call_malformed(const struct call *call, const char *what);

/* ---- errors.c ---- */

/* The error that a reply with a status other than 2xx stands for. `key` is the one that was sent:
 * it does not appear in the text. `now_ms` is the clock's. */
int error_of_reply(const struct endpoint *at, const char *key, enum model_operation operation,
                   const struct http_response *reply, int64_t now_ms);

/* The error that a failed transfer stands for: http_perform's, in the port's classes. */
int error_of_transfer(const char *key);

/* Milliseconds the other side asks to wait; -1 if it does not say. */
int64_t retry_after_of(const struct http_response *reply, int64_t now_ms);
/* "20ms", "1s", "6m0s", "1h2m3.5s"; -1 if it is none of these, or not above zero. */
int64_t reset_duration_ms(const char *text);

/* "operation" in words and as the middle of a setting's name: "transcribe", "summarise", ... */
const char *operation_name(enum model_operation operation);

/* ---- prices.c ---- */

struct price {
    double input, cached, output; /* US dollars per million tokens */
    double minute;                /* US dollars per minute of audio */
};
/* False if it is not in the form that openai.h describes. */
bool price_parse(const char *text, struct price *out);
/* The built-in price as text; NULL if there is none. Dated snapshots have their model's price. */
const char *price_builtin(const char *model);
/* Fills cost_nanousd. */
void price_call(const struct openai *openai, struct model_call *call);

/* ---- chat.c ---- */

struct chat_request {
    const char *system;
    /* Appends the user's message. Called whenever a request is written, so that the text is not
     * held twice while a thousand requests wait. */
    int (*write_user)(const void *ctx, struct buffer *out);
    const void *ctx;
    size_t user_limit;  /* bytes */
    bool want_json;     /* an object of the schema */
    const char *schema; /* JSON text, NULL if want_json is false */
    const char *name;   /* of the schema */
    int max_output[2];  /* tokens: first, and once more if that was too few */
};

/* The text of the model's answer, in the call's arena: a JSON object's text if want_json. */
int chat_ask(struct call *call, const struct chat_request *request, const char **text,
             size_t *length);

/* A reply of either API, taken apart. `text` points into the JSON or the arena. */
struct chat_reply {
    const char *text, *refusal; /* refusal "" if there is none */
    enum { CHAT_DONE, CHAT_TRUNCATED, CHAT_FILTERED, CHAT_FAILED } end;
    int64_t input_tokens, cached_tokens, output_tokens;
};
/* ERR_INVALID "malformed_reply" if there is no answer in it. */
int chat_read_completion(yyjson_val *root, struct arena *arena, struct chat_reply *out);
int chat_read_response(yyjson_val *root, struct arena *arena, struct chat_reply *out);
/* The JSON object in a text that may have a Markdown fence or talk around it: false if none. */
bool chat_find_object(const char *text, const char **begin, size_t *length);

/* ---- prompts.c ---- */

extern const char summary_schema[]; /* strict JSON schema of struct summary */
const char *summary_system_prompt(enum summary_part part);
extern const char answer_system_prompt[];
/* Appends text marked off as data: <document ...> ... </document>, with a tag that the text does
 * not contain. */
int prompt_append_document(struct buffer *out, const char *tag, const char *name, const char *text,
                           size_t length);

/* ---- embed.c ---- */

/* Base64 (RFC 4648) of little-endian float32 into `out`: the number of floats, 0 if it is not
 * that, or more than `capacity`. */
size_t embed_decode(const char *text, size_t length, float *out, size_t capacity);
/* Divides by the length; false if that is zero or not finite. */
bool embed_normalise(float *vector, size_t dimension);
/* No fewer tokens than OpenAI's encodings give, in general: 8,192 is the cap of one input. */
size_t embed_estimate_tokens(const char *text, size_t length);
/* The longest prefix of at most `tokens` by that estimate, cut between words if possible, never
 * within a character. */
size_t embed_cut(const char *text, size_t length, size_t tokens);
/* Reads a reply to `count` inputs into rows; the body is used up. ERR_INVALID "malformed_reply", or
 * ERR_SYSTEMIC "wrong_dimension" with the dimension found in *found. */
int embed_read(struct buffer *body, float *rows, size_t count, int dimension, int *found,
               int64_t *tokens);

/* ---- transcribe.c ---- */

/* Reads json, verbose_json or diarized_json. ERR_INVALID "malformed_reply". `usage_ms` and the
 * token counts are -1 where the reply says nothing. */
struct transcribe_usage {
    int64_t audio_ms, input_tokens, output_tokens;
};
int transcribe_read(const char *body, size_t length, int64_t duration_ms, struct arena *arena,
                    struct transcribe_result *out, struct transcribe_usage *usage);

/* ---- languages.c ---- */

/* ISO 639-1 of a code or an English name as Whisper gives it ("english"); "" if not known. */
const char *language_code(const char *name);

/* ---- the operations ---- */

int openai_transcribe(void *ctx, const struct transcribe_request *request,
                      const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                      struct transcribe_result *out);
int openai_summarise(void *ctx, const struct summarise_request *request,
                     const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                     struct summary *out);
int openai_embed(void *ctx, const struct embed_request *request, const struct cancel *cancel,
                 struct arena *arena, struct model_calls *calls, struct embed_result *out);
int openai_answer(void *ctx, const struct answer_request *request, const struct cancel *cancel,
                  struct arena *arena, struct model_calls *calls, struct answer_result *out);
int openai_check(void *ctx, enum model_operation operation, const struct cancel *cancel);
struct call call_begin(struct openai *openai, enum model_operation operation,
                       const struct cancel *cancel, struct arena *arena, struct model_calls *calls);

#endif
