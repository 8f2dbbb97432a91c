/* Copying tables from a reader to a writer, their digests, and the manifest. */
#include "database/move.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database/migrations.h"
#include "database/move_internal.h"
#include "database/sqlite_connection.h"
#include "shared/file.h"

/* ---- digests ---- */

static void digest_number(struct digest_stream *s, int64_t number)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((uint64_t)number >> (8 * i));
    digest_update(s, bytes, sizeof bytes);
}

static bool is_number(enum move_type type)
{
    return type == MOVE_INT || type == MOVE_BOOL || type == MOVE_ID || type == MOVE_KEY;
}

/* Each value so that no two rows give the same bytes: numbers in 8, others behind their length,
 * -1 for NULL. */
static void digest_row(struct digest_stream *s, const struct move_table *table,
                       const struct move_value *row)
{
    for (size_t i = 0; i < table->count; i++) {
        enum move_type type = table->columns[i].type;
        if (!move_column_stored(&table->columns[i]))
            continue;
        digest_number(s, is_number(type) ? row[i].number
                         : row[i].bytes  ? (int64_t)row[i].length
                                         : -1);
        if (!is_number(type) && row[i].length)
            digest_update(s, row[i].bytes, row[i].length);
    }
}

static size_t row_bytes(const struct move_table *table, const struct move_value *row)
{
    size_t bytes = 0;
    for (size_t i = 0; i < table->count; i++)
        bytes += row[i].length + 8;
    return bytes;
}

/* ---- a table ---- */

struct work {
    const struct move_options *options;
    enum move_phase phase;
    const struct move_table *table;
    int64_t of; /* rows, -1: not known */
};

static int step(const struct work *w, int64_t rows)
{
    if (w->options->report)
        w->options->report(w->options->arg, w->phase, w->table->name, rows, w->of);
    return w->options->cancel && cancel_requested(w->options->cancel)
               ? error_set(ERR_CANCELLED, NULL, "stopped before it was done")
               : OK;
}

static int fill_batch(struct move_reader *from, struct move_writer *to, const struct work *w,
                      struct digest_stream *digest, int64_t *rows, bool *more)
{
    struct move_value row[MOVE_COLUMNS_MAX];
    size_t bytes = 0;
    int rc = OK, room = w->table->page ? w->table->page : MOVE_PAGE;
    while (!rc && *more && room > 0 && bytes < MOVE_BATCH_BYTES) {
        rc = from->ops->next(from->ctx, row, more);
        if (rc || !*more)
            break;
        digest_row(digest, w->table, row);
        rc = to ? to->ops->row(to->ctx, row) : OK;
        bytes += row_bytes(w->table, row);
        (*rows)++;
        room--;
    }
    return rc;
}

static int copy_batches(struct move_reader *from, struct move_writer *to, const struct work *w,
                        struct digest_stream *digest, int64_t *rows)
{
    bool more = true;
    int rc = OK;
    while (!rc && more) {
        rc = step(w, *rows);
        if (!rc && to)
            rc = to->ops->begin(to->ctx, w->table);
        if (!rc)
            rc = fill_batch(from, to, w, digest, rows, &more);
        if (!rc && to)
            rc = to->ops->commit(to->ctx, *rows);
    }
    return rc ? rc : step(w, *rows);
}

/* Reads a table from its row `skip` on, writes it (`to` NULL: does not) and counts and digests
 * what was read. */
static int table_run(struct move_reader *from, struct move_writer *to, const struct work *w,
                     int64_t skip, struct move_count *out)
{
    struct digest_stream *digest = digest_begin(false);
    int64_t rows = skip;
    if (!digest)
        return ERR_NO_MEMORY;
    int rc = from->ops->open(from->ctx, w->table, skip);
    if (!rc)
        rc = copy_batches(from, to, w, digest, &rows);
    from->ops->done(from->ctx);
    struct digest all = digest_end(digest, NULL);
    *out = (struct move_count){.table = w->table->name, .rows = rows, .digest = all};
    return rc ? error_prefix("table \"%s\"", w->table->name) : OK;
}

/* ---- all tables ---- */

static const struct move_options no_options = {0};

static int copy_all(struct move_reader *from, struct move_writer *to,
                    const struct move_options *options, const struct move_report *known,
                    struct move_report *out)
{
    int rc = OK;
    out->count = move_table_count;
    for (size_t i = 0; !rc && i < move_table_count; i++) {
        struct work w = {.options = options,
                         .phase = MOVE_COPY,
                         .table = &move_tables[i],
                         .of = known ? known->tables[i].rows : -1};
        int64_t skip = 0;
        rc = to->ops->progress(to->ctx, w.table, &skip);
        out->resumed_rows += skip;
        if (!rc)
            rc = table_run(from, to, &w, skip, &out->tables[i]);
    }
    return rc;
}

