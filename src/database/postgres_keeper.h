/*
 * postgres_keeper.h - the background thread of a store: deletes what nothing points to any more,
 * moves new embeddings to the table with the index, trims the outbox, and measures the server's
 * clock. All of it can be repeated, and one process does it at a time (an advisory lock).
 */
#ifndef AEGIS_DATABASE_POSTGRES_KEEPER_H
#define AEGIS_DATABASE_POSTGRES_KEEPER_H

#include "database/postgres_internal.h"

int background_start(struct store *s);
void background_stop(struct store *s);   /* nothing if it does not run */
void background_notify(struct store *s); /* there is garbage; thread-safe */
int background_settle(struct store *s);
int background_tend(struct store *s, int64_t until_ms, bool *more);
int background_thaw(struct store *s);

/* One step each; *more: there is more to do. While another process is at it: `wait` for it, or
 * nothing is done and *more is false. */
int garbage_collect(struct store *s, bool wait, bool *more);
int garbage_trim(struct store *s, bool wait, bool *more);
/* Moves some embeddings of each space to the table with the index, and at the end new words into
 * theirs, if no process has added chunks since *last_chunk was set by the last step, or if there
 * are very many. NULL: in any case, waiting for another process. */
int index_step(struct store *s, int64_t *last_chunk, bool *more);

#endif
