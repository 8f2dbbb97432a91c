#include "adapters/offline/phrases.h"

#include <stdlib.h>

#include "shared/error.h"

int phrases_init(struct phrases *set, struct arena *arena, size_t length)
{
    set->size = 256;
    while (set->size < length / 4 && set->size < PHRASES_MOST)
        set->size *= 2;
    set->slots = arena_array(arena, set->size, sizeof *set->slots);
    set->used = 0;
    return set->slots ? OK : ERR_NO_MEMORY;
}

static struct phrase *slot_of(const struct phrases *set, uint64_t hash)
{
    size_t at = hash & (set->size - 1);
    while (set->slots[at].hash && set->slots[at].hash != hash)
        at = (at + 1) & (set->size - 1);
    return &set->slots[at];
}

struct phrase *phrases_put(struct phrases *set, uint64_t hash)
{
    hash += hash == 0;
    struct phrase *slot = slot_of(set, hash);
    if (slot->hash)
        return slot;
    if (set->used >= set->size / 4 * 3)
        return NULL;
    slot->hash = hash;
    slot->ordinal = set->used++;
    return slot;
}

struct phrase *phrases_get(const struct phrases *set, uint64_t hash)
{
    struct phrase *slot = slot_of(set, hash + (hash == 0));
    return slot->hash ? slot : NULL;
}

static int compare(const void *a, const void *b)
{
    const struct phrase *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

size_t phrases_sort(struct phrases *set)
{
    size_t n = 0;
    for (size_t i = 0; i < set->size; i++)
        if (set->slots[i].hash)
            set->slots[n++] = set->slots[i];
    qsort(set->slots, n, sizeof *set->slots, compare);
    return n;
}

char *phrase_text(struct arena *arena, const struct text_slice *slice)
{
    char *text = arena_alloc(arena, slice->length + 1);
    size_t n = 0;
    const char *p = slice->text, *end = p + slice->length;
    while (text && p < end) {
        size_t space = space_at(p, end);
        if (!space)
            text[n++] = *p++;
        else if (n > 0 && text[n - 1] != ' ')
            text[n++] = ' ';
        p += space;
    }
    return text;
}
