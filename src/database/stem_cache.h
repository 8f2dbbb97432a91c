/*
 * stem_cache.h - words that were stemmed before, and what they gave, for many threads: stemming a
 * word takes longer than all else that is done with it, and most words of a text are ones that
 * others had too.
 *
 * Looking one up takes no lock. A word that was added stays, with its stem, as long as the cache;
 * once that is full it takes no more, and a set hands out a new one instead (stem_caches_take).
 */
#ifndef AEGIS_DATABASE_STEM_CACHE_H
#define AEGIS_DATABASE_STEM_CACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Longer words, and those with longer stems, are not kept. */
enum { STEM_CACHE_BYTES = 29, STEM_CODE_BYTES = 8 };

/* A line of the processor's cache. */
struct known_word {
    _Atomic uint32_t tag; /* 0: nothing is here yet. Set last; nothing changes afterwards */
    uint8_t length, stem_length;
    char word[STEM_CACHE_BYTES], stem[STEM_CACHE_BYTES];
};

/* Of one stemmer; 4 MiB at most, taken as it fills. */
struct stem_cache;

/* `hash` is word_hash(word, length), always. NULL: not known. */
const struct known_word *stem_cache_find(const struct stem_cache *c, const char *word,
                                         size_t length, uint32_t hash);
/* Has the place where the word would be brought into the processor's cache. */
void stem_cache_prefetch(const struct stem_cache *c, uint32_t hash);
/* Nothing if there is no room, or the word or its stem is too long. */
void stem_cache_add(struct stem_cache *c, const char *word, size_t length, uint32_t hash,
                    const char *stem, size_t stem_length);

/* Those of the languages in use, at most STEM_CACHES of them: that which was not asked for longest
 * makes room. `lock` is the owner's to initialise. */
enum { STEM_CACHES = 4 };
struct stem_caches {
    pthread_mutex_t lock;
    struct stem_cache *items[STEM_CACHES]; /* the one asked for last is the first */
};
/* NULL if there is no memory: do without. Until it is given back it is not freed. `code` is shorter
 * than STEM_CODE_BYTES. */
struct stem_cache *stem_caches_take(struct stem_caches *set, const char *code);
void stem_caches_give(struct stem_caches *set, struct stem_cache *c); /* NULL is fine */
/* All must have been given back. */
void stem_caches_free(struct stem_caches *set);

#endif
