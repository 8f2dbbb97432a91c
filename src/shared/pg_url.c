/* The URL of a database, taken apart by libpq. Its text is never repeated in an error: where it
 * cannot be parsed, no one knows which part of it is the password. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/caps.h"
#include "shared/pg_internal.h"

/* Parameters of other clients (Prisma, node-postgres), which share DATABASE_URL. */
static const char *const foreign[] = {
    "schema",         "connection_limit",
    "pool_timeout",   "socket_timeout",
    "pgbouncer",      "statement_cache_size",
    "sslaccept",      "single_use_connections",
    "uselibpqcompat", "pool_mode",
};

static bool is_foreign(const char *parameter, size_t length)
{
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (strlen(foreign[i]) == length && !strncmp(parameter, foreign[i], length))
            return true;
    return false;
}

/* Copies `url` without the parameters libpq would refuse. */
static void drop_foreign(const char *url, char *out)
{
    const char *p = strchr(url, '?');
    size_t base = p ? (size_t)(p - url) : strlen(url), n = base;
    memcpy(out, url, base);
    char separator = '?';
    while (p && *p) {
        const char *start = p + 1, *end = start + strcspn(start, "&");
        if (!is_foreign(start, strcspn(start, "=&"))) {
            out[n++] = separator;
            memcpy(out + n, start, (size_t)(end - start));
            n += (size_t)(end - start);
            separator = '&';
        }
        p = *end ? end : NULL;
    }
    out[n] = '\0';
}

