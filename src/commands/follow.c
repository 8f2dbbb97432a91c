#include "commands/follow.h"

#include <stdlib.h>
#include <string.h>

#include "shared/error.h"
#include "shared/json.h"
#include "shared/log.h"

/* ---- the outbox ---- */

enum { PAGE = 500 };

static int any_after(const struct database *db, int64_t id, bool *any)
{
    struct arena arena;
    arena_init(&arena, MIB(1));
    struct life_event *events;
    size_t count = 0;
    int rc = db->ops->life_events(db->ctx, id, 1, &arena, &events, &count);
    *any = count > 0;
    arena_free(&arena);
    return rc;
}

/* The port tells events after an id, not the newest id; ids rise, so it is found by doubling and
 * halving: some forty look-ups at most, and one in an empty database. */
int follower_start(struct follower *f, const struct database *database)
{
    *f = (struct follower){.database = database};
    int64_t low = 0, high = 1; /* an event after low exists once any is true; none after high */
    bool any;
    int rc = any_after(database, 0, &any);
    if (rc || !any)
        return rc;
    for (; !(rc = any_after(database, high, &any)) && any; high *= 2)
        low = high;
    while (!rc && high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        rc = any_after(database, middle, &any);
        if (any)
            low = middle;
        else
            high = middle;
    }
    f->after = high;
    return rc;
}

int follower_read(struct follower *f, void (*each)(void *ctx, const struct life_event *event),
                  void *ctx, size_t *seen)
{
    struct arena arena;
    arena_init(&arena, MIB(16));
    int rc;
    size_t count;
    *seen = 0;
    do {
        struct life_event *events;
        count = 0;
        rc = f->database->ops->life_events(f->database->ctx, f->after, PAGE, &arena, &events,
                                           &count);
        log_hold(); /* whoever logs each of them */
        for (size_t i = 0; !rc && i < count; i++) {
            f->after = events[i].id;
            each(ctx, &events[i]);
        }
        log_release();
        *seen += count;
        arena_free(&arena);
    } while (!rc && count == PAGE);
    return rc;
}

/* ---- jobs ---- */

enum { FIRST_SLOTS = 64 };

int tracker_init(struct tracker *t)
{
    *t = (struct tracker){.slot_count = FIRST_SLOTS};
    pthread_mutex_init(&t->lock, NULL);
    t->slots = calloc(FIRST_SLOTS, sizeof t->slots[0]);
    return t->slots ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory");
}

void tracker_fini(struct tracker *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->items[i].key);
        free(t->items[i].message);
    }
    free(t->items);
    free(t->slots);
    pthread_mutex_destroy(&t->lock);
}

static size_t slot_of(const struct tracker *t, int64_t job_id)
{
    size_t at = (size_t)((uint64_t)job_id * UINT64_C(0x9e3779b97f4a7c15) >> 20) % t->slot_count;
    while (t->slots[at] && t->items[t->slots[at] - 1].job_id != job_id)
        at = (at + 1) % t->slot_count;
    return at;
}

static struct tracked *find(const struct tracker *t, int64_t job_id)
{
    size_t slot = t->slots[slot_of(t, job_id)];
    return slot ? &t->items[slot - 1] : NULL;
}

static int grow_slots(struct tracker *t)
{
    size_t *old = t->slots, count = t->slot_count * 2;
    size_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    t->slots = slots;
    t->slot_count = count;
    for (size_t i = 0; i < t->count; i++)
        /* NOLINTNEXTLINE: count > 0, so there are items */
        t->slots[slot_of(t, t->items[i].job_id)] = i + 1;
    free(old);
    return OK;
}

static int grow_items(struct tracker *t)
{
    size_t capacity = t->capacity ? t->capacity * 2 : 32;
    struct tracked *items = realloc(t->items, capacity * sizeof *items);
    if (!items)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    t->items = items;
    t->capacity = capacity;
    return OK;
}

/* What was told of a job before it was added. */
static void recall(const struct tracker *t, struct tracked *item)
{
    size_t at = (size_t)item->job_id % TRACKER_EARLY;
    if (t->early[at].job_id != item->job_id)
        return;
    item->state = JOB_RUNNING;
    item->here = true;
    item->stage = t->early[at].stage;
    item->permille = t->early[at].permille;
}

static int add(struct tracker *t, int64_t job_id, int64_t media_id, const char *key)
{
    if (find(t, job_id))
        return OK;
    int rc = t->count == t->capacity ? grow_items(t) : OK;
    if (!rc && (t->count + 1) * 2 > t->slot_count)
        rc = grow_slots(t);
    if (rc)
        return rc;
    struct tracked item = {
        .job_id = job_id, .media_id = media_id, .permille = -1, .key = strdup(key)};
    if (!item.key)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    recall(t, &item);
    t->items[t->count++] = item; /* NOLINT: capacity > count, so there are items */
    t->slots[slot_of(t, job_id)] = t->count;
    return OK;
}

