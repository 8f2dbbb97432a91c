#include "database/vector_index.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "database/vector_file.h"
#include "database/vector_internal.h"
#include "database/vector_scan.h"
#include "shared/error.h"

enum {
    RUN_SLOTS = 256,            /* what a thread takes at a time */
    BYTES_PER_THREAD = 1 << 20, /* codes worth a thread of their own */
    SYNC_SLOTS = 1 << 16,       /* at most so many are appended again after a power cut */
    SYNC_ON_CLOSE = 1 << 12,
    COMPACT_SLOTS = 1 << 12, /* smaller files are not worth rewriting */
    LOCK_TRIES = 8,
};

/* `writer` is held while appending, removing or reopening; `lock` guards `file` itself: held for
 * reading by whoever uses the mapping, for writing while it changes. In this order. */
struct vector_index {
    pthread_mutex_t writer;
    pthread_rwlock_t lock;
    struct vector_file file;
    const struct vector_kernel *kernel;
    size_t threads;
    size_t dimension;
    char identity[VECTOR_IDENTITY];
};

/* ---- opening ---- */

static size_t processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (size_t)CPU_COUNT(&set);
    return 1;
}

/* Searches without a pause between them must not keep a growing mapping waiting for ever. */
static void locks_init(struct vector_index *index)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
#ifdef __GLIBC__
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&index->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&index->writer, NULL);
}

int vector_index_open(const char *path, int dimension, const char *identity,
                      struct vector_index **out)
{
    if (dimension < 1 || dimension > VECTOR_MAX_DIMENSION)
        return error_set(ERR_INVALID, "bad_dimension",
                         "vectors of %d dimensions cannot be indexed (1 to %d can)", dimension,
                         VECTOR_MAX_DIMENSION);
    if (strlen(identity) >= VECTOR_IDENTITY)
        return error_set(ERR_INVALID, NULL, "the identity '%s' of a vector index is too long",
                         identity);
    struct vector_index *index = calloc(1, sizeof *index);
    if (!index)
        return error_set(ERR_NO_MEMORY, NULL, "no memory for the vector index '%s'", path);
    int rc = vector_file_open(&index->file, path, (size_t)dimension, identity);
    if (rc) {
        free(index);
        return rc;
    }
    size_t kernels;
    index->kernel = vector_kernels(&kernels)[0];
    index->threads = processors();
    index->dimension = (size_t)dimension;
    memcpy(index->identity, identity, strlen(identity) + 1);
    locks_init(index);
    *out = index;
    return 0;
}

static uint64_t unsynced(const struct vector_file *file)
{
    uint64_t count = vector_file_count(file), synced = file->header->synced;
    return count > synced ? count - synced : 0;
}

void vector_index_close(struct vector_index *index)
{
    if (!index)
        return;
    if (unsynced(&index->file) >= SYNC_ON_CLOSE && vector_file_lock(&index->file) == 0) {
        vector_file_sync(&index->file); /* if it fails, more is appended again another day */
        vector_file_unlock(&index->file);
    }
    vector_file_close(&index->file);
    pthread_mutex_destroy(&index->writer);
    pthread_rwlock_destroy(&index->lock);
    free(index);
}

void vector_index_tune(struct vector_index *index, const struct vector_kernel *kernel,
                       size_t threads)
{
    index->kernel = kernel;
    index->threads = threads;
}

/* ---- keeping up with other processes ---- */

static bool superseded(const struct vector_file *file)
{
    return atomic_load(&file->header->superseded);
}

/* Under `writer`: follows the name to the file that stands under it now. */
static int reopen(struct vector_index *index)
{
    struct vector_file fresh;
    int rc = vector_file_open(&fresh, index->file.path, index->dimension, index->identity);
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&index->lock);
    struct vector_file old = index->file;
    index->file = fresh;
    pthread_rwlock_unlock(&index->lock);
    vector_file_close(&old);
    return 0;
}

/* Under `writer`: reopens if need be, and maps what is published. */
static int catch_up(struct vector_index *index)
{
    int rc = superseded(&index->file) ? reopen(index) : 0;
    if (rc)
        return rc;
    pthread_rwlock_wrlock(&index->lock);
    rc = vector_file_map(&index->file, vector_file_count(&index->file));
    pthread_rwlock_unlock(&index->lock);
    return rc;
}

