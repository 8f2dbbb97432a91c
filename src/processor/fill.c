#include "processor/fill.h"

#include <string.h>

#include "processor/internal.h"
#include "shared/clock.h"
#include "shared/random.h"

enum {
    FILL_BATCH = 128, /* chunks of one call, as embed has it */
    FILL_CALLS = 8,   /* at a time, at most */
    GRACE_MS = 5000,  /* a server that restarts is back by then */
    HOLD_MS = 15000,  /* publications wait for at most so long */
    HOLD_FEW = 2000,  /* chunks that are filled within that */
    HOLD_ROUNDS = 3,  /* after so many rounds they are held up in any case */
    GIVE_UP_ROUNDS = 20,
};

struct fill {
    const struct fill_options *options;
    const struct database *db;
    struct processor *p; /* not started */
    int64_t space_id;
    pthread_mutex_t lock;
    struct missing_chunk last; /* handed out; without its text */
    bool all_handed_out;
    int64_t filled; /* in this round */
    struct error error;
    struct cancel stop; /* a thread failed */
    struct fill_state state;
};

/* ---- errors, progress ---- */

/* The first one counts. */
static void fail(struct fill *f)
{
    pthread_mutex_lock(&f->lock);
    if (!f->error.code)
        f->error = *error_last();
    pthread_mutex_unlock(&f->lock);
    cancel_request(&f->stop);
}

static bool stopped(const struct fill *f)
{
    return cancel_requested(&f->stop) || cancel_requested(f->options->cancel);
}

static int check_stopped(const struct fill *f)
{
    return stopped(f) ? error_set(ERR_CANCELLED, NULL, "stopped before everything was embedded")
                      : OK;
}

/* Under the lock. */
static void tell(struct fill *f)
{
    if (f->options->progress)
        f->options->progress(f->options->ctx, &f->state);
}

static void enter(struct fill *f, enum fill_phase phase)
{
    pthread_mutex_lock(&f->lock);
    f->state.phase = phase;
    tell(f);
    pthread_mutex_unlock(&f->lock);
}

static void count_calls(struct fill *f, const struct model_calls *calls)
{
    pthread_mutex_lock(&f->lock);
    f->state.calls += (int64_t)calls->count;
    for (size_t i = 0; i < calls->count; i++)
        if (calls->items[i].cost_nanousd < 0 || f->state.cost_nanousd < 0)
            f->state.cost_nanousd = -1;
        else
            f->state.cost_nanousd += calls->items[i].cost_nanousd;
    pthread_mutex_unlock(&f->lock);
}

static void count_filled(struct fill *f, size_t count)
{
    pthread_mutex_lock(&f->lock);
    f->filled += (int64_t)count;
    f->state.done += (int64_t)count;
    f->state.embedded += (int64_t)count;
    if (f->state.of < f->state.done) /* published meanwhile */
        f->state.of = f->state.done;
    tell(f);
    pthread_mutex_unlock(&f->lock);
}

/* ---- a batch ---- */

/* 0: try again. Systemic failures end the run soon: a person waits for it. */
static int wait_before_retry(struct fill *f, int *tries, int64_t began_ms)
{
    const struct retry_policy *policy = &f->options->settings->retry;
    struct error e = *error_last();
    enum error_code class = error_class(&e);
    uint64_t word;
    bool systemic = class == ERR_SYSTEMIC && clock_monotonic_ms() - began_ms < GRACE_MS;
    bool transient = class == ERR_TRANSIENT && ++*tries < policy->max_attempts;
    if (e.code == ERR_CANCELLED || (!systemic && !transient))
        return error_restore(&e);
    random_bytes(&word, sizeof word);
    int64_t delay = systemic ? 500 : retry_delay(policy, *tries, e.retry_after_ms, word);
    return clock_sleep(delay, f->options->cancel) ? (int)ERR_CANCELLED : check_stopped(f);
}

static int record(struct fill *f, const struct model_calls *calls)
{
    int64_t began_ms = clock_monotonic_ms();
    int tries = 0, rc = OK;
    if (!calls->count)
        return OK;
    do
        rc = f->db->ops->calls_record(f->db->ctx, calls->items, calls->count);
    while (rc && !(rc = wait_before_retry(f, &tries, began_ms)));
    return rc;
}

