/*
 * pg_fixture.h - a real PostgreSQL for tests: one server for a run of all tests (postgres.sh), a
 * database of its own for each test, and servers that a test may kill.
 *
 * The server is that of AEGIS_TEST_DATABASE_URL, else the one CTest started for this build
 * directory, else (a test run by hand) one started now and stopped when the program exits.
 */
#ifndef AEGIS_TESTS_PG_FIXTURE_H
#define AEGIS_TESTS_PG_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

/* Call first in main(). 0: there is a server; else what main() has to return: 77, which CTest calls
 * skipped, with why on standard error, or 1 where AEGIS_REQUIRE_POSTGRES or CI is set. */
int pg_fixture_start(void);

/* The server's own URL: a login that may create databases, roles and extensions. */
const char *pg_fixture_server(void);

struct pg_fixture {
    char url[512];
    char name[64]; /* of the database */
};

/* A new database with this program's schema (copied from a template in some 50 ms). Fails the test
 * if it cannot be made. */
void pg_fixture_open(struct pg_fixture *f);
/* A new database with nothing in it, not even pgvector. */
void pg_fixture_open_empty(struct pg_fixture *f);
/* Drops it, whoever is connected. */
void pg_fixture_close(struct pg_fixture *f);

/* The URL of this fixture for another login. */
void pg_fixture_url_for(const struct pg_fixture *f, const char *user, const char *password,
                        char *out, size_t size);

/* Runs a script on the fixture's database as its owner; fails the test with its error. */
void pg_fixture_script(const struct pg_fixture *f, const char *sql);

/* ---- a server of its own ---- */

struct pg_own_server {
    char directory[256];
    char url[256]; /* keeps its port when it is started again */
};

/* `options`: words for postgres ("-c max_connections=5") or NULL. False if there is no way to have
 * one here (then skip the test); fails where a server is required. */
bool pg_own_start(struct pg_own_server *s, const char *options);
void pg_own_again(struct pg_own_server *s, const char *options); /* after halt or kill */
void pg_own_halt(struct pg_own_server *s);                       /* as an administrator would */
void pg_own_kill(struct pg_own_server *s);                       /* SIGKILL to the postmaster */
void pg_own_stop(struct pg_own_server *s);                       /* and removes it */

#endif
