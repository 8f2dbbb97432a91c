#include "database/vector_scan.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "shared/error.h"

enum {
    SLOTS_AT_ONCE = 64, /* products worked out before they are judged */
    PENDING = 512,      /* candidates gathered before they are read exactly */
    MAX_THREADS = 32,
};

/* Below every cosine, above every bound of a dead slot (vector_code.h). */
static const double NO_THRESHOLD = -1.5;

/* Far above the rounding of the exact cosine, far below what damage does. */
static const double TOLERANCE = 1e-9;

struct candidate {
    double most; /* the cosine is at most this */
    uint64_t slot;
};

struct worker;

/* What the threads of one scan share. */
struct shared_scan {
    const struct vector_scan *scan;
    atomic_size_t next_run;
    _Atomic double threshold; /* k exact cosines at or above it are known: rises only */
    atomic_int rc;
};

struct worker {
    struct shared_scan *shared;
    struct arm_hit *best; /* a heap with the worst on top, up to k */
    size_t best_count;
    struct candidate *pending;
    size_t pending_count, pending_capacity;
    double threshold; /* the greatest known to this thread */
};

/* ---- the k best so far ---- */

static bool worse(const struct arm_hit *a, const struct arm_hit *b)
{
    if (a->score != b->score)
        return a->score < b->score;
    return a->chunk_id > b->chunk_id;
}

static void sift_down(struct arm_hit *heap, size_t count)
{
    size_t at = 0;
    struct arm_hit item = heap[0];
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && worse(&heap[child + 1], &heap[child]))
            child++;
        if (!worse(&heap[child], &item))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

