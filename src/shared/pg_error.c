/* SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) to Aegis's errors. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "shared/pg_internal.h"

static const char MENDS_ITSELF[] = "work goes on by itself when it is back";

/* The first row whose state is a prefix of the SQLSTATE counts. */
static const struct rule {
    const char *state;
    enum error_code code;
    const char *reason, *advice;
    bool lost; /* the connection is not to be used again */
} rules[] = {
    {"", ERR_SYSTEMIC, "database_unreachable", MENDS_ITSELF, true}, /* only for no state at all */
    {"08", ERR_SYSTEMIC, "database_unreachable", MENDS_ITSELF, true},
    {"57P04", ERR_SYSTEMIC, "database_access", "the database was dropped: mend database.url", true},
    {"57P", ERR_SYSTEMIC, "database_unreachable", MENDS_ITSELF, true},
    {"57014", ERR_TRANSIENT, "database_timeout", "it is tried again", false},
    {"25P03", ERR_TRANSIENT, "database_timeout", "it is tried again", true},
    {"40003", ERR_SYSTEMIC, "database_unreachable", MENDS_ITSELF, true},
    {"40", ERR_TRANSIENT, "database_conflict", "it is tried again", false},
    {"55P03", ERR_TRANSIENT, "database_lock_timeout", "it is tried again", false},
    {"25006", ERR_SYSTEMIC, "database_read_only",
     "name the primary in database.url, or wait for it to take writes", true},
    {"53100", ERR_SYSTEMIC, "database_full", "make room on the database server", false},
    {"53300", ERR_SYSTEMIC, "database_no_connections",
     "raise max_connections of the server, or run fewer processes", false},
    {"53400", ERR_SYSTEMIC, "database_no_connections",
     "raise the server's limits, or run fewer processes", false},
    {"53", ERR_SYSTEMIC, "database_out_of_resources", "give the database server more", false},
    {"28", ERR_SYSTEMIC, "database_access", "mend user and password in database.url", true},
    {"3D000", ERR_SYSTEMIC, "database_access",
     "create the database, or mend its name in database.url", true},
    {"42501", ERR_SYSTEMIC, "database_access",
     "grant the role its rights: see `aegis db roles --dry-run`", false},
    {"3F000", ERR_SYSTEMIC, "database_schema", "run `aegis db migrate`", false},
    {"42P01", ERR_SYSTEMIC, "database_schema", "run `aegis db migrate`", false},
    {"42703", ERR_SYSTEMIC, "database_schema", "run `aegis db migrate`", false},
    {"42883", ERR_SYSTEMIC, "database_schema", "run `aegis db migrate`", false},
    {"42704", ERR_SYSTEMIC, "database_schema", "run `aegis db migrate`", false},
    {"0A000", ERR_TRANSIENT, "database_plan_changed", "it is tried again", true},
    {"26000", ERR_TRANSIENT, "database_plan_changed",
     "it is tried again; a pooler has to keep prepared statements", true},
    {"23", ERR_CONFLICT, "database_constraint", "report this as a fault of Aegis", false},
    {"22", ERR_INVALID, "database_value", "this text or number cannot be stored", false},
    {"54", ERR_TOO_LARGE, "database_limit", "this is more than PostgreSQL takes", false},
    {"58", ERR_SYSTEMIC, "database_io", "look into the database server's log", false},
    {"XX001", ERR_SYSTEMIC, "database_corrupt", "restore the database from a backup", false},
    {"XX002", ERR_SYSTEMIC, "database_corrupt", "run REINDEX, or restore a backup", false},
};

static const struct rule other = {"", ERR_SYSTEMIC, "database_error",
                                  "look into the database server's log", false};

static const struct rule *rule_for(const char *sqlstate)
{
    if (!sqlstate || !*sqlstate)
        return &rules[0];
    for (size_t i = 1; i < sizeof rules / sizeof rules[0]; i++)
        if (!strncmp(sqlstate, rules[i].state, strlen(rules[i].state)))
            return &rules[i];
    return &other;
}

/* The first line, without libpq's prefix. */
static void first_line(const char *text, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
}

static int set_by_rule(const struct pg_pool *pool, const struct rule *rule, const char *sqlstate,
                       const char *message)
{
    char line[256];
    first_line(message ? message : "no message", line, sizeof line);
    if (!sqlstate || !*sqlstate)
        return error_set(rule->code, rule->reason, "cannot reach PostgreSQL '%s': %s; %s",
                         pool->url.name, line, rule->advice);
    return error_set(rule->code, rule->reason, "PostgreSQL '%s': %s (%s): %s", pool->url.name, line,
                     sqlstate, rule->advice);
}

int pg_error_set(const struct pg_pool *pool, const char *sqlstate, const char *message)
{
    return set_by_rule(pool, rule_for(sqlstate), sqlstate, message);
}

/* 0A000 stands for everything unsupported; only this one passes when the statement is prepared
 * anew: "cached plan must not change result type". */
static bool plan_changed(const PGresult *result)
{
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    return function && !strcmp(function, "RevalidateCachedQuery");
}

int pg_error_of_result(struct pg *c, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (PQstatus(c->conn) == CONNECTION_BAD && !state)
        return pg_error_of_connection(c);
    snprintf(c->sqlstate, sizeof c->sqlstate, "%s", state ? state : "");
    const struct rule *rule = rule_for(c->sqlstate);
    if (!strcmp(c->sqlstate, "0A000") && !plan_changed(result))
        rule = &other;
    if (rule->lost || PQstatus(c->conn) == CONNECTION_BAD)
        c->lost = true;
    return set_by_rule(c->pool, rule, c->sqlstate,
                       message ? message : PQresultErrorMessage(result));
}

int pg_error_of_connection(struct pg *c)
{
    const char *text = PQerrorMessage(c->conn);
    c->lost = true;
    c->sqlstate[0] = '\0';
    return pg_error_set(c->pool, "", *text ? text : "the connection was lost");
}

/* Finds "28P01: " of the verbose form "FATAL:  28P01: password authentication failed ...". */
static const char *find_state(const char *text, char state[6])
{
    for (const char *p = strstr(text, ":  "); p; p = strstr(p + 1, ":  ")) {
        const char *s = p + 3;
        size_t n = 0;
        while (n < 5 && (isdigit((unsigned char)s[n]) || isupper((unsigned char)s[n])))
            n++;
        if (n == 5 && s[5] == ':' && s[6] == ' ') {
            memcpy(state, s, 5);
            state[5] = '\0';
            return s + 7;
        }
    }
    state[0] = '\0';
    return text;
}

/* 'connection to server at "127.0.0.1", port 1 failed: Connection refused': the name is told. */
static const char *without_address(const char *text)
{
    const char *failed = strstr(text, " failed: ");
    return failed && !strncmp(text, "connection to server", 20) ? failed + 9 : text;
}

int pg_error_of_connect(const struct pg_pool *pool, const char *text, bool *refused)
{
    char state[6];
    const char *message = find_state(text, state);
    *refused = state[0] == '2' && state[1] == '8';
    return pg_error_set(pool, state, *state ? message : without_address(text));
}

bool pg_error_is_final(const struct error *e)
{
    return e->code == ERR_CANCELLED || e->code == ERR_NO_MEMORY ||
           !strcmp(e->reason, "database_access");
}

bool pg_worth_again(void)
{
    return !strcmp(error_last()->reason, "database_conflict");
}
