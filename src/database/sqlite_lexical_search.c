#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_visible.h"

/* Added to the score of passages that hold all words, so that they rank before the others. BM25
 * of a query of at most 48 terms stays below. */
static const double ALL_WORDS = 1000.0;

struct hits {
    struct arm_hit *items;
    size_t count, k;
};

struct lexical_search {
    struct reader *r;
    struct visible visible;
    int64_t first, last; /* rowids that may match; both 0: all */
    struct hits hits;
};

static bool have(const struct hits *hits, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (hits->items[i].chunk_id == id)
            return true;
    return false;
}

static int take_hit(struct lexical_search *q, sqlite3_stmt *row, size_t before, double bonus)
{
    int64_t id = sql_int(row, 0);
    double score = -sqlite3_column_double(row, 1);
    bool shown;
    if (have(&q->hits, before, id))
        return OK;
    int rc = visible_check(&q->visible, id, &shown);
    if (!bonus && score >= ALL_WORDS)
        score = ALL_WORDS - 1;
    if (!rc && shown)
        q->hits.items[q->hits.count++] = (struct arm_hit){.chunk_id = id, .score = score + bonus};
    return rc;
}

static const char SEARCH[] = "SELECT rowid, rank FROM passage WHERE passage MATCH ?1 ORDER BY rank";
static const char SEARCH_RANGE[] = "SELECT rowid, rank FROM passage WHERE passage MATCH ?1 AND "
                                   "rowid BETWEEN ?2 AND ?3 ORDER BY rank";

/* FTS5 gives the best first; those that may not be shown are passed over until k are found. */
static int search_pass(struct lexical_search *q, const char *expression, double bonus)
{
    struct connection *c = &q->r->lexical;
    const struct sql_value values[] = {V_TEXT(expression), V_INT(q->first), V_INT(q->last)};
    sqlite3_stmt *row;
    bool more, ranged = q->last > 0;
    size_t before = q->hits.count;
    int rc = sql_begin(c, &row, ranged ? SEARCH_RANGE : SEARCH, values, ranged ? 3 : 1);
    while (!rc && q->hits.count < q->hits.k && !(rc = sql_next(c, row, &more)) && more)
        rc = take_hit(q, row, before, bonus);
    sql_done(row);
    return rc;
}

static int search_both(struct lexical_search *q, const char *all, const char *any)
{
    if (!*all || !q->hits.k || q->visible.nothing)
        return OK;
    int rc = search_pass(q, all, ALL_WORDS);
    if (!rc && q->hits.count < q->hits.k && *any && strchr(all, ' '))
        rc = search_pass(q, any, 0);
    return rc;
}

/* One medium has few chunks among millions: FTS5 then only looks at their rowids. */
static int narrow(struct lexical_search *q, const struct media_filter *filter)
{
    sqlite3_stmt *row;
    if (!filter || !filter->media_id)
        return OK;
    int rc = SQL_FIRST(&q->r->main, &row,
                       "SELECT min(u.first_chunk), max(u.first_chunk + u.count - 1) FROM media m "
                       "JOIN chunk_run u ON u.result_id = m.result_id WHERE m.media_id = ?1",
                       V_INT(filter->media_id));
    if (row) {
        q->first = sql_int(row, 0);
        q->last = sql_int(row, 1);
        q->visible.nothing |= q->last == 0;
    }
    sql_done(row);
    return rc;
}

enum { TRIES = 6 };

static int search_again(struct store *s, struct reader *r,
                        int (*search)(struct store *s, struct reader *r, void *arg), void *arg)
{
    int64_t before, after;
    int rc = OK;
    for (int i = 0; !rc && i < TRIES; i++) {
        rc = lexical_epoch(s, r, &before);
        if (!rc)
            rc = search(s, r, arg);
        if (!rc)
            rc = lexical_epoch(s, r, &after);
        if (!rc && before == after)
            break;
    }
    return rc;
}

int search_stable(struct store *s, int (*search)(struct store *s, struct reader *r, void *arg),
                  void *arg)
{
    pthread_rwlock_rdlock(&s->removal);
    struct reader *r = reader_hold(s);
    int rc = search_again(s, r, search, arg);
    reader_release(s, r);
    pthread_rwlock_unlock(&s->removal);
    return rc;
}

/* The index must hold what this snapshot shows. */
static int catch_up(struct store *s, struct reader *r)
{
    int64_t target;
    int rc = sql_number(&r->main, &target, 1, "SELECT next_chunk FROM ledger", NULL, 0);
    if (!rc && atomic_load(&s->lexical.indexed_to) < target)
        rc = lexical_index(s, target);
    return rc;
}

struct request {
    const char *all, *any;
    const struct media_filter *filter;
    struct hits hits;
};

static int search_once(struct store *s, struct reader *r, void *arg)
{
    struct request *request = arg;
    struct lexical_search q = {.r = r,
                               .hits = {.items = request->hits.items, .k = request->hits.k}};
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = catch_up(s, r);
    if (!rc)
        rc = visible_begin(&q.visible, s, &r->main, request->filter);
    if (!rc)
        rc = narrow(&q, request->filter);
    if (!rc)
        rc = search_both(&q, request->all, request->any);
    visible_end(&q.visible);
    snapshot_end(&r->main);
    request->hits.count = q.hits.count;
    return rc;
}

int sqlite_search_lexical(void *ctx, const char *query, const struct media_filter *filter, size_t k,
                          struct arena *arena, struct arm_hit **out, size_t *count)
{
    struct store *s = ctx;
    struct request request = {.filter = filter, .hits.k = k < CAP_RESULTS ? k : CAP_RESULTS};
    *count = 0;
    request.hits.items = *out = arena_array(arena, request.hits.k, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    int rc = lexical_query(query, LEXICAL_ALL, arena, &request.all);
    if (!rc)
        rc = lexical_query(query, LEXICAL_ANY, arena, &request.any);
    if (!rc)
        rc = search_stable(s, search_once, &request);
    *count = rc ? 0 : request.hits.count;
    return rc;
}
