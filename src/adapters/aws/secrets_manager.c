#include "adapters/aws/secrets_manager.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"
#include "shared/log.h"

enum {
    FLOOR_MS = 5000,
    LATER_MS = 30000, /* before a failed refresh of a value that can still be used is repeated */
    FIRST_TIMEOUT_MS = 10000,
    REFRESH_TIMEOUT_MS = 5000,
    SECRET_ID = 2048, /* as the API has it */
    STAGE = 256,
};

enum kind { OPENAI_KEY, DATABASE_URL, KINDS };

static const struct {
    const char *name, *variable;
} kinds[KINDS] = {
    [OPENAI_KEY] = {"openai_api_key", "AEGIS_OPENAI_SECRET"},
    [DATABASE_URL] = {"database_url", "AEGIS_DATABASE_SECRET"},
};

/* Everything under its lock, which is held while it is read: the others wait for that. */
struct secret {
    pthread_mutex_t lock;
    enum kind kind;
    char id[SECRET_ID + 1]; /* "": there is none */
    char value[SECRET_TEXT];
    bool has_value;
    bool refused;            /* the value, since it was read */
    bool told;               /* the log knows that it cannot be read anew */
    int64_t read_ms;         /* when the value was */
    int64_t next_read_ms;    /* after a failure not before */
    int64_t next_refusal_ms; /* before that it is known already */
    struct error failure;    /* of the newest read, if there is no value */
};

struct manager {
    struct aws_client *client;
    const struct clock *clock;
    char stage[STAGE + 1], host[320], name[128], sslmode[16], authorities[PATH_MAX], rds[PATH_MAX];
    struct secret_database database;
    int64_t cache_ms, floor_ms;
    struct secret secrets[KINDS];
};

static int64_t monotonic(void *ctx)
{
    (void)ctx;
    return clock_monotonic_ms();
}

/* ---- errors ---- */

static bool is_code(const struct aws_fault *fault, const char *code)
{
    return !strncmp(fault->code, code, strlen(code)); /* with "Exception" or without */
}

static int missing(const struct manager *m, const struct secret *s)
{
    return error_set(ERR_NOT_FOUND, "secret_missing",
                     "Secrets Manager at '%s' has no secret '%s' with a version labelled %s; "
                     "create it, or name another with %s",
                     aws_client_endpoint(m->client), s->id, m->stage, kinds[s->kind].variable);
}

static int denied(const struct secret *s, const struct aws_fault *fault)
{
    if (is_code(fault, "DecryptionFailure"))
        return error_set(ERR_SYSTEMIC, "secret_denied",
                         "secret '%s' cannot be decrypted (%s); allow kms:Decrypt on its key, and "
                         "see that the key is enabled",
                         s->id, fault->code);
    return error_set(ERR_SYSTEMIC, "secret_denied",
                     "secret '%s' may not be read (%s); allow secretsmanager:GetSecretValue on "
                     "it, and kms:Decrypt if it has a key of its own",
                     s->id, fault->code);
}

static int unusable(const struct secret *s)
{
    return error_set(ERR_SYSTEMIC, "secret_unusable", "secret '%s' cannot be used: %s", s->id,
                     error_last()->message);
}

static int explain(const struct manager *m, const struct secret *s, int rc,
                   const struct aws_fault *fault)
{
    if (is_code(fault, "ResourceNotFound"))
        return missing(m, s);
    if (is_code(fault, "AccessDenied") || is_code(fault, "DecryptionFailure"))
        return denied(s, fault);
    if (rc == ERR_INVALID || rc == ERR_TOO_LARGE)
        return unusable(s);
    if (rc == ERR_TRANSIENT || rc == ERR_TIMEOUT)
        return error_set(ERR_SYSTEMIC, "secrets_unreachable",
                         "secret '%s' cannot be read for now: %s", s->id, error_last()->message);
    return error_prefix("secret '%s'", s->id);
}

/* ---- reading ---- */

static int write_request(const struct manager *m, const struct secret *s, struct buffer *out)
{
    int rc = buffer_append_string(out, "{\"SecretId\":");
    if (!rc)
        rc = json_append_string(out, s->id, strlen(s->id));
    if (!rc)
        rc = buffer_append_string(out, ",\"VersionStage\":");
    if (!rc)
        rc = json_append_string(out, m->stage, strlen(m->stage));
    return rc ? rc : buffer_append_char(out, '}');
}

