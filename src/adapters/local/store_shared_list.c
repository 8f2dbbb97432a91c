#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/local/store_shared_internal.h"
#include "adapters/local/store_shared_keys.h"
#include "shared/error.h"
#include "shared/object_name.h"

/* Keys that one walk over the bucket finds: the least after the last. Removed ones are among them,
 * so even who wants a single object gets some. */
enum { PAGE_LEAST = 64, PAGE_MOST = 1000 };

/* ---- the least keys of a bucket ---- */

struct page {
    const char *prefix, *after;
    size_t size;      /* how many are wanted */
    size_t count;     /* at most 2 * size: sorted and cut to size when full */
    bool cut;         /* there are more behind the last */
    const char *last; /* after a cut: keys behind it do not matter */
    char *keys[2 * PAGE_MOST];
};

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_and_cut(struct page *page)
{
    qsort(page->keys, page->count, sizeof page->keys[0], compare_keys);
    if (page->count <= page->size)
        return;
    for (size_t i = page->size; i < page->count; i++)
        free(page->keys[i]);
    page->count = page->size;
    page->last = page->keys[page->size - 1];
    page->cut = true;
}

static void page_free(struct page *page)
{
    for (size_t i = 0; page && i < page->count; i++)
        free(page->keys[i]);
    free(page);
}

static int add_key(struct page *page, const char *key)
{
    if (strncmp(key, page->prefix, strlen(page->prefix)) != 0 || strcmp(key, page->after) <= 0)
        return OK;
    if (page->last && strcmp(key, page->last) > 0)
        return OK;
    char *copy = strdup(key);
    if (!copy)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a list of keys");
    page->keys[page->count++] = copy;
    if (page->count == 2 * page->size)
        sort_and_cut(page);
    return OK;
}

/* A directory named by a digest: its newest version tells the key. Removed: there is none. */
static int read_key(const struct shared_store *store, const char *path, char key[CAP_KEY + 1])
{
    struct key_directory d = {.fd = -1};
    struct record record;
    key[0] = '\0';
    int rc = shared_key_open_path(store, path, &d);
    if (rc || d.fd < 0)
        return rc;
    if (d.newest && !shared_is_removal(d.newest)) {
        rc = shared_record_read(store, &d, d.newest, &record, NULL);
        if (!rc)
            memcpy(key, record.info.key, sizeof record.info.key);
        else if (rc == ERR_NOT_FOUND)
            rc = OK; /* superseded and swept, or removed, just now: it was not there all the time */
    }
    shared_key_close(&d);
    return rc;
}

static int add_directory(const struct shared_store *store, struct page *page, const char *fan,
                         const char *name)
{
    char key[CAP_KEY + 1], path[PATH_MAX];
    if (name[0] == '.')
        return OK;
    if (name[0] != '=')
        return shared_key_decode(name, key) ? add_key(page, key) : OK;
    if (snprintf(path, sizeof path, "%s/%s", fan, name) >= (int)sizeof path)
        return OK;
    int rc = read_key(store, path, key);
    return rc || !key[0] ? rc : add_key(page, key);
}

static int walk_fan(const struct shared_store *store, struct page *page, const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? OK : shared_fail(store, errno, "read directory", path);
    int rc = OK;
    errno = 0;
    for (struct dirent *entry; !rc && (entry = readdir(dir)); errno = 0)
        rc = add_directory(store, page, path, entry->d_name);
    if (!rc && errno)
        rc = shared_fail(store, errno, "read directory", path);
    closedir(dir);
    return rc;
}

/* Opening it makes a client of NFS look anew at which fans are there. */
static int open_bucket(const struct shared_store *store, const char *bucket, bool *there)
{
    char path[PATH_MAX];
    int rc = shared_alive(store);
    if (rc)
        return rc;
    snprintf(path, sizeof path, "%s/%s", store->objects, bucket);
    DIR *dir = opendir(path);
    *there = dir != NULL;
    if (!dir)
        return errno == ENOENT ? OK : shared_fail(store, errno, "read directory", path);
    closedir(dir);
    return OK;
}

static int walk_bucket(const struct shared_store *store, struct page *page, const char *bucket)
{
    char path[PATH_MAX];
    bool there = false;
    int rc = open_bucket(store, bucket, &there);
    for (unsigned fan = 0; !rc && there && fan < SHARED_FANS; fan++) {
        snprintf(path, sizeof path, "%s/%s/%02x", store->objects, bucket, fan);
        rc = walk_fan(store, page, path);
    }
    sort_and_cut(page);
    return rc;
}

/* ---- what is at the keys ---- */

struct items {
    struct arena *arena;
    struct object_info *items;
    size_t count, capacity, limit;
};

/* Doubles as it fills; what it outgrows stays in the arena. */
static int grow(struct items *list)
{
    if (list->count < list->capacity)
        return OK;
    size_t wanted = list->capacity ? list->capacity * 2 : 16;
    if (wanted > list->limit)
        wanted = list->limit;
    struct object_info *larger = arena_array(list->arena, wanted, sizeof *larger);
    if (!larger)
        return ERR_NO_MEMORY;
    if (list->count)
        memcpy(larger, list->items, list->count * sizeof *larger);
    list->items = larger;
    list->capacity = wanted;
    return OK;
}

static int add_newest(const struct shared_store *store, const char *bucket, const char *key,
                      struct items *list)
{
    struct object object;
    int rc = shared_find(store, bucket, key, "", false, &object);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (!rc)
        rc = grow(list);
    if (!rc)
        list->items[list->count++] = object.info;
    return rc;
}

/* One walk; `after` moves on. `more` tells whether another may find any. */
static int list_page(const struct shared_store *store, const char *bucket, const char *prefix,
                     char after[CAP_KEY + 1], struct items *list, bool *more)
{
    struct page *page = calloc(1, sizeof *page);
    if (!page)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a list of keys");
    size_t wanted = list->limit - list->count;
    page->prefix = prefix;
    page->after = after;
    page->size = wanted < PAGE_LEAST ? PAGE_LEAST : wanted > PAGE_MOST ? PAGE_MOST : wanted;
    int rc = walk_bucket(store, page, bucket);
    for (size_t i = 0; !rc && i < page->count && list->count < list->limit; i++)
        rc = add_newest(store, bucket, page->keys[i], list);
    *more = page->cut;
    if (page->count)
        snprintf(after, CAP_KEY + 1, "%s", page->keys[page->count - 1]);
    page_free(page);
    return rc;
}

int shared_list(void *ctx, const char *bucket, const char *prefix, const char *after, size_t limit,
                struct arena *arena, struct object_info **out, size_t *count)
{
    struct items list = {.arena = arena, .limit = limit};
    char last[CAP_KEY + 1];
    bool more = object_bucket_check(bucket) == OK && strnlen(after, CAP_KEY + 1) <= CAP_KEY;
    int rc = OK;
    snprintf(last, sizeof last, "%s", after);
    while (!rc && more && list.count < limit)
        rc = list_page(ctx, bucket, prefix, last, &list, &more);
    *out = list.items;
    *count = rc ? 0 : list.count;
    return rc;
}
