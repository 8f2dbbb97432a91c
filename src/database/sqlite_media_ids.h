/* sqlite_media_ids.h - the ids of one page of matching media. */
#ifndef AEGIS_DATABASE_SQLITE_MEDIA_IDS_H
#define AEGIS_DATABASE_SQLITE_MEDIA_IDS_H

#include "database/sqlite_internal.h"

struct media_page {
    const struct media_filter *filter; /* NULL: all */
    bool rising;                       /* else falling */
    int64_t from;                      /* exclusive; 0 when falling: from the newest */
    size_t limit;
    bool idle_only; /* without those that have an unfinished job */
};

/* Removed media are left out. The caller frees *ids, also after an error. */
int media_ids(struct store *s, struct connection *c, const struct media_page *page, int64_t **ids,
              size_t *count);

#endif
