#include "database/tsvector.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "database/word_bytes.h"
#include "shared/error.h"

enum { SLOTS_AT_FIRST = 1024, NOTHING = 0, HEAD = 8 }; /* slots and links hold an index + 1 */

struct lexeme {
    uint64_t head; /* word_bytes.h */
    uint32_t rest; /* in `rests`: what is behind the head */
    uint32_t hash;
    uint32_t first, last; /* places */
    uint16_t length, positions;
};

struct place {
    uint16_t place; /* position and weight */
    uint32_t next;
};

struct key {
    uint64_t head;
    uint32_t lexeme;
};

struct tsvector {
    struct lexeme *lexemes; /* in the order of adding */
    struct place *places;
    char *rests;
    uint32_t *slots;
    struct key *keys; /* twice as many as lexemes: half of them to sort with */
    size_t count, place_count, rest_length, bytes;
    size_t capacity, place_capacity, rest_capacity, slot_count, key_capacity;
};

static int no_memory(void)
{
    return error_set(ERR_NO_MEMORY, NULL, "out of memory for the words of a passage");
}

int tsvector_open(struct tsvector **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? OK : no_memory();
}

void tsvector_close(struct tsvector *v)
{
    if (!v)
        return;
    free(v->lexemes);
    free(v->places);
    free(v->rests);
    free(v->slots);
    free(v->keys);
    free(v);
}

void tsvector_clear(struct tsvector *v)
{
    v->count = v->place_count = v->rest_length = v->bytes = 0;
    if (v->slots)
        memset(v->slots, 0, v->slot_count * sizeof *v->slots);
}

/* ---- room ---- */

static int reserve(void **items, size_t *capacity, size_t wanted, size_t size)
{
    size_t more = *capacity ? *capacity : 512;
    if (wanted <= *capacity)
        return OK;
    while (more < wanted)
        more *= 2;
    void *wider = realloc(*items, more * size);
    if (!wider)
        return no_memory();
    *items = wider;
    *capacity = more;
    return OK;
}

static size_t rest_of(size_t length)
{
    return length > HEAD ? length - HEAD : 0;
}

static uint32_t *slot_of(const struct tsvector *v, uint64_t head, const char *rest, size_t length,
                         uint32_t hash)
{
    for (size_t i = hash;; i++) {
        uint32_t *slot = &v->slots[i & (v->slot_count - 1)];
        const struct lexeme *l = *slot ? &v->lexemes[*slot - 1] : NULL;
        if (!l || (l->head == head && l->length == length &&
                   (length <= HEAD || memcmp(v->rests + l->rest, rest, length - HEAD) == 0)))
            return slot;
    }
}

static int grow_slots(struct tsvector *v)
{
    size_t more = v->slot_count ? 2 * v->slot_count : SLOTS_AT_FIRST;
    uint32_t *slots = calloc(more, sizeof *slots);
    if (!slots)
        return no_memory();
    free(v->slots);
    v->slots = slots;
    v->slot_count = more;
    for (size_t i = 0; i < v->count; i++) {
        const struct lexeme *l = &v->lexemes[i];
        *slot_of(v, l->head, v->rests + l->rest, l->length, l->hash) = (uint32_t)i + 1;
    }
    return OK;
}

static bool has_room(const struct tsvector *v, size_t length)
{
    return v->count < v->capacity && v->place_count < v->place_capacity &&
           v->rest_length + length <= v->rest_capacity && 2 * (v->count + 1) <= v->slot_count;
}

static int make_room(struct tsvector *v, size_t length)
{
    int rc = reserve((void **)&v->lexemes, &v->capacity, v->count + 1, sizeof *v->lexemes);
    if (!rc)
        rc =
            reserve((void **)&v->places, &v->place_capacity, v->place_count + 1, sizeof *v->places);
    if (!rc)
        rc = reserve((void **)&v->rests, &v->rest_capacity, v->rest_length + length, 1);
    if (!rc && 2 * (v->count + 1) > v->slot_count)
        rc = grow_slots(v);
    return rc;
}

/* ---- adding ---- */

static void add_lexeme(struct tsvector *v, uint64_t head, const char *rest, size_t length,
                       uint32_t hash)
{
    v->lexemes[v->count++] = (struct lexeme){
        .head = head, .rest = (uint32_t)v->rest_length, .hash = hash, .length = (uint16_t)length};
    if (length > HEAD)
        memcpy(v->rests + v->rest_length, rest, length - HEAD);
    v->rest_length += rest_of(length);
    v->bytes += length + 4;
}

static bool is_last(const struct tsvector *v, const struct lexeme *l, unsigned position)
{
    return l->last && (v->places[l->last - 1].place & TSVECTOR_LAST_POSITION) >= position;
}

static void add_place(struct tsvector *v, struct lexeme *l, unsigned position,
                      enum tsvector_weight weight)
{
    if (l->positions == TSVECTOR_POSITIONS || is_last(v, l, position))
        return;
    v->places[v->place_count++] =
        (struct place){.place = (uint16_t)(position | (unsigned)weight << 14), .next = NOTHING};
    if (l->last)
        v->places[l->last - 1].next = (uint32_t)v->place_count;
    else
        l->first = (uint32_t)v->place_count;
    l->last = (uint32_t)v->place_count;
    l->positions++;
    v->bytes += 2;
}

static unsigned within(size_t position)
{
    return position < TSVECTOR_LAST_POSITION ? (unsigned)position : TSVECTOR_LAST_POSITION;
}

