/*
 * queue_sqlite.h - the embedded durable queue: one SQLite file, shared by any number of threads and
 * processes of one machine.
 *
 * Durability: the file is in WAL mode and what send, delete, change_visibility, bury, dead_redrive
 * and dead_drop acknowledge is committed with synchronous=FULL (one fsync for all callers of the
 * moment). A claim alone is committed without waiting for the disk: a power cut may undo it, which
 * is one more delivery, but the death of the process may not.
 *
 * A full disk: a send that would leave less than `reserve` bytes free is ERR_DISK_FULL. The reserve
 * keeps what is on the queue moving: receiving, deleting and burying need a little room themselves.
 *
 * Delivery: messages whose timeout or delay has passed come first, earliest due first, then those
 * never received, first in first out. queue_send.group is kept with the message and does not change
 * the order.
 *
 * Message ids rise with the order of sending; a redriven dead letter is a new message with a new id
 * and a new sent_ms. Times are the wall clock's: all processes must share one machine.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_H
#define AEGIS_ADAPTERS_LOCAL_QUEUE_SQLITE_H

#include "ports/job_queue.h"
#include "shared/clock.h"

struct sqlite_queue_options {
    const char *path;          /* "<data>/queue.db"; its directory must exist */
    int max_receives;          /* 0: 20 */
    const struct clock *clock; /* NULL: the system's; borrowed */
    int64_t reserve;           /* bytes of disk that sends leave free; 0: 32 MiB */
    const char *vfs;           /* NULL: SQLite's default; tests put one that fails in between */
};

/*
 * Opens the queue, making the file if there is none, and starts two threads (checkpoints, and word
 * of other processes' sends). Not to be carried over a fork(2); while it is open nothing else in
 * the process may open and close the file, which would drop SQLite's locks (fcntl(2)). ERR_SCHEMA:
 * written by a newer Aegis, left untouched. ERR_INVALID: the file is something else. ERR_DISK_FULL,
 * ERR_IO, ERR_TRANSIENT. Give it back with out->ops->close(out->ctx), when no method is running.
 */
int sqlite_queue_open(const struct sqlite_queue_options *options, struct job_queue *out);

#endif
