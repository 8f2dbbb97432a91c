/*
 * move.h - carries everything that Aegis remembers from one database to another through a file:
 * SQLite to PostgreSQL, back, or to another of the same kind.
 *
 * The file is a SQLite database in Aegis's own embedded schema (migrations/sqlite) with three
 * tables more: export_manifest (table_name, rows, digest)  written last: what each table of
 * move_internal.h has export_info (format, program, engine, database, created_ms) export_digest
 * (key, digest)                 whole digests of which the schema keeps 8 bytes
 *
 * Both engines are read as the same tables of the same rows (move_tables.c), and a table's digest
 * is the SHA-256 of its rows in the order of its key. So the digests of source, file and target can
 * be compared, and are: nothing is called done before the target was read again.
 *
 * Not carried: the objects themselves, the messages of the queue (unfinished jobs get new ones from
 * a running `aegis serve`; jobs that run are carried as queued, the attempt not counted), and what
 * is made anew from the rest: totals, search files, lexemes, indexes.
 *
 * All block, some for long; `cancel` and `report` are asked between batches.
 */
#ifndef AEGIS_DATABASE_MOVE_H
#define AEGIS_DATABASE_MOVE_H

#include <stddef.h>
#include <stdint.h>

#include "shared/cancel.h"
#include "shared/digest.h"

enum { MOVE_TABLES_MAX = 24, MOVE_FORMAT = 1 };

enum move_phase { MOVE_COPY, MOVE_CHECK_FILE, MOVE_FINISH, MOVE_CHECK };

struct move_options {
    const struct cancel *cancel; /* NULL: none */
    /* `rows` of `of` (-1: not known) of a table are done. NULL: nobody asks. */
    void (*report)(void *arg, enum move_phase phase, const char *table, int64_t rows, int64_t of);
    void *arg;
};

struct move_count {
    const char *table; /* static */
    int64_t rows;
    struct digest digest;
};

struct move_report {
    struct move_count tables[MOVE_TABLES_MAX];
    size_t count;
    int64_t resumed_rows; /* of an import: rows that an earlier run had brought over */
};

/*
 * Writes everything to a new file (mode 0600) from one snapshot; work on the database goes on.
 * `database` is the path of an aegis.db. Until it is complete the file is called "<file>.part".
 * ERR_CONFLICT: the file exists. ERR_NOT_FOUND: there is no such database. ERR_DISK_FULL,
 * ERR_SCHEMA, ERR_CANCELLED.
 */
int move_export_sqlite(const char *database, const char *file, const struct move_options *options,
                       struct move_report *out);
/* From the PostgreSQL database at `url`. Errors as pg.h besides. */
int move_export_postgres(const char *url, const char *file, const struct move_options *options,
                         struct move_report *out);

/*
 * Fills an empty database from a file. What was stopped or killed goes on where it was when it is
 * called again with the same file. ERR_NOT_FOUND, ERR_INVALID "not_an_export" or "export_damaged"
 * (the target is untouched), ERR_SCHEMA (the file is of an Aegis with another schema), ERR_CONFLICT
 * "not_empty" (the target has rows that are not of this import), ERR_BUSY (another import into it
 * is running), ERR_SYSTEMIC "export_differs" (the target is not what the manifest says; the text
 * names the table), ERR_CANCELLED.
 *
 * `database` is the path of an aegis.db that does not exist; until it is complete it is called
 * "<database>.import". Its directory is made.
 */
int move_import_sqlite(const char *file, const char *database, const struct move_options *options,
                       struct move_report *out);
/* As a login that may do what the owner of the schema may; the schema has been migrated. */
int move_import_postgres(const char *file, const char *url, const struct move_options *options,
                         struct move_report *out);

#endif