static bool up_to_date(const struct vector_file *file)
{
    return !superseded(file) && vector_file_count(file) <= file->block_count * BLOCK_SLOTS;
}

/* On success `lock` is held for reading and *count slots are mapped; `release` ends it. */
static int hold(struct vector_index *index, uint64_t *count)
{
    pthread_rwlock_rdlock(&index->lock);
    if (!up_to_date(&index->file)) {
        pthread_rwlock_unlock(&index->lock);
        pthread_mutex_lock(&index->writer);
        int rc = catch_up(index);
        pthread_mutex_unlock(&index->writer);
        if (rc)
            return rc;
        pthread_rwlock_rdlock(&index->lock);
    }
    uint64_t mapped = index->file.block_count * BLOCK_SLOTS;
    *count = vector_file_count(&index->file);
    if (*count > mapped)
        *count = mapped; /* appended just now: after the call */
    return 0;
}

static void release(struct vector_index *index)
{
    pthread_rwlock_unlock(&index->lock);
}

/* On success both `writer` and the file's lock are held, everything published is mapped, and no
 * thread changes the mapping, so that it may be read without `lock`. */
static int hold_for_writing(struct vector_index *index)
{
    pthread_mutex_lock(&index->writer);
    int rc = ERR_CONFLICT;
    for (int i = 0; i < LOCK_TRIES && rc == ERR_CONFLICT; i++) {
        rc = superseded(&index->file) ? reopen(index) : 0;
        if (!rc)
            rc = vector_file_lock(&index->file);
    }
    if (!rc) {
        rc = catch_up(index);
        if (rc)
            vector_file_unlock(&index->file);
    }
    if (rc)
        pthread_mutex_unlock(&index->writer);
    return rc;
}

static void release_from_writing(struct vector_index *index)
{
    vector_file_unlock(&index->file);
    pthread_mutex_unlock(&index->writer);
}

int64_t vector_index_last_id(struct vector_index *index)
{
    uint64_t count;
    if (hold(index, &count))
        return 0;
    int64_t last = atomic_load(&index->file.header->last_id);
    release(index);
    return last;
}

int64_t vector_index_count(struct vector_index *index)
{
    uint64_t count;
    if (hold(index, &count))
        return 0;
    uint64_t dead = atomic_load(&index->file.header->dead);
    release(index);
    return count > dead ? (int64_t)(count - dead) : 0;
}

/* ---- writing ---- */

static int check_ids(const int64_t *ids, size_t count)
{
    int64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] <= last)
            return error_set(ERR_INVALID, NULL,
                             "ids given to a vector index must rise: %lld comes after %lld",
                             (long long)ids[i], (long long)last);
        last = ids[i];
    }
    return 0;
}

static size_t skip_known(const int64_t *ids, size_t count, int64_t last)
{
    size_t skip = 0;
    while (skip < count && ids[skip] <= last)
        skip++;
    return skip;
}

static bool mostly_dead(const struct vector_file *file)
{
    uint64_t count = vector_file_count(file), dead = atomic_load(&file->header->dead);
    return count >= COMPACT_SLOTS && dead > count / 2;
}

/* The new file takes the name; whoever holds the old one reopens when he next looks. */
static int compact(struct vector_index *index)
{
    uint64_t count;
    int rc = hold(index, &count);
    if (rc)
        return rc;
    bool due = mostly_dead(&index->file);
    release(index);
    if (!due || (rc = hold_for_writing(index)))
        return rc;
    if (mostly_dead(&index->file))
        rc = vector_file_replace(&index->file, true);
    release_from_writing(index);
    return rc;
}

static int append(struct vector_index *index, const int64_t *ids, const uint16_t *rows,
                  size_t count)
{
    struct vector_file *file = &index->file;
    size_t skip = skip_known(ids, count, atomic_load(&file->header->last_id));
    if (skip == count)
        return 0;
    int rc = vector_file_append(file, ids + skip, rows + skip * file->dimension, count - skip);
    if (!rc && unsynced(file) >= SYNC_SLOTS)
        vector_file_sync(file); /* if it fails, more is appended again after a power cut */
    return rc;
}

