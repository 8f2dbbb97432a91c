#include <stdio.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/error.h"
#include "shared/random.h"
#include "shared/retry.h"

enum { REPEATS = 2 };

/* ---- writing ---- */

static int put_name(struct buffer *out, const char *name)
{
    char last = out->length ? out->data[out->length - 1] : '{';
    return buffer_printf(out, "%s\"%s\":", last == '{' || last == '[' ? "" : ",", name);
}

int sqs_put_text(struct buffer *out, const char *name, const char *value, size_t length)
{
    int rc = put_name(out, name);
    return rc ? rc : json_append_string(out, value, length);
}

int sqs_put(struct buffer *out, const char *name, const char *value)
{
    return sqs_put_text(out, name, value, strlen(value));
}

int sqs_put_int(struct buffer *out, const char *name, int64_t value)
{
    int rc = put_name(out, name);
    return rc ? rc : buffer_printf(out, "%lld", (long long)value);
}

int64_t sqs_seconds(int64_t ms)
{
    return (ms + 999) / 1000;
}

bool sqs_again(int nth)
{
    static const struct retry_policy policy = {.base_ms = 200, .cap_ms = 2000};
    uint64_t word;
    random_bytes(&word, sizeof word);
    return nth <= REPEATS && clock_sleep(retry_delay(&policy, nth, -1, word), NULL) == OK;
}

/* ---- calling ---- */

static const char *name_of(const struct sqs_queue *q)
{
    const char *slash = strrchr(q->url, '/');
    return slash ? slash + 1 : q->url;
}

int sqs_call(struct sqs_queue *q, const char *action, const struct buffer *body,
             const struct cancel *cancel, yyjson_doc **out)
{
    struct http_response response;
    char target[64];
    bool polls = !strcmp(action, "ReceiveMessage"); /* SQS says nothing while it waits */
    snprintf(target, sizeof target, "AmazonSQS.%s", action);
    const struct http_header headers[] = {{"Content-Type", "application/x-amz-json-1.0"},
                                          {"X-Amz-Target", target}};
    struct aws_request request = {
        .method = "POST",
        .headers = headers,
        .header_count = 2,
        .body = buffer_string(body),
        .length = body->length,
        .idle_timeout_ms = q->silence_ms + (polls ? SQS_LONGEST_POLL_S * 1000 : 0),
    };
    int rc = aws_perform(q->client, &request, cancel, &response, NULL);
    *out = NULL;
    if (!rc && response.body.length == 0) /* some servers say nothing instead of {} */
        rc = json_parse("{}", 2, "an empty reply", out);
    else if (!rc && json_parse(buffer_string(&response.body), response.body.length,
                               "the reply of SQS", out))
        rc = error_set(ERR_TRANSIENT, "malformed_reply", "%s: %s", target, error_last()->message);
    else if (rc)
        rc = error_prefix("queue '%s'", name_of(q));
    http_response_free(&response);
    return rc;
}

/* ---- outcomes of a batch ---- */

/* An entry's outcome by its id, which is its index. */
static struct sqs_outcome *outcome_of(yyjson_val *entry, struct sqs_outcome *outcomes, size_t count)
{
    const char *id = json_string_at(entry, "Id", "");
    size_t i = (size_t)(id[0] - '0');
    return id[0] >= '0' && id[0] <= '9' && !id[1] && i < count ? &outcomes[i] : NULL;
}

static void note_failure(yyjson_val *entry, struct sqs_outcome *o)
{
    yyjson_val *fault = json_at(entry, "SenderFault");
    o->sender_fault = yyjson_is_true(fault) || yyjson_equals_str(fault, "true");
    snprintf(o->code, sizeof o->code, "%s", json_string_at(entry, "Code", ""));
}

void sqs_outcomes_parse(yyjson_val *reply, struct sqs_outcome *outcomes, size_t count)
{
    size_t i, n;
    yyjson_val *entry;
    struct sqs_outcome *o;
    memset(outcomes, 0, count * sizeof *outcomes);
    yyjson_arr_foreach(json_at(reply, "Successful"), i, n, entry)
    {
        if (!(o = outcome_of(entry, outcomes, count)))
            continue;
        o->answered = o->ok = true;
        snprintf(o->id, sizeof o->id, "%s", json_string_at(entry, "MessageId", ""));
    }
    yyjson_arr_foreach(json_at(reply, "Failed"), i, n, entry)
    {
        if (!(o = outcome_of(entry, outcomes, count)) || o->ok)
            continue;
        o->answered = true;
        note_failure(entry, o);
    }
}

int sqs_call_batch(struct sqs_queue *q, const char *action, const struct buffer *body,
                   struct sqs_outcome *outcomes, size_t count)
{
    yyjson_doc *doc;
    int rc = sqs_call(q, action, body, NULL, &doc);
    sqs_outcomes_parse(yyjson_doc_get_root(doc), outcomes, count);
    yyjson_doc_free(doc);
    return rc;
}
