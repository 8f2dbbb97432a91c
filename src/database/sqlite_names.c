#include "database/sqlite_names.h"

#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

struct name_entry {
    int64_t id;
    char *text;
};

struct facet_entry {
    int64_t id;
    struct facet facet;
};

/* Entries stand in order of arrival; two index tables find them by id and by value. With a few
 * dozen to a few thousand entries and twice as many slots, probes are short. */
enum { NAME_SLOTS = 2 * NAMES_CACHED };

struct name_tables {
    size_t name_count, facet_count;
    struct name_entry names[NAMES_CACHED];
    struct facet_entry facets[FACETS_CACHED];
    int name_by_text[NAME_SLOTS], name_by_id[NAME_SLOTS]; /* index + 1; 0: free */
    int facet_by_value[NAME_SLOTS], facet_by_id[NAME_SLOTS];
};

int names_init(struct names *n)
{
    *n = (struct names){0};
    n->tables = calloc(1, sizeof *n->tables);
    if (!n->tables)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the database's names");
    pthread_rwlock_init(&n->lock, NULL);
    return OK;
}

static void clear(struct names *n)
{
    struct name_tables *t = n->tables;
    for (size_t i = 0; i < t->name_count; i++)
        free(t->names[i].text);
    memset(t, 0, sizeof *t);
}

void names_fini(struct names *n)
{
    if (!n->tables)
        return;
    clear(n);
    free(n->tables);
    n->tables = NULL;
    pthread_rwlock_destroy(&n->lock);
}

void names_forget(struct names *n)
{
    pthread_rwlock_wrlock(&n->lock);
    clear(n);
    pthread_rwlock_unlock(&n->lock);
}

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static size_t hash_bytes(const void *bytes, size_t length)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32) % NAME_SLOTS;
}

static size_t next_slot(size_t slot)
{
    return slot + 1 == NAME_SLOTS ? 0 : slot + 1;
}

static void put(int *table, size_t slot, int value)
{
    while (table[slot])
        slot = next_slot(slot);
    table[slot] = value;
}

static const struct name_entry *find_text(struct name_tables *t, const char *text)
{
    for (size_t i = hash_bytes(text, strlen(text)); t->name_by_text[i]; i = next_slot(i))
        if (!strcmp(t->names[t->name_by_text[i] - 1].text, text))
            return &t->names[t->name_by_text[i] - 1];
    return NULL;
}

static const struct name_entry *find_name(struct name_tables *t, int64_t id)
{
    for (size_t i = hash_bytes(&id, sizeof id); t->name_by_id[i]; i = next_slot(i))
        if (t->names[t->name_by_id[i] - 1].id == id)
            return &t->names[t->name_by_id[i] - 1];
    return NULL;
}

static const struct facet_entry *find_value(struct name_tables *t, const struct facet *f)
{
    for (size_t i = hash_bytes(f, sizeof *f); t->facet_by_value[i]; i = next_slot(i))
        if (!memcmp(&t->facets[t->facet_by_value[i] - 1].facet, f, sizeof *f))
            return &t->facets[t->facet_by_value[i] - 1];
    return NULL;
}

static const struct facet_entry *find_facet(struct name_tables *t, int64_t id)
{
    for (size_t i = hash_bytes(&id, sizeof id); t->facet_by_id[i]; i = next_slot(i))
        if (t->facets[t->facet_by_id[i] - 1].id == id)
            return &t->facets[t->facet_by_id[i] - 1];
    return NULL;
}

static void keep_name(struct names *n, int64_t id, const char *text)
{
    struct name_tables *t = n->tables;
    pthread_rwlock_wrlock(&n->lock);
    char *copy = NULL;
    if (t->name_count < NAMES_CACHED && !find_name(t, id) && (copy = strdup(text))) {
        t->names[t->name_count++] = (struct name_entry){.id = id, .text = copy};
        put(t->name_by_text, hash_bytes(copy, strlen(copy)), (int)t->name_count);
        put(t->name_by_id, hash_bytes(&id, sizeof id), (int)t->name_count);
    }
    pthread_rwlock_unlock(&n->lock);
}

