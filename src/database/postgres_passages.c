#include "database/postgres_query.h"

/* Media that show the very same chunk: more are not listed. */
static const char MEDIA_PER_CHUNK[] = "100";

static int read_passage(const struct pg_rows *rows, int i, struct arena *arena, struct passage *p)
{
    *p = (struct passage){
        .chunk_id = pg_int(rows, i, 0),
        .media_id = pg_int(rows, i, 1),
        .bucket = pg_text(rows, i, 2, arena),
        .key = pg_text(rows, i, 3, arena),
        .collection = pg_text(rows, i, 4, arena),
        .kind = pg_text(rows, i, 5, arena),
        .language = pg_text(rows, i, 6, arena),
        .title = pg_text(rows, i, 7, arena),
        .text = pg_text(rows, i, 8, arena),
        .start_ms = pg_int(rows, i, 9),
        .end_ms = pg_int(rows, i, 10),
        .offset = pg_int(rows, i, 11),
        .uploaded_ms = pg_int(rows, i, 12),
        .draft = pg_int(rows, i, 13),
        .incomplete = pg_int(rows, i, 14) != 0,
    };
    bool whole =
        p->bucket && p->key && p->collection && p->kind && p->language && p->title && p->text;
    return whole ? OK : ERR_NO_MEMORY;
}

static int read_passages(const struct pg_rows *rows, struct arena *arena, struct passage **out,
                         size_t *count)
{
    int rc = OK;
    *out = arena_array(arena, (size_t)rows->count, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (int i = 0; !rc && i < rows->count; i++)
        rc = read_passage(rows, i, arena, &(*out)[i]);
    *count = rc ? 0 : (size_t)rows->count;
    return rc;
}

static void write_query(struct query_sql *q, const int64_t *ids, size_t n,
                        const struct media_filter *filter)
{
    query_begin(q, "SELECT c.chunk_id, m.media_id, m.bucket, m.key, m.collection, m.kind, "
                   "m.language, r.title, c.text, c.start_ms, c.end_ms, c.byte_offset, "
                   "m.uploaded_ms, r.draft, r.missing_ms FROM unnest(");
    query_value(q, P_INTS(ids, n));
    query_text(q, "::bigint[]) WITH ORDINALITY AS i (chunk_id, n) "
                  "JOIN chunk c ON c.chunk_id = i.chunk_id "
                  "JOIN result r ON r.result_id = c.result_id "
                  "CROSS JOIN LATERAL (SELECT * FROM media m WHERE m.result_id = c.result_id AND "
                  "NOT m.removed");
    query_add_filter(q, filter);
    query_text(q, " ORDER BY m.media_id LIMIT ");
    query_text(q, MEDIA_PER_CHUNK);
    query_text(q, ") m ORDER BY i.n, m.media_id");
}

int postgres_passages(void *ctx, const int64_t *chunk_ids, size_t n,
                      const struct media_filter *filter, struct arena *arena, struct passage **out,
                      size_t *count)
{
    struct pg *c;
    struct pg_rows rows;
    struct query_sql q;
    *out = NULL;
    *count = 0;
    if (!n)
        return OK;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    write_query(&q, chunk_ids, n, filter);
    rc = query_run(&q, c, &rows);
    if (!rc)
        rc = read_passages(&rows, arena, out, count);
    pg_rows_free(&rows);
    query_end(&q);
    pg_release(c);
    return rc;
}