static void push(struct arm_hit *heap, size_t count, struct arm_hit item)
{
    size_t at = count;
    for (; at > 0 && worse(&item, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

/* ---- the threshold ---- */

static void raise_shared(struct shared_scan *shared, double threshold)
{
    double seen = atomic_load_explicit(&shared->threshold, memory_order_relaxed);
    while (seen < threshold && !atomic_compare_exchange_weak(&shared->threshold, &seen, threshold))
        ;
}

static void learn_threshold(struct worker *w)
{
    double shared = atomic_load_explicit(&w->shared->threshold, memory_order_relaxed);
    if (shared > w->threshold)
        w->threshold = shared;
}

static void keep(struct worker *w, struct arm_hit hit)
{
    size_t k = w->shared->scan->k;
    if (w->best_count < k) {
        push(w->best, w->best_count++, hit);
    } else if (worse(&w->best[0], &hit)) {
        w->best[0] = hit;
        sift_down(w->best, k);
    }
    if (w->best_count == k && w->best[0].score > w->threshold) {
        w->threshold = w->best[0].score;
        raise_shared(w->shared, w->threshold);
    }
}

/* ---- exact ---- */

static int by_most(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return (x->most < y->most) - (x->most > y->most);
}

static int damaged(const struct vector_file *file, uint64_t slot)
{
    return error_set(ERR_CONFLICT, "damaged_index",
                     "the vector index '%s' is damaged at slot %llu: it is to be made again",
                     file->path, (unsigned long long)slot);
}

static int judge(struct worker *w, const struct candidate *candidate)
{
    const struct vector_scan *scan = w->shared->scan;
    double dot, square;
    scan->kernel->exact(scan->query->exact, vector_file_row(scan->file, candidate->slot),
                        scan->file->padded, &dot, &square);
    double cosine = dot / (sqrt(square) * scan->query->norm);
    if (!(cosine <= candidate->most + TOLERANCE))
        return damaged(scan->file, candidate->slot);
    keep(w, (struct arm_hit){.chunk_id = vector_file_id(scan->file, candidate->slot),
                             .score = cosine});
    return 0;
}

/* Reads what is pending, most promising first, until the rest is proven to be out. */
static int settle(struct worker *w)
{
    int rc = 0;
    qsort(w->pending, w->pending_count, sizeof *w->pending, by_most);
    for (size_t i = 0; i < w->pending_count && !rc; i++) {
        if (w->pending[i].most < w->threshold)
            break;
        rc = judge(w, &w->pending[i]);
    }
    w->pending_count = 0;
    return rc;
}

/* ---- scanning ---- */

static int scan_some(struct worker *w, uint64_t first, size_t count)
{
    const struct vector_scan *scan = w->shared->scan;
    int32_t hi[SLOTS_AT_ONCE], lo[SLOTS_AT_ONCE];
    scan->kernel->products(&scan->query->planes, vector_file_codes(scan->file, first), count, hi,
                           lo);
    learn_threshold(w);
    for (size_t i = 0; i < count; i++) {
        struct code_meta meta = vector_file_meta(scan->file, first + i);
        double most =
            code_estimate(scan->query, meta, hi[i], lo[i]) + code_bound(scan->query, meta);
        if (!(most >= w->threshold))
            continue;
        w->pending[w->pending_count++] = (struct candidate){.most = most, .slot = first + i};
        if (w->pending_count == w->pending_capacity) {
            int rc = settle(w);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int scan_run(struct worker *w, const struct slot_run *run)
{
    for (uint32_t done = 0; done < run->count; done += SLOTS_AT_ONCE) {
        uint32_t left = run->count - done;
        int rc = scan_some(w, run->first + done, left < SLOTS_AT_ONCE ? left : SLOTS_AT_ONCE);
        if (rc)
            return rc;
    }
    return 0;
}

static int work(struct worker *w)
{
    struct shared_scan *shared = w->shared;
    size_t run;
    int rc = 0;
    while (!rc && !atomic_load(&shared->rc) &&
           (run = atomic_fetch_add(&shared->next_run, 1)) < shared->scan->run_count)
        rc = scan_run(w, &shared->scan->runs[run]);
    return rc ? rc : settle(w);
}

/* An error's text belongs to its thread: only the code crosses, the caller words it again. */
static void *worker_main(void *arg)
{
    struct worker *w = arg;
    int rc = work(w);
    if (rc)
        atomic_store(&w->shared->rc, rc);
    return NULL;
}

/* ---- putting it together ---- */

static int worker_init(struct worker *w, struct shared_scan *shared)
{
    size_t k = shared->scan->k;
    w->shared = shared;
    w->threshold = NO_THRESHOLD;
    w->pending_capacity = PENDING;
    w->best = malloc(k * sizeof *w->best);
    w->pending = malloc(w->pending_capacity * sizeof *w->pending);
    if (w->best && w->pending)
        return 0;
    return error_set(ERR_NO_MEMORY, NULL, "no memory to search for %zu vectors", k);
}

static void run_workers(struct worker *workers, size_t count)
{
    pthread_t ids[MAX_THREADS];
    size_t started = 1;
    while (started < count &&
           pthread_create(&ids[started], NULL, worker_main, &workers[started]) == 0)
        started++; /* fewer threads than hoped for do the same work */
    worker_main(&workers[0]);
    for (size_t i = 1; i < started; i++)
        pthread_join(ids[i], NULL);
}

static int best_first(const void *a, const void *b)
{
    return worse(b, a) ? -1 : worse(a, b);
}

/* The k best of all are among the k best of each. */
static int gather(const struct worker *workers, size_t worker_count, size_t k,
                  struct arm_hit **hits, size_t *count)
{
    size_t total = 0;
    for (size_t i = 0; i < worker_count; i++)
        total += workers[i].best_count;
    struct arm_hit *all = malloc((total ? total : 1) * sizeof *all);
    if (!all)
        return error_set(ERR_NO_MEMORY, NULL, "no memory for %zu search hits", total);
    size_t n = 0;
    for (size_t i = 0; i < worker_count; i++)
        for (size_t j = 0; j < workers[i].best_count; j++)
            all[n++] = workers[i].best[j];
    qsort(all, total, sizeof *all, best_first);
    *hits = all;
    *count = total < k ? total : k;
    return 0;
}

static int failed(const struct vector_scan *scan, int rc)
{
    if (rc == ERR_CONFLICT)
        return error_set(ERR_CONFLICT, "damaged_index",
                         "the vector index '%s' is damaged: it is to be made again",
                         scan->file->path);
    return rc;
}

int vector_scan_run(const struct vector_scan *scan, struct arm_hit **hits, size_t *count)
{
    struct worker workers[MAX_THREADS] = {0};
    struct shared_scan shared = {.scan = scan, .threshold = NO_THRESHOLD};
    size_t n = scan->threads < 1 ? 1 : scan->threads < MAX_THREADS ? scan->threads : MAX_THREADS;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = worker_init(&workers[i], &shared);
    if (!rc) {
        run_workers(workers, n);
        rc = failed(scan, atomic_load(&shared.rc));
    }
    if (!rc)
        rc = gather(workers, n, scan->k, hits, count);
    for (size_t i = 0; i < n; i++) {
        free(workers[i].best);
        free(workers[i].pending);
    }
    return rc;
}