int tracker_add(struct tracker *t, int64_t job_id, int64_t media_id, const char *key)
{
    pthread_mutex_lock(&t->lock);
    int rc = add(t, job_id, media_id, key);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

static bool is_end(enum job_state state)
{
    return state == JOB_SUCCEEDED || state == JOB_DEAD || state == JOB_CANCELLED;
}

static void set_state(struct tracker *t, struct tracked *item, enum job_state state)
{
    if (is_end(item->state))
        t->ended[item->state]--;
    item->state = state;
    if (is_end(state))
        t->ended[state]++;
    if (is_end(state) || state == JOB_RETRYING)
        item->here = false;
}

static void set_failure(struct tracked *item, const char *reason, const char *message)
{
    snprintf(item->reason, sizeof item->reason, "%s", reason);
    free(item->message);
    item->message = *message ? strdup(message) : NULL;
}

static void take_detail(struct tracked *item, const char *detail_json)
{
    yyjson_doc *doc;
    if (!detail_json || !*detail_json ||
        json_parse(detail_json, strlen(detail_json), "an event's detail", &doc))
        return;
    yyjson_val *detail = yyjson_doc_get_root(doc);
    const char *reason = json_string_at(detail, "reason", "");
    if (*reason)
        set_failure(item, reason, json_string_at(detail, "message", ""));
    item->due_ms = json_int_at(detail, "due_ms", 0);
    yyjson_doc_free(doc);
}

static const struct {
    const char *type;
    enum job_state state;
} state_by_type[] = {
    {"job.queued", JOB_QUEUED}, {"job.started", JOB_RUNNING},     {"job.retrying", JOB_RETRYING},
    {"job.paused", JOB_PAUSED}, {"job.resumed", JOB_RUNNING},     {"job.succeeded", JOB_SUCCEEDED},
    {"job.dead", JOB_DEAD},     {"job.cancelled", JOB_CANCELLED}, {"job.given_back", JOB_QUEUED},
    {NULL, JOB_QUEUED},
};

void tracker_event(void *tracker, const struct life_event *event)
{
    struct tracker *t = tracker;
    pthread_mutex_lock(&t->lock);
    struct tracked *item = find(t, event->job_id);
    for (size_t i = 0; item && state_by_type[i].type; i++)
        if (!strcmp(state_by_type[i].type, event->type)) {
            set_state(t, item, state_by_type[i].state);
            item->attempt = event->attempt;
            if (!strcmp(event->type, "job.given_back")) /* "job.queued" may only be late news */
                item->here = false;
            take_detail(item, event->detail_json);
            break;
        }
    pthread_mutex_unlock(&t->lock);
}

void tracker_progress(void *tracker, const struct job_progress *progress)
{
    struct tracker *t = tracker;
    pthread_mutex_lock(&t->lock);
    struct tracked *item = find(t, progress->job_id);
    if (!item) {
        size_t at = (size_t)progress->job_id % TRACKER_EARLY;
        t->early[at].job_id = progress->job_id;
        t->early[at].stage = progress->stage;
        t->early[at].permille = progress->permille;
    } else if (!is_end(item->state)) {
        item->state = JOB_RUNNING;
        item->here = true;
        item->stage = progress->stage;
        item->permille = progress->permille;
    }
    pthread_mutex_unlock(&t->lock);
}

/* A job that is gone from the database will never end: it counts as cancelled. */
static int refresh(struct tracker *t, struct tracked *item, struct app *app, struct arena *arena)
{
    struct job_row job;
    struct attempt_row *attempts;
    size_t count;
    int rc =
        app->database.ops->job_get(app->database.ctx, item->job_id, arena, &job, &attempts, &count);
    if (rc == ERR_NOT_FOUND) {
        set_state(t, item, JOB_CANCELLED);
        return OK;
    }
    if (rc)
        return rc;
    set_state(t, item, job.state);
    item->attempt = job.attempts;
    item->due_ms = job.due_ms;
    set_failure(item, job.reason, job.message);
    return OK;
}

int tracker_refresh(struct tracker *t, struct app *app)
{
    struct arena arena;
    arena_init(&arena, MIB(4));
    int rc = OK;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->count && !rc; i++) {
        if (!is_end(t->items[i].state))
            rc = refresh(t, &t->items[i], app, &arena);
        arena_free(&arena);
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

size_t tracker_ended(struct tracker *t)
{
    pthread_mutex_lock(&t->lock);
    size_t ended = t->ended[JOB_SUCCEEDED] + t->ended[JOB_DEAD] + t->ended[JOB_CANCELLED];
    pthread_mutex_unlock(&t->lock);
    return ended;
}
