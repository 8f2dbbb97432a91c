/*
 * Which embedding space new media go to: the one that serves searches. The settings decide only as
 * long as nothing is embedded; after that changing over is a matter of its own (fill.h).
 */
#include "processor/internal.h"
#include "shared/clock.h"

/* Nothing is there, so the space of the settings lacks nothing. */
static int serve_configured(struct processor *p, struct embedding_space *out)
{
    const struct database *db = &p->ports.database;
    struct embedder configured;
    int rc = embedder_configured(&p->ports.providers, &configured);
    if (rc)
        return rc;
    struct embedding_space space = embedder_space(&configured.model);
    if (out->id && embedder_fits(out, &configured.model))
        return OK;
    rc = db->ops->space_ensure(db->ctx, &space);
    if (!rc)
        rc = db->ops->space_serve(db->ctx, space.id);
    if (!rc)
        *out = space;
    return rc;
}

/* ERR_BUSY: another process published first. */
static int look_once(struct processor *p, bool anew, struct embedding_space *out)
{
    const struct database *db = &p->ports.database;
    struct serving_space serving;
    int rc = db->ops->space_serving(db->ctx, &serving);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    *out = serving.space;
    bool nothing = rc == ERR_NOT_FOUND || (!anew && serving.chunks + serving.missing == 0);
    return nothing ? serve_configured(p, out) : OK;
}

static int look(struct processor *p, bool anew, struct serving *out)
{
    enum { TRIES = 5 };
    int rc = ERR_BUSY;
    for (int i = 0; rc == ERR_BUSY && i < TRIES; i++)
        rc = look_once(p, anew, &out->space);
    return rc ? rc : embedder_of(&p->ports.providers, &out->space, &out->embedder);
}

int serving_find(struct processor *p, bool anew, struct serving *out)
{
    struct serving_cache *cache = &p->serving;
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&cache->lock);
    bool known = !anew && cache->known.space.id && now < cache->until_ms;
    *out = cache->known;
    pthread_mutex_unlock(&cache->lock);
    if (known)
        return OK;
    int rc = look(p, anew, out);
    if (rc)
        return rc;
    pthread_mutex_lock(&cache->lock);
    cache->known = *out;
    cache->until_ms = now + SERVING_MS;
    pthread_mutex_unlock(&cache->lock);
    return OK;
}
