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

bool space_recall(struct store *s, int64_t space_id, struct space_known *out)
{
    return recall(&s->spaces, space_id, out);
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

/* ---- space_ensure ---- */

static const char FIND_SPACE[] = "SELECT space_id FROM embedding_space WHERE provider = $1 AND "
                                 "model = $2 AND revision = $3 AND dimension = $4";

static int find_space(struct pg *c, struct embedding_space *space)
{
    return PG_NUMBER(c, &space->id, 0, FIND_SPACE, P_TEXT(space->provider), P_TEXT(space->model),
                     P_TEXT(space->revision), P_INT(space->dimension));
}

/* Its row and its tables in one transaction: whoever sees the row sees them. */
static int make_space(struct pg *c, void *arg)
{
    struct embedding_space *space = arg;
    int rc = PG_RUN(c,
                    "INSERT INTO embedding_space (provider, model, revision, dimension) "
                    "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                    P_TEXT(space->provider), P_TEXT(space->model), P_TEXT(space->revision),
                    P_INT(space->dimension));
    if (!rc)
        rc = find_space(c, space);
    return rc ? rc : PG_RUN(c, "SELECT open_embedding_space($1)", P_INT(space->id));
}

static bool recall_named(struct spaces *known, struct embedding_space *space)
{
    bool found = false;
    pthread_mutex_lock(&known->lock);
    for (size_t i = 0; !found && i < known->named_count; i++) {
        const struct embedding_space *k = &known->named[i];
        found = k->dimension == space->dimension && !strcmp(k->model, space->model) &&
                !strcmp(k->provider, space->provider) && !strcmp(k->revision, space->revision);
        if (found)
            space->id = k->id;
    }
    pthread_mutex_unlock(&known->lock);
    return found;
}

static void remember_named(struct spaces *known, const struct embedding_space *space)
{
    struct embedding_space again = *space;
    if (recall_named(known, &again))
        return;
    pthread_mutex_lock(&known->lock);
    if (known->named_count < SPACES_KNOWN)
        known->named[known->named_count++] = *space;
    pthread_mutex_unlock(&known->lock);
}

enum { LARGEST_DIMENSION = 16000 };

int postgres_space_ensure(void *ctx, struct embedding_space *space)
{
    struct store *s = ctx;
    struct pg *c;
    if (space->dimension < 1 || space->dimension > LARGEST_DIMENSION)
        return error_set(ERR_INVALID, NULL, "embeddings of '%s' have %d dimensions, not 1 to %d",
                         space->model, space->dimension, LARGEST_DIMENSION);
    if (recall_named(&s->spaces, space))
        return OK;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = find_space(c, space);
    if (!rc && !space->id)
        rc = pg_transaction_on(c, PG_READ_WRITE, make_space, space);
    pg_release(c);
    if (!rc)
        remember_named(&s->spaces, space);
    return rc;
}

/* ---- spaces ---- */

static const char SPACES[] =
    "SELECT e.space_id, e.provider, e.model, e.revision, e.dimension, coalesce(sum(t.chunks), "
    "0)::bigint, e.space_id = (SELECT s.space_id FROM serving_space s), e.dropping FROM "
    "embedding_space e LEFT JOIN space_total t ON t.space_id = e.space_id GROUP BY e.space_id "
    "HAVING sum(t.chunks) > 0 OR e.dropping ORDER BY 6 DESC, 1";

static void read_use(const struct pg_rows *rows, int row, struct space_use *use)
{
    use->space.id = pg_int(rows, row, 0);
    pg_copy(rows, row, 1, use->space.provider, sizeof use->space.provider);
    pg_copy(rows, row, 2, use->space.model, sizeof use->space.model);
    pg_copy(rows, row, 3, use->space.revision, sizeof use->space.revision);
    use->space.dimension = (int)pg_int(rows, row, 4);
    use->chunks = pg_int(rows, row, 5);
    use->serves = pg_int(rows, row, 6);
    use->dropping = pg_int(rows, row, 7);
}

int postgres_spaces(void *ctx, struct arena *arena, struct space_use **out, size_t *count)
{
    struct pg_rows rows;
    struct pg *c;
    *count = 0;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = pg_query(c, &rows, SPACES, NULL, 0);
    pg_release(c);
    if (!rc && !(*out = arena_array(arena, (size_t)rows.count, sizeof **out)))
        rc = ERR_NO_MEMORY;
    for (int i = 0; !rc && i < rows.count; i++)
        read_use(&rows, i, &(*out)[(*count)++]);
    pg_rows_free(&rows);
    return rc;
}
