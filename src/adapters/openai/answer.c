#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/caps.h"
#include "shared/error.h"

static const int limits[2][2] = {{1024, 4096}, {4096, 16384}};

static int append_passage(struct buffer *out, const struct answer_passage *p, size_t number)
{
    int rc = buffer_printf(out, "[%zu] ", number);
    return rc ? rc : prompt_append_document(out, "passage", p->source, p->text, strlen(p->text));
}

static int write_user(const void *ctx, struct buffer *out)
{
    const struct answer_request *r = ctx;
    int rc = OK;
    for (size_t i = 0; i < r->count && !rc; i++)
        rc = append_passage(out, &r->passages[i], i + 1);
    return rc ? rc : buffer_printf(out, "Question: %s", r->question);
}

int openai_answer(void *ctx, const struct answer_request *request, const struct cancel *cancel,
                  struct arena *arena, struct model_calls *calls, struct answer_result *out)
{
    struct call call = call_begin(ctx, MODEL_ANSWER, cancel, arena, calls);
    const int *limit = limits[call.at->reasoning];
    size_t length = 0;
    *out = (struct answer_result){0};
    struct chat_request ask = {.system = answer_system_prompt,
                               .write_user = write_user,
                               .ctx = request,
                               .user_limit = MIB(16),
                               .max_output = {limit[0], limit[1]}};
    return chat_ask(&call, &ask, &out->text, &length);
}
