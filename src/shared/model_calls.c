#include "ports/model_provider.h"
#include "shared/error.h"

#include <string.h>

int model_calls_add(struct model_calls *calls, const struct model_call *call)
{
    if (calls->count == calls->capacity) {
        size_t capacity = calls->capacity ? calls->capacity * 2 : 4;
        struct model_call *items = arena_array(calls->arena, capacity, sizeof *items);
        if (!items)
            return ERR_NO_MEMORY;
        if (calls->count)
            memcpy(items, calls->items, calls->count * sizeof *items);
        calls->items = items;
        calls->capacity = capacity;
    }
    calls->items[calls->count++] = *call;
    return OK;
}
