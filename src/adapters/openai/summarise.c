#include "adapters/openai/internal.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"
#include "shared/summary_json.h"

/* Thinking counts as output, so models that think get more. */
static const int limits[2][2] = {{2048, 8192}, {8192, 32768}};

static int write_user(const struct summarise_request *r, struct buffer *out)
{
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
    struct buffer user;
    const char *text = NULL;
    size_t length = 0;
    buffer_init(&user, request->length + KIB(64));
    int rc = write_user(request, &user);
    if (!rc) {
        const int *limit = limits[call.at->reasoning];
        struct chat_request ask = {.system = summary_system_prompt(request->part),
                                   .user = &user,
                                   .want_json = true,
                                   .schema = summary_schema,
                                   .name = "summary",
                                   .max_output = {limit[0], limit[1]}};
        rc = chat_ask(&call, &ask, &text, &length);
    }
    buffer_free(&user);
    return rc ? rc : read_summary(&call, text, length, out);
}
