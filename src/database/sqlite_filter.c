#include <stdio.h>
#include <string.h>

#include "database/sqlite_internal.h"

int filter_begin(struct filter_sql *f, const char *sql)
{
    f->count = 0;
    f->nothing = false;
    buffer_init(&f->sql, KIB(16));
    return filter_text(f, sql);
}

int filter_text(struct filter_sql *f, const char *sql)
{
    return buffer_append_string(&f->sql, sql);
}

int filter_value(struct filter_sql *f, struct sql_value value)
{
    if (f->count == sizeof f->values / sizeof f->values[0])
        return error_set(ERR_SYSTEMIC, "database_error", "a query has too many conditions");
    f->values[f->count++] = value;
    return buffer_printf(&f->sql, "?%zu", f->count);
}

void filter_end(struct filter_sql *f)
{
    buffer_free(&f->sql);
}

static bool given(const char *text)
{
    return text && *text;
}

bool filter_any(const struct media_filter *f)
{
    return !f || (!given(f->collection) && !given(f->kind) && !given(f->language) &&
                  !given(f->prefix) && !f->since_ms && !f->until_ms && !f->media_id);
}

bool prefix_upper(const char *prefix, char *out, size_t size)
{
    snprintf(out, size, "%s", prefix);
    for (size_t n = strlen(out); n > 0; n--) {
        unsigned char last = (unsigned char)out[n - 1];
        if (last != 0xff) {
            out[n - 1] = (char)(last + 1);
            out[n] = '\0';
            return true;
        }
    }
    return false;
}

static int name_condition(struct filter_sql *f, struct store *s, struct connection *c,
                          const char *column, const char *text)
{
    int64_t id;
    if (!given(text))
        return OK;
    int rc = name_id(&s->names, c, text, false, &id);
    if (rc == ERR_NOT_FOUND) {
        f->nothing = true;
        return OK;
    }
    if (!rc)
        rc = filter_text(f, column);
    return rc ? rc : filter_value(f, V_INT(id));
}

static int number_condition(struct filter_sql *f, const char *column, int64_t value)
{
    int rc = value ? filter_text(f, column) : OK;
    return rc || !value ? rc : filter_value(f, V_INT(value));
}

static int prefix_condition(struct filter_sql *f, const char *prefix)
{
    if (!given(prefix))
        return OK;
    int rc = filter_text(f, " AND m.key >= ");
    if (!rc)
        rc = filter_value(f, V_TEXT(prefix));
    if (rc || !prefix_upper(prefix, f->upper, sizeof f->upper))
        return rc;
    rc = filter_text(f, " AND m.key < ");
    return rc ? rc : filter_value(f, V_TEXT(f->upper));
}

int filter_add(struct filter_sql *f, struct store *s, struct connection *c,
               const struct media_filter *filter)
{
    if (!filter)
        return OK;
    int rc = name_condition(f, s, c, " AND f.collection_id = ", filter->collection);
    if (!rc)
        rc = name_condition(f, s, c, " AND f.kind_id = ", filter->kind);
    if (!rc)
        rc = name_condition(f, s, c, " AND f.language_id = ", filter->language);
    if (!rc)
        rc = prefix_condition(f, filter->prefix);
    if (!rc)
        rc = number_condition(f, " AND m.uploaded_ms >= ", filter->since_ms);
    if (!rc)
        rc = number_condition(f, " AND m.uploaded_ms < ", filter->until_ms);
    if (!rc)
        rc = number_condition(f, " AND m.media_id = ", filter->media_id);
    return rc;
}
