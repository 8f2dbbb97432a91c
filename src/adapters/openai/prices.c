#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/openai/internal.h"

struct listed_price {
    const char *model, *price;
};

/* From https://developers.openai.com/api/docs/models/MODEL and /api/docs/pricing, as of November
 * 2026, standard tier. A model that is not here has no known price until the user gives one. */
static const struct listed_price table[] = {
    {"gpt-5.4-mini", "0.75 0.075 4.50"},
    {"gpt-5.4-nano", "0.20 0.02 1.25"},
    {"gpt-transcribe", "0.0045/min"},
    {"gpt-4o-transcribe", "2.50 2.50 10.00"},
    {"whisper-1", "0.006/min"},
    {"text-embedding-3-small", "0.02 0.02 0"},
    {"text-embedding-3-large", "0.13 0.13 0"},
};

bool price_parse(const char *text, struct price *out)
{
    char *end;
    *out = (struct price){0};
    double first = strtod(text, &end);
    if (end == text || !isfinite(first) || first < 0)
        return false;
    if (strcmp(end, "/min") == 0) {
        out->minute = first;
        return true;
    }
    int used = 0;
    out->input = first;
    if (sscanf(end, " %lf %lf%n", &out->cached, &out->output, &used) != 2 || end[used] != '\0')
        return false;
    return isfinite(out->cached) && isfinite(out->output) && out->cached >= 0 && out->output >= 0;
}

/* "gpt-5.4-mini-2026-03-17" is a snapshot of "gpt-5.4-mini". */
static bool is_snapshot_of(const char *model, const char *name)
{
    size_t length = strlen(name);
    const char *date = model + length;
    if (strncmp(model, name, length) != 0 || strlen(date) != 11)
        return false;
    for (int i = 0; i < 11; i++) {
        bool dash = i == 0 || i == 5 || i == 8;
        if (dash ? date[i] != '-' : date[i] < '0' || date[i] > '9')
            return false;
    }
    return true;
}

const char *price_builtin(const char *model)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(model, table[i].model) == 0 || is_snapshot_of(model, table[i].model))
            return table[i].price;
    return NULL;
}

void price_call(const struct openai *openai, struct model_call *call)
{
    struct price p;
    const char *text = openai->price ? openai->price(openai->price_ctx, call->model) : NULL;
    if (!text)
        text = price_builtin(call->model);
    call->cost_nanousd = -1;
    if (!text || !price_parse(text, &p))
        return;
    /* a dollar per million tokens is 1,000 nanodollars a token */
    double tokens = (double)(call->input_tokens - call->cached_tokens) * p.input +
                    (double)call->cached_tokens * p.cached + (double)call->output_tokens * p.output;
    double minutes = (double)call->audio_ms / 60000 * p.minute;
    call->cost_nanousd = llround(tokens * 1e3 + minutes * 1e9);
}
