#include "database/stem_cache.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A word stands in one of PROBES places from that of its hash on. When three quarters of all places
 * are taken, one in seventy words has found none of them free, and is stemmed anew each time. */
enum { PLACES = 65536, PROBES = 16, FULL = PLACES / 4 * 3 };

static_assert(sizeof(struct known_word) == 64, "as wide as a line of the cache");

struct stem_cache {
    char code[STEM_CODE_BYTES];
    unsigned users; /* under the set's lock; the set itself is one */
    pthread_mutex_t lock;
    size_t count;
    atomic_bool full;
    struct known_word *places; /* PLACES + PROBES */
};

enum { BYTES = (PLACES + PROBES) * sizeof(struct known_word) };

/* ---- one ---- */

static struct stem_cache *cache_open(const char *code)
{
    struct stem_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->places = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->places == MAP_FAILED) {
        free(c);
        return NULL;
    }
    snprintf(c->code, sizeof c->code, "%s", code);
    pthread_mutex_init(&c->lock, NULL);
    c->users = 1;
    return c;
}

static void cache_leave(struct stem_cache *c)
{
    if (--c->users)
        return;
    munmap(c->places, BYTES);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static uint32_t tag_of(uint32_t hash)
{
    return hash ? hash : 1;
}

static struct known_word *first_place(const struct stem_cache *c, uint32_t hash)
{
    return &c->places[hash % PLACES];
}

/* The place of the word, or the free one where it may be put; NULL if there is neither. */
static struct known_word *place_of(const struct stem_cache *c, const char *word, size_t length,
                                   uint32_t hash, bool *known)
{
    struct known_word *k = first_place(c, hash);
    *known = false;
    for (int i = 0; i < PROBES; i++, k++) {
        uint32_t tag = atomic_load_explicit(&k->tag, memory_order_acquire);
        if (!tag)
            return k;
        if (tag == tag_of(hash) && k->length == length && memcmp(k->word, word, length) == 0) {
            *known = true;
            return k;
        }
    }
    return NULL;
}

const struct known_word *stem_cache_find(const struct stem_cache *c, const char *word,
                                         size_t length, uint32_t hash)
{
    bool known;
    const struct known_word *k = place_of(c, word, length, hash, &known);
    return known ? k : NULL;
}

void stem_cache_prefetch(const struct stem_cache *c, uint32_t hash)
{
    __builtin_prefetch(first_place(c, hash));
}

void stem_cache_add(struct stem_cache *c, const char *word, size_t length, uint32_t hash,
                    const char *stem, size_t stem_length)
{
    bool known;
    if (length > STEM_CACHE_BYTES || stem_length > STEM_CACHE_BYTES || atomic_load(&c->full))
        return;
    pthread_mutex_lock(&c->lock);
    struct known_word *k = place_of(c, word, length, hash, &known);
    if (k && !known) {
        k->length = (uint8_t)length;
        k->stem_length = (uint8_t)stem_length;
        memcpy(k->word, word, length);
        memcpy(k->stem, stem, stem_length);
        atomic_store_explicit(&k->tag, tag_of(hash), memory_order_release);
        if (++c->count == FULL)
            atomic_store(&c->full, true);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- those in use ---- */

static void to_front(struct stem_caches *set, size_t at, struct stem_cache *c)
{
    memmove(&set->items[1], &set->items[0], at * sizeof set->items[0]);
    set->items[0] = c;
}

struct stem_cache *stem_caches_take(struct stem_caches *set, const char *code)
{
    size_t at = 0;
    pthread_mutex_lock(&set->lock);
    while (at < STEM_CACHES - 1 && set->items[at] && strcmp(set->items[at]->code, code) != 0)
        at++;
    struct stem_cache *c = set->items[at];
    if (!c || strcmp(c->code, code) != 0 || atomic_load(&c->full)) {
        if (c)
            cache_leave(c);
        c = cache_open(code);
    }
    to_front(set, at, c);
    if (c)
        c->users++;
    pthread_mutex_unlock(&set->lock);
    return c;
}

void stem_caches_give(struct stem_caches *set, struct stem_cache *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&set->lock);
    cache_leave(c);
    pthread_mutex_unlock(&set->lock);
}

void stem_caches_free(struct stem_caches *set)
{
    for (size_t i = 0; i < STEM_CACHES; i++)
        if (set->items[i])
            cache_leave(set->items[i]);
    pthread_mutex_destroy(&set->lock);
}
