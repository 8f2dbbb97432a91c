#include "database/search.h"

#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "shared/embedder.h"
#include "shared/error.h"

enum {
    RRF_K = 60,
    LEAST_DEPTH = 50,      /* hits asked of each arm, at least */
    DEPTH_PER_HIT = 4,     /* and for each hit wanted */
    GREATEST_DEPTH = 4000, /* how far a search widens that diversity leaves short */
    MOST_LISTS = 2,
    MOST_OTHERS = 100,
};

/* What one arm found in one go. */
struct list {
    unsigned arm;
    const struct arm_hit *hits;
    size_t count;
};

/* One search under way. */
struct run {
    const struct database *db;
    const struct model_providers *providers;
    const struct search_request *request;
    const struct cancel *cancel;
    struct arena *arena;
    struct search_answer *out;
    char *query;
    size_t limit, depth;
    const float *vector; /* the query's, once embedded */
    int64_t space_id;    /* that it can be compared in; 0: none */
    struct list lists[MOST_LISTS];
    size_t list_count;
    struct error first; /* of the arms' failures */
};

struct fused {
    int64_t chunk_id;
    double score;
    struct search_placing lexical, vector;
};

/* ---- warnings ---- */

static void warn(struct run *r, const char *reason, const char *message)
{
    struct search_answer *out = r->out;
    if (!message || out->warning_count == SEARCH_WARNINGS)
        return;
    out->warnings[out->warning_count++] =
        (struct search_warning){.reason = reason, .message = message};
}

/* Keeps the last error as a warning, unless the caller asked to stop or memory ran out: these end
 * the search. */
static int arm_failed(struct run *r, int rc, const char *reason, const char *what)
{
    if (rc == ERR_CANCELLED || rc == ERR_NO_MEMORY)
        return rc;
    if (r->first.code == OK)
        r->first = *error_last();
    warn(r, reason, arena_printf(r->arena, "%s: %s", what, error_last()->message));
    return 0;
}

/* ---- the arms ---- */

static void add_list(struct run *r, unsigned arm, const struct arm_hit *hits, size_t count)
{
    r->lists[r->list_count++] = (struct list){.arm = arm, .hits = hits, .count = count};
    r->out->arms |= arm;
}

static int lexical_arm(struct run *r)
{
    struct arm_hit *hits = NULL;
    size_t count = 0;
    int rc = r->db->ops->search_lexical(r->db->ctx, r->query, &r->request->filter, r->depth,
                                        r->arena, &hits, &count);
    if (rc)
        return arm_failed(r, rc, "lexical_failed",
                          "the words could not be searched, results come from meaning alone");
    add_list(r, SEARCH_LEXICAL, hits, count);
    return 0;
}

static int vector_arm(struct run *r)
{
    struct arm_hit *hits = NULL;
    size_t count = 0;
    if (!r->space_id)
        return 0;
    int rc = r->db->ops->search_vector(r->db->ctx, r->space_id, r->vector, &r->request->filter,
                                       r->depth, r->arena, &hits, &count);
    if (rc)
        return arm_failed(r, rc, "vector_failed",
                          "the meaning could not be searched, results come from words alone");
    add_list(r, SEARCH_VECTOR, hits, count);
    return 0;
}

/* ---- what the query's vector is compared with ---- */

/* Brought over from before every passage had to be in the serving space. */
static void warn_missing(struct run *r, const struct serving_space *serving)
{
    warn(r, "other_space",
         arena_printf(r->arena,
                      "%lld passages are not embedded by %s %s, which serves: they are found by "
                      "their words only until `aegis reprocess --embed-model %s` has been run",
                      (long long)serving->missing, serving->space.provider, serving->space.model,
                      serving->space.model));
}

static void warn_model(struct run *r, const struct embedding_space *space)
{
    struct embedder set;
    const char *line = NULL;
    if (!embedder_configured(r->providers, &set) && !embedder_fits(space, &set.model))
        line = embedder_difference(space, &set.model, r->arena);
    warn(r, "other_model", line);
}

