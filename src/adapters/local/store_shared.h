/*
 * store_shared.h - an object store in a folder that several machines share (NFS, CephFS).
 *
 * Plain files alone: no index that only one machine may write, no locks. What puts and removals are
 * ordered by is that link(2) and O_EXCL make a name or fail, on every client of the file system.
 *
 *   <dir>/format                                 which layout this is
 *   <dir>/incoming/                              files being written
 *   <dir>/objects/<bucket>/<fan>/<name>/         one directory for each key (store_shared_keys.h)
 *       0006452A6FB1C0D2                         a version: one line of JSON, and small bytes
 *       0006452A6FB1C0D3                         (odd) a removal: all versions below it are gone
 *       <id>.data                                the bytes of a larger version
 *
 * Versions are named by their sequencer, so the newest is the one with the greatest name. A put
 * writes its files in incoming/, syncs and closes them, moves the bytes into the key's directory,
 * syncs it, links the version's record there, and syncs it again. The link is the moment of the
 * put; before it nothing can be seen. A removal's moment is the creation of its (empty) file.
 *
 * What holds, for processes on any number of machines whose clocks may differ:
 *   - a put or removal that returned survives the death of the process, and a power cut as far as
 *     the file server keeps what fsync(2) promised;
 *   - a reader sees whole versions only, and never one that was removed;
 *   - two puts of one key at the same time give two versions, one of them the newest;
 *   - the sequencer of a put or removal is greater than that of every put or removal of the key
 * that returned before it began. (It is the time in microseconds or, if more, one step above the
 *     greatest of the key.) A removal is remembered for a week, so this holds across a removal if
 *     clocks differ by less than that.
 * What this needs from the mount: hard links, and directories that are looked at anew when they are
 * opened (NFS: the default close-to-open consistency, not `nocto`; version 4, whose change counter
 * tells of every change). See docs/object-store.md.
 *
 * A superseded version stays for a grace period, measured between the clock of the machine that put
 * its successor and the one that deletes. Deleted bytes stay readable through a descriptor on the
 * machine that deleted them; NFS gives other machines an error (ESTALE), so the grace should be
 * longer than the longest job. Equal bytes are stored as often as they are put.
 *
 * Costs: a put of up to 32 KiB is one file, larger ones two. open and head list the key's directory
 * and read one file. list reads the names of all keys of the bucket once for each thousand it gives
 * (in constant memory), and then one file for each.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_SHARED_H
#define AEGIS_ADAPTERS_LOCAL_STORE_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/object_store.h"
#include "shared/clock.h"

struct shared_store_options {
    const char *directory;      /* the shared folder; made if it is not there */
    const struct clock *clock;  /* NULL: the machine's */
    int64_t reserve;            /* bytes of disk that puts leave free, about; 0: none */
    int64_t keep_superseded_ms; /* grace of superseded versions; 0: one hour */
};

/*
 * Close it with out->ops->close(out->ctx). Errors: ERR_SCHEMA (the folder was written by a newer
 * Aegis; it is left untouched), ERR_INVALID (not a directory, the folder of a one-machine store, or
 * a file system without hard links), ERR_SYSTEMIC (it cannot be used now), ERR_DISK_FULL, ERR_IO.
 *
 * Every method gives ERR_SYSTEMIC "store_gone" when the folder is not there any more, rather than
 * telling that its objects do not exist.
 */
int shared_store_open(const struct shared_store_options *options, struct object_store *out);

/* Whether a shared store was made in this folder; false too if that cannot be told. */
bool shared_store_is_in(const char *directory);

/*
 * Deletes superseded versions past their grace, what a removal did not get to, bytes that no
 * version names and temporary files (both left by crashes, after a day by the file server's clock),
 * and removals older than a week, looking at every key. Safe at any time, beside other machines
 * too. Puts do a small share of this, so calling it is a matter of having the room back at once.
 * *freed (may be NULL) counts the bytes of objects. ERR_CANCELLED.
 */
int shared_store_collect(const struct object_store *store, const struct cancel *cancel,
                         int64_t *freed);

#endif
