/*
 * search.h - hybrid search above the database port: the rules that all engines share, once.
 *
 * Two arms look for passages: the lexical arm (words) and the vector arm (meaning, in the embedding
 * space that serves). Their lists are fused by Reciprocal Rank Fusion: a passage scores the sum
 * over the lists that found it of 1 / (60 + its rank there), ranks from 1 (Cormack, Clarke,
 * Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
 * SIGIR 2009). Ties go to the better single rank, then to the better lexical rank, then to the
 * older passage.
 *
 * The query is embedded by the serving space's model, whatever the settings say; that they say
 * something else is told by a warning. Search never degrades in silence. If an arm fails, or sees
 * only part (passages that are not in the serving space, no embedding provider), the answer carries
 * a warning that says so. If no arm worked, that is an error.
 */
#ifndef AEGIS_DATABASE_SEARCH_H
#define AEGIS_DATABASE_SEARCH_H

#include "database/search_snippet.h"
#include "ports/database.h"
#include "ports/model_provider.h"
#include "shared/arena.h"
#include "shared/cancel.h"

enum { SEARCH_LEXICAL = 1, SEARCH_VECTOR = 2, SEARCH_DEFAULT_LIMIT = 10 };

struct search_request {
    const char *query;          /* UTF-8, words or a question */
    struct media_filter filter; /* NULL, "" and 0 mean: any */
    size_t limit;               /* hits wanted; 0: SEARCH_DEFAULT_LIMIT; at most CAP_RESULTS */
    size_t per_media;           /* at most so many hits of one medium; 0: no limit */
    unsigned arms;              /* SEARCH_LEXICAL | SEARCH_VECTOR; 0: both */
};

/* Where an arm placed a passage. */
struct search_placing {
    size_t rank;  /* from 1; 0: this arm did not find it */
    double score; /* the arm's own: greater is better; the vector arm's is the cosine */
};

/* Another medium that shows the very same text. */
struct search_other {
    int64_t media_id;
    const char *bucket, *key;
};

struct search_hit {
    double score; /* fused; comparable within one answer only */
    struct search_placing lexical, vector;
    struct passage passage; /* bucket, key, title, text, times (-1 for documents), draft, ... */
    struct snippet snippet;
    struct search_other *others; /* identical passages are one hit */
    size_t other_count;
};

/* `reason` is a code: "lexical_failed", "vector_failed", "no_embedding_provider",
 * "embedding_failed", "no_embeddings", "other_space" (the answer may lack something), "other_model"
 * (it does not).
 * `message` is one line for a person. */
struct search_warning {
    const char *reason;
    const char *message;
};

enum { SEARCH_WARNINGS = 16 };

struct search_answer {
    struct search_hit *hits; /* best first */
    size_t count;
    struct search_warning warnings[SEARCH_WARNINGS];
    size_t warning_count;
    unsigned arms;            /* which arms contributed a list, even an empty one */
    struct model_calls calls; /* what embedding the query cost */
};

/* Runs the arms, fuses, fetches the passages and cuts the snippets. Everything lives in `arena`.
 * Blocks: the database, and one call of the embedding provider. ERR_INVALID: the query is empty or
 * not UTF-8. ERR_TOO_LARGE: it is longer than CAP_QUERY or the limit is above CAP_RESULTS.
 * ERR_CANCELLED. If every arm failed: the error of the first. */
int search_run(const struct database *db, const struct model_providers *providers,
               const struct search_request *request, const struct cancel *cancel,
               struct arena *arena, struct search_answer *out);

#endif
