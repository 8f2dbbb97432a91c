#include "database/sqlite_wal_file.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

/* Written at once: below the 128 KiB that the unix VFS takes (os_unix.c, seekAndWriteFd). */
enum { PIECE = 127 * 1024 };

struct wal_file {
    sqlite3_file base;
    char *piece; /* `length` bytes that belong at `start`, not yet written */
    sqlite3_int64 start;
    int length;
    sqlite3_file *real; /* behind this structure */
};

static int flush(struct wal_file *f)
{
    int length = f->length;
    f->length = 0;
    return length ? f->real->pMethods->xWrite(f->real, f->piece, length, f->start) : SQLITE_OK;
}

/* ---- what is collected ---- */

static int wal_write(sqlite3_file *file, const void *data, int length, sqlite3_int64 at)
{
    struct wal_file *f = (struct wal_file *)file;
    int rc = SQLITE_OK;
    if (f->length && (at != f->start + f->length || length > PIECE - f->length))
        rc = flush(f);
    if (rc)
        return rc;
    if (length > PIECE)
        return f->real->pMethods->xWrite(f->real, data, length, at);
    if (!f->length)
        f->start = at;
    memcpy(f->piece + f->length, data, (size_t)length);
    f->length += length;
    return SQLITE_OK;
}

/* ---- what first writes it ---- */

static int wal_read(sqlite3_file *file, void *data, int length, sqlite3_int64 at)
{
    struct wal_file *f = (struct wal_file *)file;
    int rc = at + length > f->start && at < f->start + f->length ? flush(f) : SQLITE_OK;
    return rc ? rc : f->real->pMethods->xRead(f->real, data, length, at);
}

static int wal_sync(sqlite3_file *file, int flags)
{
    struct wal_file *f = (struct wal_file *)file;
    int rc = flush(f);
    return rc ? rc : f->real->pMethods->xSync(f->real, flags);
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct wal_file *f = (struct wal_file *)file;
    int rc = flush(f);
    return rc ? rc : f->real->pMethods->xTruncate(f->real, size);
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct wal_file *f = (struct wal_file *)file;
    int rc = flush(f);
    return rc ? rc : f->real->pMethods->xFileSize(f->real, size);
}

static int wal_close(sqlite3_file *file)
{
    struct wal_file *f = (struct wal_file *)file;
    int rc = flush(f), closed = f->real->pMethods->xClose(f->real);
    sqlite3_free(f->piece);
    return rc ? rc : closed;
}

/* ---- what is handed on ---- */

static int wal_lock(sqlite3_file *file, int level)
{
    struct wal_file *f = (struct wal_file *)file;
    return f->real->pMethods->xLock(f->real, level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
    struct wal_file *f = (struct wal_file *)file;
    return f->real->pMethods->xUnlock(f->real, level);
}

static int wal_reserved(sqlite3_file *file, int *out)
{
    struct wal_file *f = (struct wal_file *)file;
    return f->real->pMethods->xCheckReservedLock(f->real, out);
}

static int wal_control(sqlite3_file *file, int op, void *arg)
{
    struct wal_file *f = (struct wal_file *)file;
    return f->real->pMethods->xFileControl(f->real, op, arg);
}

static int wal_sector(sqlite3_file *file)
{
    struct wal_file *f = (struct wal_file *)file;
    return f->real->pMethods->xSectorSize(f->real);
}

static int wal_character(sqlite3_file *file)
{
    struct wal_file *f = (struct wal_file *)file;
    return f->real->pMethods->xDeviceCharacteristics(f->real);
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_reserved,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_character,
};

/* ---- the VFS ---- */

static sqlite3_vfs vfs;

/* All files but logs are the default VFS's own. */
static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags,
                    int *out_flags)
{
    sqlite3_vfs *real = self->pAppData;
    struct wal_file *f = (struct wal_file *)file;
    if (!(flags & SQLITE_OPEN_WAL))
        return real->xOpen(real, name, file, flags, out_flags);
    *f = (struct wal_file){.real = (sqlite3_file *)(f + 1), .piece = sqlite3_malloc(PIECE)};
    if (!f->piece)
        return SQLITE_NOMEM;
    f->real->pMethods = NULL;
    int rc = real->xOpen(real, name, f->real, flags, out_flags);
    if (f->real->pMethods)
        f->base.pMethods = &methods;
    else
        sqlite3_free(f->piece);
    return rc;
}

static void add_vfs(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    if (!real)
        return;
    vfs = *real;
    vfs.zName = "aegis-wal";
    vfs.szOsFile = (int)sizeof(struct wal_file) + real->szOsFile;
    vfs.pNext = NULL;
    vfs.pAppData = real;
    vfs.xOpen = vfs_open;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        vfs.zName = NULL;
}

const char *wal_file_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, add_vfs);
    return vfs.zName;
}
