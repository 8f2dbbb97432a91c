#include "commands/embed_model.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "adapters/offline/offline.h"
#include "shared/clock.h"

enum { DRAW_EVERY_MS = 100, NOTE_EVERY_MS = 10000, RATE_AFTER_MS = 2000 };

static int open_parts(struct app *app)
{
    int rc = app_database(app);
    return rc ? rc : app_providers(app);
}

/* ---- which model ---- */

static bool has_name(const struct embedding_space *space, const char *name)
{
    return !strcmp(space->model, name) ||
           (!strcmp(name, "offline") && !strcmp(space->provider, "offline"));
}

static bool wanted_dimension(const struct app *app, int dimension)
{
    return !arguments_has(app->arguments, "embed-dimensions") ||
           dimension == config_int(app->config, "openai.embed_dimensions");
}

/* ERR_NOT_FOUND: none that this program embeds for. */
static int find_space(struct app *app, const char *name, struct embedder *out)
{
    const struct database *db = &app->database;
    struct space_use *uses;
    size_t n, found = 0;
    int rc = db->ops->spaces(db->ctx, &app->arena, &uses, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        struct embedder e;
        const struct embedding_space *space = &uses[i].space;
        if (!has_name(space, name) || !wanted_dimension(app, space->dimension) ||
            embedder_of(&app->providers, space, &e))
            continue;
        *out = e;
        found++;
    }
    if (!rc && found > 1)
        rc = error_set(ERR_INVALID, NULL,
                       "there are %zu embedding spaces of '%s' (`aegis spaces`): say which with "
                       "--embed-dimensions",
                       found, name);
    return rc ? rc : found ? OK : ERR_NOT_FOUND;
}

static int open_new(struct app *app, const char *name, struct embedder *out)
{
    struct model_identity offline;
    int rc = app->providers.embedder(app, "offline", "", 0, &out->provider);
    if (!rc)
        rc = out->provider.ops->identify(out->provider.ctx, MODEL_EMBED, &offline);
    if (!rc && strcmp(name, "offline") != 0 && strcmp(name, offline.model) != 0)
        rc = app->providers.embedder(app, "openai", name,
                                     (int)config_int(app->config, "openai.embed_dimensions"),
                                     &out->provider);
    return rc ? rc : out->provider.ops->identify(out->provider.ctx, MODEL_EMBED, &out->model);
}

int embed_model_find(struct app *app, const char *name, struct embedder *out)
{
    int rc = open_parts(app);
    if (!rc && (!*name || strlen(name) >= sizeof out->model.model))
        rc = error_set(ERR_INVALID, NULL, "'%.100s' is not the name of an embedding model", name);
    if (rc)
        return rc;
    rc = find_space(app, name, out);
    return rc == ERR_NOT_FOUND ? open_new(app, name, out) : rc;
}

static int read_serving(struct app *app, struct serving_space *serving)
{
    const struct database *db = &app->database;
    int rc = open_parts(app);
    if (!rc)
        rc = db->ops->space_serving(db->ctx, serving);
    return rc ? rc : serving->chunks + serving->missing > 0 ? OK : ERR_NOT_FOUND;
}

int embed_model_set(struct app *app, struct embedder *out)
{
    struct serving_space serving;
    int rc = read_serving(app, &serving);
    if (!rc)
        rc = embedder_configured(&app->providers, out);
    if (rc)
        return rc;
    bool same = embedder_fits(&serving.space, &out->model);
    return same && serving.missing <= 0 ? ERR_NOT_FOUND : OK;
}

const char *embed_model_difference(struct app *app)
{
    struct serving_space serving;
    struct embedder set;
    if (read_serving(app, &serving) || embedder_configured(&app->providers, &set) ||
        embedder_fits(&serving.space, &set.model))
        return NULL;
    return embedder_difference(&serving.space, &set.model, &app->arena);
}

/* ---- showing ---- */

struct screen {
    struct app *app;
    const struct embedder *embedder;
    int64_t began_ms, drawn_ms;
    bool drawn;
};

static void time_left(const struct screen *s, const struct fill_state *state, char *out,
                      size_t size)
{
    char text[HUMAN_TEXT];
    int64_t took = clock_monotonic_ms() - s->began_ms, left = state->of - state->done;
    *out = '\0';
    if (took > RATE_AFTER_MS && state->embedded > 0 && left > 0)
        snprintf(
            out, size, ", about %s left",
            human_duration((int64_t)((double)took * (double)left / (double)state->embedded), text));
}

