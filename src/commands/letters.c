#include "commands/letters.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"
#include "shared/job_message.h"

enum { PAGE = 500 };

static int by_job(const void *a, const void *b)
{
    const struct letter *x = a, *y = b;
    return x->job_id < y->job_id ? -1 : x->job_id > y->job_id;
}

static int take(struct letters *l, const struct queue_dead_letter *dead, size_t count)
{
    struct letter *items = realloc(l->items, (l->count + count) * sizeof *items);
    if (!items)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    l->items = items;
    for (size_t i = 0; i < count; i++) {
        struct job_message message = {0};
        struct letter *letter = &items[l->count++];
        *letter = (struct letter){0};
        memcpy(letter->id, dead[i].id, sizeof letter->id);
        if (job_message_parse(dead[i].body, dead[i].length, &message) == OK)
            letter->job_id = message.job_id;
    }
    return OK;
}

int letters_read(struct app *app, struct letters *out)
{
    *out = (struct letters){0};
    struct arena arena;
    arena_init(&arena, MIB(256));
    char after[QUEUE_ID_TEXT] = "";
    int rc;
    size_t count;
    do {
        struct queue_dead_letter *dead;
        count = 0;
        rc = app->queue.ops->dead_list(app->queue.ctx, after, PAGE, &arena, &dead, &count);
        if (!rc && count > 0) {
            memcpy(after, dead[count - 1].id, sizeof after);
            rc = take(out, dead, count);
        }
        arena_free(&arena);
    } while (!rc && count == PAGE);
    if (out->count > 1)
        qsort(out->items, out->count, sizeof out->items[0], by_job);
    return rc;
}

void letters_free(struct letters *l)
{
    free(l->items);
    *l = (struct letters){0};
}

static const struct letter *find(const struct letters *l, int64_t job_id)
{
    struct letter wanted = {.job_id = job_id};
    return l->count ? bsearch(&wanted, l->items, l->count, sizeof wanted, by_job) : NULL;
}

static int explain(int rc, int64_t job_id)
{
    if (rc == ERR_NOT_FOUND)
        return error_set(rc, NULL, "no job has the id %" PRId64 "; `aegis dead list` lists them",
                         job_id);
    if (rc == ERR_CONFLICT)
        return error_set(rc, NULL,
                         "job %" PRId64 " is not dead; `aegis jobs %" PRId64 "` says more", job_id,
                         job_id);
    return rc;
}

/* The job is queued before its message is: a message that comes first would be thrown away. */
int letters_redrive(struct app *app, const struct letters *l, int64_t job_id)
{
    struct job_row job;
    struct attempt_row *attempts;
    size_t count;
    const struct database *db = &app->database;
    int rc = db->ops->redrive(db->ctx, job_id);
    if (rc)
        return explain(rc, job_id);
    const struct letter *letter = find(l, job_id);
    int64_t moved = 0;
    if (letter) {
        const char *id = letter->id;
        rc = app->queue.ops->dead_redrive(app->queue.ctx, &id, 1, &moved);
    }
    if (rc || moved > 0)
        return rc;
    struct arena arena; /* no message was left: a new one is sent */
    arena_init(&arena, MIB(4));
    rc = db->ops->job_get(db->ctx, job_id, &arena, &job, &attempts, &count);
    if (!rc)
        rc = app_send_jobs(app, &job, 1);
    arena_free(&arena);
    return rc;
}

int letters_drop(struct app *app, const struct letters *l, int64_t job_id)
{
    int rc = app->database.ops->drop(app->database.ctx, job_id);
    if (rc)
        return explain(rc, job_id);
    const struct letter *letter = find(l, job_id);
    if (!letter)
        return OK;
    const char *id = letter->id;
    int64_t dropped;
    return app->queue.ops->dead_drop(app->queue.ctx, &id, 1, &dropped);
}

static int each_stray(struct app *app, const struct letters *l, int64_t *done,
                      int (*act)(void *, const char *const *, size_t, int64_t *))
{
    *done = 0;
    for (size_t i = 0; i < l->count && l->items[i].job_id == 0; i++) {
        const char *id = l->items[i].id;
        int64_t n = 0;
        int rc = act(app->queue.ctx, &id, 1, &n);
        if (rc)
            return rc;
        *done += n;
    }
    return OK;
}

int letters_redrive_strays(struct app *app, const struct letters *l, int64_t *done)
{
    return each_stray(app, l, done, app->queue.ops->dead_redrive);
}

int letters_drop_strays(struct app *app, const struct letters *l, int64_t *done)
{
    return each_stray(app, l, done, app->queue.ops->dead_drop);
}
