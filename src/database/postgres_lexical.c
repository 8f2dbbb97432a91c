/*
 * The lexical arm: chunk.words (postgres_words.h) under a GIN index.
 *
 * The index finds passages but does not rank them: that takes their words out of the table. A
 * passage's score is the sum over the terms of ts_rank (the term's frequency, dampened, the heading
 * three times the text, less in a long passage) times the term's rarity, ln(1 + all passages /
 * those that have it), as BM25 would have it. Rarity is counted among the matches. A term counts
 * once, by whichever stem fits best, so that passages whose language has stems of its own gain
 * nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "database/lexical_terms.h"
#include "database/postgres_query.h"
#include "database/postgres_words.h"

/* Added to the score of passages that hold all words, so that they rank before the others, whose
 * score stays below: 48 terms of a rank below 1 and a rarity below 20. */
static const double ALL_WORDS = 1000.0;

/* Of more matches only so many are ranked. */
enum { RANKED = 10000 };

enum { RANKS = LEXICAL_TERMS * (1 + QUERY_LANGUAGES), QUERY_BYTES = 4 << 20 };

/* One query: what must match, and each term under each stemmer to rank it by. */
struct lexical {
    struct lexical_terms terms;
    struct query_words *words;
    struct buffer all, any;
    struct arena *arena;
    const char *rank_text[RANKS];
    int64_t rank_term[RANKS];
    size_t rank_count;
    size_t found; /* terms that hold a word */
    const struct media_filter *filter;
    struct arm_hit *hits;
    size_t count, k;
};

/* ---- the query as tsqueries ---- */

static int append_term(struct lexical *l, struct buffer *out, size_t i, const char *between,
                       bool *empty)
{
    const struct lexical_term *t = &l->terms.items[i];
    size_t length = out->length;
    int rc = length ? buffer_append_string(out, between) : OK;
    if (!rc)
        rc = query_words_write(l->words, QUERY_ANY, t->text, t->length, out, empty);
    if (!rc && *empty)
        buffer_truncate(out, length);
    return rc;
}

static int write_all(struct lexical *l)
{
    bool empty;
    int rc = OK;
    for (size_t i = 0; !rc && i < l->terms.count; i++) {
        rc = append_term(l, &l->all, i, "&", &empty);
        l->found += !rc && !empty;
    }
    return rc;
}

/* (word | word | "a phrase") & "a phrase": the phrase must be there, words add to the rank. */
static int write_any(struct lexical *l)
{
    bool empty;
    int rc = OK;
    struct buffer words;
    buffer_init(&words, QUERY_BYTES);
    for (size_t i = 0; !rc && i < l->terms.count; i++)
        if (lexical_term_tells(&l->terms, i))
            rc = append_term(l, &words, i, "|", &empty);
    if (!rc && words.length)
        rc = buffer_printf(&l->any, "(%s)", buffer_string(&words));
    for (size_t i = 0; !rc && i < l->terms.count; i++)
        if (l->terms.items[i].phrase)
            rc = append_term(l, &l->any, i, "&", &empty);
    buffer_free(&words);
    return rc;
}

static int write_rank(struct lexical *l, size_t term, int language)
{
    const struct lexical_term *t = &l->terms.items[term];
    struct buffer b;
    bool empty = true;
    buffer_init(&b, QUERY_BYTES);
    int rc = query_words_write(l->words, language, t->text, t->length, &b, &empty);
    if (!rc && !empty) {
        l->rank_term[l->rank_count] = (int64_t)term;
        l->rank_text[l->rank_count] = arena_strndup(l->arena, b.data, b.length);
        rc = l->rank_text[l->rank_count++] ? OK : ERR_NO_MEMORY;
    }
    buffer_free(&b);
    return rc;
}

static int write_ranks(struct lexical *l)
{
    int rc = OK, languages = (int)query_words_languages(l->words);
    for (size_t i = 0; !rc && i < l->terms.count; i++)
        for (int j = 0; !rc && j < languages && lexical_term_tells(&l->terms, i); j++)
            rc = write_rank(l, i, j);
    return rc;
}

/* ---- which languages occur ---- */

static const char LANGUAGES[] =
    "WITH RECURSIVE l (language) AS ("
    "SELECT min(language) FROM media WHERE result_id IS NOT NULL UNION ALL "
    "SELECT (SELECT min(m.language) FROM media m WHERE m.result_id IS NOT NULL AND m.language > "
    "l.language) FROM l WHERE l.language IS NOT NULL) "
    "SELECT language FROM l WHERE language > ''";

static int open_words(struct lexical *l, const struct pg_rows *rows)
{
    size_t n = (size_t)rows->count;
    const char **languages = arena_array(l->arena, n, sizeof *languages);
    if (!languages)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        languages[i] = pg_peek(rows, (int)i, 0);
    return query_words_open(languages, n, &l->words);
}