static void keep_facet(struct names *n, int64_t id, const struct facet *f)
{
    struct name_tables *t = n->tables;
    pthread_rwlock_wrlock(&n->lock);
    if (t->facet_count < FACETS_CACHED && !find_facet(t, id)) {
        t->facets[t->facet_count++] = (struct facet_entry){.id = id, .facet = *f};
        put(t->facet_by_value, hash_bytes(f, sizeof *f), (int)t->facet_count);
        put(t->facet_by_id, hash_bytes(&id, sizeof id), (int)t->facet_count);
    }
    pthread_rwlock_unlock(&n->lock);
}

int name_id(struct names *n, struct connection *c, const char *text, bool make, int64_t *out)
{
    pthread_rwlock_rdlock(&n->lock);
    const struct name_entry *e = find_text(n->tables, text);
    *out = e ? e->id : 0;
    pthread_rwlock_unlock(&n->lock);
    if (*out)
        return OK;
    int rc = SQL_NUMBER(c, out, 0, "SELECT name_id FROM name WHERE text = ?1", V_TEXT(text));
    if (!rc && !*out && !make)
        return ERR_NOT_FOUND;
    if (!rc && !*out) {
        rc = SQL_RUN(c, "INSERT INTO name (text) VALUES (?1)", V_TEXT(text));
        *out = sqlite3_last_insert_rowid(c->db);
    }
    if (!rc)
        keep_name(n, *out, text);
    return rc;
}

int name_text(struct names *n, struct connection *c, int64_t id, struct arena *arena,
              const char **out)
{
    *out = "";
    if (id == 0)
        return OK;
    pthread_rwlock_rdlock(&n->lock);
    const struct name_entry *e = find_name(n->tables, id);
    if (e)
        *out = arena_strdup(arena, e->text);
    pthread_rwlock_unlock(&n->lock);
    if (e)
        return *out ? OK : ERR_NO_MEMORY;
    sqlite3_stmt *s;
    int rc = SQL_FIRST(c, &s, "SELECT text FROM name WHERE name_id = ?1", V_INT(id));
    if (s) {
        keep_name(n, id, sql_peek(s, 0));
        *out = sql_text(s, 0, arena);
    }
    sql_done(s);
    return rc ? rc : *out ? OK : ERR_NO_MEMORY;
}

int facet_id(struct names *n, struct connection *c, const struct facet *facet, int64_t *out)
{
    pthread_rwlock_rdlock(&n->lock);
    const struct facet_entry *e = find_value(n->tables, facet);
    *out = e ? e->id : 0;
    pthread_rwlock_unlock(&n->lock);
    if (*out)
        return OK;
    int rc = SQL_NUMBER(c, out, 0,
                        "SELECT facet_id FROM facet WHERE collection_id = ?1 AND kind_id = ?2 AND "
                        "language_id = ?3",
                        V_INT(facet->collection), V_INT(facet->kind), V_INT(facet->language));
    if (!rc && !*out) {
        rc = SQL_RUN(c,
                     "INSERT INTO facet (collection_id, kind_id, language_id) VALUES (?1, ?2, ?3)",
                     V_INT(facet->collection), V_INT(facet->kind), V_INT(facet->language));
        *out = sqlite3_last_insert_rowid(c->db);
    }
    if (!rc)
        keep_facet(n, *out, facet);
    return rc;
}

int facet_get(struct names *n, struct connection *c, int64_t id, struct facet *out)
{
    pthread_rwlock_rdlock(&n->lock);
    const struct facet_entry *e = find_facet(n->tables, id);
    *out = e ? e->facet : (struct facet){0};
    pthread_rwlock_unlock(&n->lock);
    if (e)
        return OK;
    sqlite3_stmt *s;
    int rc = SQL_FIRST(c, &s,
                       "SELECT collection_id, kind_id, language_id FROM facet WHERE facet_id = ?1",
                       V_INT(id));
    if (s) {
        *out = (struct facet){
            .collection = sql_int(s, 0), .kind = sql_int(s, 1), .language = sql_int(s, 2)};
        keep_facet(n, id, out);
    }
    sql_done(s);
    return rc;
}
