/* store_folder_internal.h - shared by the parts of the folder store's index. */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_INTERNAL_H
#define AEGIS_ADAPTERS_LOCAL_STORE_FOLDER_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>

#include "adapters/local/store_folder_index.h"
#include "shared/error.h"

enum { STORE_SCHEMA_VERSION = 1, STORE_READERS = 8, STORE_BUSY_MS = 15000 };

/* The writer's statements, by what they do. */
enum store_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_NEXT_SEQUENCER,
    SQL_SUPERSEDE,
    SQL_INSERT,
    SQL_INSERT_BYTES,
    SQL_REMOVE,
    SQL_EXPIRE,
    SQL_REFERENCED,
    SQL_DELETE_BYTES,
    SQL_SWEEP_BYTES,
    SQL_COUNT
};

struct store_reader {
    sqlite3 *db;
    sqlite3_stmt *newest, *version, *list;
    struct store_reader *next;
};

struct store_change;

struct store_index {
    char *path;
    struct blobs *blobs;
    const struct clock *clock;
    int64_t keep_superseded_ms;

    /* Whoever finds `writing` false becomes the writer of all changes that wait. */
    pthread_mutex_t lock;
    pthread_cond_t written;
    bool writing;
    struct store_change *waiting, **waiting_end;

    /* the writer's */
    sqlite3 *db;
    sqlite3_stmt *sql[SQL_COUNT];

    /* At most STORE_READERS connections, whatever the number of threads: each has its memory. */
    pthread_mutex_t readers_lock;
    pthread_cond_t reader_freed;
    struct store_reader *readers; /* those not in use */
    int reader_count;             /* all */
};

/* What a result code of SQLite means here; the text names the index. Returns the code set. */
int store_sqlite_error(const struct store_index *index, sqlite3 *db, const char *doing);

int store_prepare(const struct store_index *index, sqlite3 *db, const char *text,
                  sqlite3_stmt **out);

int store_writer_open(struct store_index *index);
void store_writer_close(struct store_index *index);

static inline const char *store_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

/* False if the column is not a digest. */
bool store_digest(sqlite3_stmt *statement, int column, struct digest *out);

#endif