static bool starts_with(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

static int refuse(const char *what)
{
    return error_set(ERR_INVALID, "invalid_database_url",
                     "%s; it reads postgresql://user:password@host:5432/database, with special "
                     "characters of the password percent-encoded (@ is %%40, / is %%2F)",
                     what);
}

static int parse(const char *url, struct pg_url *out)
{
    size_t length = strlen(url);
    bool uri = starts_with(url, "postgresql://") || starts_with(url, "postgres://");
    if (length > CAP_HTTP_URL)
        return refuse("the database's URL is too long");
    if (!uri && (strstr(url, "://") || !strchr(url, '=')))
        return refuse("the database's URL is not one of PostgreSQL");
    char *copy = malloc(length + 1);
    if (!copy)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the database's URL");
    if (uri)
        drop_foreign(url, copy);
    else
        memcpy(copy, url, length + 1);
    char *message = NULL;
    out->options = PQconninfoParse(copy, &message);
    explicit_bzero(copy, length + 1);
    free(copy);
    PQfreemem(message); /* may quote the password */
    return out->options ? OK : refuse("the database's URL cannot be read");
}

static const char *given(const struct pg_url *url, const char *keyword)
{
    for (const PQconninfoOption *o = url->options; o->keyword; o++)
        if (!strcmp(o->keyword, keyword))
            return o->val && *o->val ? o->val : NULL;
    return NULL;
}

static int parts_of(const char *list)
{
    int n = 1;
    for (; list && *list; list++)
        n += *list == ',';
    return n;
}

/* A password that is not encoded is cut in two by its first @ or /, and what is behind would pass
 * for a host, a port or a database, which are shown. */
static bool misread(const char *text, const struct pg_url *url)
{
    const char *host = given(url, "host"), *hostaddr = given(url, "hostaddr");
    const char *port = given(url, "port"), *authority = strstr(text, "://");
    const char *path = authority ? strchr(authority + 3, '/') : NULL;
    return (host && strpbrk(host, "@ ")) || (hostaddr && strpbrk(hostaddr, "@ ")) ||
           (port && strspn(port, "0123456789,") != strlen(port)) ||
           (path && memchr(path, '@', strcspn(path, "?")));
}

/* What libpq would take from its environment. */
static const char *defaulted(const struct pg_url *url, const PQconninfoOption *defaults,
                             const char *keyword)
{
    const char *value = given(url, keyword);
    for (const PQconninfoOption *o = defaults; !value && o && o->keyword; o++)
        if (!strcmp(o->keyword, keyword) && o->val && *o->val)
            value = o->val;
    return value;
}

/* user@host:port/database, all as libpq will take them. */
static void make_name(struct pg_url *url)
{
    PQconninfoOption *defaults = PQconndefaults();
    const char *user = defaulted(url, defaults, "user");
    const char *host = defaulted(url, defaults, "host");
    const char *port = defaulted(url, defaults, "port");
    const char *database = defaulted(url, defaults, "dbname");
    if (!host)
        host = defaulted(url, defaults, "hostaddr");
    snprintf(url->name, sizeof url->name, "%.60s@%.120s:%.40s/%.80s", user ? user : "?",
             host ? host : "(local socket)", port ? port : "5432",
             database ? database
             : user   ? user
                      : "?");
    PQconninfoFree(defaults);
}

static void add(struct pg_url *url, size_t *n, const char *keyword, const char *value)
{
    if (*n < PG_OPTIONS) {
        url->keywords[*n] = keyword;
        url->values[(*n)++] = value;
    }
}

/* Ours only where neither the URL nor libpq's environment says otherwise. */
static void add_default(struct pg_url *url, size_t *n, const char *keyword, const char *variable,
                        const char *value)
{
    if (!given(url, keyword) && !(variable && getenv(variable)))
        add(url, n, keyword, value);
}

static void make_arrays(struct pg_url *url, const struct pg_settings *settings)
{
    size_t n = 0;
    url->host_at = n;
    add(url, &n, "host", given(url, "host"));
    url->hostaddr_at = n;
    add(url, &n, "hostaddr", given(url, "hostaddr"));
    url->port_at = n;
    add(url, &n, "port", given(url, "port"));
    for (const PQconninfoOption *o = url->options; o->keyword; o++)
        if (o->val && strcmp(o->keyword, "host") && strcmp(o->keyword, "hostaddr") &&
            strcmp(o->keyword, "port"))
            add(url, &n, o->keyword, o->val);
    add_default(url, &n, "fallback_application_name", NULL, settings->application_name);
    add(url, &n, "client_encoding", "UTF8");
    add_default(url, &n, "keepalives_idle", NULL, "30");
    add_default(url, &n, "keepalives_interval", NULL, "10");
    add_default(url, &n, "keepalives_count", NULL, "3");
    add_default(url, &n, "tcp_user_timeout", NULL, "30000");
    if (url->hosts > 1) /* after a failover the one that takes writes is wanted */
        add_default(url, &n, "target_session_attrs", "PGTARGETSESSIONATTRS", "read-write");
    url->keywords[n] = url->values[n] = NULL;
}

int pg_url_parse(const char *url, const struct pg_settings *settings, struct pg_url *out)
{
    *out = (struct pg_url){0};
    int rc = parse(url, out);
    if (rc)
        return rc;
    const char *host = given(out, "host"), *hostaddr = given(out, "hostaddr");
    if (misread(url, out)) {
        pg_url_free(out);
        return refuse("the database's URL cannot be read");
    }
    int hosts = parts_of(host ? host : hostaddr);
    if (hosts > PG_HOSTS) {
        pg_url_free(out);
        return refuse("the database's URL names too many hosts");
    }
    out->hosts = hosts;
    make_name(out);
    make_arrays(out, settings);
    return OK;
}

void pg_url_free(struct pg_url *url)
{
    for (PQconninfoOption *o = url->options; o && o->keyword; o++)
        if (o->val)
            explicit_bzero(o->val, strlen(o->val));
    PQconninfoFree(url->options);
    url->options = NULL;
}

bool pg_url_equal(const struct pg_url *a, const struct pg_url *b)
{
    size_t i = 0;
    while (a->keywords[i] && b->keywords[i] && !strcmp(a->keywords[i], b->keywords[i]) &&
           !strcmp(a->values[i] ? a->values[i] : "", b->values[i] ? b->values[i] : ""))
        i++;
    return !a->keywords[i] && !b->keywords[i];
}

void pg_url_replace(struct pg_url *url, struct pg_url *fresh)
{
    pg_url_free(url);
    url->options = fresh->options;
    memcpy(url->keywords, fresh->keywords, sizeof url->keywords);
    memcpy(url->values, fresh->values, sizeof url->values);
    url->host_at = fresh->host_at;
    url->hostaddr_at = fresh->hostaddr_at;
    url->port_at = fresh->port_at;
    url->hosts = fresh->hosts;
    fresh->options = NULL;
}

/* Part `i` of a comma-separated list; of a list of one, that one. */
static const char *part(const char *list, int i, char *out, size_t size)
{
    if (!list)
        return NULL;
    if (!strchr(list, ','))
        return list;
    for (; i > 0 && (list = strchr(list, ',')) != NULL; i--)
        list++;
    if (!list)
        return NULL;
    snprintf(out, size, "%.*s", (int)strcspn(list, ","), list);
    return out;
}

void pg_url_host(const struct pg_url *url, int i, struct pg_host *hold, const char **values)
{
    memcpy(values, url->values, sizeof url->values);
    values[url->host_at] = part(url->values[url->host_at], i, hold->host, sizeof hold->host);
    values[url->hostaddr_at] =
        part(url->values[url->hostaddr_at], i, hold->hostaddr, sizeof hold->hostaddr);
    values[url->port_at] = part(url->values[url->port_at], i, hold->port, sizeof hold->port);
}