static int call(struct fill *f, const struct embed_request *request, struct arena *arena,
                struct embed_result *out)
{
    int64_t began_ms = clock_monotonic_ms();
    struct model_calls calls = {.arena = arena};
    int tries = 0, rc;
    do
        rc = provider_embed(f->p, &f->options->embedder, request, f->options->cancel, arena, &calls,
                            out);
    while (rc && !(rc = wait_before_retry(f, &tries, began_ms)));
    struct error e = *error_last();
    count_calls(f, &calls);
    int recorded = record(f, &calls);
    return rc ? error_restore(&e) : recorded;
}

static int store(struct fill *f, const struct missing_chunk *chunks, size_t count,
                 const float *vectors)
{
    int64_t began_ms = clock_monotonic_ms();
    int tries = 0, rc;
    do
        rc = f->db->ops->space_append(f->db->ctx, f->space_id, chunks, count, vectors);
    while (rc && !(rc = wait_before_retry(f, &tries, began_ms)));
    if (!rc)
        count_filled(f, count);
    return rc;
}

/* Names what cannot be embedded. */
static int refused(struct fill *f, const struct missing_chunk *chunk)
{
    struct error e = *error_last();
    struct arena arena;
    struct passage *passages;
    size_t n = 0;
    arena_init(&arena, MIB(1));
    int rc = f->db->ops->passages(f->db->ctx, &chunk->chunk_id, 1, NULL, &arena, &passages, &n);
    if (!rc && n)
        rc =
            error_set(ERR_PERMANENT, e.reason,
                      "a passage of '%.150s' cannot be embedded by this model (%.200s): remove the "
                      "medium, or choose another model",
                      passages[0].key, e.message);
    else
        rc = OK; /* gone meanwhile */
    arena_free(&arena);
    return rc;
}

static int embed(struct fill *f, const struct missing_chunk *chunks, size_t count,
                 struct arena *arena)
{
    const char *texts[FILL_BATCH];
    size_t lengths[FILL_BATCH];
    struct embed_result result = {0};
    for (size_t i = 0; i < count; i++) {
        texts[i] = chunks[i].text;
        lengths[i] = chunks[i].length;
    }
    struct embed_request request = {
        .purpose = EMBED_DOCUMENT, .texts = texts, .lengths = lengths, .count = count};
    int rc = call(f, &request, arena, &result);
    if (!rc)
        return store(f, chunks, count, result.vectors);
    if (error_class(error_last()) != ERR_PERMANENT)
        return rc;
    if (count == 1)
        return refused(f, chunks);
    rc = embed(f, chunks, count / 2, arena);
    return rc ? rc : embed(f, chunks + count / 2, count - count / 2, arena);
}

/* ---- the threads ---- */

static size_t batch_size(const struct fill *f)
{
    size_t most = f->options->embedder.model.max_batch;
    return most > 0 && most < FILL_BATCH ? most : FILL_BATCH;
}

