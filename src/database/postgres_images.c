/* The memory of a batch: lists, maps, images and what is asked for. */
#include <stdlib.h>
#include <string.h>

#include "database/postgres_batch.h"

/* ---- lists ---- */

/* Where writes go once memory is short. */
static _Thread_local union {
    struct result_image image;
    struct call_insert call;
    char bytes[1024];
    max_align_t align;
} scrap;

static void *broken(struct batch *b, size_t size)
{
    b->broken = ERR_NO_MEMORY;
    memset(&scrap, 0, size < sizeof scrap ? size : sizeof scrap);
    return &scrap;
}

static bool list_reserve(struct list *list, size_t size, size_t more)
{
    size_t capacity = list->capacity ? list->capacity : 32;
    list->size = size;
    while (capacity < list->count + more)
        capacity *= 2;
    if (capacity == list->capacity)
        return true;
    void *items = realloc(list->items, capacity * size);
    if (!items) {
        error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu changes", capacity);
        return false;
    }
    list->items = items;
    list->capacity = capacity;
    return true;
}

void *list_add(struct batch *b, struct list *list, size_t size)
{
    if (list->count == list->capacity && !list_reserve(list, size, 1))
        return broken(b, size);
    void *item = (char *)list->items + list->count++ * size;
    return memset(item, 0, size);
}

void *list_add_many(struct batch *b, struct list *list, size_t size, size_t count)
{
    if (!list_reserve(list, size, count)) {
        b->broken = ERR_NO_MEMORY;
        return NULL;
    }
    void *items = (char *)list->items + list->count * size;
    list->count += count;
    return items;
}

void list_add_id(struct batch *b, struct list *list, int64_t id)
{
    *(int64_t *)list_add(b, list, sizeof id) = id;
}

void list_free(struct list *list)
{
    free(list->items);
    *list = (struct list){0};
}

void *batch_alloc(struct batch *b, size_t size)
{
    void *p = arena_alloc(&b->arena, size);
    return p ? p : broken(b, size);
}

static void *image_add(struct batch *b, struct list *list, size_t size)
{
    void *image = batch_alloc(b, size);
    *(void **)list_add(b, list, sizeof image) = image;
    return image;
}

/* ---- maps ---- */

static struct id_slot *slot_of(const struct id_map *map, int64_t id)
{
    size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 20) & (map->capacity - 1);
    while (map->slots[at].image && map->slots[at].id != id)
        at = (at + 1) & (map->capacity - 1);
    return &map->slots[at];
}

void *id_map_get(const struct id_map *map, int64_t id)
{
    return map->capacity ? slot_of(map, id)->image : NULL;
}

static bool grow(struct id_map *map)
{
    struct id_map wider = {.capacity = map->capacity ? 2 * map->capacity : 64};
    wider.slots = calloc(wider.capacity, sizeof *wider.slots);
    if (!wider.slots)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].image)
            *slot_of(&wider, map->slots[i].id) = map->slots[i];
    wider.count = map->count;
    free(map->slots);
    *map = wider;
    return true;
}

void id_map_put(struct batch *b, struct id_map *map, int64_t id, void *image)
{
    if (2 * map->count >= map->capacity && !grow(map)) {
        error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu rows", 2 * map->capacity);
        b->broken = ERR_NO_MEMORY;
        return;
    }
    struct id_slot *slot = slot_of(map, id);
    map->count += !slot->image;
    *slot = (struct id_slot){.id = id, .image = image};
}

int64_t digest_hash(const struct digest *d)
{
    int64_t hash;
    memcpy(&hash, d->bytes, sizeof hash);
    return hash;
}

int64_t key_hash(const struct digest *content, const struct digest *settings)
{
    return digest_hash(content) ^ (int64_t)((uint64_t)digest_hash(settings) * 3);
}

/* ---- needs ---- */

void need_job(struct batch *b, int64_t job_id)
{
    list_add_id(b, &b->needs.jobs, job_id);
}

void need_media(struct batch *b, int64_t media_id)
{
    list_add_id(b, &b->needs.media, media_id);
}

static uint64_t text_hash(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u;
}

static int64_t name_hash(const char *bucket, const char *key)
{
    return (int64_t)text_hash(text_hash(0xcbf29ce484222325u, bucket), key);
}

static struct key_need *find_key(struct batch *b, int64_t hash, const char *bucket, const char *key)
{
    struct key_need *k = id_map_get(&b->keys_by_hash, hash);
    while (k && (strcmp(k->key, key) != 0 || strcmp(k->bucket, bucket) != 0))
        k = k->next;
    return k;
}

struct key_need *need_key(struct batch *b, const char *bucket, const char *key)
{
    int64_t hash = name_hash(bucket, key);
    struct key_need *need = find_key(b, hash, bucket, key);
    if (need)
        return need;
    need = image_add(b, &b->needs.keys, sizeof *need);
    *need =
        (struct key_need){.bucket = bucket, .key = key, .next = id_map_get(&b->keys_by_hash, hash)};
    id_map_put(b, &b->keys_by_hash, hash, need);
    return need;
}

