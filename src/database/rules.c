#include "database/rules.h"

#include <string.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

const struct outcome_rule *outcome_rule(enum attempt_outcome outcome)
{
    static const struct outcome_rule table[] = {
        [ATTEMPT_RETRY] = {JOB_RETRYING, CLOSED_RETRY, LIFE_JOB_RETRYING, false},
        [ATTEMPT_DEAD] = {JOB_DEAD, CLOSED_DEAD, LIFE_JOB_DEAD, false},
        [ATTEMPT_GIVEN_BACK] = {JOB_QUEUED, CLOSED_GIVEN_BACK, LIFE_JOB_GIVEN_BACK, true},
        [ATTEMPT_CANCELLED] = {JOB_CANCELLED, CLOSED_CANCELLED, LIFE_JOB_CANCELLED, false},
    };
    return &table[outcome];
}

int event_check(const struct media_event *e)
{
    const struct {
        const char *name, *text;
        size_t cap;
    } parts[] = {
        {.name = "bucket", .text = e->bucket, .cap = CAP_BUCKET},
        {.name = "key", .text = e->key, .cap = CAP_KEY},
        {.name = "version id", .text = e->object_version, .cap = CAP_VERSION_ID},
        {.name = "ETag", .text = e->etag, .cap = CAP_ETAG},
        {.name = "sequencer", .text = e->sequencer, .cap = CAP_SEQUENCER},
        {.name = "collection", .text = e->collection, .cap = CAP_COLLECTION},
        {.name = "content type", .text = e->content_type, .cap = CAP_ETAG},
    };
    if (!e->bucket || !*e->bucket || !e->key || !*e->key)
        return error_set(ERR_INVALID, "invalid_event", "an event names no bucket or no key");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].text && strlen(parts[i].text) > parts[i].cap)
            return error_set(ERR_INVALID, "invalid_event",
                             "the %s of '%.200s' has more than %zu bytes", parts[i].name, e->key,
                             parts[i].cap);
    return OK;
}

static int detail_member(struct buffer *out, const char *name, const char *text)
{
    if (!text || !*text)
        return OK;
    int rc = buffer_printf(out, "%s\"%s\":", out->length > 1 ? "," : "", name);
    return rc ? rc : json_append_string(out, text, strlen(text));
}

int life_detail(struct buffer *out, const char *stage, const char *reason, const char *message,
                int64_t due_ms)
{
    buffer_init(out, KIB(64));
    int rc = buffer_append_char(out, '{');
    if (!rc)
        rc = detail_member(out, "stage", stage);
    if (!rc)
        rc = detail_member(out, "reason", reason);
    if (!rc)
        rc = detail_member(out, "message", message);
    if (!rc && due_ms)
        rc = buffer_printf(out, "%s\"due_ms\":%lld", out->length > 1 ? "," : "", (long long)due_ms);
    return rc ? rc : buffer_append_char(out, '}');
}

/* ---- embedding spaces ---- */

int space_unknown(int64_t space_id)
{
    return error_set(ERR_NOT_FOUND, NULL, "there is no embedding space %lld", (long long)space_id);
}

int space_usable_as(int64_t dropping, int64_t space_id)
{
    if (dropping < 0)
        return space_unknown(space_id);
    if (!dropping)
        return OK;
    return error_set(ERR_CONFLICT, "space_dropping",
                     "space %lld is being dropped: finish that with `aegis spaces drop %lld`",
                     (long long)space_id, (long long)space_id);
}

int space_serves(int64_t space_id)
{
    return error_set(ERR_CONFLICT, "space_serves",
                     "space %lld serves searches: change to another first (`aegis reprocess "
                     "--embed-model`)",
                     (long long)space_id);
}
