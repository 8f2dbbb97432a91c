#include "shared/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

enum { BLOCK_SIZE = 4096 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

void arena_free(struct arena *a)
{
    struct arena_block *next;
    for (struct arena_block *b = a->head; b; b = next) {
        next = b->next;
        free(b);
    }
    a->head = NULL;
    a->used = 0;
}

static struct arena_block *new_block(size_t payload)
{
    struct arena_block *b = malloc(sizeof *b + payload);
    if (b) {
        b->next = NULL;
        b->size = payload;
        b->used = 0;
    }
    return b;
}

/* A large allocation gets a block of its own behind the head, so that the head's room is kept. */
static struct arena_block *block_for(struct arena *a, size_t size)
{
    if (a->head && a->head->size - a->head->used >= size)
        return a->head;
    size_t payload = BLOCK_SIZE - sizeof(struct arena_block);
    bool large = size > payload / 4;
    struct arena_block *b = new_block(large ? size : payload);
    if (!b)
        return NULL;
    if (large && a->head) {
        b->next = a->head->next;
        a->head->next = b;
    } else {
        b->next = a->head;
        a->head = b;
    }
    return b;
}

static void *take(struct arena *a, size_t size)
{
    size_t aligned = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (aligned < size || aligned > a->limit - a->used) {
        error_set(ERR_NO_MEMORY, "memory_cap",
                  "%zu more bytes would pass the cap of %zu bytes for one job", size, a->limit);
        return NULL;
    }
    struct arena_block *b = block_for(a, aligned);
    if (!b) {
        error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu bytes", size);
        return NULL;
    }
    void *p = b->data + b->used;
    b->used += aligned;
    a->used += aligned;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p = take(a, size);
    return p ? memset(p, 0, size) : NULL;
}

void *arena_memdup(struct arena *a, const void *bytes, size_t size)
{
    void *p = take(a, size);
    return p && size ? memcpy(p, bytes, size) : p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        error_set(ERR_NO_MEMORY, NULL, "%zu elements of %zu bytes do not fit in memory", count,
                  size);
        return NULL;
    }
    return arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *text, size_t length)
{
    if (!text)
        return NULL;
    char *copy = length == SIZE_MAX ? NULL : take(a, length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return text ? arena_strndup(a, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
