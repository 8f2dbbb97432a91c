/*
 * fake.h - a fake OpenAI server for tests and benchmarks.
 *
 *   fake_openai [--port N] [--key KEY] [--latency-ms N] [--error-rate R] [--seed N] [--threads N]
 *               [--model NAME]... [--die-with-parent]
 *
 * Port 0 (the default) takes any free port; "listening on PORT" comes on standard output once it
 * accepts connections. It serves POST /v1/chat/completions, /v1/responses, /v1/embeddings,
 * /v1/audio/transcriptions and GET /v1/models[/NAME], and refuses what the real service refuses,
 * with the same statuses, codes and JSON shapes.
 *
 * Everything it says is deterministic: a summary is made of the first sentences of the text, put
 * into whatever JSON schema was asked for; an embedding is the bag of the text's words, hashed; a
 * transcript tells the length and the loudness of the audio. Token counts are approximate: one
 * token for four bytes, rounded up.
 *
 * Faults are scripted through POST /__control (control.c); GET /__control/stats tells what
 * happened.
 */
#ifndef FAKE_OPENAI_FAKE_H
#define FAKE_OPENAI_FAKE_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "yyjson.h"

enum {
    UPLOAD_LIMIT = 26214400,       /* bytes of one transcription request, framing counted */
    JSON_LIMIT = 64 << 20,         /* bytes of one JSON request */
    CONTEXT_TOKENS = 272000,       /* input of one chat request */
    EMBED_INPUTS = 2048,           /* of one request */
    EMBED_INPUT_TOKENS = 8192,     /* of one input */
    EMBED_REQUEST_TOKENS = 300000, /* of one request */
    EXTRA_MODELS = 16,
};

struct options {
    int port, threads;
    const char *key; /* NULL: any, or none */
    int64_t latency_ms;
    double error_rate;
    uint64_t seed;
    const char *models[EXTRA_MODELS]; /* known besides the real names */
    size_t model_count;
    bool die_with_parent;
};

enum fault {
    FAULT_NONE,
    FAULT_RESET,           /* the connection breaks instead of a reply */
    FAULT_HANG,            /* no reply ever */
    FAULT_HALF_BODY,       /* the connection breaks in the middle of the body */
    FAULT_INVALID_JSON,    /* the reply is cut, its length says otherwise */
    FAULT_WRONG_DIMENSION, /* vectors half as long */
    FAULT_MISSING_ITEM,    /* one vector too few */
    FAULT_REVERSED,        /* vectors in reverse order, which is allowed */
    FAULT_NOT_FINITE,      /* a NaN in the first vector */
    FAULT_REFUSAL,         /* the model declines */
    FAULT_TRUNCATED,       /* finish_reason "length" */
    FAULT_CONTENT_FILTER,  /* finish_reason "content_filter" */
    FAULT_NOT_JSON,        /* the model talks instead of giving JSON */
    FAULT_FENCED,          /* the model wraps its JSON in a Markdown fence */
};

struct server;
struct meter;

/* One request from first byte to last. */
struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    const char *method, *path; /* valid while the handler runs */
    bool multipart;
    struct buffer body; /* JSON requests */
    int64_t body_bytes; /* of any request */

    struct MHD_PostProcessor *form;
    struct meter *meter;  /* of the audio uploaded */
    struct buffer fields; /* "name=value\n" lines of a form */
    char filename[128];

    enum fault fault;
    int64_t delay_ms;
    bool counted, decided, waited;

    int status;
    struct buffer reply;
    yyjson_val *extra_headers; /* of a scripted reply; borrowed from its rule, which is kept */
    int64_t billed_tokens;
    char embed_model[64]; /* of what was embedded, and how many texts */
    int64_t embedded;
};

/* ---- replies (reply.c) ---- */

/* Appends a number that is not negative. */
void reply_number(struct buffer *out, int64_t number);

/* The error shape of the real service. `param` and `code` may be NULL. */
void reply_error(struct exchange *x, int status, const char *type, const char *param,
                 const char *code, const char *format, ...) __attribute__((format(printf, 6, 7)));
#define reply_invalid(x, param, code, ...)                                                         \
    reply_error((x), 400, "invalid_request_error", (param), (code), __VA_ARGS__)

/* ---- models (models.c) ---- */

enum model_kind {
    MODEL_UNKNOWN,
    MODEL_CHAT,
    MODEL_REASONING,
    MODEL_EMBEDDING,
    MODEL_TRANSCRIPTION
};
enum model_kind model_kind(const struct options *options, const char *name);
/* Replies 404 model_not_found or 400 and returns false unless the model is of one of two kinds. */
bool model_accept(struct exchange *x, const char *name, enum model_kind kind,
                  enum model_kind other);
void models_list(struct exchange *x);
void models_get(struct exchange *x, const char *name);
int models_dimension(const char *name);

/* ---- endpoints: each fills x->status and x->reply ---- */

void chat_completions(struct exchange *x);
void responses_create(struct exchange *x);
void embeddings_create(struct exchange *x);
void transcriptions_create(struct exchange *x);

/* ---- JSON requests (request.c) ---- */

/* A text that somebody else holds. */
struct slice {
    const char *text;
    size_t length;
};

struct request {
    yyjson_doc *doc;
    yyjson_val *json; /* its root, an object */
};
/* Replies 400 and returns false if the body is not a JSON object. */
bool request_open(struct exchange *x, struct request *out);
void request_close(struct request *r);
/* Text of a value that is a string; false if it is none. */
bool request_text(yyjson_val *value, struct slice *out);
int64_t tokens_of(size_t bytes);

/* ---- JSON schema (schema.c) ---- */

/* The rules of strict mode: replies 400 and returns false. `name` is the schema's. */
bool schema_check_strict(struct exchange *x, yyjson_val *schema, const char *name);
/* Appends an instance of the schema, its strings taken from the sentences of `text`. */
void schema_instance(yyjson_val *schema, const struct slice *text, struct buffer *out);
/* Appends the first sentence, as it is. */
void schema_sentence(const struct slice *text, struct buffer *out);

/* ---- audio (audio.c) ---- */

enum { METER_WINDOW_MS = 5000 };

struct meter *meter_new(void);
void meter_free(struct meter *m);
void meter_feed(struct meter *m, const char *bytes, size_t length);
/* "wav", "mp3", ..., or NULL if it is not audio that the service takes. */
const char *meter_format(const struct meter *m);
int64_t meter_duration_ms(const struct meter *m);
size_t meter_windows(const struct meter *m);
/* Root mean square of one window, 0 to 32767. */
int meter_level(const struct meter *m, size_t window);

/* ---- scripted faults and counts (control.c) ---- */

struct control;
struct control *control_new(const struct options *options);
void control_free(struct control *c);
void control_begin(struct control *c);
void control_end(struct control *c, const struct exchange *x);
/* Before the endpoint: applies a matching rule or the error rate. True if the reply is made. */
bool control_intercept(struct control *c, struct exchange *x);
/* The /__control endpoints. */
void control_serve(struct control *c, struct exchange *x);

/* ---- the server (server.c) ---- */

struct control *server_control(struct server *s);
const struct options *server_options(const struct server *s);
int server_run(const struct options *options); /* until SIGTERM or SIGINT; the exit status */

#endif
