#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/store_s3_internal.h"
#include "shared/error.h"
#include "shared/object_name.h"
#include "shared/sigv4.h"

enum { PAGE = 1000 };

static int add_to_query(char query[S3_QUERY_TEXT], const char *name, const char *value)
{
    size_t at = strlen(query);
    int n = snprintf(query + at, S3_QUERY_TEXT - at, "%s%s=", at ? "&" : "", name);
    return sigv4_encode(value, false, query + at + n, S3_QUERY_TEXT - at - (size_t)n);
}

static int bad_listing(const char *what)
{
    return error_set(ERR_TRANSIENT, "malformed_reply", "a listing of S3 has a %s that is none",
                     what);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Keys are percent-encoded in listings (encoding-type=url), "+" being a space. */
static int decode_key(const char *text, char out[CAP_KEY + 1])
{
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        if (n == CAP_KEY)
            return bad_listing("key");
        int high = *p == '%' ? hex(p[1]) : 0, low = *p == '%' && high >= 0 ? hex(p[2]) : 0;
        if (high < 0 || low < 0)
            return bad_listing("key");
        out[n++] = *p == '%' ? (char)(high << 4 | low) : *p == '+' ? ' ' : *p;
        p += *p == '%' ? 2 : 0;
    }
    out[n] = '\0';
    return object_key_check(out) ? bad_listing("key") : OK;
}

/* ---- keys ---- */

struct listing {
    struct s3_store *store;
    const char *bucket;
    struct arena *arena;
    struct object_info *items, item;
    size_t count, capacity;
    bool more;
};

static void take_etag(struct object_info *item, const char *text)
{
    const char *from = text + (*text == '"');
    snprintf(item->etag, sizeof item->etag, "%.*s", (int)strcspn(from, "\""), from);
}

static int take_field(void *ctx, const char *parent, const char *name, const char *text)
{
    struct listing *l = ctx;
    if (!strcmp(parent, "ListBucketResult") && !strcmp(name, "IsTruncated"))
        l->more = !strcmp(text, "true");
    if (strcmp(parent, "Contents") != 0)
        return OK;
    if (!strcmp(name, "Key"))
        return decode_key(text, l->item.key);
    if (!strcmp(name, "ETag"))
        take_etag(&l->item, text);
    if (!strcmp(name, "Size"))
        l->item.size = strtoll(text, NULL, 10);
    if (!strcmp(name, "LastModified") && clock_parse(text, &l->item.modified_ms))
        return bad_listing("time");
    return OK;
}

static int take_item(void *ctx, const char *name)
{
    struct listing *l = ctx;
    if (strcmp(name, "Contents") != 0)
        return OK;
    if (l->count == l->capacity)
        return bad_listing("length");
    snprintf(l->item.bucket, sizeof l->item.bucket, "%s", l->bucket);
    s3_sequencer(l->item.modified_ms * 1000, l->item.sequencer);
    l->items[l->count++] = l->item;
    l->item = (struct object_info){0};
    return OK;
}

static int list_page(struct listing *l, const char *prefix, const char *after, size_t limit)
{
    char query[S3_QUERY_TEXT] = "list-type=2&encoding-type=url", number[24];
    struct http_response response;
    struct aws_fault fault;
    struct s3_document document = {.at = take_field, .end = take_item, .ctx = l};
    snprintf(number, sizeof number, "%zu", limit);
    int rc = add_to_query(query, "max-keys", number);
    if (!rc)
        rc = add_to_query(query, "prefix", prefix);
    if (!rc && *after)
        rc = add_to_query(query, "start-after", after);
    if (rc)
        return rc;
    struct s3_request request = {.method = "GET", .bucket = l->bucket, .query = query};
    rc = s3_perform(l->store, &request, NULL, &response, &fault);
    l->more = false;
    if (!rc)
        rc = s3_document_read(&response, &document);
    else if (fault.status == 404) /* no such bucket: nothing is in it */
        rc = OK;
    http_response_free(&response);
    return rc;
}

int s3_list(void *ctx, const char *bucket, const char *prefix, const char *after, size_t limit,
            struct arena *arena, struct object_info **out, size_t *count)
{
    struct listing l = {.store = ctx, .bucket = bucket, .arena = arena, .more = limit > 0};
    int rc = OK;
    l.items = arena_alloc(arena, (limit ? limit : 1) * sizeof *l.items);
    if (!l.items)
        return ERR_NO_MEMORY;
    while (!rc && l.more && l.count < limit) {
        size_t before = l.count, left = limit - before, page = left < PAGE ? left : PAGE;
        l.capacity = before + page;
        rc = list_page(&l, prefix, before ? l.items[before - 1].key : after, page);
        if (!rc && l.more && l.count == before)
            rc = bad_listing("end");
    }
    *out = l.items;
    *count = l.count;
    return rc;
}

/* ---- removing ---- */

/* One of a key's versions, or one of the marks that removals leave. */
struct version {
    char key[CAP_KEY + 1], id[CAP_VERSION_ID + 1];
};

