#include "server/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

enum family {
    JOBS_FINISHED,
    ATTEMPTS_FAILED,
    FILES,
    CALLS,
    TOKENS,
    AUDIO_MS,
    COST_NANOUSD,
    UNPRICED,
    LOST,
    DROPPED,
    FAMILIES
};

/* Counters are whole numbers of a small unit; `unit` makes the one they are told in. */
static const struct {
    const char *name, *help;
    double unit;
} families[FAMILIES] = {
    [JOBS_FINISHED] = {"aegis_jobs_finished_total",
                       "Jobs that this process brought to an end, by outcome.", 1},
    [ATTEMPTS_FAILED] = {"aegis_attempts_failed_total",
                         "Failed attempts of this process: transient ones are retried, systemic "
                         "ones paused the pipeline, final ones made a dead letter.",
                         1},
    [FILES] = {"aegis_files_total", "Files that this process looked at, by what came of them.", 1},
    [CALLS] = {"aegis_provider_calls_total",
               "Calls of models by this process; outcome is ok or the reason of the failure.", 1},
    [TOKENS] = {"aegis_provider_tokens_total",
                "Tokens of these calls; input includes what was cached.", 1},
    [AUDIO_MS] = {"aegis_provider_audio_seconds_total", "Length of the audio sent to models.",
                  1e-3},
    [COST_NANOUSD] = {"aegis_provider_cost_usd_total",
                      "Cost of these calls in US dollars, as far as their price is known.", 1e-9},
    [UNPRICED] = {"aegis_provider_unpriced_calls_total", "Calls whose price is not known.", 1},
    [LOST] = {"aegis_telemetry_lost_total",
              "Spans, and requests with metrics, that no OpenTelemetry collector took.", 1},
    [DROPPED] = {"aegis_metrics_dropped_total",
                 "What was not counted above, as there were too many different labels.", 1},
};

static const double bounds[] = {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
enum { BOUNDS = sizeof bounds / sizeof bounds[0] };
#define DURATION "aegis_provider_call_duration_seconds"

enum { SERIES_AT_FIRST = 16 }; /* they double up to CAP_METRIC_SERIES */

struct series {
    enum family family;
    char labels[LABELS_TEXT];
    int64_t value;
};

struct histogram {
    int64_t buckets[BOUNDS + 1]; /* the last: longer than every bound */
    int64_t sum_us;
};

struct metrics {
    pthread_mutex_t lock;
    size_t count, room;
    struct series *series;
    struct histogram durations[MODEL_OPERATIONS];
};

static const char *const operation_names[MODEL_OPERATIONS] = {
    [MODEL_TRANSCRIBE] = "transcribe",
    [MODEL_SUMMARISE] = "summarise",
    [MODEL_EMBED] = "embed",
    [MODEL_ANSWER] = "answer",
};

/* ---- counting ---- */

static struct series *find(struct metrics *m, enum family family, const char *labels)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->series[i].family == family && !strcmp(m->series[i].labels, labels))
            return &m->series[i];
    return NULL;
}

/* False: all places are taken, or there is no memory for more. */
static bool have_room(struct metrics *m)
{
    if (m->count < m->room)
        return true;
    size_t room = m->room ? 2 * m->room : SERIES_AT_FIRST;
    struct series *series =
        room <= CAP_METRIC_SERIES ? realloc(m->series, room * sizeof *series) : NULL;
    if (!series)
        return false;
    m->series = series;
    m->room = room;
    return true;
}

/* DROPPED has its place from the start. */
static struct series *find_or_make(struct metrics *m, enum family family, const char *labels)
{
    struct series *s = find(m, family, labels);
    if (s)
        return s;
    if (!have_room(m))
        return find(m, DROPPED, "");
    s = &m->series[m->count++];
    *s = (struct series){.family = family};
    snprintf(s->labels, sizeof s->labels, "%s", labels);
    return s;
}

static void count(struct metrics *m, enum family family, const char *labels, int64_t amount)
{
    pthread_mutex_lock(&m->lock);
    struct series *s = find_or_make(m, family, labels);
    s->value += s->family == family ? amount : 1;
    pthread_mutex_unlock(&m->lock);
}

/* A rate or an increase needs a first value before the first event. */
static void begin_at_zero(struct metrics *m)
{
    static const char *const outcomes[] = {"succeeded", "dead", "cancelled"};
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        char labels[LABELS_TEXT] = "";
        labels_add(labels, "outcome", outcomes[i]);
        count(m, JOBS_FINISHED, labels, 0);
    }
    count(m, DROPPED, "", 0);
}

int metrics_open(struct metrics **out)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    pthread_mutex_init(&m->lock, NULL);
    if (!have_room(m)) {
        metrics_close(m);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    }
    begin_at_zero(m);
    *out = m;
    return OK;
}

void metrics_close(struct metrics *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m->series);
    free(m);
}