int vector_index_append(struct vector_index *index, const int64_t *ids, const uint16_t *rows,
                        size_t count)
{
    int rc = check_ids(ids, count);
    if (rc || count == 0)
        return rc;
    rc = compact(index);
    if (rc)
        return rc;
    rc = hold_for_writing(index);
    if (rc)
        return rc;
    rc = append(index, ids, rows, count);
    release_from_writing(index);
    return rc;
}

static int remove_one(struct vector_file *file, int64_t id, uint64_t count)
{
    uint64_t slot = vector_file_find(file, id, 0, count);
    if (slot == count || vector_file_id(file, slot) != id ||
        code_is_dead(vector_file_meta(file, slot)))
        return 0;
    return vector_file_kill(file, slot);
}

int vector_index_remove(struct vector_index *index, const int64_t *ids, size_t count)
{
    int rc = count ? hold_for_writing(index) : 0;
    if (rc || !count)
        return rc;
    uint64_t slots = vector_file_count(&index->file);
    for (size_t i = 0; i < count && !rc; i++)
        rc = remove_one(&index->file, ids[i], slots);
    release_from_writing(index);
    return rc;
}

int vector_index_reset(struct vector_index *index)
{
    int rc = hold_for_writing(index);
    if (rc)
        return rc;
    rc = vector_file_replace(&index->file, false);
    release_from_writing(index);
    return rc;
}

/* ---- reading ---- */

int vector_index_row(struct vector_index *index, int64_t id, uint16_t *row)
{
    uint64_t count;
    int rc = hold(index, &count);
    if (rc)
        return rc;
    uint64_t slot = vector_file_find(&index->file, id, 0, count);
    if (slot < count && vector_file_id(&index->file, slot) == id)
        memcpy(row, vector_file_row(&index->file, slot), index->file.dimension * sizeof *row);
    else
        rc = error_set(ERR_NOT_FOUND, NULL, "the vector index '%s' has no vector %lld",
                       index->file.path, (long long)id);
    release(index);
    return rc;
}

static int verify_slot(const struct vector_file *file, uint64_t slot, int8_t *codes)
{
    struct code_meta kept = vector_file_meta(file, slot);
    if (code_is_dead(kept))
        return 0;
    struct code_meta fresh = code_row(vector_file_row(file, slot), file->dimension, codes);
    if (kept.scale == fresh.scale && kept.error == fresh.error &&
        memcmp(codes, vector_file_codes(file, slot), file->stride) == 0)
        return 0;
    return error_set(ERR_CONFLICT, "damaged_index",
                     "the vector index '%s' is damaged at vector %lld: it is to be made again",
                     file->path, (long long)vector_file_id(file, slot));
}

int vector_index_verify(struct vector_index *index)
{
    uint64_t count;
    int8_t *codes = malloc(code_stride(index->dimension));
    if (!codes)
        return error_set(ERR_NO_MEMORY, NULL, "no memory to verify a vector index");
    int rc = hold(index, &count);
    if (!rc) {
        for (uint64_t slot = 0; slot < count && !rc; slot++)
            rc = verify_slot(&index->file, slot, codes);
        release(index);
    }
    free(codes);
    return rc;
}

/* ---- searching ---- */

struct runs {
    struct slot_run *items;
    size_t count, capacity;
    uint64_t slots;
};

static int add_run(struct runs *runs, uint64_t first, uint64_t count)
{
    if (runs->count == runs->capacity) {
        size_t capacity = runs->capacity ? runs->capacity * 2 : 256;
        struct slot_run *items = realloc(runs->items, capacity * sizeof *items);
        if (!items)
            return error_set(ERR_NO_MEMORY, NULL, "no memory to search a vector index");
        runs->items = items;
        runs->capacity = capacity;
    }
    runs->items[runs->count++] = (struct slot_run){.first = first, .count = (uint32_t)count};
    runs->slots += count;
    return 0;
}

/* Cut at multiples of RUN_SLOTS, of which a block is one, too. */
static int add_span(struct runs *runs, uint64_t first, uint64_t end)
{
    int rc = 0;
    while (first < end && !rc) {
        uint64_t n = RUN_SLOTS - first % RUN_SLOTS;
        if (n > end - first)
            n = end - first;
        rc = add_run(runs, first, n);
        first += n;
    }
    return rc;
}

