/*
 * Which media a list shows, by the cheapest of four ways: one id; the range of a key prefix; the
 * facets that match (one index serves collection, kind and language in any combination); or the
 * walk along the ids.
 */
#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"
#include "database/sqlite_media_ids.h"

struct id_list {
    int64_t *ids;
    size_t count, capacity;
};

static int put_id(struct id_list *list, int64_t id)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        int64_t *ids = realloc(list->ids, capacity * sizeof *ids);
        if (!ids)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu media", capacity);
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return OK;
}

static int collect(struct connection *c, const char *sql, const struct sql_value *values,
                   size_t count, struct id_list *list)
{
    sqlite3_stmt *row;
    bool more;
    int rc = sql_prepare(c, &row, sql, values, count);
    while (!rc && !(rc = sql_next(c, row, &more)) && more)
        rc = put_id(list, sql_int(row, 0));
    sql_drop(row);
    return rc;
}

static bool given(const char *text)
{
    return text && *text;
}

static int matching_facets(struct store *s, struct connection *c, const struct media_filter *f,
                           struct id_list *facets)
{
    struct filter_sql q;
    struct media_filter only = {
        .collection = f->collection, .kind = f->kind, .language = f->language};
    int rc = filter_begin(&q, "SELECT f.facet_id FROM facet f WHERE 1");
    if (!rc)
        rc = filter_add(&q, s, c, &only);
    if (!rc && !q.nothing)
        rc = collect(c, buffer_string(&q.sql), q.values, q.count, facets);
    filter_end(&q);
    return rc;
}

/* Everything after FROM; facet 0: joined instead. */
static int add_rest(struct filter_sql *q, struct store *s, struct connection *c,
                    const struct media_page *page, int64_t facet)
{
    struct media_filter rest = page->filter ? *page->filter : (struct media_filter){0};
    int rc = OK;
    if (facet) {
        rest.collection = rest.kind = rest.language = NULL;
        rc = filter_text(q, " AND m.facet_id = ");
        if (!rc)
            rc = filter_value(q, V_INT(facet));
    }
    if (!rc)
        rc = filter_add(q, s, c, &rest);
    if (!rc && page->idle_only)
        rc = filter_text(q, " AND (SELECT state FROM job j WHERE j.job_id = m.job_id) >= 4");
    if (!rc && (page->from || page->rising)) {
        rc = filter_text(q, page->rising ? " AND m.media_id > " : " AND m.media_id < ");
        if (!rc)
            rc = filter_value(q, V_INT(page->from));
    }
    if (!rc)
        rc = filter_text(q, page->rising ? " ORDER BY m.media_id LIMIT "
                                         : " ORDER BY m.media_id DESC LIMIT ");
    return rc ? rc : filter_value(q, V_INT((int64_t)page->limit));
}

static int query_ids(struct store *s, struct connection *c, const struct media_page *page,
                     const char *select, int64_t facet, struct id_list *list)
{
    struct filter_sql q;
    int rc = filter_begin(&q, select);
    if (!rc)
        rc = add_rest(&q, s, c, page, facet);
    if (!rc && !q.nothing)
        rc = collect(c, buffer_string(&q.sql), q.values, q.count, list);
    filter_end(&q);
    return rc;
}

static int query_facets(struct store *s, struct connection *c, const struct media_page *page,
                        struct id_list *list)
{
    struct id_list facets = {0};
    int rc = matching_facets(s, c, page->filter, &facets);
    for (size_t i = 0; !rc && i < facets.count; i++)
        rc = query_ids(s, c, page,
                       "SELECT m.media_id FROM media m INDEXED BY media_by_facet WHERE "
                       "m.removed = 0",
                       facets.ids[i], list);
    free(facets.ids);
    return rc;
}

/* One range of the key index for each bucket; the buckets are found by jumping along the index. */
static const char BY_PREFIX[] =
    "WITH RECURSIVE b (id) AS (SELECT min(bucket_id) FROM media UNION ALL SELECT (SELECT "
    "min(bucket_id) FROM media WHERE bucket_id > b.id) FROM b WHERE b.id IS NOT NULL) "
    "SELECT m.media_id FROM b CROSS JOIN media m INDEXED BY media_by_key ON m.bucket_id = b.id "
    "JOIN facet f ON f.facet_id = m.facet_id WHERE m.removed = 0";
static const char BY_ID[] = "SELECT m.media_id FROM media m NOT INDEXED JOIN facet f ON f.facet_id "
                            "= m.facet_id WHERE m.removed = 0";

static int compare_rising(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int compare_falling(const void *a, const void *b)
{
    return compare_rising(b, a);
}

int media_ids(struct store *s, struct connection *c, const struct media_page *page, int64_t **ids,
              size_t *count)
{
    const struct media_filter *f = page->filter;
    struct id_list list = {0};
    int rc;
    if (f && !f->media_id && given(f->prefix))
        rc = query_ids(s, c, page, BY_PREFIX, 0, &list);
    else if (f && !f->media_id && (given(f->collection) || given(f->kind) || given(f->language)))
        rc = query_facets(s, c, page, &list);
    else
        rc = query_ids(s, c, page, BY_ID, 0, &list);
    if (list.count > 1)
        qsort(list.ids, list.count, sizeof *list.ids,
              page->rising ? compare_rising : compare_falling);
    *ids = list.ids;
    *count = list.count < page->limit ? list.count : page->limit;
    return rc;
}
