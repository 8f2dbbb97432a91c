/*
 * Few chunks each, many jobs at once: their texts travel in one request.
 *
 * A request of a handful of texts costs client and server nearly what one of a hundred does, and a
 * server with a GPU of its own computes both in about the same time. So while ALONE requests of
 * this process are under way, the next job does not ask at once: it waits for a moment
 * (EMBED_GATHER_MS), whoever comes meanwhile joins, and one request goes out for all of them. A job
 * that finds less going on asks for itself, without delay.
 *
 * A rate limit or a systemic failure is that of all of them. Any other may be the fault of a single
 * text, or of the one job that was stopped: each asks anew for itself.
 */
#include <errno.h>
#include <semaphore.h>
#include <string.h>

#include "processor/internal.h"
#include "shared/clock.h"
#include "shared/condition.h"

enum {
    ALONE = 2,        /* so many requests at once are not worth waiting for */
    TEXTS = 128,      /* of one request: a reply of about 1 MB at 1,536 dimensions */
    BYTES = KIB(256), /* likewise: below the 300,000 tokens that OpenAI's API takes */
};

struct member {
    struct member *next;
    const struct embed_request *request;
    struct arena *arena;
    struct model_calls *calls;
    struct embed_result *out;
    size_t bytes;
    bool shared; /* the request was not for this one alone */
    int rc;
    struct error error; /* if rc */
    sem_t settled;
};

struct embed_group {
    const struct embedder *embedder;
    struct member *first, *last;
    size_t texts, most_texts, bytes;
    pthread_cond_t closing;
    bool closed; /* nobody joins any more */
};

static size_t bytes_of(const struct embed_request *r)
{
    size_t sum = 0;
    for (size_t i = 0; i < r->count; i++)
        sum += r->lengths[i];
    return sum;
}

/* ---- joining, under the lock ---- */

static bool same_embedder(const struct embedder *a, const struct embedder *b)
{
    return a->provider.ops == b->provider.ops && a->provider.ctx == b->provider.ctx &&
           a->model.dimension == b->model.dimension && !strcmp(a->model.model, b->model.model);
}

static size_t most_texts(const struct embedder *embedder)
{
    size_t limit = embedder->model.max_batch;
    return limit > 0 && limit < TEXTS ? limit : TEXTS;
}

static bool has_room(const struct embed_group *g, const struct embedder *embedder,
                     const struct member *m)
{
    return g && g->texts + m->request->count <= g->most_texts && g->bytes + m->bytes <= BYTES &&
           same_embedder(g->embedder, embedder);
}

static void close_group(struct embed_crowd *crowd)
{
    if (!crowd->open)
        return;
    crowd->open->closed = true;
    pthread_cond_signal(&crowd->open->closing);
    crowd->open = NULL;
}

/* The open group. */
static void join(struct embed_crowd *crowd, struct member *m)
{
    struct embed_group *g = crowd->open;
    if (g->last)
        g->last->next = m;
    else
        g->first = m;
    g->last = m;
    g->texts += m->request->count;
    g->bytes += m->bytes;
    if (g->texts >= g->most_texts || g->bytes >= BYTES)
        close_group(crowd);
}

/* ---- asking for all ---- */

/* All members' texts, one after the other. */
static int lay_out(const struct embed_group *g, struct arena *arena, struct embed_request *out)
{
    const char **texts = arena_array(arena, g->texts, sizeof *texts);
    size_t *lengths = arena_array(arena, g->texts, sizeof *lengths), n = 0;
    if (!texts || !lengths)
        return ERR_NO_MEMORY;
    for (const struct member *m = g->first; m; m = m->next)
        for (size_t i = 0; i < m->request->count; i++, n++) {
            texts[n] = m->request->texts[i];
            lengths[n] = m->request->lengths[i];
        }
    *out = (struct embed_request){
        .purpose = EMBED_DOCUMENT, .texts = texts, .lengths = lengths, .count = n};
    return OK;
}

/* `total` cut into shares at `from` and `to` of `of`: those of neighbours add up to it exactly. */
static int64_t share(int64_t total, size_t from, size_t to, size_t of)
{
    if (total < 0)
        return total;
    __int128 t = total;
    return (int64_t)(t * (__int128)to / (__int128)of - t * (__int128)from / (__int128)of);
}

/* What each has paid is its share by bytes: a reply tells the tokens of all texts together. */
static void bill(const struct embed_group *g, const struct model_calls *calls)
{
    size_t at = 0;
    for (struct member *m = g->first; m; at += m->bytes, m = m->next)
        for (size_t i = 0; i < calls->count; i++) {
            struct model_call own = calls->items[i];
            size_t to = at + m->bytes;
            own.input_tokens = share(own.input_tokens, at, to, g->bytes);
            own.cached_tokens = share(own.cached_tokens, at, to, g->bytes);
            own.output_tokens = share(own.output_tokens, at, to, g->bytes);
            own.cost_nanousd = share(own.cost_nanousd, at, to, g->bytes);
            model_calls_add(m->calls, &own);
        }
}

