/*
 * queue_place.h - a temporary directory for one queue file.
 */
#ifndef AEGIS_TESTS_QUEUE_PLACE_H
#define AEGIS_TESTS_QUEUE_PLACE_H

struct queue_place {
    char directory[256];
    char path[300]; /* of the queue's file in it */
};

/* Makes the directory under $TMPDIR or /tmp; a failure fails the test. */
void queue_place_make(struct queue_place *p);

/* Removes what the queue and SQLite made, and the directory; a failure fails the test. */
void queue_place_remove(struct queue_place *p);

#endif
