#include "server/emf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

enum {
    DIMENSION_TEXT = 256, /* CloudWatch takes 1,024 */
    FIGURES = 48,         /* in one line; CloudWatch takes 100 */
};

struct figure {
    const char *name, *unit;
    double value;
};

/* One line. */
struct line {
    char operation[LABELS_TEXT], model[LABELS_TEXT]; /* "": the function's own */
    size_t count;
    struct figure figures[FIGURES];
};

struct emf {
    char function[DIMENSION_TEXT];
    char family[LABELS_TEXT]; /* told last */
    struct line own;          /* the function's */
    size_t count;
    struct line *models[CAP_EMF_LINES - 1]; /* made when a model has something to tell */
};

/* ---- adding ---- */

static void add(struct line *line, const char *name, const char *unit, double value)
{
    size_t i = 0;
    while (i < line->count && strcmp(line->figures[i].name, name) != 0)
        i++;
    if (i == FIGURES || value == 0 || !isfinite(value))
        return;
    if (i == line->count)
        line->figures[line->count++] = (struct figure){.name = name, .unit = unit};
    line->figures[i].value += value;
}

void emf_add(struct emf *e, const char *name, const char *unit, double value)
{
    if (e)
        add(&e->own, name, unit, value);
}

/* NULL: too many models, or no memory; their figures are in the function's line all the same. */
static struct line *line_of(struct emf *e, const char *operation, const char *model)
{
    for (size_t i = 0; i < e->count; i++)
        if (!strcmp(e->models[i]->operation, operation) && !strcmp(e->models[i]->model, model))
            return e->models[i];
    struct line *line = e->count + 1 < CAP_EMF_LINES ? calloc(1, sizeof *line) : NULL;
    if (!line)
        return NULL;
    e->models[e->count++] = line;
    snprintf(line->operation, sizeof line->operation, "%s", operation);
    snprintf(line->model, sizeof line->model, "%s", model);
    return line;
}

/* ---- what is counted, by its names for Prometheus ---- */

static const struct {
    const char *family, *label, *value; /* label NULL: all samples; value NULL: all but "ok" */
    const char *name, *unit;
} rows[] = {
    {"aegis_jobs_finished_total", "outcome", "succeeded", "JobsSucceeded", "Count"},
    {"aegis_jobs_finished_total", "outcome", "dead", "JobsDead", "Count"},
    {"aegis_jobs_finished_total", "outcome", "cancelled", "JobsCancelled", "Count"},
    {"aegis_attempts_failed_total", "class", "transient", "JobsRetried", "Count"},
    {"aegis_provider_calls_total", NULL, NULL, "ProviderCalls", "Count"},
    {"aegis_provider_calls_total", "outcome", NULL, "ProviderFailures", "Count"},
    {"aegis_provider_tokens_total", "kind", "input", "InputTokens", "Count"},
    {"aegis_provider_tokens_total", "kind", "cached_input", "CachedInputTokens", "Count"},
    {"aegis_provider_tokens_total", "kind", "output", "OutputTokens", "Count"},
    {"aegis_provider_audio_seconds_total", NULL, NULL, "AudioSeconds", "Seconds"},
    {"aegis_provider_cost_usd_total", NULL, NULL, "CostUSD", "None"},
    {"aegis_provider_unpriced_calls_total", NULL, NULL, "UnpricedCalls", "Count"},
};

static bool fits(size_t row, const char *family, const char *labels)
{
    char value[LABELS_TEXT];
    if (strcmp(rows[row].family, family) != 0)
        return false;
    if (!rows[row].label)
        return true;
    labels_find(labels, rows[row].label, value);
    return rows[row].value ? !strcmp(value, rows[row].value) : strcmp(value, "ok") != 0;
}

static void take_family(void *ctx, const char *name, const char *type, const char *help)
{
    struct emf *e = ctx;
    (void)type, (void)help;
    snprintf(e->family, sizeof e->family, "%s", name);
}

static void take_sample(void *ctx, const char *labels, double value)
{
    struct emf *e = ctx;
    char operation[LABELS_TEXT], model[LABELS_TEXT];
    bool of_model = labels_find(labels, "operation", operation);
    labels_find(labels, "model", model);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!fits(i, e->family, labels))
            continue;
        struct line *line = of_model ? line_of(e, operation, model) : NULL;
        emf_add(e, rows[i].name, rows[i].unit, value);
        if (line)
            add(line, rows[i].name, rows[i].unit, value);
    }
}

static void pass_histogram(void *ctx, const char *labels, const struct exposition_histogram *h)
{
    (void)ctx, (void)labels, (void)h;
}

