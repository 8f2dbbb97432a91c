#include "database/postgres_query.h"

#include <string.h>
#include <unistr.h>

void query_begin(struct query_sql *f, const char *sql)
{
    f->count = 0;
    f->rc = OK;
    f->nothing = false;
    buffer_init(&f->sql, KIB(64));
    query_text(f, sql);
}

int query_text(struct query_sql *f, const char *sql)
{
    if (!f->rc)
        f->rc = buffer_append_string(&f->sql, sql);
    return f->rc;
}

int query_value(struct query_sql *f, struct pg_value value)
{
    if (f->rc)
        return f->rc;
    if (f->count == QUERY_VALUES)
        return f->rc = error_set(ERR_SYSTEMIC, "database_error", "a query has too many conditions");
    f->values[f->count++] = value;
    return f->rc = buffer_printf(&f->sql, "$%zu", f->count);
}

int query_both(struct query_sql *f, const char *sql, struct pg_value value)
{
    query_text(f, sql);
    return query_value(f, value);
}

int query_run(struct query_sql *f, struct pg *c, struct pg_rows *rows)
{
    *rows = (struct pg_rows){0};
    if (f->rc || f->nothing)
        return f->rc;
    return pg_query_once(c, rows, buffer_string(&f->sql), f->values, f->count);
}

void query_end(struct query_sql *f)
{
    buffer_free(&f->sql);
}

/* ---- conditions ---- */

static bool given(const char *text)
{
    return text && *text;
}

bool filter_is_any(const struct media_filter *f)
{
    return !f || (!given(f->collection) && !given(f->kind) && !given(f->language) &&
                  !given(f->prefix) && !f->since_ms && !f->until_ms && !f->media_id);
}

bool text_valid(const char *text)
{
    return !u8_check((const uint8_t *)text, strlen(text));
}

/* The last character that has a successor gets it; what follows is cut. */
bool prefix_end(const char *prefix, char *out, size_t size)
{
    size_t n = strlen(prefix);
    while (n > 0) {
        ucs4_t uc;
        const uint8_t *last = u8_prev(&uc, (const uint8_t *)prefix + n, (const uint8_t *)prefix);
        if (!last)
            return false;
        n = (size_t)(last - (const uint8_t *)prefix);
        if (uc == 0x10ffff || n + 5 > size)
            continue;
        uc = uc == 0xd7ff ? 0xe000 : uc + 1;
        memcpy(out, prefix, n);
        int length = u8_uctomb((uint8_t *)out + n, uc, 4);
        out[n + (size_t)(length > 0 ? length : 0)] = '\0';
        return length > 0;
    }
    return false;
}

static void text_condition(struct query_sql *f, const char *sql, const char *text)
{
    if (!given(text))
        return;
    f->nothing |= !text_valid(text);
    query_both(f, sql, P_TEXT(text));
}

static void number_condition(struct query_sql *f, const char *sql, int64_t value)
{
    if (value)
        query_both(f, sql, P_INT(value));
}

/* The index of keys begins with the bucket: it is searched in each bucket, and these are found by
 * jumping along it. */
static const char IN_EACH_BUCKET[] =
    " AND m.bucket = ANY (ARRAY(WITH RECURSIVE b (bucket) AS (SELECT min(bucket) FROM media UNION "
    "ALL SELECT (SELECT min(n.bucket) FROM media n WHERE n.bucket > b.bucket) FROM b WHERE "
    "b.bucket IS NOT NULL) SELECT bucket FROM b WHERE bucket IS NOT NULL)) AND m.key >= ";

static void prefix_condition(struct query_sql *f, const char *prefix)
{
    text_condition(f, IN_EACH_BUCKET, prefix);
    if (given(prefix) && !f->nothing && prefix_end(prefix, f->upper, sizeof f->upper))
        query_both(f, " AND m.key < ", P_TEXT(f->upper));
}

int query_add_filter(struct query_sql *f, const struct media_filter *filter)
{
    if (!filter)
        return f->rc;
    text_condition(f, " AND m.collection = ", filter->collection);
    text_condition(f, " AND m.kind = ", filter->kind);
    text_condition(f, " AND m.language = ", filter->language);
    prefix_condition(f, filter->prefix);
    number_condition(f, " AND m.uploaded_ms >= ", filter->since_ms);
    number_condition(f, " AND m.uploaded_ms < ", filter->until_ms);
    number_condition(f, " AND m.media_id = ", filter->media_id);
    return f->rc;
}
