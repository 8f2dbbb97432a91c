/*
 * postgres_migrate.h - the schema of a PostgreSQL database: what it has, whether this program can
 * work with it, and bringing it up to date.
 *
 * Everything lives in the schema "aegis". Its table schema_migration has a row for each step that
 * was applied, with the SHA-256 of its SQL. A step says in its first line which program still works
 * once it is applied,
 *
 *     -- lowest-program: 3
 *
 * by the number of the newest step that program knows; without the line, only one that knows the
 * step itself. So a change is made in two releases: first what is new is added, and older workers
 * go on (expand); a later step takes away what no running program uses any more (contract).
 *
 * Migrations run in one transaction, after taking an advisory lock: two migrators at once do the
 * work once. DDL waits for other transactions' locks for 5 s at most, so that it does not hold up
 * everyone behind it, and is then tried again.
 */
#ifndef AEGIS_DATABASE_POSTGRES_MIGRATE_H
#define AEGIS_DATABASE_POSTGRES_MIGRATE_H

#include "database/migrations.h"
#include "shared/arena.h"
#include "shared/cancel.h"
#include "shared/pg.h"

/* pgvector 0.5 brought HNSW, 0.7 halfvec, 0.8 iterative scans. */
enum { POSTGRES_VECTOR_LOWEST = 500 };

/*
 * May this program use the database? For the adapters, once at their start. Allowed: ERR_SYSTEMIC
 * "database_schema" (no schema yet, too old, or no pgvector: the text tells `aegis db migrate`),
 * ERR_SCHEMA "schema_newer" or "schema_checksum". Reads only.
 */
int postgres_schema_check(struct pg *c, const struct migration *migrations, size_t count);

/* What else the same round trip tells. */
struct postgres_around {
    bool importing;                /* a part of an import is there, and the rest is not */
    int64_t server_ms;             /* the server's clock, Unix time */
    int64_t asked_ms, answered_ms; /* monotonic */
};
int postgres_schema_check_around(struct pg *c, const struct migration *migrations, size_t count,
                                 struct postgres_around *out);

/* A step, known to the program, applied to the database, or both. */
struct postgres_step {
    int version;
    const char *name;
    bool known, applied;
    bool altered;           /* applied with another SQL than the program's */
    int lowest_program;     /* as its first line says */
    int64_t applied_ms;     /* 0: not applied */
    int64_t duration_ms;    /* of its SQL */
    const char *applied_by; /* role; "" if not applied */
};

struct postgres_schema {
    int version;         /* the newest step applied; 0: none */
    int known;           /* the newest step the program knows */
    bool usable;         /* by this program; else `problem` says why not */
    const char *problem; /* one line, "" */
    int server_version;  /* 170004 */
    const char *vector;  /* version of the extension in the database, "" if it is not there */
    const char *vector_available; /* the newest the server could install, "" if none */
    struct postgres_step *steps;
    size_t step_count;
};

int postgres_schema_read(struct pg *c, const struct migration *migrations, size_t count,
                         struct arena *arena, struct postgres_schema *out);

struct postgres_migrate_options {
    bool dry_run;    /* finds out what would be done, and does nothing */
    bool no_grants;  /* for migrations whose tables are not those of grants.sql */
    int64_t wait_ms; /* for another migrator and for locks; 0: 2 min */
    const struct cancel *cancel;
};

struct postgres_migrated {
    bool extension; /* CREATE EXTENSION vector was, or would be, run */
    int from, to;   /* versions; equal: there was nothing to do */
    bool grants;    /* the roles' rights were renewed (postgres_roles.h) */
};

/*
 * Brings the database at `url` to the newest of these migrations, with connections of its own. A
 * schema owned by another role that this one is a member of is changed as that role; a new one
 * belongs to aegis_migrate if that role exists and may make it. ERR_SCHEMA as above, untouched;
 * ERR_SYSTEMIC "vector_missing", "vector_rights" or "vector_too_old" with what to do; else as pg.h.
 */
int postgres_migrate(const char *url, const struct migration *migrations, size_t count,
                     const struct postgres_migrate_options *options, struct postgres_migrated *out);

#endif
