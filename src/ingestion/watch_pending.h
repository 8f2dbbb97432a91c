/*
 * watch_pending.h - which paths below a watched folder are to be looked at, each once, in the order
 * they were noted.
 */
#ifndef AEGIS_INGESTION_WATCH_PENDING_H
#define AEGIS_INGESTION_WATCH_PENDING_H

#include <stddef.h>

#include "ingestion/files_internal.h"

enum { PENDING_LATER_MS = 20 }; /* until a file that seems to be written is looked at again */

struct pending {
    struct pending *next;
    bool trust_times; /* noted by a scan, not by an event */
    bool closed;      /* a writer closed it */
    enum file_writer writer;
    int looks; /* so often it seemed to be written */
    char relative[];
};

struct pending_list {
    struct pending *first, **end;
    void *names; /* the same, as a tsearch(3) tree */
    size_t count;
    struct pending *later; /* to be looked at again, at `later_ms` of the monotonic clock */
    int64_t later_ms;
};

void pending_init(struct pending_list *list);
void pending_fini(struct pending_list *list);

/* Notes a path with this wish. What is noted already is read more readily from then on. 0 or
 * ERR_NO_MEMORY. */
int pending_note(struct pending_list *list, const char *relative, struct pending wish);

/* Takes the first out; NULL if there is none. The caller frees it or hands it to pending_later. */
struct pending *pending_next(struct pending_list *list);

/*
 * A file that seems to be written is looked at again a few times: the kernel tells of a closing
 * before it counts the writer out. After that its closing will be told of, unless it has been: then
 * the writer is another one, and the file is taken as it is. Takes `p`.
 */
void pending_later(struct pending_list *list, struct pending *p);

/* Notes again what is due. 0 or ERR_NO_MEMORY. */
int pending_again(struct pending_list *list);

#endif