struct versions {
    const char *key;
    bool marks; /* these are wanted, else versions */
    struct version item, *items;
    size_t count;
    bool more;
    char next_key[CAP_KEY + 1], next_id[CAP_VERSION_ID + 1];
};

static int take_version_field(void *ctx, const char *parent, const char *name, const char *text)
{
    struct versions *v = ctx;
    bool item = !strcmp(parent, "Version") || !strcmp(parent, "DeleteMarker");
    if (item && !strcmp(name, "Key"))
        return decode_key(text, v->item.key);
    if (item && !strcmp(name, "VersionId"))
        snprintf(v->item.id, sizeof v->item.id, "%s", text);
    if (strcmp(parent, "ListVersionsResult") != 0)
        return OK;
    if (!strcmp(name, "IsTruncated"))
        v->more = !strcmp(text, "true");
    if (!strcmp(name, "NextKeyMarker"))
        return *text ? decode_key(text, v->next_key) : OK;
    if (!strcmp(name, "NextVersionIdMarker"))
        snprintf(v->next_id, sizeof v->next_id, "%s", text);
    return OK;
}

static int take_version(void *ctx, const char *name)
{
    struct versions *v = ctx;
    bool mark = !strcmp(name, "DeleteMarker");
    if (!mark && strcmp(name, "Version") != 0)
        return OK;
    if (mark == v->marks && !strcmp(v->item.key, v->key)) {
        if (v->count == PAGE)
            return bad_listing("length");
        v->items[v->count++] = v->item;
    }
    v->item = (struct version){0};
    return OK;
}

static int delete_one(struct s3_store *s, const char *bucket, const char *key,
                      const char *version_id)
{
    char query[S3_QUERY_TEXT] = "";
    struct http_response response;
    struct aws_fault fault;
    int rc = *version_id ? add_to_query(query, "versionId", version_id) : OK;
    if (rc)
        return rc;
    struct s3_request request = {.method = "DELETE", .bucket = bucket, .key = key, .query = query};
    rc = s3_perform(s, &request, NULL, &response, &fault);
    http_response_free(&response);
    return rc && fault.status == 404 ? OK : rc;
}

static int versions_page(struct s3_store *s, const char *bucket, struct versions *v)
{
    char query[S3_QUERY_TEXT] = "versions=&encoding-type=url";
    struct http_response response;
    struct aws_fault fault;
    struct s3_document document = {.at = take_version_field, .end = take_version, .ctx = v};
    int rc = add_to_query(query, "prefix", v->key);
    if (!rc && v->next_key[0])
        rc = add_to_query(query, "key-marker", v->next_key);
    if (!rc && v->next_id[0])
        rc = add_to_query(query, "version-id-marker", v->next_id);
    if (rc)
        return rc;
    struct s3_request request = {.method = "GET", .bucket = bucket, .query = query};
    v->more = false;
    v->next_key[0] = v->next_id[0] = '\0';
    v->count = 0;
    rc = s3_perform(s, &request, NULL, &response, &fault);
    if (!rc)
        rc = s3_document_read(&response, &document);
    else if (fault.status == 404)
        rc = OK;
    http_response_free(&response);
    return rc;
}

/* Keys that only begin with the key come after it. */
static bool is_past(const struct versions *v)
{
    return !v->more || strcmp(v->next_key, v->key) > 0;
}

/* The next page, which must be another one. */
static int next_page(struct s3_store *s, const char *bucket, struct versions *v)
{
    struct version last;
    snprintf(last.key, sizeof last.key, "%s", v->next_key);
    snprintf(last.id, sizeof last.id, "%s", v->next_id);
    int rc = versions_page(s, bucket, v);
    if (!rc && v->more && !strcmp(last.key, v->next_key) && !strcmp(last.id, v->next_id))
        rc = bad_listing("end");
    return rc;
}

static int delete_all(struct s3_store *s, const char *bucket, const char *key, bool marks)
{
    struct versions v = {.key = key, .marks = marks};
    int rc = OK;
    v.items = malloc(PAGE * sizeof *v.items);
    if (!v.items)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the versions of '%s'", key);
    do {
        rc = next_page(s, bucket, &v);
        for (size_t i = 0; !rc && i < v.count; i++)
            rc = delete_one(s, bucket, key, v.items[i].id);
    } while (!rc && !is_past(&v));
    free(v.items);
    return rc;
}

/* The key is gone with the first request: where there are versions it leaves a mark that hides
 * them, which goes last. */
int s3_remove(void *ctx, const char *bucket, const char *key, struct object_info *out)
{
    struct object_info info = {0};
    int rc = delete_one(ctx, bucket, key, "");
    if (!rc)
        rc = delete_all(ctx, bucket, key, false);
    if (!rc)
        rc = delete_all(ctx, bucket, key, true);
    if (rc)
        return rc;
    snprintf(info.bucket, sizeof info.bucket, "%s", bucket);
    snprintf(info.key, sizeof info.key, "%s", key);
    int64_t us = s3_next_us(ctx);
    info.modified_ms = us / 1000;
    s3_sequencer(us, info.sequencer);
    if (out)
        *out = info;
    return OK;
}
