#include "ingestion/watch_pending.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKS = 5 };

void pending_init(struct pending_list *list)
{
    *list = (struct pending_list){.first = NULL};
    list->end = &list->first;
}

void pending_fini(struct pending_list *list)
{
    for (struct pending *p; (p = pending_next(list));)
        free(p);
    for (struct pending *p = list->later, *next; p; p = next) {
        next = p->next;
        free(p);
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct pending *)a)->relative, ((const struct pending *)b)->relative);
}

/* Takes `p`. */
static int add(struct pending_list *list, struct pending *p)
{
    struct pending **found = tsearch(p, &list->names, compare);
    if (found && *found == p) {
        p->next = NULL;
        *list->end = p;
        list->end = &p->next;
        list->count++;
        return OK;
    }
    if (found) {
        (*found)->trust_times &= p->trust_times;
        (*found)->closed |= p->closed;
        if (p->writer < (*found)->writer)
            (*found)->writer = p->writer;
    }
    free(p);
    return found ? OK : error_set(ERR_NO_MEMORY, NULL, "out of memory");
}

int pending_note(struct pending_list *list, const char *relative, struct pending wish)
{
    size_t length = strlen(relative) + 1;
    struct pending *p = malloc(sizeof *p + length);
    if (!p)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    *p = wish;
    memcpy(p->relative, relative, length);
    return add(list, p);
}

struct pending *pending_next(struct pending_list *list)
{
    struct pending *p = list->first;
    if (!p)
        return NULL;
    list->first = p->next;
    if (!list->first)
        list->end = &list->first;
    list->count--;
    tdelete(p, &list->names, compare);
    return p;
}

void pending_later(struct pending_list *list, struct pending *p)
{
    if (++p->looks >= LOOKS && !p->closed) {
        free(p);
        return;
    }
    if (p->looks >= LOOKS)
        p->writer = WRITER_FINE;
    if (!list->later)
        list->later_ms = clock_monotonic_ms() + PENDING_LATER_MS;
    p->next = list->later;
    list->later = p;
}

int pending_again(struct pending_list *list)
{
    int rc = OK;
    if (clock_monotonic_ms() < list->later_ms)
        return OK;
    while (!rc && list->later) {
        struct pending *p = list->later;
        list->later = p->next;
        rc = add(list, p);
    }
    return rc;
}