static int embed_query(struct run *r, const struct embedder *embedder)
{
    const struct model_provider *provider = &embedder->provider;
    const struct model_identity *model = &embedder->model;
    const char *texts[] = {r->query};
    size_t lengths[] = {strlen(r->query)};
    struct embed_request request = {
        .purpose = EMBED_QUERY, .texts = texts, .lengths = lengths, .count = 1};
    struct embed_result result = {0};
    int rc =
        provider->ops->embed(provider->ctx, &request, r->cancel, r->arena, &r->out->calls, &result);
    if (!rc && (result.dimension != model->dimension || !result.vectors))
        rc = error_set(ERR_PERMANENT, "malformed_reply",
                       "%s gave a vector of %d dimensions instead of %d", model->model,
                       result.dimension, model->dimension);
    if (rc) {
        r->space_id = 0;
        return arm_failed(r, rc, "embedding_failed",
                          "the query could not be embedded, results come from words alone");
    }
    r->vector = result.vectors;
    return 0;
}

static int no_provider(struct run *r, int rc)
{
    struct error e = *error_last();
    if (rc == ERR_SYSTEMIC) { /* for jobs; a search goes on */
        e.code = ERR_NOT_FOUND;
        error_restore(&e);
    }
    return arm_failed(r, e.code, "no_embedding_provider",
                      "the meaning was not searched, results come from words alone");
}

/* Finds the space and embeds the query, once for all widenings. */
static int prepare_vector(struct run *r)
{
    struct serving_space serving;
    struct embedder embedder;
    int rc = r->db->ops->space_serving(r->db->ctx, &serving);
    if (rc && rc != ERR_NOT_FOUND)
        return arm_failed(r, rc, "vector_failed",
                          "the meaning could not be searched, results come from words alone");
    if (rc || serving.chunks + serving.missing == 0) {
        r->out->arms |= SEARCH_VECTOR; /* nothing is embedded: an empty list */
        return 0;
    }
    rc = embedder_of(r->providers, &serving.space, &embedder);
    if (rc)
        return no_provider(r, rc);
    warn_model(r, &serving.space);
    if (serving.missing > 0)
        warn_missing(r, &serving);
    r->space_id = serving.space.id;
    return embed_query(r, &embedder);
}

/* ---- fusion ---- */

static void place(struct fused *f, const struct list *list, size_t at)
{
    struct search_placing *p = list->arm == SEARCH_LEXICAL ? &f->lexical : &f->vector;
    f->score += 1.0 / (double)(RRF_K + at + 1);
    if (p->rank == 0 || at + 1 < p->rank)
        *p = (struct search_placing){.rank = at + 1, .score = list->hits[at].score};
}

static int by_chunk(const void *a, const void *b)
{
    const struct fused *x = a, *y = b;
    return (x->chunk_id > y->chunk_id) - (x->chunk_id < y->chunk_id);
}

/* A placing's order: found before not found, then the lower rank. */
static size_t order(size_t rank)
{
    return rank ? rank : SIZE_MAX;
}

static size_t best_rank(const struct fused *f)
{
    size_t l = order(f->lexical.rank), v = order(f->vector.rank);
    return l < v ? l : v;
}

static int by_score(const void *a, const void *b)
{
    const struct fused *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (best_rank(x) != best_rank(y))
        return best_rank(x) < best_rank(y) ? -1 : 1;
    if (order(x->lexical.rank) != order(y->lexical.rank))
        return order(x->lexical.rank) < order(y->lexical.rank) ? -1 : 1;
    return by_chunk(a, b);
}

static void merge_into(struct fused *to, const struct fused *from)
{
    to->score += from->score;
    if (order(from->lexical.rank) < order(to->lexical.rank))
        to->lexical = from->lexical;
    if (order(from->vector.rank) < order(to->vector.rank))
        to->vector = from->vector;
}