static int call(const struct manager *m, const struct secret *s, struct http_response *out,
                struct aws_fault *fault)
{
    static const struct http_header headers[] = {
        {"Content-Type", "application/x-amz-json-1.1"},
        {"X-Amz-Target", "secretsmanager.GetSecretValue"},
    };
    struct buffer body;
    buffer_init(&body, CAP_AWS_SECRET);
    int rc = write_request(m, s, &body);
    struct aws_request request = {.method = "POST",
                                  .headers = headers,
                                  .header_count = 2,
                                  .body = body.data,
                                  .length = body.length,
                                  .max_response = CAP_AWS_SECRET,
                                  .timeout_ms =
                                      s->has_value ? REFRESH_TIMEOUT_MS : FIRST_TIMEOUT_MS,
                                  .no_retry = s->has_value};
    if (!rc)
        rc = aws_perform(m->client, &request, NULL, out, fault);
    buffer_free(&body);
    return rc;
}

static int read_value(const struct manager *m, const struct secret *s, yyjson_val *root,
                      char out[SECRET_TEXT])
{
    yyjson_val *string = yyjson_obj_get(root, "SecretString");
    if (yyjson_obj_get(root, "SecretBinary") && !yyjson_is_str(string))
        return error_set(ERR_INVALID, NULL, "it is binary; store it as a string (SecretString)");
    if (!yyjson_is_str(string))
        return error_set(ERR_INVALID, NULL, "the answer of Secrets Manager has no SecretString");
    const char *text = yyjson_get_str(string);
    size_t length = yyjson_get_len(string);
    return s->kind == OPENAI_KEY ? secret_key_read(text, length, out, SECRET_TEXT)
                                 : secret_url_read(text, length, &m->database, out, SECRET_TEXT);
}

/* The parser's own text may quote a part of the secret. */
static int read_response(const struct manager *m, const struct secret *s, struct buffer *body,
                         char out[SECRET_TEXT])
{
    yyjson_doc *document = NULL;
    int rc = json_parse_in_place(body, "it", &document);
    if (!rc)
        rc = read_value(m, s, yyjson_doc_get_root(document), out);
    else if (rc == ERR_INVALID)
        error_set(ERR_TRANSIENT, NULL, "the answer of Secrets Manager is no JSON");
    yyjson_doc_free(document);
    return rc ? error_last()->code : OK;
}

static int fetch(const struct manager *m, const struct secret *s, char out[SECRET_TEXT])
{
    struct http_response response = {0};
    struct aws_fault fault = {0};
    int rc = call(m, s, &response, &fault);
    if (!rc)
        rc = read_response(m, s, &response.body, out);
    if (rc)
        rc = explain(m, s, rc, &fault);
    if (response.body.data)
        explicit_bzero(response.body.data, response.body.capacity);
    http_response_free(&response);
    return rc;
}

/* ---- keeping ---- */

static void keep(struct secret *s, const char *fresh, int64_t now)
{
    bool changed = s->has_value && strcmp(fresh, s->value) != 0;
    explicit_bzero(s->value, sizeof s->value);
    memcpy(s->value, fresh, strlen(fresh) + 1);
    s->has_value = true;
    s->read_ms = now;
    if (changed || s->told)
        log_write(LOG_INFO, changed ? "secret.changed" : "secret.refreshed",
                  LOG_STR("secret", s->id), LOG_END);
    s->told = false;
}

/* Nothing was heard of the secret itself: what is known of it may be true still. */
static bool out_of_reach(const struct error *e)
{
    return strcmp(e->reason, "secret_missing") != 0 && strcmp(e->reason, "secret_denied") != 0 &&
           strcmp(e->reason, "secret_unusable") != 0;
}

static void failed(const struct manager *m, struct secret *s, int64_t now)
{
    s->failure = *error_last();
    if (s->has_value && s->refused && !out_of_reach(&s->failure)) {
        explicit_bzero(s->value, sizeof s->value);
        s->has_value = false;
    }
    s->next_read_ms = now + (s->has_value && !s->refused ? LATER_MS : m->floor_ms);
    if (!s->has_value || s->told) /* then the caller gets the error */
        return;
    log_write(LOG_WARN, "secret.kept", LOG_STR("secret", s->id),
              LOG_STR("reason", s->failure.reason), LOG_STR("error", s->failure.message), LOG_END);
    s->told = true;
}

static void refresh(const struct manager *m, struct secret *s)
{
    char fresh[SECRET_TEXT];
    int rc = fetch(m, s, fresh);
    int64_t now = clock_now(m->clock);
    if (rc)
        failed(m, s, now);
    else
        keep(s, fresh, now);
    s->refused = false;
    explicit_bzero(fresh, sizeof fresh);
}

