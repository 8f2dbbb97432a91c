/* postgres_results.h - results as rows, shared by the files that make and publish them. */
#ifndef AEGIS_DATABASE_POSTGRES_RESULTS_H
#define AEGIS_DATABASE_POSTGRES_RESULTS_H

#include "database/postgres_batch.h"

/* A slice made ready on the caller's thread; borrows the caller's rows. */
struct prepared {
    const struct segment_row *segments;
    size_t segment_count;
    const struct chunk_row *chunks;
    size_t chunk_count;
    struct space_known space; /* id 0: no embeddings */
    void *owned;              /* half precision, or NULL */
    const char *vectors;      /* of chunks[0] */
    size_t vector_size;       /* bytes of one */
    struct buffer heading;    /* that words[0] are with, if it is the result's first */
    struct buffer word_text;
    const struct pg_bytes *words; /* of each chunk, as a tsvector (postgres_words.h) */
    struct pg_bytes *owned_words;
    const char *language; /* of the chunks, "" if not known */
    const struct model_call *calls;
    size_t call_count;
    size_t bytes; /* about, of all of it */
};
/* `title` NULL: the slice is one of a result in the making, whose heading has none. */
int prepare_slice(struct store *s, const struct result_batch *slice, const char *language,
                  const char *title, struct prepared *out);
void prepared_free(struct prepared *p);

/* What a result's first chunk is found by besides its text: its title, if that is known when the
 * chunk is written (else NULL), and its medium's key. ERR_NO_MEMORY. */
enum { HEADING_BYTES = CAP_TITLE + CAP_KEY + 2 };
int heading_write(struct buffer *out, const char *title, const char *key);

/* Adds the rows of a slice to a result, and counts them in its image. */
void slice_insert(struct batch *b, struct result_image *result, const struct prepared *p);
/* The same for a result in the making, leaving out what is stored already. ERR_INVALID, and nothing
 * is added: there is a gap, or embeddings of another space. */
int slice_append(struct batch *b, struct result_image *result, const struct prepared *p);

#endif