static int find_languages(struct pg *c, struct lexical *l)
{
    struct pg_rows rows;
    if (l->filter && l->filter->language && *l->filter->language)
        return query_words_open(&l->filter->language, 1, &l->words);
    int rc = pg_query(c, &rows, LANGUAGES, NULL, 0);
    if (!rc)
        rc = open_words(l, &rows);
    pg_rows_free(&rows);
    return rc;
}

/* ---- the search ---- */

static void write_search(struct query_sql *q, struct lexical *l, const char *match,
                         const char *without)
{
    query_begin(q, "WITH term AS MATERIALIZED (SELECT q::tsquery AS q, n FROM unnest(");
    query_value(q, P_TEXTS(l->rank_text, l->rank_count));
    query_both(q, "::text[], ", P_INTS(l->rank_term, l->rank_count));
    query_both(q,
               "::bigint[]) t (q, n)), hit AS MATERIALIZED ("
               "SELECT c.chunk_id, c.words, 1 + ln(1 + "
               "octet_length(c.text) / 6.0::float8) AS size FROM chunk c "
               "WHERE c.words @@ ",
               P_TEXT(match));
    query_text(q, "::text::tsquery");
    if (without) {
        query_both(q, " AND NOT c.words @@ ", P_TEXT(without));
        query_text(q, "::text::tsquery");
    }
    query_text(q, " AND EXISTS (SELECT 1 FROM media m WHERE m.result_id = c.result_id AND NOT "
                  "m.removed");
    query_add_filter(q, l->filter);
    query_both(q, ") LIMIT ", P_INT(RANKED));
    query_text(q,
               "), part AS (SELECT h.chunk_id, t.n, max(ts_rank('{0.3, 0.3, 0.3, 0.9}', h.words, "
               "t.q) / h.size) AS rank FROM hit h JOIN term t ON h.words @@ t.q GROUP BY 1, 2), "
               "rarity AS (SELECT n, ln(1 + (SELECT greatest(sum(chunks), 1) FROM "
               "total)::float8 / count(*)) AS weight FROM part GROUP BY n) "
               "SELECT h.chunk_id, coalesce(sum(p.rank * r.weight), 0)::float8 AS score FROM hit "
               "h LEFT JOIN part p ON p.chunk_id = h.chunk_id LEFT JOIN rarity r ON r.n = p.n "
               "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ");
    query_value(q, P_INT((int64_t)(l->k - l->count)));
}

static int search_pass(struct pg *c, struct lexical *l, const char *match, const char *without,
                       double bonus)
{
    struct query_sql q;
    struct pg_rows rows;
    write_search(&q, l, match, without);
    int rc = query_run(&q, c, &rows);
    for (int i = 0; !rc && i < rows.count; i++) {
        double score = pg_real(&rows, i, 1);
        if (!bonus && score >= ALL_WORDS)
            score = ALL_WORDS - 1;
        l->hits[l->count++] =
            (struct arm_hit){.chunk_id = pg_int(&rows, i, 0), .score = score + bonus};
    }
    pg_rows_free(&rows);
    query_end(&q);
    return rc;
}

static int search_both(struct pg *c, struct lexical *l)
{
    if (!l->found || !l->k)
        return OK;
    const char *all = buffer_string(&l->all);
    int rc = search_pass(c, l, all, NULL, ALL_WORDS);
    if (!rc && l->count < l->k && l->any.length && l->found > 1)
        rc = search_pass(c, l, buffer_string(&l->any), all, 0);
    return rc;
}

static int search(struct pg *c, void *arg)
{
    struct lexical *l = arg;
    int rc = find_languages(c, l);
    if (!rc)
        rc = write_all(l);
    if (!rc)
        rc = write_any(l);
    if (!rc)
        rc = write_ranks(l);
    return rc ? rc : search_both(c, l);
}

/* Both passes see one moment. */
static int search_snapshot(struct store *s, struct lexical *l)
{
    struct pg *c;
    int rc = store_hold(s, &c);
    if (rc)
        return rc;
    rc = pg_begin(c, PG_SNAPSHOT);
    if (!rc)
        rc = search(c, l);
    if (!rc)
        rc = pg_commit(c);
    pg_release(c);
    return rc;
}

int postgres_search_lexical(void *ctx, const char *query, const struct media_filter *filter,
                            size_t k, struct arena *arena, struct arm_hit **out, size_t *count)
{
    struct lexical *l = arena_array(arena, 1, sizeof *l);
    *count = 0;
    if (!l)
        return ERR_NO_MEMORY;
    *l = (struct lexical){.arena = arena, .filter = filter, .k = k < CAP_RESULTS ? k : CAP_RESULTS};
    l->hits = *out = arena_array(arena, l->k, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    buffer_init(&l->all, QUERY_BYTES);
    buffer_init(&l->any, QUERY_BYTES);
    lexical_terms_split(query, strnlen(query, CAP_QUERY), &l->terms);
    int rc = l->terms.count && l->k ? search_snapshot(ctx, l) : OK;
    query_words_close(l->words);
    buffer_free(&l->all);
    buffer_free(&l->any);
    *count = rc ? 0 : l->count;
    return rc;
}