void metrics_file(struct metrics *m, const char *result)
{
    char labels[LABELS_TEXT] = "";
    labels_add(labels, "result", result);
    count(m, FILES, labels, 1);
}

void metrics_lost(struct metrics *m, const char *signal, int64_t amount)
{
    char labels[LABELS_TEXT] = "";
    labels_add(labels, "signal", signal);
    count(m, LOST, labels, amount);
}

static void count_failure(struct metrics *m, const char *class, const char *reason)
{
    char labels[LABELS_TEXT] = "";
    labels_add(labels, "class", class);
    labels_add(labels, "reason", reason);
    count(m, ATTEMPTS_FAILED, labels, 1);
}

void metrics_step(struct metrics *m, const char *type, const char *reason)
{
    static const struct {
        const char *type, *outcome, *class;
    } rows[] = {
        {"job.succeeded", "succeeded", NULL}, {"job.cancelled", "cancelled", NULL},
        {"job.dead", "dead", "final"},        {"job.retrying", NULL, "transient"},
        {"job.paused", NULL, "systemic"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char labels[LABELS_TEXT] = "";
        if (strcmp(rows[i].type, type) != 0)
            continue;
        if (rows[i].outcome) {
            labels_add(labels, "outcome", rows[i].outcome);
            count(m, JOBS_FINISHED, labels, 1);
        }
        if (rows[i].class)
            count_failure(m, rows[i].class, reason);
    }
}

void metrics_event(struct metrics *m, const struct life_event *e)
{
    yyjson_doc *doc = NULL;
    const char *reason = "";
    if (e->detail_json && *e->detail_json &&
        !json_parse(e->detail_json, strlen(e->detail_json), "an event's detail", &doc))
        reason = json_string_at(yyjson_doc_get_root(doc), "reason", "");
    metrics_step(m, e->type, reason);
    yyjson_doc_free(doc);
}

static void count_tokens(struct metrics *m, const char *model, const char *kind, int64_t tokens)
{
    char labels[LABELS_TEXT];
    snprintf(labels, sizeof labels, "%s", model);
    labels_add(labels, "kind", kind);
    if (tokens > 0)
        count(m, TOKENS, labels, tokens);
}

void metrics_call(struct metrics *m, const struct model_call *call, const char *outcome)
{
    char model[LABELS_TEXT] = "", labels[LABELS_TEXT];
    labels_add(model, "operation", operation_names[call->operation]);
    labels_add(model, "provider", call->provider);
    labels_add(model, "model", call->model);
    snprintf(labels, sizeof labels, "%s", model);
    labels_add(labels, "outcome", outcome);
    count(m, CALLS, labels, 1);
    count_tokens(m, model, "input", call->input_tokens);
    count_tokens(m, model, "cached_input", call->cached_tokens);
    count_tokens(m, model, "output", call->output_tokens);
    if (call->audio_ms > 0)
        count(m, AUDIO_MS, model, call->audio_ms);
    if (call->cost_nanousd >= 0)
        count(m, COST_NANOUSD, model, call->cost_nanousd);
    else
        count(m, UNPRICED, model, 1);
}

void metrics_duration(struct metrics *m, enum model_operation operation, int64_t us)
{
    size_t at = 0;
    while (at < BOUNDS && (double)us / 1e6 > bounds[at])
        at++;
    pthread_mutex_lock(&m->lock);
    m->durations[operation].buckets[at]++;
    m->durations[operation].sum_us += us;
    pthread_mutex_unlock(&m->lock);
}

/* ---- telling ---- */

static void write_family(const struct metrics *m, struct exposition *x, enum family family)
{
    exposition_family(x, families[family].name, "counter", families[family].help);
    for (size_t i = 0; i < m->count; i++) {
        if (m->series[i].family != family)
            continue;
        exposition_sample(x, families[family].name, m->series[i].labels,
                          (double)m->series[i].value * families[family].unit);
    }
}

static void write_duration(const struct histogram *h, struct exposition *x, const char *operation)
{
    char labels[LABELS_TEXT] = "";
    labels_add(labels, "operation", operation);
    exposition_histogram(x, DURATION, labels,
                         &(struct exposition_histogram){.bounds = bounds,
                                                        .bound_count = BOUNDS,
                                                        .buckets = h->buckets,
                                                        .sum = (double)h->sum_us / 1e6});
}

void metrics_write(struct metrics *m, struct exposition *x)
{
    pthread_mutex_lock(&m->lock);
    for (enum family f = 0; f < FAMILIES; f++)
        write_family(m, x, f);
    exposition_family(x, DURATION, "histogram",
                      "How long requests to models took, with what the provider retried itself.");
    for (int o = 0; o < MODEL_OPERATIONS; o++)
        write_duration(&m->durations[o], x, operation_names[o]);
    pthread_mutex_unlock(&m->lock);
}
