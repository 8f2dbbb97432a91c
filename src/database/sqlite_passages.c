#include <stdlib.h>
#include <string.h>

#include "database/sqlite_internal.h"

/* Media that show the very same chunk: more are not listed. */
enum { MEDIA_PER_CHUNK = 100 };

struct passage_list {
    struct passage *items; /* malloc'd until the end */
    size_t count, capacity;
};

static struct passage *next_passage(struct passage_list *l)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 32;
        struct passage *items = realloc(l->items, capacity * sizeof *items);
        if (!items) {
            error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu passages", capacity);
            return NULL;
        }
        l->items = items;
        l->capacity = capacity;
    }
    return &l->items[l->count++];
}

#define PASSAGE_COLUMNS                                                                            \
    "SELECT c.chunk_id, m.media_id, m.bucket_id, m.key, m.facet_id, r.title, c.text, c.start_ms, " \
    "c.end_ms, c.byte_offset, m.uploaded_ms, r.draft, r.missing_ms FROM chunk c "                  \
    "CROSS JOIN media m ON m.result_id = c.result_id "                                             \
    "CROSS JOIN result r ON r.result_id = c.result_id "                                            \
    "CROSS JOIN facet f ON f.facet_id = m.facet_id WHERE c.chunk_id = "

static int read_passage(struct store *s, struct connection *c, sqlite3_stmt *row,
                        struct arena *arena, struct passage *p)
{
    struct facet facet;
    *p = (struct passage){
        .chunk_id = sql_int(row, 0),
        .media_id = sql_int(row, 1),
        .key = sql_text(row, 3, arena),
        .title = sql_text(row, 5, arena),
        .text = sql_text(row, 6, arena),
        .start_ms = sql_int(row, 7),
        .end_ms = sql_int(row, 8),
        .offset = sql_int(row, 9),
        .uploaded_ms = sql_int(row, 10),
        .draft = sql_int(row, 11),
        .incomplete = sql_int(row, 12) != 0,
    };
    if (!p->key || !p->title || !p->text)
        return ERR_NO_MEMORY;
    int rc = facet_get(&s->names, c, sql_int(row, 4), &facet);
    if (!rc)
        rc = name_text(&s->names, c, sql_int(row, 2), arena, &p->bucket);
    if (!rc)
        rc = name_text(&s->names, c, facet.collection, arena, &p->collection);
    if (!rc)
        rc = name_text(&s->names, c, facet.kind, arena, &p->kind);
    return rc ? rc : name_text(&s->names, c, facet.language, arena, &p->language);
}

static int passages_of(struct store *s, struct connection *c, sqlite3_stmt *row, int64_t chunk_id,
                       struct arena *arena, struct passage_list *list)
{
    bool more;
    int rc = OK;
    sqlite3_bind_int64(row, 1, chunk_id);
    while (!rc && !(rc = sql_next(c, row, &more)) && more) {
        struct passage *p = next_passage(list);
        rc = p ? read_passage(s, c, row, arena, p) : ERR_NO_MEMORY;
    }
    sql_done(row);
    return rc;
}

static int all_passages(struct store *s, struct connection *c, const int64_t *ids, size_t n,
                        const struct media_filter *filter, struct arena *arena,
                        struct passage_list *list)
{
    struct filter_sql q;
    sqlite3_stmt *row = NULL;
    int rc = filter_begin(&q, PASSAGE_COLUMNS);
    if (!rc)
        rc = filter_value(&q, V_INT(0));
    if (!rc)
        rc = filter_add(&q, s, c, filter);
    if (!rc)
        rc = filter_text(&q, " ORDER BY m.media_id LIMIT ");
    if (!rc)
        rc = filter_value(&q, V_INT(MEDIA_PER_CHUNK));
    if (!rc && !q.nothing)
        rc = sql_prepare(c, &row, buffer_string(&q.sql), q.values, q.count);
    for (size_t i = 0; !rc && row && i < n; i++)
        rc = passages_of(s, c, row, ids[i], arena, list);
    sql_drop(row);
    filter_end(&q);
    return rc;
}

int sqlite_passages(void *ctx, const int64_t *chunk_ids, size_t n,
                    const struct media_filter *filter, struct arena *arena, struct passage **out,
                    size_t *count)
{
    struct store *s = ctx;
    struct reader *r = reader_hold(s);
    struct passage_list list = {0};
    *count = 0;
    int rc = snapshot_begin(&r->main);
    if (!rc)
        rc = all_passages(s, &r->main, chunk_ids, n, filter, arena, &list);
    snapshot_end(&r->main);
    reader_release(s, r);
    if (!rc && !(*out = arena_array(arena, list.count, sizeof **out)))
        rc = ERR_NO_MEMORY;
    if (!rc && list.count) {
        memcpy(*out, list.items, list.count * sizeof **out);
        *count = list.count;
    }
    free(list.items);
    return rc;
}
