#include "support/pg_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "database/postgres_migrate.h"
#include "shared/digest.h"
#include "shared/error.h"
#include "shared/pg.h"

#define SCRIPT TEST_SOURCE_DIR "/tests/support/postgres.sh"

enum { SKIPPED = 77 };

static char server[512];
static struct pg_own_server by_hand;
static pid_t owner;

static bool required(void)
{
    const char *wanted = getenv("AEGIS_REQUIRE_POSTGRES"), *ci = getenv("CI");
    return (wanted && *wanted && strcmp(wanted, "0") != 0) ||
           (ci && *ci && strcmp(ci, "0") != 0 && strcmp(ci, "false") != 0);
}

/* ---- the server ---- */

static bool read_line(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");
    bool got = file && fgets(out, (int)size, file) && *out != '\n';
    if (file)
        fclose(file);
    out[got ? strcspn(out, "\n") : 0] = '\0';
    return got;
}

static bool answers(const char *url)
{
    struct pg_pool *pool;
    struct pg *c = NULL;
    if (pg_pool_open(url, NULL, &pool))
        return false;
    bool ok = pg_acquire(pool, 0, NULL, &c) == OK;
    pg_release(c);
    pg_pool_close(pool);
    return ok;
}

static void stop_by_hand(void)
{
    if (getpid() == owner) /* not in what was forked from it */
        pg_own_stop(&by_hand);
}

static int without(const char *why)
{
    fprintf(stderr, "%s: no PostgreSQL to test with: %s\n", required() ? "failed" : "skipped", why);
    return required() ? 1 : SKIPPED;
}

int pg_fixture_start(void)
{
    char why[512];
    const char *given = getenv("AEGIS_TEST_DATABASE_URL");
    if (given && *given) {
        snprintf(server, sizeof server, "%s", given);
        return answers(server) ? 0 : without(error_last()->message);
    }
    if (read_line(TEST_BINARY_DIR "/postgres/url", server, sizeof server) && answers(server))
        return 0;
    if (read_line(TEST_BINARY_DIR "/postgres/why", why, sizeof why))
        return without(why);
    if (!pg_own_start(&by_hand, "-c fsync=off -c full_page_writes=off -c max_connections=300"))
        return without("tests/support/postgres.sh could not start one");
    owner = getpid();
    atexit(stop_by_hand);
    snprintf(server, sizeof server, "%s", by_hand.url);
    return 0;
}

const char *pg_fixture_server(void)
{
    return server;
}

/* ---- databases ---- */

static void ok(int rc, const char *what)
{
    if (rc)
        fail_msg("%s: %s", what, error_last()->message);
}

static void run_on(const char *url, const char *sql)
{
    static const struct pg_settings patient = {.statement_timeout_ms = -1, .lock_timeout_ms = -1};
    struct pg_pool *pool;
    struct pg *c;
    ok(pg_pool_open(url, &patient, &pool), "opening a pool");
    ok(pg_acquire(pool, 10000, NULL, &c), "connecting");
    int rc = pg_script(c, sql);
    pg_release(c);
    pg_pool_close(pool);
    ok(rc, sql);
}

/* The server's URL with another database: it is the part behind the last slash, up to a '?'. */
static void url_of(const char *database, char *out, size_t size)
{
    const char *query = strchr(server, '?');
    size_t length = query ? (size_t)(query - server) : strlen(server);
    const char *host = strstr(server, "://") + 3,
               *slash = memchr(host, '/', length - (size_t)(host - server));
    if (slash)
        length = (size_t)(slash - server);
    snprintf(out, size, "%.*s/%s%s", (int)length, server, database, query ? query : "");
}

static void new_name(char *out, size_t size)
{
    static int number;
    snprintf(out, size, "aegis_test_%ld_%d", (long)getpid(), ++number);
}

/* Named by what is in it, so that another program's schema gets another template. */
static void template_name(char out[64])
{
    struct digest_stream *s = digest_begin(false);
    assert_non_null(s);
    for (size_t i = 0; i < migrations_postgres_count; i++)
        digest_update(s, migrations_postgres[i].sql, migrations_postgres[i].length);
    struct digest d = digest_end(s, NULL);
    char hex[DIGEST_TEXT];
    digest_format(&d, hex);
    snprintf(out, 64, "aegis_template_%.16s", hex);
}

static bool exists(struct pg *c, const char *name)
{
    int64_t there;
    ok(PG_NUMBER(c, &there, 0, "SELECT 1 FROM pg_database WHERE datname = $1", P_TEXT(name)),
       "looking for the template");
    return there;
}

