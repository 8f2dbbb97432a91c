/*
 * watch_folders.h - which folders are watched: inotify's numbers and the paths they stand for.
 */
#ifndef AEGIS_INGESTION_WATCH_FOLDERS_H
#define AEGIS_INGESTION_WATCH_FOLDERS_H

#include <stddef.h>

struct watched_folder {
    int number;     /* inotify's watch descriptor */
    char *relative; /* below the root; "" is the root */
};

struct watched_folders {
    int fd; /* of inotify, non-blocking */
    struct watched_folder *items;
    size_t count, capacity; /* sorted by number */
};

/* ERR_SYSTEMIC "inotify_limit". */
int watched_folders_init(struct watched_folders *f);
void watched_folders_fini(struct watched_folders *f);

/* Watches a folder; watching one again renews its path. Errors: ERR_NOT_FOUND (it has gone, or is
 * no folder), ERR_SYSTEMIC "inotify_limit", ERR_IO. */
int watched_folders_add(struct watched_folders *f, const char *path, const char *relative);

/* NULL if the number is not known. Borrowed. */
const char *watched_folders_find(const struct watched_folders *f, int number);

/* inotify has ended this watch. */
void watched_folders_forget(struct watched_folders *f, int number);

/* Ends the watches of this folder and of all below it. */
void watched_folders_remove(struct watched_folders *f, const char *relative);

#endif
