/* Embedding spaces: their numbers, their tables, and statements on these. */
#include <stdlib.h>
#include <string.h>

#include "database/postgres_internal.h"

/* ---- what is remembered ---- */

static bool recall(struct spaces *known, int64_t space_id, struct space_known *out)
{
    bool found = false;
    pthread_mutex_lock(&known->lock);
    for (size_t i = 0; !found && i < known->count; i++)
        if (known->items[i].id == space_id) {
            *out = known->items[i];
            found = true;
        }
    pthread_mutex_unlock(&known->lock);
    return found;
}

static void remember(struct spaces *known, const struct space_known *space)
{
    struct space_known again;
    if (recall(known, space->id, &again))
        return;
    pthread_mutex_lock(&known->lock);
    if (known->count < SPACES_KNOWN)
        known->items[known->count++] = *space;
    pthread_mutex_unlock(&known->lock);
}

int space_known(struct store *s, struct pg *c, int64_t space_id, struct space_known *out)
{
    struct pg_rows rows;
    if (recall(&s->spaces, space_id, out))
        return OK;
    int rc = PG_QUERY(c, &rows,
                      "SELECT e.dimension, t.typname = 'halfvec' FROM embedding_space e "
                      "JOIN pg_attribute a ON a.attrelid = to_regclass('embedding_' || e.space_id) "
                      "AND a.attname = 'embedding' JOIN pg_type t ON t.oid = a.atttypid "
                      "WHERE e.space_id = $1",
                      P_INT(space_id));
    if (rc)
        return rc;
    *out = (struct space_known){.id = space_id};
    if (rows.count) {
        out->dimension = (int)pg_int(&rows, 0, 0);
        out->half = pg_int(&rows, 0, 1);
        remember(&s->spaces, out);
    } else {
        rc = error_set(ERR_INVALID, NULL, "there is no embedding space %lld", (long long)space_id);
    }
    pg_rows_free(&rows);
    return rc;
}

static char *write_statement(int64_t space_id, const char *format)
{
    struct buffer b;
    char *sql = NULL;
    int rc = OK;
    buffer_init(&b, KIB(16));
    for (const char *at; !rc && (at = strstr(format, "%lld")); format = at + 4) {
        rc = buffer_append(&b, format, (size_t)(at - format));
        if (!rc)
            rc = buffer_printf(&b, "%lld", (long long)space_id);
    }
    if (!rc)
        rc = buffer_append_string(&b, format);
    if (!rc && !(sql = strdup(buffer_string(&b))))
        error_set(ERR_NO_MEMORY, NULL, "out of memory for a statement");
    buffer_free(&b);
    return sql;
}

const char *space_sql(struct store *s, int64_t space_id, const char *format)
{
    struct spaces *known = &s->spaces;
    const char *sql = NULL;
    pthread_mutex_lock(&known->lock);
    for (size_t i = 0; !sql && i < known->statement_count; i++)
        if (known->statements[i].format == format && known->statements[i].space_id == space_id)
            sql = known->statements[i].sql;
    if (!sql && known->statement_count == SPACE_STATEMENTS) {
        error_set(ERR_NO_MEMORY, NULL, "more than %d statements on embedding spaces",
                  SPACE_STATEMENTS);
    } else if (!sql) {
        char *made = write_statement(space_id, format);
        if (made)
            known->statements[known->statement_count++] =
                (struct space_statement){.format = format, .space_id = space_id, .sql = made};
        sql = made;
    }
    pthread_mutex_unlock(&known->lock);
    return sql;
}

void spaces_free(struct store *s)
{
    for (size_t i = 0; i < s->spaces.statement_count; i++)
        free(s->spaces.statements[i].sql);
    pthread_mutex_destroy(&s->spaces.lock);
}
