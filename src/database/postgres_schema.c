/* Reading what schema a PostgreSQL database has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/postgres_migrate_internal.h"
#include "shared/clock.h"
#include "shared/digest.h"
#include "shared/error.h"

int postgres_lowest_program(const struct migration *m)
{
    static const char mark[] = "-- lowest-program: ";
    if (strncmp(m->sql, mark, sizeof mark - 1) != 0)
        return m->version;
    long n = strtol(m->sql + sizeof mark - 1, NULL, 10);
    return n >= 1 && n <= m->version ? (int)n : m->version;
}

/* ---- the steps ---- */

static int known_steps(const struct migration *migrations, size_t count, struct arena *arena,
                       struct postgres_schema *out, size_t room)
{
    out->steps = arena_array(arena, room, sizeof *out->steps);
    if (!out->steps)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        out->steps[i] =
            (struct postgres_step){.version = migrations[i].version,
                                   .name = migrations[i].name,
                                   .known = true,
                                   .lowest_program = postgres_lowest_program(&migrations[i]),
                                   .applied_by = ""};
    out->step_count = count;
    out->known = (int)count;
    return OK;
}

static bool same_sql(const struct pg_rows *rows, int row, const struct migration *m)
{
    struct digest stored = {0}, own = digest_of(m->sql, m->length);
    return pg_bytes(rows, row, 2, stored.bytes, DIGEST_BYTES) && digest_equal(&stored, &own);
}

static int applied_step(const struct pg_rows *rows, int row, const struct migration *migrations,
                        struct arena *arena, struct postgres_schema *out)
{
    int version = (int)pg_int(rows, row, 0);
    bool known = version >= 1 && version <= out->known;
    struct postgres_step *step = &out->steps[known ? version - 1 : (int)out->step_count++];
    step->version = version;
    step->applied = true;
    step->known = known;
    step->altered = known && !same_sql(rows, row, &migrations[version - 1]);
    step->name = pg_text(rows, row, 1, arena);
    step->lowest_program = (int)pg_int(rows, row, 3);
    step->applied_ms = pg_int(rows, row, 4);
    step->duration_ms = pg_int(rows, row, 5);
    step->applied_by = pg_text(rows, row, 6, arena);
    if (version > out->version)
        out->version = version;
    return step->name && step->applied_by ? OK : ERR_NO_MEMORY;
}

static int take_steps(const struct pg_rows *rows, const struct migration *migrations, size_t count,
                      struct arena *arena, struct postgres_schema *out)
{
    int rc = known_steps(migrations, count, arena, out, count + (size_t)rows->count);
    for (int i = 0; !rc && i < rows->count; i++)
        rc = applied_step(rows, i, migrations, arena, out);
    return rc;
}

/* ---- pgvector ---- */

static int take_vector(const struct pg_rows *rows, struct arena *arena, struct postgres_schema *out)
{
    out->vector = pg_text(rows, 0, 0, arena);
    return out->vector ? OK : ERR_NO_MEMORY;
}

/* Apart from the rest: the server reads a folder of files for it. */
static int read_available(struct pg *c, struct arena *arena, struct postgres_schema *out)
{
    static const char AVAILABLE[] = "SELECT (SELECT default_version FROM "
                                    "pg_catalog.pg_available_extensions WHERE name = 'vector')";
    struct pg_rows rows = {0};
    int rc = pg_query(c, &rows, AVAILABLE, NULL, 0);
    if (!rc) {
        out->vector_available = pg_text(&rows, 0, 0, arena);
        rc = out->vector_available ? OK : ERR_NO_MEMORY;
    }
    pg_rows_free(&rows);
    return rc;
}

int postgres_vector_number(const char *version)
{
    int major = 0, minor = 0, patch = 0;
    sscanf(version, "%d.%d.%d", &major, &minor, &patch);
    return major * 10000 + minor * 100 + patch;
}

/* ---- may this program use it? ---- */

static int newer(const char *name, const struct postgres_step *step, int known)
{
    return error_set(ERR_SCHEMA, "schema_newer",
                     "'%s' has schema version %d, with which only programs that know version %d "
                     "work; this one knows up to %d: use the newer Aegis",
                     name, step->version, step->lowest_program, known);
}

static int judge_steps(const char *name, const struct postgres_schema *s)
{
    for (size_t i = 0; i < s->step_count; i++) {
        const struct postgres_step *step = &s->steps[i];
        if (step->altered)
            return error_set(ERR_SCHEMA, "schema_checksum",
                             "'%s' was made by another migration %s than this program's: use the "
                             "Aegis that wrote it",
                             name, step->name);
        if (!step->known && step->lowest_program > s->known)
            return newer(name, step, s->known);
        if (step->known && !step->applied && step->version < s->version)
            return error_set(ERR_SCHEMA, "schema_checksum",
                             "'%s' has no record of migration %s, but of later ones: restore its "
                             "table aegis.schema_migration",
                             name, step->name);
    }
    return OK;
}

