#include "commands/letters.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"
#include "shared/job_message.h"

enum { PAGE = 500, DEAR_PAGE = 10000 };

static bool are_dear(struct app *app)
{
    struct queue_limits limits;
    app->queue.ops->limits(app->queue.ctx, &limits);
    return limits.dear_letters;
}

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
    size_t page = are_dear(app) ? DEAR_PAGE : PAGE; /* each page looks at all of them there */
    *out = (struct letters){0};
    struct arena arena;
    arena_init(&arena, MIB(256));
    char after[QUEUE_ID_TEXT] = "";
    int rc;
    size_t count;
    do {
        struct queue_dead_letter *dead;
        count = 0;
        rc = app->queue.ops->dead_list(app->queue.ctx, after, page, &arena, &dead, &count);
        if (!rc && count > 0) {
            memcpy(after, dead[count - 1].id, sizeof after);
            rc = take(out, dead, count);
        }
        arena_free(&arena);
    } while (!rc && count == page && page == PAGE);
    out->whole = count < page;
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

int letters_redrive_job(struct app *app, int64_t job_id)
{
    return explain(app->database.ops->redrive(app->database.ctx, job_id), job_id);
}

int letters_drop_job(struct app *app, int64_t job_id)
{
    return explain(app->database.ops->drop(app->database.ctx, job_id), job_id);
}

/* ---- their messages ---- */

typedef int (*move_fn)(void *ctx, const char *const *ids, size_t count, int64_t *moved);

/* Moves those of these jobs; *found counts the jobs that left one. */
static int move_letters(struct app *app, const struct letters *l, const int64_t *jobs, size_t count,
                        move_fn move, size_t *found, int64_t *moved)
{
    const char **ids = malloc((count ? count : 1) * sizeof *ids);
    if (!ids)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    *found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct letter *letter = find(l, jobs[i]);
        if (letter)
            ids[(*found)++] = letter->id;
    }
    int rc = *found ? move(app->queue.ctx, ids, *found, moved) : OK;
    free(ids);
    return rc;
}

static int send_new(struct app *app, int64_t job_id)
{
    struct job_row job;
    struct attempt_row *attempts;
    size_t count;
    struct arena arena;
    arena_init(&arena, MIB(4));
    int rc = app->database.ops->job_get(app->database.ctx, job_id, &arena, &job, &attempts, &count);
    if (!rc)
        rc = app_send_jobs(app, &job, 1);
    arena_free(&arena);
    return rc;
}

/* A job whose letter is gone gets a new message; two do no harm. What was not seen, because there
 * are more letters than can be looked at, may be there. */
int letters_redrive_messages(struct app *app, const struct letters *l, const int64_t *jobs,
                             size_t count)
{
    size_t found = 0;
    int64_t moved = 0;
    int rc = OK;
    if (!l->together)
        rc = move_letters(app, l, jobs, count, app->queue.ops->dead_redrive, &found, &moved);
    bool some_vanished = moved < (int64_t)found;
    for (size_t i = 0; !rc && i < count; i++)
        if (some_vanished || (l->whole && !find(l, jobs[i])))
            rc = send_new(app, jobs[i]);
    return rc;
}

int letters_drop_messages(struct app *app, const struct letters *l, const int64_t *jobs,
                          size_t count)
{
    size_t found;
    int64_t dropped;
    return l->together
               ? OK
               : move_letters(app, l, jobs, count, app->queue.ops->dead_drop, &found, &dropped);
}

static int rest(struct app *app, const struct letters *l, move_fn move, int64_t *strays)
{
    int64_t moved = 0;
    size_t n = 0;
    while (n < l->count && l->items[n].job_id == 0)
        n++;
    *strays = (int64_t)n;
    if (l->together)
        return move(app->queue.ctx, NULL, 0, &moved);
    const char **ids = malloc((n ? n : 1) * sizeof *ids);
    if (!ids)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < n; i++)
        ids[i] = l->items[i].id;
    int rc = n ? move(app->queue.ctx, ids, n, strays) : OK;
    free(ids);
    return rc;
}

int letters_redrive_rest(struct app *app, const struct letters *l, int64_t *strays)
{
    return rest(app, l, app->queue.ops->dead_redrive, strays);
}

int letters_drop_rest(struct app *app, const struct letters *l, int64_t *strays)
{
    return rest(app, l, app->queue.ops->dead_drop, strays);
}

void letters_take_together(struct app *app, struct letters *l)
{
    l->together = are_dear(app);
}