static int plan(const struct vector_file *file, const struct vector_filter *filter, uint64_t count,
                struct runs *runs)
{
    if (!filter || !filter->ranges)
        return add_span(runs, 0, count);
    uint64_t at = 0;
    for (size_t i = 0; i < filter->range_count && at < count; i++) {
        const struct vector_range *range = &filter->ranges[i];
        if (range->last < range->first)
            continue;
        uint64_t first = vector_file_find(file, range->first, at, count);
        at = range->last == INT64_MAX ? count
                                      : vector_file_find(file, range->last + 1, first, count);
        int rc = add_span(runs, first, at);
        if (rc)
            return rc;
    }
    return 0;
}

/* Keeps those that `accept` lets through, best first. */
struct sieve {
    const struct vector_filter *filter;
    struct arm_hit *hits;
    size_t count;
};

static int ask_about(struct sieve *sieve, int64_t *ids, bool *accepted)
{
    size_t n = sieve->count;
    for (size_t i = 0; i < n; i++)
        ids[i] = sieve->hits[i].chunk_id;
    int rc = sieve->filter->accept(sieve->filter->ctx, ids, n, accepted);
    sieve->count = 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (accepted[i])
            sieve->hits[sieve->count++] = sieve->hits[i];
    return rc;
}

static int ask(struct sieve *sieve)
{
    size_t n = sieve->count;
    if (n == 0)
        return 0;
    int64_t *ids = malloc(n * sizeof *ids);
    bool *accepted = calloc(n, sizeof *accepted);
    int rc = ids && accepted ? ask_about(sieve, ids, accepted)
                             : error_set(ERR_NO_MEMORY, NULL, "no memory to filter %zu vectors", n);
    free(ids);
    free(accepted);
    return rc;
}

static size_t threads_for(const struct vector_index *index, uint64_t slots)
{
    uint64_t worth = slots * index->file.stride / BYTES_PER_THREAD;
    return worth < 1 ? 1 : worth < index->threads ? (size_t)worth : index->threads;
}

/* Widens until k pass or all that there is was asked about. */
static int search_widening(struct vector_scan *scan, const struct vector_filter *filter, size_t k,
                           uint64_t slots, struct arm_hit **hits, size_t *count)
{
    struct sieve sieve = {.filter = filter};
    scan->k = k;
    if (filter && filter->accept)
        scan->k = 2 * k + 16;
    for (;;) {
        if (scan->k > slots)
            scan->k = slots;
        int rc = vector_scan_run(scan, &sieve.hits, &sieve.count);
        bool all = sieve.count < scan->k || scan->k == slots;
        if (!rc && filter && filter->accept)
            rc = ask(&sieve);
        if (rc || all || sieve.count >= k) {
            *hits = sieve.hits;
            *count = sieve.count < k ? sieve.count : k;
            return rc;
        }
        free(sieve.hits);
        sieve.hits = NULL;
        scan->k *= 4;
    }
}

static int search_held(struct vector_index *index, const struct code_query *query, size_t k,
                       const struct vector_filter *filter, uint64_t slots, struct arm_hit **hits,
                       size_t *count)
{
    struct runs runs = {0};
    int rc = plan(&index->file, filter, slots, &runs);
    if (!rc && runs.slots > 0) {
        struct vector_scan scan = {.file = &index->file,
                                   .kernel = index->kernel,
                                   .query = query,
                                   .runs = runs.items,
                                   .run_count = runs.count,
                                   .threads = threads_for(index, runs.slots)};
        rc = search_widening(&scan, filter, k, runs.slots, hits, count);
    }
    free(runs.items);
    return rc;
}

int vector_index_search(struct vector_index *index, const float *query, size_t k,
                        const struct vector_filter *filter, struct arena *arena,
                        struct arm_hit **out, size_t *count)
{
    struct code_query coded;
    struct arm_hit *hits = NULL;
    uint64_t slots;
    *out = NULL;
    *count = 0;
    int rc = code_query_init(&coded, query, index->dimension);
    if (rc)
        return rc;
    rc = k ? hold(index, &slots) : 0;
    if (!rc && k) {
        rc = search_held(index, &coded, k, filter, slots, &hits, count);
        release(index);
    }
    code_query_free(&coded);
    if (!rc && *count > 0) {
        *out = arena_array(arena, *count, sizeof **out);
        if (*out)
            memcpy(*out, hits, *count * sizeof **out);
        else
            rc = ERR_NO_MEMORY;
    }
    free(hits);
    return rc;
}
