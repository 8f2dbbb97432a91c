#include "adapters/aws/secret_value.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "adapters/aws/rds_authorities.h"
#include "shared/error.h"
#include "shared/json.h"
#include "shared/sigv4.h"

enum { HOST_TEXT = 300, PORT_TEXT = 8, PART_TEXT = 3 * 1024, PROOF_TEXT = 2048 };

static int too_large(void)
{
    return error_set(ERR_TOO_LARGE, NULL, "its value is too long");
}

static void trim(const char **text, size_t *length)
{
    while (*length && isspace((unsigned char)(*text)[0])) {
        (*text)++;
        (*length)--;
    }
    while (*length && isspace((unsigned char)(*text)[*length - 1]))
        (*length)--;
}

/* ---- JSON in it ---- */

/* An object, its strings in `copy`, which is wiped with it. */
struct object {
    struct buffer copy;
    yyjson_doc *document;
    yyjson_val *root;
};

static void object_free(struct object *o)
{
    yyjson_doc_free(o->document);
    if (o->copy.data)
        explicit_bzero(o->copy.data, o->copy.capacity);
    buffer_free(&o->copy);
}

/* The parser's own text may quote a part. */
static int object_read(const char *text, size_t length, struct object *o)
{
    enum { ROOM = 64 }; /* the parser's, so that the copy never moves and leaves another behind */
    *o = (struct object){0};
    buffer_init(&o->copy, length + 2 * ROOM);
    int rc = buffer_reserve(&o->copy, length + ROOM);
    if (!rc)
        rc = buffer_append(&o->copy, text, length);
    if (!rc)
        rc = json_parse_in_place(&o->copy, "it", &o->document);
    if (!rc) {
        o->root = yyjson_doc_get_root(o->document);
        return yyjson_is_obj(o->root) ? OK : error_set(ERR_INVALID, NULL, "it is no JSON object");
    }
    return rc == ERR_NO_MEMORY ? rc
                               : error_set(ERR_INVALID, NULL, "it begins like JSON and is none");
}

/* ---- a key ---- */

static int put_key(const char *text, size_t length, char *out, size_t capacity)
{
    trim(&text, &length);
    if (!length)
        return error_set(ERR_INVALID, NULL, "its value is empty");
    if (length >= capacity)
        return too_large();
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return error_set(ERR_INVALID, NULL, "its value has blanks or control characters in it");
    memcpy(out, text, length);
    out[length] = '\0';
    return OK;
}

static int key_of_object(const struct object *o, char *out, size_t capacity)
{
    static const char *const names[] = {"openai_api_key", "api_key", "key", "OPENAI_API_KEY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        yyjson_val *value = yyjson_obj_get(o->root, names[i]);
        if (yyjson_is_str(value))
            return put_key(yyjson_get_str(value), yyjson_get_len(value), out, capacity);
    }
    return error_set(ERR_INVALID, NULL,
                     "it is JSON without openai_api_key, api_key, key or OPENAI_API_KEY");
}

int secret_key_read(const char *text, size_t length, char *out, size_t capacity)
{
    struct object o;
    trim(&text, &length);
    if (!length || *text != '{')
        return put_key(text, length, out, capacity);
    int rc = object_read(text, length, &o);
    if (!rc)
        rc = key_of_object(&o, out, capacity);
    object_free(&o);
    return rc;
}

/* ---- a database ---- */

static bool is_url(const char *text, size_t length)
{
    static const char *const schemes[] = {"postgresql://", "postgres://"};
    for (size_t i = 0; i < 2; i++)
        if (length > strlen(schemes[i]) && !memcmp(text, schemes[i], strlen(schemes[i])))
            return true;
    return false;
}

static bool given(const char *text)
{
    return text && *text;
}

static int missing(const char *part, const char *advice)
{
    return error_set(ERR_INVALID, NULL, "it holds no %s%s", part, advice);
}

static int check_engine(yyjson_val *root)
{
    const char *engine = json_string_at(root, "engine", "postgres");
    if (!strcmp(engine, "postgres") || !strcmp(engine, "postgresql") ||
        !strcmp(engine, "aurora-postgresql"))
        return OK;
    return error_set(ERR_INVALID, NULL, "its engine is not PostgreSQL");
}

/* The colon before a port: of "host:port" or "[address]:port", but none of a bare IPv6 address. */
static const char *colon_of(const char *host)
{
    const char *last = strrchr(host, ':');
    if (!last || last == host)
        return NULL;
    bool port = *host == '[' ? last[-1] == ']' : strchr(host, ':') == last;
    return port ? last : NULL;
}

static bool is_address(const char *host) /* IPv6, without brackets */
{
    const char *colon = strchr(host, ':');
    return colon && strchr(colon + 1, ':') && !strpbrk(host, "[]");
}

/* It stands in the URL as it is, so it must be nothing but a host. */
static bool is_host(const char *host, size_t length, bool bare)
{
    bool bracketed = length > 2 && *host == '[' && host[length - 1] == ']';
    for (size_t i = bracketed; i < length - bracketed; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr(bare || bracketed ? ":." : ".-_", host[i]))
            return false;
    return length && length + 2 < HOST_TEXT;
}