int tsvector_add(struct tsvector *v, const char *lexeme, size_t length, size_t position,
                 enum tsvector_weight weight)
{
    assert(length > 0 && length <= UINT16_MAX && position > 0);
    int rc = has_room(v, length) ? OK : make_room(v, length);
    if (rc || v->bytes + length + 8 > TSVECTOR_BYTES)
        return rc;
    uint64_t head = word_head(lexeme, length);
    uint32_t hash = word_hash(lexeme, length);
    const char *rest = length > HEAD ? lexeme + HEAD : NULL;
    uint32_t *slot = slot_of(v, head, rest, length, hash);
    if (!*slot) {
        add_lexeme(v, head, rest, length, hash);
        *slot = (uint32_t)v->count;
    }
    add_place(v, &v->lexemes[*slot - 1], within(position), weight);
    return OK;
}

/* ---- order ---- */

/* Of the same head. */
static int compare_rests(const struct tsvector *v, uint32_t a, uint32_t b)
{
    const struct lexeme *x = &v->lexemes[a], *y = &v->lexemes[b];
    size_t x_rest = rest_of(x->length), y_rest = rest_of(y->length);
    size_t both = x_rest < y_rest ? x_rest : y_rest;
    int order = both ? memcmp(v->rests + x->rest, v->rests + y->rest, both) : 0;
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static int compare_equal_heads(const void *a, const void *b, void *v)
{
    return compare_rests(v, ((const struct key *)a)->lexeme, ((const struct key *)b)->lexeme);
}

static bool before(const struct tsvector *v, struct key a, struct key b)
{
    return a.head != b.head ? a.head < b.head : compare_rests(v, a.lexeme, b.lexeme) < 0;
}

static void sort_few(const struct tsvector *v, struct key *keys, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct key key = keys[i];
        size_t at = i;
        for (; at && before(v, key, keys[at - 1]); at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

static void count_to_start(uint32_t counts[256])
{
    uint32_t from = 0;
    for (int i = 0; i < 256; i++) {
        uint32_t count = counts[i];
        counts[i] = from;
        from += count;
    }
}

/* By two bytes of the head: the lower one first, which the other one's turn leaves in order. */
static void sort_by_pair(struct key *keys, struct key *spare, size_t count, unsigned shift)
{
    uint32_t low[256] = {0}, high[256] = {0};
    for (size_t i = 0; i < count; i++) {
        low[keys[i].head >> shift & 255]++;
        high[keys[i].head >> (shift + 8) & 255]++;
    }
    count_to_start(low);
    count_to_start(high);
    for (size_t i = 0; i < count; i++)
        spare[low[keys[i].head >> shift & 255]++] = keys[i];
    for (size_t i = 0; i < count; i++)
        keys[high[spare[i].head >> (shift + 8) & 255]++] = spare[i];
}

/* A radix sort: by the first pair of bytes, then those that have the same by the next, until few
 * are left. `shift` is that of the pair; below 0: all heads are equal. */
static void sort(struct tsvector *v, struct key *keys, struct key *spare, size_t count, int shift)
{
    enum { FEW = 16 };
    if (count <= FEW) {
        sort_few(v, keys, count);
        return;
    }
    if (shift < 0) {
        qsort_r(keys, count, sizeof *keys, compare_equal_heads, v);
        return;
    }
    sort_by_pair(keys, spare, count, (unsigned)shift);
    for (size_t from = 0, end; from < count; from = end) {
        for (end = from + 1; end < count && keys[end].head >> shift == keys[from].head >> shift;)
            end++;
        sort(v, keys + from, spare, end - from, shift - 16);
    }
}

/* ---- writing ---- */

static unsigned char *put16(unsigned char *p, unsigned n)
{
    uint16_t big = htobe16((uint16_t)n);
    memcpy(p, &big, sizeof big);
    return p + sizeof big;
}

static unsigned char *put32(unsigned char *p, uint32_t n)
{
    n = htobe32(n);
    memcpy(p, &n, sizeof n);
    return p + sizeof n;
}

/* May write HEAD bytes where the lexeme is shorter: what follows comes over them. */
static unsigned char *put_lexeme(unsigned char *p, const struct tsvector *v, const struct lexeme *l)
{
    uint64_t head = htobe64(l->head);
    memcpy(p, &head, HEAD);
    if (l->length > HEAD)
        memcpy(p + HEAD, v->rests + l->rest, l->length - HEAD);
    p += l->length;
    *p++ = '\0';
    p = put16(p, l->positions);
    for (uint32_t i = l->first; i; i = v->places[i - 1].next)
        p = put16(p, v->places[i - 1].place);
    return p;
}

/* `bytes` has 4 for each lexeme and 2 for each position; written are 3 and 2. */
int tsvector_write(struct tsvector *v, struct buffer *out)
{
    size_t size = 4 + v->bytes - v->count;
    int rc = buffer_reserve(out, size + HEAD);
    if (!rc)
        rc = reserve((void **)&v->keys, &v->key_capacity, 2 * v->count, sizeof *v->keys);
    if (rc)
        return rc;
    for (size_t i = 0; i < v->count; i++)
        v->keys[i] = (struct key){v->lexemes[i].head, (uint32_t)i};
    sort(v, v->keys, v->keys + v->count, v->count, 48);
    unsigned char *p = put32((unsigned char *)out->data + out->length, (uint32_t)v->count);
    for (size_t i = 0; i < v->count; i++)
        p = put_lexeme(p, v, &v->lexemes[v->keys[i].lexeme]);
    assert(p == (unsigned char *)out->data + out->length + size);
    out->length += size;
    out->data[out->length] = '\0';
    tsvector_clear(v);
    return OK;
}