void key_found(struct batch *b, struct media_image *media)
{
    struct key_need *need =
        find_key(b, name_hash(media->bucket, media->key), media->bucket, media->key);
    if (need)
        need->media = media;
}

/* ---- images ---- */

struct job_image *job_image(struct batch *b, int64_t job_id)
{
    return id_map_get(&b->jobs_by_id, job_id);
}

struct media_image *media_image(struct batch *b, int64_t media_id)
{
    return id_map_get(&b->media_by_id, media_id);
}

struct version_image *version_image(struct batch *b, int64_t version_id)
{
    return id_map_get(&b->versions_by_id, version_id);
}

struct result_image *result_image(struct batch *b, int64_t result_id)
{
    return id_map_get(&b->results_by_id, result_id);
}

struct result_image *result_by_key(struct batch *b, const struct result_key *key)
{
    struct result_image *r =
        id_map_get(&b->results_by_key, key_hash(&key->content, &key->settings));
    while (r && !(r->state == RESULT_READY && digest_equal(&r->content, &key->content) &&
                  digest_equal(&r->settings, &key->settings)))
        r = r->next;
    return r;
}

const struct stored_checkpoint *checkpoint_stored(struct batch *b, const struct digest *digest)
{
    const struct stored_checkpoint *c = id_map_get(&b->checkpoints_by_digest, digest_hash(digest));
    while (c && !digest_equal(&c->digest, digest))
        c = c->next;
    return c;
}

int job_find(struct batch *b, int64_t job_id, struct job_image **job, struct media_image **media)
{
    *job = job_image(b, job_id);
    *media = *job ? media_image(b, (*job)->media_id) : NULL;
    if (!*job)
        return error_set(ERR_NOT_FOUND, NULL, "there is no job %lld", (long long)job_id);
    if (!*media)
        return error_set(ERR_SYSTEMIC, "database_corrupt", "medium %lld of job %lld is missing",
                         (long long)(*job)->media_id, (long long)job_id);
    return OK;
}

struct job_image *job_image_add(struct batch *b, int64_t job_id)
{
    struct job_image *job = image_add(b, &b->jobs, sizeof *job);
    job->job_id = job_id;
    job->worker = job->stage = job->reason = job->message = "";
    id_map_put(b, &b->jobs_by_id, job_id, job);
    return job;
}

struct media_image *media_image_add(struct batch *b, int64_t media_id)
{
    struct media_image *media = image_add(b, &b->media, sizeof *media);
    media->media_id = media_id;
    media->bucket = media->key = media->collection = media->kind = media->language =
        media->sequencer = "";
    id_map_put(b, &b->media_by_id, media_id, media);
    return media;
}

struct version_image *version_image_add(struct batch *b, int64_t version_id)
{
    struct version_image *version = image_add(b, &b->versions, sizeof *version);
    version->version_id = version_id;
    version->object_version = version->etag = version->content_type = "";
    id_map_put(b, &b->versions_by_id, version_id, version);
    return version;
}

struct result_image *result_image_add(struct batch *b, int64_t result_id,
                                      const struct digest *content, const struct digest *settings)
{
    struct result_image *r = image_add(b, &b->results, sizeof *r);
    int64_t hash = key_hash(content, settings);
    r->result_id = result_id;
    r->content = *content;
    r->settings = *settings;
    r->duration_ms = -1;
    r->kind = r->format = r->language = r->title = r->heading = r->stages = "";
    r->next = id_map_get(&b->results_by_key, hash);
    id_map_put(b, &b->results_by_id, result_id, r);
    id_map_put(b, &b->results_by_key, hash, r);
    return r;
}

/* ---- new rows ---- */

int64_t id_take(struct batch *b, enum id_kind kind)
{
    struct list *ids = &b->ids[kind];
    if (b->ids_taken[kind] < ids->count)
        return ((int64_t *)ids->items)[b->ids_taken[kind]++];
    b->broken = error_set(ERR_SYSTEMIC, "database_error", "a change takes more ids than it needs");
    return 0;
}

struct job_image *job_new(struct batch *b)
{
    struct job_image *job = job_image_add(b, id_take(b, ID_JOB));
    job->fresh = true;
    return job;
}

struct media_image *media_new(struct batch *b, struct key_need *key)
{
    struct media_image *media = media_image_add(b, id_take(b, ID_MEDIA));
    media->bucket = key->bucket;
    media->key = key->key;
    media->fresh = true;
    key->media = media;
    return media;
}

struct version_image *version_new(struct batch *b)
{
    struct version_image *version = version_image_add(b, id_take(b, ID_VERSION));
    version->fresh = true;
    return version;
}

struct result_image *result_new(struct batch *b, const struct result_key *key)
{
    struct result_image *r =
        result_image_add(b, id_take(b, ID_RESULT), &key->content, &key->settings);
    r->text_settings = key->text;
    r->fresh = true;
    return r;
}