void emf_add_metrics(struct emf *e, struct metrics *metrics)
{
    struct exposition_sink sink = {
        .family = take_family, .sample = take_sample, .histogram = pass_histogram, .ctx = e};
    struct exposition x = {.sink = &sink};
    if (e && metrics)
        metrics_write(metrics, &x);
}

/* ---- writing ---- */

/* Values of dimensions are ASCII, not blank, and begin with no colon. */
static void put_dimension(yyjson_mut_doc *doc, const char *name, const char *value)
{
    char text[DIMENSION_TEXT];
    snprintf(text, sizeof text, "%s", *value ? value : "unknown");
    for (char *c = text; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || (c == text && *c == ':'))
            *c = '_';
    yyjson_mut_obj_add_strcpy(doc, yyjson_mut_doc_get_root(doc), name, text);
}

static void put_value(yyjson_mut_doc *doc, const struct figure *f)
{
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    if (f->value == floor(f->value) && fabs(f->value) < 1e15)
        yyjson_mut_obj_add_sint(doc, root, f->name, (int64_t)f->value);
    else
        yyjson_mut_obj_add_real(doc, root, f->name, f->value);
}

static yyjson_mut_val *directive_of(yyjson_mut_doc *doc, const struct line *line)
{
    yyjson_mut_val *directive = yyjson_mut_obj(doc), *metrics = yyjson_mut_arr(doc),
                   *sets = yyjson_mut_arr(doc), *set = yyjson_mut_arr(doc);
    yyjson_mut_arr_add_str(doc, set, "FunctionName");
    if (*line->operation) {
        yyjson_mut_arr_add_str(doc, set, "Operation");
        yyjson_mut_arr_add_str(doc, set, "Model");
    }
    yyjson_mut_arr_append(sets, set);
    for (size_t i = 0; i < line->count; i++) {
        yyjson_mut_val *metric = yyjson_mut_arr_add_obj(doc, metrics);
        yyjson_mut_obj_add_str(doc, metric, "Name", line->figures[i].name);
        yyjson_mut_obj_add_str(doc, metric, "Unit", line->figures[i].unit);
    }
    yyjson_mut_obj_add_str(doc, directive, "Namespace", "Aegis");
    yyjson_mut_obj_add_val(doc, directive, "Dimensions", sets);
    yyjson_mut_obj_add_val(doc, directive, "Metrics", metrics);
    return directive;
}

static void put_line(const struct emf *e, const struct line *line, int64_t now_ms,
                     yyjson_mut_doc *doc)
{
    yyjson_mut_val *root = yyjson_mut_obj(doc), *aws = yyjson_mut_obj(doc),
                   *directives = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_arr_append(directives, directive_of(doc, line));
    yyjson_mut_obj_add_sint(doc, aws, "Timestamp", now_ms);
    yyjson_mut_obj_add_val(doc, aws, "CloudWatchMetrics", directives);
    yyjson_mut_obj_add_val(doc, root, "_aws", aws);
    put_dimension(doc, "FunctionName", e->function);
    if (*line->operation) {
        put_dimension(doc, "Operation", line->operation);
        put_dimension(doc, "Model", line->model);
    }
    for (size_t i = 0; i < line->count; i++)
        put_value(doc, &line->figures[i]);
}

static int write_line(const struct emf *e, const struct line *line, int64_t now_ms,
                      struct buffer *out)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (!doc)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for metrics");
    put_line(e, line, now_ms, doc);
    char *text = yyjson_mut_write(doc, 0, NULL);
    yyjson_mut_doc_free(doc);
    int rc = text ? buffer_printf(out, "%s\n", text)
                  : error_set(ERR_NO_MEMORY, NULL, "out of memory for metrics");
    free(text);
    return rc;
}

bool emf_any(const struct emf *e)
{
    return e->count > 0 || e->own.count > 0;
}

int emf_write(const struct emf *e, int64_t now_ms, struct buffer *out)
{
    int rc = e->own.count > 0 ? write_line(e, &e->own, now_ms, out) : OK;
    for (size_t i = 0; !rc && i < e->count; i++)
        if (e->models[i]->count > 0)
            rc = write_line(e, e->models[i], now_ms, out);
    return rc;
}

int emf_open(const char *function, struct emf **out)
{
    struct emf *e = calloc(1, sizeof *e);
    if (!e)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for metrics");
    snprintf(e->function, sizeof e->function, "%s", function);
    *out = e;
    return OK;
}

void emf_close(struct emf *e)
{
    for (size_t i = 0; e && i < e->count; i++)
        free(e->models[i]);
    free(e);
}
