#include "commands/life_log.h"

#include <inttypes.h>
#include <string.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/json.h"

enum log_level life_log_level(const char *type)
{
    if (!strcmp(type, "job.dead"))
        return LOG_ERROR;
    if (!strcmp(type, "job.retrying") || !strcmp(type, "job.paused"))
        return LOG_WARN;
    return LOG_INFO;
}

static int put_text(struct buffer *out, const char *name, const char *text)
{
    int rc = buffer_printf(out, "\"%s\":", name);
    if (!rc)
        rc = json_append_string(out, text, strlen(text));
    return rc ? rc : buffer_append_char(out, ',');
}

static int put_failure(struct buffer *out, const struct attempt_report *r)
{
    int rc = put_text(out, "stage", stage_name(r->stage));
    if (!rc)
        rc = put_text(out, "reason", r->reason);
    return rc ? rc : put_text(out, "message", r->message);
}

static int put_times(struct buffer *out, const struct attempt_report *r)
{
    int rc = buffer_append_string(out, "\"times\":{");
    for (int s = 0; !rc && s < STAGES; s++)
        rc = buffer_printf(out, "%s\"%s\":%" PRId64, s ? "," : "", stage_name((enum stage)s),
                           (r->stage_ended_us[s] - r->stage_began_us[s]) / 1000);
    return rc ? rc : buffer_append_char(out, '}');
}

void life_log_attempt(const struct attempt_report *r)
{
    struct buffer detail;
    const struct job_work *w = r->work;
    buffer_init(&detail, KIB(8));
    int rc = buffer_append_char(&detail, '{');
    if (!rc && *r->reason)
        rc = put_failure(&detail, r);
    if (!rc)
        rc = put_times(&detail, r);
    if (!rc)
        rc = buffer_append_char(&detail, '}');
    log_write(life_log_level(r->type), r->type, LOG_INT("job", w->job_id),
              LOG_INT("media", w->media_id), LOG_INT("attempt", w->attempt),
              LOG_STR("trace_id", w->trace_id), LOG_STR("bucket", w->bucket),
              LOG_STR("key", w->key), LOG_RAW("detail", rc ? "" : buffer_string(&detail)), LOG_END);
    buffer_free(&detail);
}