static int read_all(struct move_reader *from, enum move_phase phase,
                    const struct move_options *options, const struct move_report *known,
                    struct move_report *out)
{
    int rc = OK;
    out->count = move_table_count;
    for (size_t i = 0; !rc && i < move_table_count; i++) {
        struct work w = {.options = options,
                         .phase = phase,
                         .table = &move_tables[i],
                         .of = known->tables[i].rows};
        rc = table_run(from, NULL, &w, 0, &out->tables[i]);
    }
    return rc;
}

/* NULL: they are the same. */
static const struct move_count *difference(const struct move_report *a, const struct move_report *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->tables[i].rows != b->tables[i].rows ||
            !digest_equal(&a->tables[i].digest, &b->tables[i].digest))
            return &b->tables[i];
    return NULL;
}

/* Derives the rest, reads all of it again and compares it with what it has to be. */
static int finish(struct move_writer *to, const struct move_options *options,
                  const struct move_report *wanted)
{
    struct move_report found = {0};
    struct move_reader reader = {0};
    if (options->report)
        options->report(options->arg, MOVE_FINISH, "", 0, -1);
    int rc = to->ops->finish(to->ctx);
    if (!rc)
        rc = to->ops->reader(to->ctx, &reader);
    if (rc)
        return rc;
    rc = read_all(&reader, MOVE_CHECK, options, wanted, &found);
    reader.ops->close(reader.ctx);
    const struct move_count *other = rc ? NULL : difference(wanted, &found);
    if (other)
        rc = error_set(ERR_SYSTEMIC, "export_differs",
                       "table \"%s\" is not what it was: %lld rows were read back; nothing else "
                       "may write while this runs, so delete what was made and begin again",
                       other->table, (long long)other->rows);
    return rc;
}

/* ---- export ---- */

static int export_rows(struct move_reader *from, const struct move_sqlite_target *target,
                       const struct move_options *options, struct move_report *out)
{
    struct move_writer to;
    int rc = move_sqlite_writer(target, &to);
    if (rc)
        return rc;
    rc = copy_all(from, &to, options, NULL, out);
    if (!rc)
        rc = finish(&to, options, out);
    if (!rc)
        rc = move_manifest_write(&to, out);
    if (!rc)
        rc = to.ops->complete(to.ctx);
    to.ops->close(to.ctx);
    if (rc)
        move_sqlite_discard(target);
    return rc;
}

int move_export_sqlite(const char *database, const char *file, const struct move_options *options,
                       struct move_report *out)
{
    struct move_reader from;
    *out = (struct move_report){0};
    if (access(database, F_OK))
        return error_set(ERR_NOT_FOUND, NULL, "there is no database '%s'", database);
    int rc = move_sqlite_reader(database, &from);
    if (rc)
        return rc;
    rc = export_rows(&from,
                     &(struct move_sqlite_target){.path = file,
                                                  .suffix = ".part",
                                                  .import_id = "",
                                                  .engine = "sqlite",
                                                  .database = database},
                     options ? options : &no_options, out);
    from.ops->close(from.ctx);
    return rc;
}

int move_export_postgres(const char *url, const char *file, const struct move_options *options,
                         struct move_report *out)
{
    struct move_reader from;
    *out = (struct move_report){0};
    int rc = move_postgres_reader(url, &from);
    if (rc)
        return rc;
    rc = export_rows(&from,
                     &(struct move_sqlite_target){.path = file,
                                                  .suffix = ".part",
                                                  .import_id = "",
                                                  .engine = "postgresql",
                                                  .database = move_postgres_name(&from)},
                     options ? options : &no_options, out);
    from.ops->close(from.ctx);
    return rc;
}

/* ---- the file of an import ---- */

struct export_file {
    struct connection c;
    struct move_reader reader;
    struct move_report manifest;
    char import_id[DIGEST_TEXT];
};

static int foreign(const char *path)
{
    return error_set(ERR_INVALID, "not_an_export",
                     "'%s' is no file of `aegis export`, or one that was not finished", path);
}

static int damaged(const char *path, const char *table)
{
    return error_set(ERR_INVALID, "export_damaged",
                     "'%s' is damaged: its table \"%s\" is not what was exported; copy the file "
                     "again",
                     path, table);
}

static int check_schema(struct connection *c)
{
    int64_t version, format;
    int rc = sql_number(c, &version, 0, "SELECT max(version) FROM schema_migrations", NULL, 0);
    if (!rc)
        rc = sql_number(c, &format, 0, "SELECT format FROM export_info", NULL, 0);
    if (rc)
        return foreign(c->path);
    if (version != (int64_t)migrations_sqlite_count || format != MOVE_FORMAT)
        return error_set(ERR_SCHEMA, "export_schema",
                         "'%s' has schema version %lld of format %lld, this program exports and "
                         "imports %zu of %d: import with the Aegis that exported it",
                         c->path, (long long)version, (long long)format, migrations_sqlite_count,
                         MOVE_FORMAT);
    return OK;
}

