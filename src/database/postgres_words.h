/*
 * postgres_words.h - what chunk.words holds, and how the lexical arm asks for it.
 *
 * The words are made here and not by the server's to_tsvector(): so they do not depend on its
 * locale, parser or extensions, they cost the workers' time and not the database's, and one
 * definition of a word serves the index, the query and the highlights (search_snippet.h).
 *
 * Each word of a passage (shared/words.h, split at what is no letter or digit) gives the lexeme
 * that SQLite's arm has too: folded, without accents, stemmed by Porter's algorithm. No stop words.
 * Where the passage's language is known and has a stemmer of its own, a second lexeme stands at the
 * same position: that stem behind the language's code, "de/haus". English has Porter's. A query's
 * language is not known: it asks for Porter's stem or any of the languages' own that occur.
 * Positions have weight A in the heading, D in the text.
 */
#ifndef AEGIS_DATABASE_POSTGRES_WORDS_H
#define AEGIS_DATABASE_POSTGRES_WORDS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "database/stem_cache.h"
#include "database/tsvector.h"

/* Stemmers for passages of one language; one thread at a time. They are had from a pool, below. */
struct passage_words;

/*
 * Appends a passage's words as a tsvector in binary form (tsvector.h): 'walk':1A 'on':2A
 * 'glacier':3A,6 'a':5. `heading` "" for all but a result's first passage. Words beyond the first
 * PASSAGE_WORDS are left out. ERR_NO_MEMORY, ERR_TOO_LARGE (the buffer's cap).
 */
enum { PASSAGE_WORDS = 8000, PASSAGE_WORDS_BYTES = 2 << 20 };
int passage_words_write(struct passage_words *w, const char *heading, const char *text,
                        size_t length, struct buffer *out);

/* Some of them kept for the next passage, and the words all of them know. For many threads. */
enum { WORDS_POOL = 8 };
struct words_pool {
    struct stem_caches caches;
    pthread_mutex_t lock;
    struct passage_words *idle[WORDS_POOL]; /* the one that came back last at the end */
    size_t count;
};
void words_pool_init(struct words_pool *pool);
/* `language`: ISO 639-1, "" if not known. ERR_NO_MEMORY. */
int words_pool_take(struct words_pool *pool, const char *language, struct passage_words **out);
void words_pool_give(struct words_pool *pool, struct passage_words *w); /* NULL is fine */
void words_pool_free(struct words_pool *pool);

/* Has this language lexemes of its own beside Porter's? */
bool words_stemmed_apart(const char *language);

/* The stemmers of one query; of a term the first 64 words count. Languages without lexemes of their
 * own are passed over, as are further ones beyond QUERY_LANGUAGES. */
enum { QUERY_LANGUAGES = 16 };
struct query_words;
int query_words_open(const char *const *languages, size_t count, struct query_words **out);
void query_words_close(struct query_words *q);

/* Porter's is number 0, the languages follow. */
size_t query_words_languages(const struct query_words *q);

/* Appends a word or phrase as a tsquery in parentheses; nothing at all, with *empty, if it holds no
 * word. `language` QUERY_ANY: each word by any of the stems; else by those of one language.
 * ERR_NO_MEMORY, ERR_TOO_LARGE. */
enum { QUERY_ANY = -1 };
int query_words_write(struct query_words *q, int language, const char *term, size_t length,
                      struct buffer *out, bool *empty);

#endif