static bool is_due(const struct manager *m, const struct secret *s)
{
    int64_t now = clock_now(m->clock);
    bool wanted = !s->has_value || s->refused || now >= s->read_ms + m->cache_ms;
    return wanted && now >= s->next_read_ms;
}

static int copy(const struct secret *s, char *out, size_t capacity)
{
    if (!s->has_value)
        return error_restore(&s->failure);
    size_t length = strlen(s->value);
    if (length >= capacity)
        return error_set(ERR_TOO_LARGE, NULL, "secret '%s' is too long", s->id);
    memcpy(out, s->value, length + 1);
    return OK;
}

/* ---- the port ---- */

static struct secret *find(struct manager *m, const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].name, name) && m->secrets[i].id[0])
            return &m->secrets[i];
    return NULL;
}

static int get(void *ctx, const char *name, char *out, size_t capacity)
{
    struct manager *m = ctx;
    struct secret *s = find(m, name);
    if (!s)
        return error_set(ERR_NOT_FOUND, NULL, "no secret of Secrets Manager is set for '%.64s'",
                         name);
    pthread_mutex_lock(&s->lock);
    if (is_due(m, s))
        refresh(m, s);
    int rc = copy(s, out, capacity);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void invalidate(void *ctx, const char *name)
{
    struct manager *m = ctx;
    struct secret *s = find(m, name);
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    int64_t now = clock_now(m->clock);
    if (now >= s->next_refusal_ms) {
        s->refused = true;
        s->next_refusal_ms = now + m->floor_ms;
    }
    pthread_mutex_unlock(&s->lock);
}

static void close_source(void *ctx)
{
    struct manager *m = ctx;
    for (int i = 0; i < KINDS; i++)
        pthread_mutex_destroy(&m->secrets[i].lock);
    explicit_bzero(m, sizeof *m);
    free(m);
}

static const struct secret_source_ops ops = {
    .name = "secrets_manager", .close = close_source, .get = get, .invalidate = invalidate};

/* ---- opening ---- */

static int set(char *out, size_t capacity, const char *text, const char *what)
{
    if (text && strlen(text) >= capacity)
        return error_set(ERR_INVALID, NULL, "%s is longer than %zu bytes", what, capacity - 1);
    snprintf(out, capacity, "%s", text ? text : "");
    return OK;
}

static int configure(struct manager *m, const struct secrets_manager_options *o)
{
    const char *ids[KINDS] = {o->openai_secret, o->database_secret};
    int rc = OK;
    m->client = o->client;
    m->cache_ms = o->cache_ms;
    m->floor_ms = o->floor_ms ? o->floor_ms : FLOOR_MS;
    m->database = (struct secret_database){m->host, m->name, m->sslmode, m->authorities, m->rds};
    for (int i = 0; !rc && i < KINDS; i++)
        rc = set(m->secrets[i].id, sizeof m->secrets[i].id, ids[i], kinds[i].variable);
    if (!rc)
        rc = set(m->stage, sizeof m->stage, o->stage && *o->stage ? o->stage : "AWSCURRENT",
                 "a version's label");
    if (!rc)
        rc = set(m->host, sizeof m->host, o->database.host, "AEGIS_DATABASE_HOST");
    if (!rc)
        rc = set(m->name, sizeof m->name, o->database.name, "AEGIS_DATABASE_NAME");
    if (!rc)
        rc = set(m->authorities, sizeof m->authorities, o->database.authorities,
                 "AEGIS_DATABASE_SSLROOTCERT");
    if (!rc)
        rc = set(m->rds, sizeof m->rds, o->database.rds, "a file of authorities");
    return rc ? rc : set(m->sslmode, sizeof m->sslmode, o->database.sslmode, "sslmode");
}

int secrets_manager_open(const struct secrets_manager_options *options, struct secret_source *out)
{
    static const struct clock steady = {.now = monotonic};
    struct manager *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the secrets");
    m->clock = options->clock ? options->clock : &steady;
    for (int i = 0; i < KINDS; i++) {
        m->secrets[i].kind = (enum kind)i;
        m->secrets[i].next_read_ms = m->secrets[i].next_refusal_ms = INT64_MIN;
        pthread_mutex_init(&m->secrets[i].lock, NULL);
    }
    int rc = configure(m, options);
    if (rc)
        close_source(m);
    else
        *out = (struct secret_source){.ops = &ops, .ctx = m};
    return rc;
}
