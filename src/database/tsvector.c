#include "database/tsvector.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

enum { SLOTS_AT_FIRST = 1024, NOTHING = 0 }; /* slots and links hold an index + 1 */

struct lexeme {
    uint64_t head; /* its first eight bytes as a number: most comparisons end there */
    uint32_t at;   /* in `text` */
    uint16_t length, positions;
    uint32_t hash;
    uint32_t first, last; /* places */
};

struct place {
    uint16_t place; /* position and weight */
    uint32_t next;
};

struct tsvector {
    struct lexeme *lexemes, *sorted; /* in the order of adding, and room for that of the output */
    struct place *places;
    char *text;
    uint32_t *slots;
    size_t count, place_count, text_length, bytes;
    size_t capacity, sorted_capacity, place_capacity, text_capacity, slot_count;
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
    free(v->sorted);
    free(v->places);
    free(v->text);
    free(v->slots);
    free(v);
}

void tsvector_clear(struct tsvector *v)
{
    v->count = v->place_count = v->text_length = v->bytes = 0;
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

static uint32_t *slot_of(const struct tsvector *v, const char *lexeme, size_t length, uint32_t hash)
{
    for (size_t i = hash;; i++) {
        uint32_t *slot = &v->slots[i & (v->slot_count - 1)];
        const struct lexeme *l = *slot ? &v->lexemes[*slot - 1] : NULL;
        if (!l || (l->hash == hash && l->length == length &&
                   memcmp(v->text + l->at, lexeme, length) == 0))
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
        *slot_of(v, v->text + l->at, l->length, l->hash) = (uint32_t)i + 1;
    }
    return OK;
}

static int make_room(struct tsvector *v, size_t length)
{
    int rc = reserve((void **)&v->lexemes, &v->capacity, v->count + 1, sizeof *v->lexemes);
    if (!rc)
        rc =
            reserve((void **)&v->places, &v->place_capacity, v->place_count + 1, sizeof *v->places);
    if (!rc)
        rc = reserve((void **)&v->text, &v->text_capacity, v->text_length + length, 1);
    if (!rc && 2 * (v->count + 1) > v->slot_count)
        rc = grow_slots(v);
    return rc;
}

/* ---- adding ---- */

static uint64_t head_of(const char *text, size_t length)
{
    uint64_t head = 0;
    if (length >= 8) {
        memcpy(&head, text, 8);
        return be64toh(head);
    }
    for (size_t i = 0; i < length; i++)
        head |= (uint64_t)(unsigned char)text[i] << (56 - 8 * i);
    return head;
}

static uint32_t hash_of(uint64_t head, const char *text, size_t length)
{
    uint64_t hash = (head ^ length) * 0x9e3779b97f4a7c15u;
    for (size_t i = 8; i < length; i++) /* FNV-1a */
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (uint32_t)(hash >> 32 ^ hash >> 13);
}

static struct lexeme *add_lexeme(struct tsvector *v, uint32_t *slot, const char *text,
                                 size_t length, uint64_t head, uint32_t hash)
{
    struct lexeme *l = &v->lexemes[v->count++];
    *l = (struct lexeme){
        .head = head, .at = (uint32_t)v->text_length, .length = (uint16_t)length, .hash = hash};
    memcpy(v->text + v->text_length, text, length);
    v->text_length += length;
    v->bytes += length + 4;
    *slot = (uint32_t)v->count;
    return l;
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
                 enum tsvector_weight weight, uint32_t *known)
{
    assert(length > 0 && length <= UINT16_MAX && position > 0);
    int rc = make_room(v, length);
    if (known)
        *known = TSVECTOR_UNKNOWN;
    if (rc || v->bytes + length + 8 > TSVECTOR_BYTES)
        return rc;
    uint64_t head = head_of(lexeme, length);
    uint32_t hash = hash_of(head, lexeme, length), *slot = slot_of(v, lexeme, length, hash);
    struct lexeme *l =
        *slot ? &v->lexemes[*slot - 1] : add_lexeme(v, slot, lexeme, length, head, hash);
    if (known)
        *known = *slot;
    add_place(v, l, within(position), weight);
    return OK;
}

int tsvector_add_known(struct tsvector *v, uint32_t known, size_t position,
                       enum tsvector_weight weight)
{
    assert(known <= v->count);
    if (known == TSVECTOR_UNKNOWN || v->bytes + 8 > TSVECTOR_BYTES)
        return OK;
    int rc =
        reserve((void **)&v->places, &v->place_capacity, v->place_count + 1, sizeof *v->places);
    if (!rc)
        add_place(v, &v->lexemes[known - 1], within(position), weight);
    return rc;
}

/* ---- writing ---- */

static unsigned char *put16(unsigned char *p, unsigned n)
{
    uint16_t big = htobe16((uint16_t)n);
    memcpy(p, &big, 2);
    return p + 2;
}

static unsigned char *put32(unsigned char *p, uint32_t n)
{
    n = htobe32(n);
    memcpy(p, &n, 4);
    return p + 4;
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int order(const void *a, const void *b, void *arg)
{
    const struct lexeme *x = a, *y = b;
    const struct tsvector *v = arg;
    if (x->head != y->head)
        return x->head > y->head ? 1 : -1;
    return compare_text(v->text + x->at, x->length, v->text + y->at, y->length);
}

enum { FEW = 32 };

/* Of lexemes that begin with the same byte. */
static void sort_few(const struct tsvector *v, struct lexeme *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct lexeme l = items[i];
        size_t at = i;
        while (at && (l.head != items[at - 1].head
                          ? l.head < items[at - 1].head
                          : order(&l, &items[at - 1], (void *)(uintptr_t)v) < 0)) {
            items[at] = items[at - 1];
            at--;
        }
        items[at] = l;
    }
}

/* By their first byte into `sorted`, then each such run. */
static void sort(struct tsvector *v)
{
    uint32_t end[256] = {0}, from = 0;
    for (size_t i = 0; i < v->count; i++)
        end[v->lexemes[i].head >> 56]++;
    for (int i = 0; i < 256; i++) {
        uint32_t count = end[i];
        end[i] = from; /* where its run begins, for now */
        from += count;
    }
    for (size_t i = 0; i < v->count; i++)
        v->sorted[end[v->lexemes[i].head >> 56]++] = v->lexemes[i];
    from = 0;
    for (int i = 0; i < 256; from = end[i++])
        if (end[i] - from <= FEW)
            sort_few(v, v->sorted + from, end[i] - from);
        else
            qsort_r(v->sorted + from, end[i] - from, sizeof *v->sorted, order, v);
}

static unsigned char *put_lexeme(unsigned char *p, const struct tsvector *v, const struct lexeme *l)
{
    memcpy(p, v->text + l->at, l->length);
    p += l->length;
    *p++ = '\0';
    p = put16(p, l->positions);
    for (uint32_t i = l->first; i; i = v->places[i - 1].next)
        p = put16(p, v->places[i - 1].place);
    return p;
}

int tsvector_write(struct tsvector *v, struct buffer *out)
{
    size_t size = 4 + v->text_length + 3 * v->count + 2 * v->place_count;
    int rc = buffer_reserve(out, size);
    if (!rc)
        rc = reserve((void **)&v->sorted, &v->sorted_capacity, v->count, sizeof *v->sorted);
    if (rc)
        return rc;
    sort(v);
    unsigned char *p = put32((unsigned char *)out->data + out->length, (uint32_t)v->count);
    for (size_t i = 0; i < v->count; i++)
        p = put_lexeme(p, v, &v->sorted[i]);
    assert(p == (unsigned char *)out->data + out->length + size);
    out->length += size;
    out->data[out->length] = '\0';
    tsvector_clear(v);
    return OK;
}

/* ---- joining ---- */

struct reader {
    const unsigned char *p;
    uint32_t left;
    const char *lexeme;
    size_t length;
    unsigned positions;
    const unsigned char *places;
};

static unsigned get16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void read_next(struct reader *r)
{
    r->lexeme = NULL;
    if (!r->left)
        return;
    r->left--;
    r->lexeme = (const char *)r->p;
    r->length = strlen(r->lexeme);
    r->positions = get16(r->p + r->length + 1);
    r->places = r->p + r->length + 3;
    r->p = r->places + 2 * (size_t)r->positions;
}

static struct reader read_first(struct pg_bytes bytes)
{
    struct reader r = {0};
    uint32_t count = 0;
    if (bytes.length >= 4) {
        memcpy(&count, bytes.data, 4);
        r.p = (const unsigned char *)bytes.data + 4;
    }
    r.left = be32toh(count);
    read_next(&r);
    return r;
}

static unsigned last_position(struct pg_bytes bytes)
{
    unsigned last = 0;
    for (struct reader r = read_first(bytes); r.lexeme; read_next(&r))
        for (unsigned i = 0; i < r.positions; i++) {
            unsigned position = get16(r.places + 2 * (size_t)i) & TSVECTOR_LAST_POSITION;
            last = position > last ? position : last;
        }
    return last;
}

static unsigned char *put_shifted(unsigned char *p, const struct reader *r, unsigned count,
                                  unsigned shift)
{
    for (unsigned i = 0; i < count; i++)
        p = put16(p, get16(r->places + 2 * (size_t)i) + shift);
    return p;
}

static bool fits(const struct reader *r, unsigned count, unsigned shift)
{
    unsigned place = count ? get16(r->places + 2 * (size_t)(count - 1)) : 0;
    return (place & TSVECTOR_LAST_POSITION) + shift <= TSVECTOR_LAST_POSITION;
}

/* What has no room any more is left out. */
static unsigned char *put_joined(unsigned char *p, const struct reader *a, const struct reader *b,
                                 unsigned shift)
{
    const struct reader *named = a ? a : b;
    unsigned before = a ? a->positions : 0, behind = b ? b->positions : 0;
    unsigned room = before < TSVECTOR_POSITIONS ? TSVECTOR_POSITIONS - before : 0;
    behind = behind < room ? behind : room;
    while (behind && !fits(b, behind, shift))
        behind--;
    memcpy(p, named->lexeme, named->length + 1);
    p = put16(p + named->length + 1, before + behind);
    if (a)
        p = put_shifted(p, a, before, 0);
    return b ? put_shifted(p, b, behind, shift) : p;
}

int tsvector_concat(struct pg_bytes first, struct pg_bytes second, struct buffer *out)
{
    struct reader a = read_first(first), b = read_first(second);
    unsigned shift = last_position(first);
    int rc = buffer_reserve(out, first.length + second.length + 4);
    if (rc)
        return rc;
    unsigned char *head = (unsigned char *)out->data + out->length, *p = head + 4;
    uint32_t count = 0;
    for (; a.lexeme || b.lexeme; count++) {
        int which = !a.lexeme   ? 1
                    : !b.lexeme ? -1
                                : compare_text(a.lexeme, a.length, b.lexeme, b.length);
        p = put_joined(p, which <= 0 ? &a : NULL, which >= 0 ? &b : NULL, shift);
        if (which <= 0)
            read_next(&a);
        if (which >= 0)
            read_next(&b);
    }
    put32(head, count);
    out->length += (size_t)(p - head);
    out->data[out->length] = '\0';
    return OK;
}
