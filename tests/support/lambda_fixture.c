#include "support/lambda_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "adapters/local/store_shared.h"
#include "adapters/postgres/queue_postgres.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/json.h"
#include "shared/pg.h"
#include "support/store_conformance.h"

enum { VISIBILITY_MS = 600000 };

static void ok(int rc)
{
    if (rc)
        fail_msg("%s", error_last()->message);
}

/* ---- opening -----------------------------------------------------------------------------------
 */

void lambda_set(struct lambda *l, const char *variable)
{
    size_t i = 0, name = strcspn(variable, "=") + 1;
    while (i < LAMBDA_VARIABLES && l->environment[i] && strncmp(l->variables[i], variable, name))
        i++;
    assert_true(i < LAMBDA_VARIABLES);
    snprintf(l->variables[i], sizeof l->variables[i], "%s", variable);
    l->environment[i] = l->variables[i];
}

static void set(struct lambda *l, const char *name, const char *a, const char *b)
{
    char variable[700];
    snprintf(variable, sizeof variable, "%s=%s%s", name, a, b);
    lambda_set(l, variable);
}

static void open_ports(struct lambda *l)
{
    char objects[600];
    const struct pg_settings settings = {.connections = 2};
    ok(pg_pool_open(l->database.url, &settings, &l->pool));
    const struct postgres_queue_options queue = {.pool = l->pool};
    ok(postgres_queue_open(&queue, &l->queue));
    snprintf(objects, sizeof objects, "%s/objects", l->place.path);
    const struct shared_store_options store = {.directory = objects};
    ok(shared_store_open(&store, &l->store));
}

void lambda_open(struct lambda *l, bool empty)
{
    *l = (struct lambda){0};
    arena_init(&l->arena, MIB(16));
    if (empty)
        pg_fixture_open_empty(&l->database);
    else
        pg_fixture_open(&l->database);
    place_make(&l->place);
    if (!empty)
        open_ports(l);
    l->api = runtime_api_start();
    snprintf(l->log, sizeof l->log, "%s/log", l->place.path);
    set(l, "DATABASE_URL", l->database.url, "");
    set(l, "AEGIS_DATA", l->place.path, "/data");
    set(l, "AEGIS_STORE_DIRECTORY", l->place.path, "/objects");
    set(l, "XDG_CONFIG_HOME", l->place.path, "");
}

void lambda_close(struct lambda *l)
{
    runtime_api_stop(l->api);
    if (l->queue.ops)
        l->queue.ops->close(l->queue.ctx);
    if (l->store.ops)
        l->store.ops->close(l->store.ctx);
    pg_pool_close(l->pool);
    pg_fixture_close(&l->database);
    place_remove(&l->place);
    arena_free(&l->arena);
}

/* ---- the function ------------------------------------------------------------------------------
 */

void lambda_end(struct lambda *l)
{
    int status = runtime_api_end(l->api, SIGTERM);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        char *log = lambda_logged(l);
        fail_msg("it ended with status %x:\n%s", (unsigned)status, log);
    }
}

const char *lambda_program(void)
{
    const char *program = getenv("AEGIS_TEST_BOOTSTRAP");
    return program ? program : TEST_BINARY_DIR "/aegis";
}

void lambda_launch(struct lambda *l, const char *handler)
{
    if (runtime_api_pid(l->api) > 0)
        lambda_end(l);
    runtime_api_launch(l->api, lambda_program(), handler, l->environment, l->log);
}

static void unexpected(struct lambda *l, const struct runtime_result *r)
{
    char *log = lambda_logged(l);
    fail_msg("outcome %d, error type '%s', body '%s'; log:\n%s", (int)r->outcome, r->error_type,
             r->body, log);
}

char *lambda_invoke(struct lambda *l, const char *payload, int64_t timeout_ms)
{
    struct runtime_result r;
    runtime_api_send(l->api, payload, timeout_ms);
    runtime_api_wait(l->api, &r);
    if (r.outcome != RUNTIME_RESPONSE)
        unexpected(l, &r);
    return r.body;
}

void lambda_invoke_fails(struct lambda *l, const char *payload, const char *error_type)
{
    struct runtime_result r;
    runtime_api_send(l->api, payload, LAMBDA_LONG_MS);
    runtime_api_wait(l->api, &r);
    if (r.outcome != RUNTIME_ERROR || strcmp(r.error_type, error_type))
        unexpected(l, &r);
    free(r.body);
}

char *lambda_logged(const struct lambda *l)
{
    struct buffer text;
    buffer_init(&text, MIB(16));
    ok(file_read(l->log, &text));
    char *log = buffer_take(&text);
    return log ? log : strdup("");
}

/* ---- events ------------------------------------------------------------------------------------
 */