/* Adjacent entries of one passage become one. */
static size_t merge(struct fused *all, size_t count)
{
    size_t kept = 0;
    qsort(all, count, sizeof *all, by_chunk);
    for (size_t i = 0; i < count; i++) {
        if (kept && all[kept - 1].chunk_id == all[i].chunk_id)
            merge_into(&all[kept - 1], &all[i]);
        else
            all[kept++] = all[i];
    }
    return kept;
}

static int fuse(struct run *r, struct fused **out, size_t *count)
{
    size_t total = 0, n = 0;
    for (size_t i = 0; i < r->list_count; i++)
        total += r->lists[i].count;
    struct fused *all = arena_array(r->arena, total ? total : 1, sizeof *all);
    if (!all)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < r->list_count; i++)
        for (size_t at = 0; at < r->lists[i].count; at++) {
            all[n].chunk_id = r->lists[i].hits[at].chunk_id;
            place(&all[n++], &r->lists[i], at);
        }
    *count = merge(all, n);
    qsort(all, *count, sizeof *all, by_score);
    *out = all;
    return 0;
}

/* ---- passages become hits ---- */

static struct search_hit *find_identical(struct search_answer *out, const char *text)
{
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->hits[i].passage.text, text) == 0)
            return &out->hits[i];
    return NULL;
}

static int add_other(struct run *r, struct search_hit *hit, const struct passage *passage)
{
    if (hit->passage.media_id == passage->media_id)
        return 0;
    for (size_t i = 0; i < hit->other_count; i++)
        if (hit->others[i].media_id == passage->media_id)
            return 0;
    if (!hit->others)
        hit->others = arena_array(r->arena, MOST_OTHERS, sizeof *hit->others);
    if (!hit->others)
        return ERR_NO_MEMORY;
    if (hit->other_count < MOST_OTHERS)
        hit->others[hit->other_count++] = (struct search_other){
            .media_id = passage->media_id, .bucket = passage->bucket, .key = passage->key};
    return 0;
}

static bool enough_of(const struct run *r, int64_t media_id)
{
    size_t n = 0;
    if (!r->request->per_media)
        return false;
    for (size_t i = 0; i < r->out->count; i++)
        n += r->out->hits[i].passage.media_id == media_id;
    return n >= r->request->per_media;
}

static int add_hit(struct run *r, const struct fused *f, const struct passage *passage)
{
    struct search_hit *same = find_identical(r->out, passage->text);
    if (same)
        return add_other(r, same, passage);
    if (r->out->count == r->limit || enough_of(r, passage->media_id))
        return 0;
    struct search_hit *hit = &r->out->hits[r->out->count++];
    *hit = (struct search_hit){
        .score = f->score, .lexical = f->lexical, .vector = f->vector, .passage = *passage};
    return snippet_make(r->query, passage->language, passage->text, strlen(passage->text), r->arena,
                        &hit->snippet);
}

/* Passages come in the order of the ids, several for one id if several media show it. */
static int add_batch(struct run *r, const struct fused *fused, size_t count)
{
    int64_t *ids = arena_array(r->arena, count, sizeof *ids);
    struct passage *passages = NULL;
    size_t found = 0, at = 0;
    if (!ids)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        ids[i] = fused[i].chunk_id;
    int rc = r->db->ops->passages(r->db->ctx, ids, count, &r->request->filter, r->arena, &passages,
                                  &found);
    for (size_t i = 0; i < found && !rc; i++) {
        while (at < count && fused[at].chunk_id != passages[i].chunk_id)
            at++;
        if (at == count)
            break;
        rc = add_hit(r, &fused[at], &passages[i]);
    }
    return rc;
}

static int collect(struct run *r, const struct fused *fused, size_t count)
{
    int rc = 0;
    r->out->count = 0;
    for (size_t at = 0; at < count && r->out->count < r->limit && !rc;) {
        size_t n = r->limit - r->out->count;
        n = n < count - at ? n : count - at;
        rc = add_batch(r, fused + at, n);
        at += n;
    }
    return rc;
}

/* ---- putting it together ---- */