/* Made under another name first, so that one cut off in the making is not taken for the whole. */
static void make_template(const char *name)
{
    char draft[64], url[512], sql[256];
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    new_name(draft, sizeof draft);
    url_of(draft, url, sizeof url);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", draft);
    run_on(server, sql);
    ok(postgres_migrate(url, migrations_postgres, migrations_postgres_count, &options, &done),
       "migrating the template");
    snprintf(sql, sizeof sql, "ALTER DATABASE %s RENAME TO %s", draft, name);
    run_on(server, sql);
    snprintf(sql, sizeof sql, "ALTER DATABASE %s WITH ALLOW_CONNECTIONS false", name);
    run_on(server, sql);
}

static void ensure_template(const char *name)
{
    static const struct pg_settings patient = {.statement_timeout_ms = -1, .lock_timeout_ms = -1};
    struct pg_pool *pool;
    struct pg *c;
    ok(pg_pool_open(server, &patient, &pool), "opening a pool");
    ok(pg_acquire(pool, 10000, NULL, &c), "connecting");
    ok(pg_script(c, "SELECT pg_advisory_lock(hashtext('aegis.template'))"), "locking");
    if (!exists(c, name))
        make_template(name);
    ok(pg_script(c, "SELECT pg_advisory_unlock_all()"), "unlocking");
    pg_release(c);
    pg_pool_close(pool);
}

void pg_fixture_open(struct pg_fixture *f)
{
    static bool ensured;
    char template[64], sql[256];
    template_name(template);
    if (!ensured)
        ensure_template(template);
    ensured = true;
    new_name(f->name, sizeof f->name);
    url_of(f->name, f->url, sizeof f->url);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE %s", f->name, template);
    run_on(server, sql);
}

void pg_fixture_open_empty(struct pg_fixture *f)
{
    char sql[256];
    new_name(f->name, sizeof f->name);
    url_of(f->name, f->url, sizeof f->url);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", f->name);
    run_on(server, sql);
}

void pg_fixture_close(struct pg_fixture *f)
{
    char sql[256];
    snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s WITH (FORCE)", f->name);
    run_on(server, sql);
}

void pg_fixture_url_for(const struct pg_fixture *f, const char *user, const char *password,
                        char *out, size_t size)
{
    const char *scheme = strstr(f->url, "://") + 3, *at = strchr(scheme, '@');
    snprintf(out, size, "postgresql://%s:%s@%s", user, password, at ? at + 1 : scheme);
}

void pg_fixture_script(const struct pg_fixture *f, const char *sql)
{
    run_on(f->url, sql);
}

/* ---- a server of its own ---- */

/* The first line that the script prints; false if it fails. */
static bool run_script(const char *verb, const char *directory, const char *options, char *out,
                       size_t size)
{
    char command[1024];
    snprintf(command, sizeof command,
             "AEGIS_POSTGRES_FOR=%ld env -u AEGIS_TEST_DATABASE_URL '%s' %s '%s' %s",
             (long)getpid(), SCRIPT, verb, directory, options ? options : "");
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return false;
    *out = '\0';
    if (fgets(out, (int)size, pipe))
        out[strcspn(out, "\n")] = '\0';
    return pclose(pipe) == 0;
}

bool pg_own_start(struct pg_own_server *s, const char *options)
{
    const char *base = getenv("TMPDIR");
    snprintf(s->directory, sizeof s->directory, "%s/aegis-postgres-XXXXXX",
             base && *base ? base : "/tmp");
    s->url[0] = '\0';
    if (mkdtemp(s->directory) && run_script("start", s->directory, options, s->url, sizeof s->url))
        return true;
    rmdir(s->directory);
    assert_false(required());
    return false;
}

void pg_own_again(struct pg_own_server *s, const char *options)
{
    char url[sizeof s->url];
    assert_true(run_script("start", s->directory, options, url, sizeof url));
    assert_string_equal(url, s->url);
}

void pg_own_halt(struct pg_own_server *s)
{
    char none[8];
    assert_true(run_script("halt", s->directory, NULL, none, sizeof none));
}

void pg_own_kill(struct pg_own_server *s)
{
    char path[300], pid[32];
    snprintf(path, sizeof path, "%s/data/postmaster.pid", s->directory);
    assert_true(read_line(path, pid, sizeof pid));
    assert_int_equal(kill((pid_t)atol(pid), SIGKILL), 0);
}

void pg_own_stop(struct pg_own_server *s)
{
    char none[8];
    run_script("stop", s->directory, NULL, none, sizeof none);
}