static void quote(struct buffer *out, const char *before, const char *text)
{
    ok(buffer_append_string(out, before));
    ok(json_append_string(out, text, strlen(text)));
}

void lambda_put(struct lambda *l, const char *key, const char *text, struct buffer *event)
{
    struct memory_source memory = {.bytes = text, .length = strlen(text)};
    struct object_source source = memory_source_of(&memory);
    struct object_info info;
    ok(l->store.ops->put(l->store.ctx, "media", key, NULL, &source, &info));
    ok(buffer_append_string(event, event->length ? "," : "{\"Records\":["));
    quote(event,
          "{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":"
          "{\"name\":\"media\"},\"object\":{\"key\":",
          key);
    quote(event, ",\"eTag\":", info.etag);
    quote(event, ",\"versionId\":", info.version_id);
    quote(event, ",\"sequencer\":", info.sequencer);
    ok(buffer_printf(event, ",\"size\":%lld}}}", (long long)info.size));
}

void lambda_event_end(struct buffer *event)
{
    ok(buffer_append_string(event, "]}"));
}

static void add_message(struct buffer *event, const struct queue_message *m)
{
    ok(buffer_append_string(event, event->length ? "," : "{\"Records\":["));
    quote(event, "{\"messageId\":", m->id);
    quote(event, ",\"receiptHandle\":", m->receipt);
    quote(event, ",\"body\":", m->body);
    ok(buffer_printf(event,
                     ",\"attributes\":{\"ApproximateReceiveCount\":\"%d\",\"SentTimestamp\":"
                     "\"%lld\"},\"messageAttributes\":{},\"eventSource\":\"aws:sqs\","
                     "\"eventSourceARN\":\"arn:aws:sqs:eu-central-1:123456789012:jobs\"}",
                     m->receive_count, (long long)m->sent_ms));
}

void lambda_receive(struct lambda *l, int64_t wait_ms, const char *extra, struct buffer *event)
{
    arena_free(&l->arena);
    ok(l->queue.ops->receive(l->queue.ctx, LAMBDA_MESSAGES, VISIBILITY_MS, wait_ms, NULL, &l->arena,
                             &l->messages, &l->message_count));
    for (size_t i = 0; i < l->message_count; i++)
        add_message(event, &l->messages[i]);
    if (extra)
        add_message(event,
                    &(struct queue_message){.id = "foreign", .receipt = "foreign", .body = extra});
    assert_true(event->length > 0);
    lambda_event_end(event);
}

static bool reports(yyjson_val *failures, const char *id)
{
    size_t i, count;
    yyjson_val *failure;
    yyjson_arr_foreach(failures, i, count, failure)
    {
        if (!strcmp(json_string_at(failure, "itemIdentifier", ""), id))
            return true;
    }
    return false;
}

size_t lambda_settle(struct lambda *l, const char *answer)
{
    yyjson_doc *doc;
    ok(json_parse(answer, strlen(answer), "the answer", &doc));
    yyjson_val *failures = json_at(yyjson_doc_get_root(doc), "batchItemFailures");
    assert_true(yyjson_is_arr(failures));
    for (size_t i = 0; i < l->message_count; i++) {
        struct queue_receipt r = {.receipt = l->messages[i].receipt};
        if (!reports(failures, l->messages[i].id))
            ok(l->queue.ops->delete (l->queue.ctx, &r, 1));
    }
    size_t count = yyjson_arr_size(failures);
    yyjson_doc_free(doc);
    return count;
}

/* ---- looking -----------------------------------------------------------------------------------
 */

char *lambda_aegis(struct lambda *l, const char *arguments)
{
    return lambda_aegis_fails(l, arguments, 0);
}

char *lambda_aegis_fails(struct lambda *l, const char *arguments, int expected)
{
    char command[4096];
    size_t used = (size_t)snprintf(command, sizeof command, "env");
    for (size_t i = 0; l->environment[i]; i++)
        used += (size_t)snprintf(command + used, sizeof command - used, " '%s'", l->environment[i]);
    snprintf(command + used, sizeof command - used, " '%s/aegis' %s 2>&1", TEST_BINARY_DIR,
             arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *output = calloc(1, 1 << 20);
    assert_non_null(output);
    size_t n = fread(output, 1, (1 << 20) - 1, pipe);
    output[n] = '\0';
    int status = pclose(pipe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
        fail_msg("`aegis %s` ended with %x:\n%s", arguments, (unsigned)status, output);
    return output;
}

int64_t lambda_number(struct lambda *l, const char *sql)
{
    struct pg *c;
    int64_t number = 0;
    ok(pg_acquire(l->pool, 10000, NULL, &c));
    int rc = pg_number(c, &number, 0, sql, NULL, 0);
    pg_release(c);
    ok(rc);
    return number;
}