static int read_entry(struct connection *c, size_t i, struct move_count *out)
{
    sqlite3_stmt *row;
    int rc = SQL_FIRST(c, &row, "SELECT rows, digest FROM export_manifest WHERE table_name = ?1",
                       V_TEXT(move_tables[i].name));
    if (!rc && row && sqlite3_column_bytes(row, 1) == DIGEST_BYTES) {
        out->table = move_tables[i].name;
        out->rows = sql_int(row, 0);
        memcpy(out->digest.bytes, sqlite3_column_blob(row, 1), DIGEST_BYTES);
    } else {
        rc = foreign(c->path);
    }
    sql_done(row);
    return rc;
}

static int read_manifest(struct export_file *f)
{
    int rc = OK;
    f->manifest.count = move_table_count;
    for (size_t i = 0; !rc && i < move_table_count; i++)
        rc = read_entry(&f->c, i, &f->manifest.tables[i]);
    return rc;
}

/* Two files with the same contents are the same import. */
static int name_import(struct export_file *f)
{
    struct digest_stream *s = digest_begin(false);
    if (!s)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < f->manifest.count; i++)
        digest_update(s, f->manifest.tables[i].digest.bytes, DIGEST_BYTES);
    struct digest d = digest_end(s, NULL);
    digest_format(&d, f->import_id);
    return OK;
}

static int check_rows(struct export_file *f, const struct move_options *options)
{
    struct move_report found = {0};
    int rc = read_all(&f->reader, MOVE_CHECK_FILE, options, &f->manifest, &found);
    size_t last = 0; /* the table that could not be read */
    while (last + 1 < found.count && found.tables[last + 1].table)
        last++;
    if (rc == ERR_SYSTEMIC) /* SQLite's word for it comes with advice for databases */
        return damaged(f->c.path, found.tables[last].table);
    const struct move_count *other = rc ? NULL : difference(&f->manifest, &found);
    return other ? damaged(f->c.path, other->table) : rc;
}

static void file_close(struct export_file *f)
{
    if (f->reader.ops)
        f->reader.ops->close(f->reader.ctx);
    connection_close(&f->c);
}

static int file_open(struct export_file *f, const char *path, const struct move_options *options)
{
    int64_t is_export = 0;
    *f = (struct export_file){0};
    if (access(path, R_OK))
        return error_set_errno(errno, "cannot read '%s'", path);
    int rc = connection_open(&f->c, path, SQLITE_OPEN_READONLY, 1000);
    if (!rc)
        rc = SQL_NUMBER(&f->c, &is_export, 0, "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                        V_TEXT("export_manifest"));
    if (rc || !is_export)
        rc = rc == ERR_IO || rc == ERR_NO_MEMORY ? rc : foreign(path);
    if (!rc)
        rc = check_schema(&f->c);
    if (!rc)
        rc = read_manifest(f);
    if (!rc)
        rc = name_import(f);
    if (!rc)
        rc = move_sqlite_reader_on(&f->c, &f->reader);
    if (!rc)
        rc = check_rows(f, options);
    return rc;
}

/* ---- import ---- */

static int import_rows(struct export_file *f, struct move_writer *to,
                       const struct move_options *options, struct move_report *out)
{
    int rc = copy_all(&f->reader, to, options, &f->manifest, out);
    if (!rc)
        rc = finish(to, options, &f->manifest);
    if (!rc)
        rc = to->ops->complete(to->ctx);
    int64_t resumed = out->resumed_rows;
    *out = f->manifest;
    out->resumed_rows = resumed;
    return rc;
}

static int make_home(const char *database)
{
    char directory[4096];
    snprintf(directory, sizeof directory, "%s", database);
    char *slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return OK;
    *slash = '\0';
    return file_make_directory(directory);
}

int move_import_sqlite(const char *file, const char *database, const struct move_options *options,
                       struct move_report *out)
{
    struct export_file f;
    struct move_writer to = {0};
    *out = (struct move_report){0};
    options = options ? options : &no_options;
    int rc = file_open(&f, file, options);
    if (!rc)
        rc = make_home(database);
    if (!rc)
        rc = move_sqlite_writer(&(struct move_sqlite_target){.path = database,
                                                             .suffix = ".import",
                                                             .import_id = f.import_id},
                                &to);
    if (!rc)
        rc = import_rows(&f, &to, options, out);
    if (to.ops)
        to.ops->close(to.ctx);
    file_close(&f);
    return rc;
}

int move_import_postgres(const char *file, const char *url, const struct move_options *options,
                         struct move_report *out)
{
    struct export_file f;
    struct move_writer to = {0};
    *out = (struct move_report){0};
    options = options ? options : &no_options;
    int rc = file_open(&f, file, options);
    if (!rc)
        rc = move_postgres_writer(url, f.import_id, &to);
    if (!rc)
        rc = import_rows(&f, &to, options, out);
    if (to.ops)
        to.ops->close(to.ctx);
    file_close(&f);
    return rc;
}
