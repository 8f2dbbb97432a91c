/* Money that no job has spent, and the pause of all processes. */
#include "database/postgres_batch.h"

struct loose_calls {
    const struct model_call *calls;
    size_t count;
};

static int record_loose(struct batch *b, void *arg)
{
    const struct loose_calls *loose = arg;
    calls_add(b, NULL, 0, loose->calls, loose->count);
    return OK;
}

int postgres_calls_record(void *ctx, const struct model_call *calls, size_t count)
{
    static const struct change_verbs verbs = {.apply = record_loose};
    struct loose_calls loose = {.calls = calls, .count = count};
    return count ? change_run(ctx, &verbs, &loose, count * 256, NULL) : OK;
}

/* ---- the pause ---- */

/* Set again it is still the same pause: since_ms stays. */
static const char PAUSE[] =
    "UPDATE pipeline SET since_ms = CASE WHEN $1 = '' THEN 0 WHEN reason = $1 THEN since_ms ELSE "
    "$3 END, reason = $1, message = $2 WHERE id = 1";

int postgres_pause_set(void *ctx, const char *reason, const char *message)
{
    struct store *s = ctx;
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = PG_RUN(c, PAUSE, P_TEXT(text_or_empty(reason)), P_TEXT(text_or_empty(message)),
                P_INT(store_now(s)));
    pg_release(c);
    return rc;
}

int postgres_pause_get(void *ctx, struct arena *arena, const char **reason, const char **message,
                       int64_t *since_ms)
{
    struct pg_rows rows;
    struct pg *c;
    int rc = store_hold(ctx, &c);
    if (rc)
        return rc;
    rc = pg_query(c, &rows, "SELECT reason, message, since_ms FROM pipeline WHERE id = 1", NULL, 0);
    pg_release(c);
    if (!rc && !rows.count)
        rc = error_set(ERR_SYSTEMIC, "database_corrupt", "the pipeline's row is missing in '%s'",
                       pg_pool_name(((struct store *)ctx)->pool));
    if (!rc) {
        *reason = pg_text(&rows, 0, 0, arena);
        *message = pg_text(&rows, 0, 1, arena);
        *since_ms = pg_int(&rows, 0, 2);
        rc = *reason && *message ? OK : ERR_NO_MEMORY;
    }
    pg_rows_free(&rows);
    return rc;
}