/* The next page of what is missing; *count 0: there is no more. */
static int next_batch(struct fill *f, struct arena *arena, struct missing_chunk **chunks,
                      size_t *count)
{
    int rc = OK;
    *count = 0;
    pthread_mutex_lock(&f->lock);
    if (!f->all_handed_out)
        rc = f->db->ops->space_missing(f->db->ctx, f->space_id, f->last.chunk_id ? &f->last : NULL,
                                       batch_size(f), arena, chunks, count);
    f->all_handed_out |= !rc && *count == 0;
    if (*count) {
        f->last = (*chunks)[*count - 1];
        f->last.text = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static void *fill_batches(void *arg)
{
    struct fill *f = arg;
    struct arena arena;
    struct missing_chunk *chunks;
    size_t count = 1;
    int rc = OK;
    arena_init(&arena, CAP_JOB_ARENA);
    while (!rc && count && !(rc = check_stopped(f))) {
        rc = next_batch(f, &arena, &chunks, &count);
        if (!rc && count)
            rc = embed(f, chunks, count, &arena);
        arena_free(&arena);
    }
    if (rc)
        fail(f);
    return NULL;
}

static int threads_wanted(const struct fill *f)
{
    int n = f->options->settings->workers;
    return n < 1 ? 1 : n < FILL_CALLS ? n : FILL_CALLS;
}

static int fill_all(struct fill *f)
{
    pthread_t threads[FILL_CALLS];
    int wanted = threads_wanted(f), n = 0;
    f->last = (struct missing_chunk){0};
    f->all_handed_out = false;
    f->filled = 0;
    enter(f, FILL_EMBEDS);
    while (n < wanted && !processor_start_thread(&threads[n], "fill", fill_batches, f))
        n++;
    if (n == 0)
        return error_last()->code;
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (!f->error.code)
        return check_stopped(f);
    return cancel_requested(f->options->cancel)
               ? error_set(ERR_CANCELLED, NULL, "stopped before everything was embedded")
               : error_restore(&f->error);
}

/* ---- until it serves ---- */

static int prepare(struct fill *f)
{
    bool more = true;
    int rc = OK;
    enter(f, FILL_INDEXES);
    while (!rc && more && !(rc = check_stopped(f)))
        rc = f->db->ops->space_prepare(f->db->ctx, f->space_id, &more);
    return rc;
}

/* ERR_BUSY: something came in between. */
static int go_round(struct fill *f)
{
    int rc = fill_all(f);
    if (!rc)
        rc = prepare(f);
    if (!rc) {
        enter(f, FILL_SWITCHES);
        rc = f->db->ops->space_serve(f->db->ctx, f->space_id);
    }
    return rc;
}

static int rounds(struct fill *f)
{
    bool held = false;
    int rc = go_round(f);
    for (int n = 1; rc == ERR_BUSY && n < GIVE_UP_ROUNDS; n++) {
        rc = OK;
        if (f->filled < HOLD_FEW || n >= HOLD_ROUNDS) {
            rc = f->db->ops->space_hold(f->db->ctx, HOLD_MS);
            held = true;
        }
        if (!rc)
            rc = go_round(f);
    }
    struct error e = *error_last();
    if (rc && held)
        f->db->ops->space_hold(f->db->ctx, 0);
    return rc ? error_restore(&e) : OK;
}

static int look(struct fill *f)
{
    struct arena arena;
    struct totals totals;
    struct space_use *uses;
    size_t n = 0;
    arena_init(&arena, MIB(1));
    int rc = f->db->ops->totals(f->db->ctx, &totals);
    if (!rc)
        rc = f->db->ops->spaces(f->db->ctx, &arena, &uses, &n);
    bool dropping = false;
    for (size_t i = 0; i < n; i++)
        if (uses[i].space.id == f->space_id) {
            f->state.done = uses[i].chunks;
            dropping = uses[i].dropping;
        }
    f->state.of = rc ? 0 : totals.chunks;
    arena_free(&arena);
    if (!rc && dropping) {
        f->state.done = 0;
        rc = fill_drop(f->db, f->space_id, f->options->cancel);
    }
    return rc;
}

static int run(struct fill *f)
{
    struct embedding_space space = embedder_space(&f->options->embedder.model);
    int rc = f->db->ops->space_ensure(f->db->ctx, &space);
    f->space_id = space.id;
    if (!rc)
        rc = look(f);
    if (!rc)
        rc = rounds(f);
    f->state.switched = !rc;
    return rc;
}

int fill_run(const struct fill_options *options, struct fill_state *out)
{
    struct fill f = {.options = options, .db = &options->ports->database};
    *out = (struct fill_state){0};
    int rc = f.db->ops->space_fill_begin(f.db->ctx);
    if (rc)
        return rc;
    pthread_mutex_init(&f.lock, NULL);
    rc = processor_make(options->ports, options->settings, NULL, &f.p);
    if (!rc)
        rc = run(&f);
    processor_free(f.p);
    pthread_mutex_destroy(&f.lock);
    f.db->ops->space_fill_end(f.db->ctx);
    *out = f.state;
    return rc;
}

int fill_drop(const struct database *db, int64_t space_id, const struct cancel *cancel)
{
    struct space_drop_place place = {0};
    bool more = true;
    int rc = OK;
    while (!rc && more)
        rc = cancel_requested(cancel)
                 ? error_set(ERR_CANCELLED, NULL, "stopped before everything was dropped")
                 : db->ops->space_drop(db->ctx, space_id, &place, &more);
    return rc;
}