static char *trimmed(const char *query, struct arena *arena)
{
    const char *space = " \t\r\n\v\f";
    query += strspn(query, space);
    size_t length = strlen(query);
    while (length && strchr(space, query[length - 1]))
        length--;
    return arena_strndup(arena, query, length);
}

static int check(const struct search_request *request)
{
    size_t length = strlen(request->query);
    if (length > CAP_QUERY)
        return error_set(ERR_TOO_LARGE, NULL, "the query has %zu bytes, at most %zu are possible",
                         length, (size_t)CAP_QUERY);
    if (request->limit > CAP_RESULTS)
        return error_set(ERR_TOO_LARGE, NULL, "%zu hits are wanted, at most %d are possible",
                         request->limit, CAP_RESULTS);
    if (u8_check((const uint8_t *)request->query, length))
        return error_set(ERR_INVALID, NULL, "the query is not valid UTF-8");
    return 0;
}

static int begin(struct run *r)
{
    int rc = check(r->request);
    if (rc)
        return rc;
    r->query = trimmed(r->request->query, r->arena);
    r->limit = r->request->limit ? r->request->limit : SEARCH_DEFAULT_LIMIT;
    r->depth = r->limit * DEPTH_PER_HIT > LEAST_DEPTH ? r->limit * DEPTH_PER_HIT : LEAST_DEPTH;
    r->out->calls.arena = r->arena;
    r->out->hits = arena_array(r->arena, r->limit, sizeof *r->out->hits);
    if (!r->query || !r->out->hits)
        return ERR_NO_MEMORY;
    if (!r->query[0])
        return error_set(ERR_INVALID, NULL, "the query is empty: say what to look for");
    return 0;
}

static bool wanted(const struct run *r, unsigned arm)
{
    return !r->request->arms || (r->request->arms & arm);
}

static int run_arms(struct run *r)
{
    int rc = 0;
    r->list_count = 0;
    if (wanted(r, SEARCH_LEXICAL))
        rc = lexical_arm(r);
    if (!rc && wanted(r, SEARCH_VECTOR))
        rc = vector_arm(r);
    if (!rc && cancel_requested(r->cancel))
        rc = error_set(ERR_CANCELLED, NULL, "the search was stopped");
    if (!rc && !r->out->arms)
        rc = error_restore(&r->first);
    return rc;
}

/* Could deeper lists have more? */
static bool may_widen(const struct run *r)
{
    if (r->depth * DEPTH_PER_HIT > GREATEST_DEPTH)
        return false;
    for (size_t i = 0; i < r->list_count; i++)
        if (r->lists[i].count >= r->depth)
            return true;
    return false;
}

static void warn_nothing_embedded(struct run *r)
{
    if (wanted(r, SEARCH_VECTOR) && (r->out->arms & SEARCH_VECTOR) && !r->space_id && r->out->count)
        warn(r, "no_embeddings", "no passage is embedded, results come from words alone");
}

static int run_once(struct run *r)
{
    struct fused *fused;
    size_t count;
    int rc = run_arms(r);
    if (!rc)
        rc = fuse(r, &fused, &count);
    return rc ? rc : collect(r, fused, count);
}

int search_run(const struct database *db, const struct model_providers *providers,
               const struct search_request *request, const struct cancel *cancel,
               struct arena *arena, struct search_answer *out)
{
    struct run r = {.db = db,
                    .providers = providers,
                    .request = request,
                    .cancel = cancel,
                    .arena = arena,
                    .out = out};
    *out = (struct search_answer){0};
    int rc = begin(&r);
    if (!rc && wanted(&r, SEARCH_VECTOR))
        rc = prepare_vector(&r);
    size_t prepared_warnings = out->warning_count;
    if (!rc)
        rc = run_once(&r);
    while (!rc && out->count < r.limit && may_widen(&r)) {
        r.depth *= DEPTH_PER_HIT;
        out->warning_count = prepared_warnings;
        rc = run_once(&r);
    }
    if (!rc)
        warn_nothing_embedded(&r);
    return rc;
}
