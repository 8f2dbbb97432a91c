/*
 * sqlite_wal_file.h - the write-ahead log in larger pieces.
 *
 * SQLite writes each page of its log by itself, and the 24 bytes in front of it too: two system
 * calls for 4 KiB, each across a page of the file system. This VFS (https://sqlite.org/vfs.html)
 * hands everything to the default one, but collects what a connection appends to its log until
 * SQLite syncs the log, reads from it or asks for its size. So nobody sees a difference, as long
 * as the log is synced before other connections are told of its new end: SQLite does that with
 * synchronous=FULL (wal.c, sqlite3WalFrames), and only with it or EXTRA may a connection use this.
 */
#ifndef AEGIS_DATABASE_SQLITE_WAL_FILE_H
#define AEGIS_DATABASE_SQLITE_WAL_FILE_H

/* The name to open with, registered at the first call; NULL (the default VFS) if that fails. */
const char *wal_file_vfs(void);

#endif
