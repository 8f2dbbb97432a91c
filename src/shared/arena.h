/*
 * arena.h - memory that is freed all at once (one per job, one per command).
 *
 * Not thread-safe: one thread uses an arena at a time.
 */
#ifndef AEGIS_SHARED_ARENA_H
#define AEGIS_SHARED_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *head;
    size_t used;  /* bytes handed out since init or reset */
    size_t limit; /* cap in bytes; beyond it allocation fails */
};

/* Allocates nothing yet. */
void arena_init(struct arena *a, size_t limit);

/* Frees everything; the arena can be used again. */
void arena_free(struct arena *a);

/* Zeroed, aligned for any type. NULL with ERR_NO_MEMORY set when the cap or memory is exhausted. */
void *arena_alloc(struct arena *a, size_t size);

/* As arena_alloc for count * size, checked for overflow. */
void *arena_array(struct arena *a, size_t count, size_t size);

/* Copies; NULL on exhaustion. arena_strndup always adds the terminating NUL. A NULL text gives
 * NULL. */
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t length);
void *arena_memdup(struct arena *a, const void *bytes, size_t size); /* aligned for any type */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