static int give(struct member *m, const struct embed_result *result, size_t first)
{
    size_t dimension = (size_t)result->dimension, floats = m->request->count * dimension;
    float *own = arena_memdup(m->arena, result->vectors + first * dimension, floats * sizeof *own);
    if (!own)
        return ERR_NO_MEMORY;
    *m->out = (struct embed_result){.vectors = own, .dimension = result->dimension};
    return OK;
}

static void settle(const struct embed_group *g, int rc, const struct embed_result *result)
{
    struct error e = *error_last();
    size_t first = 0;
    for (struct member *m = g->first; m; m = m->next) {
        m->shared = g->first != g->last;
        m->rc = rc ? rc : give(m, result, first);
        m->error = rc ? e : *error_last();
        first += m->request->count;
    }
}

static void ask(struct processor *p, const struct embed_group *g, const struct cancel *cancel)
{
    struct arena arena;
    arena_init(&arena, CAP_JOB_ARENA);
    struct model_calls calls = {.arena = &arena};
    struct embed_request request;
    struct embed_result result = {0};
    int rc = lay_out(g, &arena, &request);
    if (!rc)
        rc = provider_embed(p, g->embedder, &request, cancel, &arena, &calls, &result);
    settle(g, rc, &result);
    bill(g, &calls);
    arena_free(&arena);
}

static void request_over(struct embed_crowd *crowd)
{
    pthread_mutex_lock(&crowd->lock);
    crowd->under_way--;
    pthread_mutex_unlock(&crowd->lock);
}

/* The others are awake, and their members gone, once they are posted; the leader's stays. */
static void dismiss(struct embed_group *g, const struct member *leader)
{
    struct member *next;
    for (struct member *m = g->first; m; m = next) {
        next = m->next;
        if (m != leader)
            sem_post(&m->settled);
    }
}

/* With the lock held on entry, not on return. */
static void lead(struct processor *p, const struct embedder *embedder, struct member *m,
                 const struct cancel *cancel)
{
    struct embed_crowd *crowd = &p->embedding;
    struct embed_group group = {.embedder = embedder,
                                .most_texts = most_texts(embedder),
                                .closing = PTHREAD_COND_INITIALIZER};
    int64_t until_ms = clock_monotonic_ms() + crowd->gather_ms;
    close_group(crowd);
    crowd->open = &group;
    join(crowd, m);
    while (!group.closed && condition_wait_until(&group.closing, &crowd->lock, until_ms))
        ;
    if (!group.closed)
        close_group(crowd);
    crowd->under_way++;
    pthread_mutex_unlock(&crowd->lock);
    ask(p, &group, cancel);
    request_over(crowd);
    dismiss(&group, m);
    pthread_cond_destroy(&group.closing);
}

/* With the lock held on entry, not on return. */
static void follow(struct embed_crowd *crowd, struct member *m)
{
    join(crowd, m);
    pthread_mutex_unlock(&crowd->lock);
    while (sem_wait(&m->settled) && errno == EINTR)
        ;
}

/* It may have failed through somebody else's text, or somebody else's stop. */
static bool to_be_asked_alone(const struct member *m, const struct cancel *cancel)
{
    if (!m->rc || !m->shared)
        return false;
    if (m->rc == ERR_CANCELLED)
        return !cancel_requested(cancel);
    return error_class(&m->error) != ERR_SYSTEMIC && strcmp(m->error.reason, "rate_limited") != 0;
}

static int ask_alone(struct processor *p, const struct embedder *embedder, const struct member *m,
                     const struct cancel *cancel)
{
    struct embed_crowd *crowd = &p->embedding;
    pthread_mutex_lock(&crowd->lock);
    crowd->under_way++;
    pthread_mutex_unlock(&crowd->lock);
    int rc = provider_embed(p, embedder, m->request, cancel, m->arena, m->calls, m->out);
    request_over(crowd);
    return rc;
}

int embed_together(struct processor *p, const struct embedder *embedder,
                   const struct embed_request *request, const struct cancel *cancel,
                   struct arena *arena, struct model_calls *calls, struct embed_result *out)
{
    struct embed_crowd *crowd = &p->embedding;
    struct member m = {
        .request = request, .arena = arena, .calls = calls, .out = out, .bytes = bytes_of(request)};
    pthread_mutex_lock(&crowd->lock);
    bool few = crowd->under_way < ALONE;
    if (few || embedder->model.cpu_heavy || m.bytes == 0 || m.bytes > BYTES) {
        pthread_mutex_unlock(&crowd->lock);
        return ask_alone(p, embedder, &m, cancel);
    }
    sem_init(&m.settled, 0, 0);
    if (has_room(crowd->open, embedder, &m))
        follow(crowd, &m);
    else
        lead(p, embedder, &m, cancel);
    sem_destroy(&m.settled);
    if (to_be_asked_alone(&m, cancel))
        return ask_alone(p, embedder, &m, cancel);
    return m.rc ? error_restore(&m.error) : OK;
}
