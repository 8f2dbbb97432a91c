#include "adapters/openai/internal.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"
#include "shared/summary_json.h"

/* Thinking counts as output, so models that think get more. */
static const int limits[2][2] = {{2048, 8192}, {8192, 32768}};

static int write_user(const void *ctx, struct buffer *out)
{
    const struct summarise_request *r = ctx;
    int rc = prompt_append_document(out, "document", r->title_hint, r->text, r->length);
    if (!rc && r->language && r->language[0])
        rc = buffer_printf(out, "Its language is '%.8s'.", r->language);
    return rc;
}

static int read_summary(struct call *call, const char *text, size_t length, struct summary *out)
{
    if (length > CAP_SUMMARY_JSON)
        return call_malformed(call, "the summary is larger than any summary");
    int rc = summary_json_parse(text, length, call->arena, out);
    if (rc == ERR_INVALID)
        return call_malformed(call, error_last()->message);
    if (!rc && !out->title[0] && !out->abstract[0])
        return call_malformed(call, "the summary has neither title nor abstract");
    return rc;
}

int openai_summarise(void *ctx, const struct summarise_request *request,
                     const struct cancel *cancel, struct arena *arena, struct model_calls *calls,
                     struct summary *out)
{
    struct call call = call_begin(ctx, MODEL_SUMMARISE, cancel, arena, calls);
    const int *limit = limits[call.at->reasoning];
    const char *text = NULL;
    size_t length = 0;
    struct chat_request ask = {.system = summary_system_prompt(request->part),
                               .write_user = write_user,
                               .ctx = request,
                               .user_limit = request->length + KIB(64),
                               .want_json = true,
                               .schema = summary_schema,
                               .name = "summary",
                               .max_output = {limit[0], limit[1]}};
    int rc = chat_ask(&call, &ask, &text, &length);
    return rc ? rc : read_summary(&call, text, length, out);
}