static int put_host(const char *host, char *out, char port[PORT_TEXT])
{
    const char *colon = colon_of(host);
    size_t length = colon ? (size_t)(colon - host) : strlen(host);
    bool bare = is_address(host);
    if (!is_host(host, length, bare) || (colon && !colon[1]))
        return error_set(ERR_INVALID, NULL, "its host is no name or address");
    if (colon)
        snprintf(port, PORT_TEXT, "%s", colon + 1);
    snprintf(out, HOST_TEXT, "%s%.*s%s", bare ? "[" : "", (int)length, host, bare ? "]" : "");
    return OK;
}

static int put_port(yyjson_val *root, char port[PORT_TEXT])
{
    yyjson_val *value = yyjson_obj_get(root, "port");
    if (!*port && yyjson_is_int(value))
        snprintf(port, PORT_TEXT, "%lld", (long long)yyjson_get_sint(value));
    else if (!*port)
        snprintf(port, PORT_TEXT, "%s", json_string_at(root, "port", "5432"));
    size_t digits = strspn(port, "0123456789");
    if (!digits || digits > 5 || port[digits])
        return error_set(ERR_INVALID, NULL, "its port is no number");
    return OK;
}

static bool on_loopback(const char *host)
{
    return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "[::1]");
}

/* How the server proves who it is. */
struct proof {
    const char *sslmode, *authorities; /* "": libpq's own */
};

static const char *authorities_of(const struct secret_database *d, const char *host)
{
    if (given(d->authorities))
        return d->authorities;
    return given(d->rds) && rds_authorities_cover(d->rds, host) ? d->rds : "";
}

/* With "require" libpq would take a file of authorities for the wish to have them verified. */
static struct proof proof_of(const struct secret_database *d, const char *host)
{
    const char *known = authorities_of(d, host);
    if (given(d->sslmode) && strcmp(d->sslmode, "auto") != 0)
        return (struct proof){d->sslmode, strncmp(d->sslmode, "verify-", 7) != 0 ? "" : known};
    if (*known)
        return (struct proof){"verify-full", known};
    return (struct proof){on_loopback(host) ? "" : "require", ""};
}

static int put_proof(const struct proof *proof, char *out, size_t capacity)
{
    char path[PROOF_TEXT];
    *out = '\0';
    if (sigv4_encode(proof->authorities, true, path, sizeof path))
        return too_large();
    if (*proof->sslmode)
        snprintf(out, capacity, "?sslmode=%s%s%s", proof->sslmode, *path ? "&sslrootcert=" : "",
                 path);
    return OK;
}

static int encode(const char *text, char *out)
{
    return sigv4_encode(text, false, out, PART_TEXT) ? too_large() : OK;
}

struct parts {
    char user[PART_TEXT], password[PART_TEXT], name[PART_TEXT];
    char host[HOST_TEXT], port[PORT_TEXT];
};

static int collect(yyjson_val *root, const struct secret_database *d, struct parts *p)
{
    const char *host = given(d->host) ? d->host : json_string_at(root, "host", "");
    const char *name = given(d->name) ? d->name : json_string_at(root, "dbname", "");
    const char *user = json_string_at(root, "username", "");
    const char *password = json_string_at(root, "password", "");
    int rc = check_engine(root);
    if (!rc && !*user)
        rc = missing("username", "");
    if (!rc && !*password)
        rc = missing("password", "");
    if (!rc && !*host)
        rc = missing("host", ", as those that RDS manages; set AEGIS_DATABASE_HOST");
    if (!rc && !*name)
        rc = missing("dbname", ", as those that RDS manages; set AEGIS_DATABASE_NAME");
    if (!rc)
        rc = put_host(host, p->host, p->port);
    if (!rc)
        rc = put_port(root, p->port);
    if (!rc)
        rc = encode(user, p->user);
    if (!rc)
        rc = encode(password, p->password);
    return rc ? rc : encode(name, p->name);
}

static int url_of_object(yyjson_val *root, const struct secret_database *d, char *out,
                         size_t capacity)
{
    struct parts p = {0};
    char tls[PROOF_TEXT + 64];
    int rc = collect(root, d, &p);
    if (!rc) {
        struct proof proof = proof_of(d, p.host);
        rc = put_proof(&proof, tls, sizeof tls);
    }
    if (!rc) {
        int n = snprintf(out, capacity, "postgresql://%s:%s@%s:%s/%s%s", p.user, p.password, p.host,
                         p.port, p.name, tls);
        rc = (size_t)n < capacity ? OK : too_large();
    }
    explicit_bzero(&p, sizeof p);
    return rc;
}

int secret_url_read(const char *text, size_t length, const struct secret_database *database,
                    char *out, size_t capacity)
{
    struct object o;
    trim(&text, &length);
    if (is_url(text, length))
        return put_key(text, length, out, capacity);
    if (!length || *text != '{')
        return error_set(ERR_INVALID, NULL,
                         "it is neither JSON with username and password nor a postgresql:// URL");
    int rc = object_read(text, length, &o);
    if (!rc)
        rc = url_of_object(o.root, database, out, capacity);
    object_free(&o);
    return rc;
}