int postgres_schema_judge(const char *name, const struct postgres_schema *s)
{
    int rc = judge_steps(name, s);
    if (rc)
        return rc;
    if (s->version == 0)
        return error_set(ERR_SYSTEMIC, "database_schema",
                         "'%s' has no schema of Aegis yet: run `aegis db migrate`", name);
    if (s->version < s->known)
        return error_set(ERR_SYSTEMIC, "database_schema",
                         "'%s' has schema version %d, this program needs %d: run `aegis db "
                         "migrate`",
                         name, s->version, s->known);
    if (postgres_vector_number(s->vector) < POSTGRES_VECTOR_LOWEST)
        return error_set(ERR_SYSTEMIC, "database_schema",
                         "'%s' has pgvector '%s', Aegis needs 0.5 or later: run `aegis db migrate`",
                         name, s->vector);
    return OK;
}

/* ---- reading ---- */

static const char STEPS[] =
    "SELECT version::bigint, name, checksum, lowest_program::bigint, "
    "(extract(epoch FROM applied_at) * 1000)::bigint, duration_ms::bigint, applied_by "
    "FROM aegis.schema_migration ORDER BY version";

/* What `aegis import` keeps its place in is there until it is done (move_postgres_write.c). */
static const char AROUND[] =
    "SELECT (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'vector'), "
    "(pg_catalog.to_regclass('aegis.import_progress') IS NOT NULL)::int::bigint, "
    "(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint";

static int take_all(const struct pg_rows rows[2], const struct migration *migrations, size_t count,
                    struct arena *arena, struct postgres_schema *out)
{
    int rc = take_vector(&rows[0], arena, out);
    return rc ? rc : take_steps(&rows[1], migrations, count, arena, out);
}

static void begin(struct pg *c, struct postgres_schema *out)
{
    *out = (struct postgres_schema){.server_version = pg_server(c)->version,
                                    .problem = "",
                                    .vector = "",
                                    .vector_available = ""};
}

/* Asks first whether there is anything: an error would stand in the server's log. */
int postgres_schema_load(struct pg *c, const struct migration *migrations, size_t count,
                         struct arena *arena, struct postgres_schema *out)
{
    static const char EXISTS[] =
        "SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = "
        "pg_catalog.to_regnamespace('aegis') AND relname = 'schema_migration'";
    struct pg_rows rows[2] = {{0}, {0}};
    int64_t exists = 0;
    begin(c, out);
    int rc = pg_number(c, &exists, 0, EXISTS, NULL, 0);
    if (!rc)
        rc = pg_query(c, &rows[0], AROUND, NULL, 0);
    if (!rc && exists)
        rc = pg_query(c, &rows[1], STEPS, NULL, 0);
    if (!rc)
        rc = take_all(rows, migrations, count, arena, out);
    pg_rows_free_all(rows, 2);
    return rc ? rc : read_available(c, arena, out);
}

int postgres_schema_read(struct pg *c, const struct migration *migrations, size_t count,
                         struct arena *arena, struct postgres_schema *out)
{
    int rc = postgres_schema_load(c, migrations, count, arena, out);
    if (rc)
        return rc;
    out->usable = postgres_schema_judge(pg_name(c), out) == OK;
    if (!out->usable)
        out->problem = arena_strdup(arena, error_last()->message);
    return out->problem ? OK : ERR_NO_MEMORY;
}

/* ---- at the start ---- */

/* undefined_table, invalid_schema_name */
static bool has_none(const struct pg *c)
{
    const char *state = pg_sqlstate(c);
    return !strcmp(state, "42P01") || !strcmp(state, "3F000");
}

static int ask_at_once(struct pg *c, struct pg_rows rows[2], struct postgres_around *around)
{
    around->asked_ms = clock_monotonic_ms();
    pg_send(c, AROUND, NULL, 0); /* an error comes back from pg_sync */
    pg_send(c, STEPS, NULL, 0);
    int rc = pg_sync(c, rows, 2);
    around->answered_ms = clock_monotonic_ms();
    if (rc && has_none(c))
        return OK;
    if (!rc) {
        around->importing = pg_int(&rows[0], 0, 1) != 0;
        around->server_ms = pg_int(&rows[0], 0, 2);
    }
    return rc;
}

int postgres_schema_check_around(struct pg *c, const struct migration *migrations, size_t count,
                                 struct postgres_around *around)
{
    struct pg_rows rows[2] = {{0}, {0}};
    struct postgres_schema schema;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    *around = (struct postgres_around){0};
    begin(c, &schema);
    int rc = ask_at_once(c, rows, around);
    if (!rc && rows[0].count == 1)
        rc = take_all(rows, migrations, count, &arena, &schema);
    else if (!rc)
        schema.known = (int)count;
    if (!rc)
        rc = postgres_schema_judge(pg_name(c), &schema);
    pg_rows_free_all(rows, 2);
    arena_free(&arena);
    return rc;
}

int postgres_schema_check(struct pg *c, const struct migration *migrations, size_t count)
{
    struct postgres_around around;
    return postgres_schema_check_around(c, migrations, count, &around);
}
