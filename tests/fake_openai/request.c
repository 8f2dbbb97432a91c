#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "shared/error.h"

enum { CACHED = 4, CACHED_FROM = 256 /* bytes; shorter ones are parsed as fast */ };

struct request_cache {
    pthread_mutex_t lock;
    struct {
        char *text;
        size_t length;
        json_t *json;
    } entries[CACHED];
    size_t next; /* to be replaced */
};

struct request_cache *request_cache_new(void)
{
    struct request_cache *c = calloc(1, sizeof *c);
    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void request_cache_free(struct request_cache *c)
{
    for (size_t i = 0; i < CACHED; i++) {
        free(c->entries[i].text);
        json_decref(c->entries[i].json);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static json_t *find(struct request_cache *c, const struct buffer *rest)
{
    json_t *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < CACHED && !found; i++)
        if (c->entries[i].length == rest->length && rest->length &&
            memcmp(c->entries[i].text, rest->data, rest->length) == 0)
            found = json_incref(c->entries[i].json);
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void keep(struct request_cache *c, const struct buffer *rest, json_t *json)
{
    char *text = malloc(rest->length);
    if (!text)
        return;
    memcpy(text, rest->data, rest->length);
    pthread_mutex_lock(&c->lock);
    size_t i = c->next++ % CACHED;
    free(c->entries[i].text);
    json_decref(c->entries[i].json);
    c->entries[i].text = text;
    c->entries[i].length = rest->length;
    c->entries[i].json = json_incref(json);
    pthread_mutex_unlock(&c->lock);
}

static bool parse(struct exchange *x, struct request *r)
{
    struct request_cache *cache = server_cache(x->server);
    const struct buffer *rest = &r->lifted.rest;
    bool worth_it = rest->length >= CACHED_FROM;
    r->json = worth_it ? find(cache, rest) : NULL;
    if (r->json)
        return json_is_object(r->json);
    if (json_lifted_parse(&r->lifted, "the body", &r->json))
        return false;
    if (worth_it)
        keep(cache, rest, r->json);
    return json_is_object(r->json);
}

int64_t tokens_of(size_t bytes)
{
    return (int64_t)(bytes + 3) / 4;
}

static bool lifted_valid(const struct json_lifted *lifted)
{
    for (size_t i = 0; i < lifted->count; i++)
        if (!json_lifted_valid(&lifted->strings[i]))
            return false;
    return true;
}

bool request_open(struct exchange *x, struct request *out)
{
    *out = (struct request){0};
    int rc = json_lift(buffer_string(&x->body), x->body.length, LIFT_THRESHOLD, JSON_LIMIT,
                       &out->lifted);
    if (!rc && lifted_valid(&out->lifted) && parse(x, out))
        return true;
    reply_invalid(x, NULL, NULL,
                  "We could not parse the JSON body of your request. (HINT: This likely means you "
                  "aren't using your HTTP library correctly. The API expects a JSON payload.)");
    request_close(out);
    return false;
}

void request_close(struct request *r)
{
    json_decref(r->json);
    json_lifted_free(&r->lifted);
}

bool request_text(const struct request *r, const json_t *value, struct json_slice *out)
{
    return json_lifted_string(&r->lifted, value, out);
}
