#include "database/sqlite_visible.h"

#include <stdlib.h>

#include "database/sqlite_media_ids.h"

/* The statement's first parameter is the chunk. */
int visible_begin(struct visible *v, struct store *s, struct connection *c,
                  const struct media_filter *filter)
{
    v->c = c;
    int rc = filter_begin(&v->filter,
                          "SELECT 1 FROM chunk c CROSS JOIN media m ON m.result_id = c.result_id ");
    if (!rc && !filter_any(filter))
        rc = filter_text(&v->filter, "CROSS JOIN facet f ON f.facet_id = m.facet_id ");
    if (!rc)
        rc = filter_text(&v->filter, "WHERE c.chunk_id = ");
    if (!rc)
        rc = filter_value(&v->filter, V_INT(0));
    if (!rc)
        rc = filter_add(&v->filter, s, c, filter);
    if (!rc)
        rc = filter_text(&v->filter, " LIMIT 1");
    v->nothing = v->filter.nothing;
    return rc ? rc
              : sql_prepare(c, &v->statement, buffer_string(&v->filter.sql), v->filter.values,
                            v->filter.count);
}

int visible_check(struct visible *v, int64_t chunk_id, bool *shown)
{
    *shown = false;
    if (v->nothing)
        return OK;
    sqlite3_bind_int64(v->statement, 1, chunk_id);
    int rc = sql_next(v->c, v->statement, shown);
    sql_done(v->statement);
    return rc;
}

void visible_end(struct visible *v)
{
    sql_drop(v->statement);
    filter_end(&v->filter);
}

/* ---- ranges ---- */

struct range_list {
    struct vector_range *items;
    size_t count, capacity, most;
};

static int put_range(struct range_list *l, int64_t first, int64_t last)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 64;
        struct vector_range *items = realloc(l->items, capacity * sizeof *items);
        if (!items)
            return error_set(ERR_NO_MEMORY, NULL, "out of memory for a search filter");
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->count++] = (struct vector_range){.first = first, .last = last};
    return OK;
}

static int runs_of(struct connection *c, int64_t media_id, struct range_list *l)
{
    sqlite3_stmt *row;
    bool more;
    int rc = SQL_BEGIN(c, &row,
                       "SELECT u.first_chunk, u.count FROM media m CROSS JOIN chunk_run u ON "
                       "u.result_id = m.result_id WHERE m.media_id = ?1",
                       V_INT(media_id));
    while (!rc && l->count <= l->most && !(rc = sql_next(c, row, &more)) && more)
        rc = put_range(l, sql_int(row, 0), sql_int(row, 0) + sql_int(row, 1) - 1);
    sql_done(row);
    return rc;
}

static int by_first(const void *a, const void *b)
{
    int64_t x = ((const struct vector_range *)a)->first;
    int64_t y = ((const struct vector_range *)b)->first;
    return (x > y) - (x < y);
}

/* Two media may show the same result: equal runs fall together; neighbours are joined. */
static size_t merge(struct vector_range *items, size_t count)
{
    size_t n = 0;
    qsort(items, count, sizeof *items, by_first);
    for (size_t i = 0; i < count; i++) {
        if (n && items[i].first <= items[n - 1].last + 1)
            items[n - 1].last =
                items[i].last > items[n - 1].last ? items[i].last : items[n - 1].last;
        else
            items[n++] = items[i];
    }
    return n;
}

int visible_ranges(struct store *s, struct connection *c, const struct media_filter *filter,
                   size_t most, struct vector_range **ranges, size_t *count, bool *too_many)
{
    struct range_list list = {.most = most};
    int64_t *ids = NULL;
    size_t n = 0;
    int rc = media_ids(s, c, &(struct media_page){.filter = filter, .limit = most + 1}, &ids, &n);
    for (size_t i = 0; !rc && i < n && n <= most && list.count <= most; i++)
        rc = runs_of(c, ids[i], &list);
    free(ids);
    *too_many = n > most || list.count > most;
    *count = list.count ? merge(list.items, list.count) : 0;
    *ranges = list.items;
    return rc;
}