static void write_line(const struct screen *s, const struct fill_state *state, char *out,
                       size_t size)
{
    char done[HUMAN_TEXT], of[HUMAN_TEXT], cost[HUMAN_TEXT], left[64];
    const char *model = s->embedder->model.model;
    if (state->phase == FILL_INDEXES) {
        snprintf(out, size, "%s: indexing", model);
        return;
    }
    if (state->phase == FILL_SWITCHES) {
        snprintf(out, size, "%s: changing over", model);
        return;
    }
    time_left(s, state, left, sizeof left);
    snprintf(out, size, "%s: %s of %s passages embedded%s%s%s", model,
             human_count(state->done, done), human_count(state->of, of), left,
             state->cost_nanousd > 0 ? ", " : "",
             state->cost_nanousd > 0 ? human_cost(state->cost_nanousd, true, cost) : "");
}

static void draw(void *ctx, const struct fill_state *state)
{
    struct screen *s = ctx;
    bool tty = s->app->terminal.err_tty;
    int64_t now = clock_monotonic_ms();
    char line[512];
    if (now - s->drawn_ms < (tty ? DRAW_EVERY_MS : NOTE_EVERY_MS))
        return;
    s->drawn_ms = now;
    write_line(s, state, line, sizeof line);
    if (!tty) {
        app_note(s->app, "%s", line);
        return;
    }
    struct arena arena;
    arena_init(&arena, KIB(64));
    fprintf(stderr, "\r%s\033[K",
            text_truncate(&arena, text_clean(&arena, line), terminal_width(STDERR_FILENO) - 1));
    fflush(stderr);
    arena_free(&arena);
    s->drawn = true;
}

static void undraw(const struct screen *s)
{
    if (!s->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
}

yyjson_mut_val *embed_model_json(yyjson_mut_doc *doc, const struct embedder *embedder,
                                 const struct fill_state *state)
{
    return js_object(
        doc, "provider", js(doc, embedder->model.provider), "model", js(doc, embedder->model.model),
        "dimensions", yyjson_mut_sint(doc, embedder->model.dimension), "embedded",
        yyjson_mut_sint(doc, state->embedded), "calls", yyjson_mut_sint(doc, state->calls),
        "cost_usd", js_cost(doc, state->cost_nanousd, state->cost_nanousd >= 0), "serves",
        yyjson_mut_bool(doc, state->switched), NULL);
}

static void advise(struct app *app, const struct embedder *embedder)
{
    struct embedder set;
    struct embedding_space space = embedder_space(&embedder->model);
    if (embedder_configured(&app->providers, &set) || embedder_fits(&space, &set.model))
        return;
    app_note(
        app,
        "the settings still say %s %s, which `aegis reprocess --all` would change back to: set "
        "provider.embed and openai.embed_model to match",
        set.model.provider, set.model.model);
}

void embed_model_print(struct app *app, const struct embedder *embedder,
                       const struct fill_state *state)
{
    char embedded[HUMAN_TEXT], cost[HUMAN_TEXT];
    if (app->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        print_json(&app->terminal, doc, embed_model_json(doc, embedder, state));
        return;
    }
    printf("%s %s serves searches now; %s passages were embedded for it%s%s\n",
           embedder->model.provider, text_clean(&app->arena, embedder->model.model),
           human_count(state->embedded, embedded), state->cost_nanousd ? ", " : "",
           state->cost_nanousd ? human_cost(state->cost_nanousd, state->cost_nanousd > 0, cost)
                               : "");
    advise(app, embedder);
}

/* ---- doing it ---- */

int embed_model_change(struct app *app, const struct embedder *embedder, struct fill_state *out)
{
    struct processor_settings settings;
    struct screen screen = {.app = app,
                            .embedder = embedder,
                            .began_ms = clock_monotonic_ms(),
                            .drawn_ms = clock_monotonic_ms()};
    *out = (struct fill_state){0};
    int rc = app_processor_settings(app, &settings);
    if (rc)
        return rc;
    struct processor_ports ports = {
        .database = app->database, .providers = app->providers, .clock = clock_system()};
    struct fill_options options = {.ports = &ports,
                                   .settings = &settings,
                                   .embedder = *embedder,
                                   .cancel = app_stop(),
                                   .progress = draw,
                                   .ctx = &screen};
    rc = fill_run(&options, out);
    undraw(&screen);
    if (rc && out->embedded > 0 && !app->json) {
        struct error e = *error_last();
        char n[HUMAN_TEXT];
        app_note(app, "%s passages were embedded and are kept: the same command goes on from there",
                 human_count(out->embedded, n));
        error_restore(&e);
    }
    return rc;
}
