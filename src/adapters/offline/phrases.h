/* phrases.h - a counted set of phrases, as topics and entities need one. */
#ifndef AEGIS_OFFLINE_PHRASES_H
#define AEGIS_OFFLINE_PHRASES_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/arena.h"
#include "shared/words.h"

enum { PHRASES_MOST = 8192, PHRASE_WORDS = 3 };

struct phrase {
    uint64_t hash; /* of its words, in whatever form the caller takes to be the same */
    struct text_slice slice;
    uint64_t stems[PHRASE_WORDS];
    unsigned words, count, ordinal;
    bool whole; /* stood alone between function words at least once */
    double score;
};

/* Full at three quarters of its slots: what is new then is left out. */
struct phrases {
    struct phrase *slots;
    size_t size; /* a power of two; free slots have hash 0 */
    unsigned used;
};

/* Room for the phrases of a text of `length` bytes, up to PHRASES_MOST slots. 0 or ERR_NO_MEMORY.
 */
int phrases_init(struct phrases *set, struct arena *arena, size_t length);

/* Adds or counts one; NULL if the set is full. A new one has count 0 and no slice yet. */
struct phrase *phrases_put(struct phrases *set, uint64_t hash);

/* NULL if it is not there. */
struct phrase *phrases_get(const struct phrases *set, uint64_t hash);

/* Moves the phrases to the front of `slots`, best score first, earlier first among equals. Nothing
 * can be put or got afterwards. Returns how many. */
size_t phrases_sort(struct phrases *set);

/* A phrase as people read it: white space runs as one space. NULL with ERR_NO_MEMORY set. */
char *phrase_text(struct arena *arena, const struct text_slice *slice);

#endif
