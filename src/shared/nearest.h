/*
 * nearest.h - "did you mean ...?": the closest of a list of names to what a person typed.
 */
#ifndef AEGIS_SHARED_NEAREST_H
#define AEGIS_SHARED_NEAREST_H

#include <stddef.h>

/* Optimal string alignment distance (insertions, deletions, substitutions and swaps of neighbours;
 * R. Wagner and M. Fischer 1974, extended by F. Damerau's transpositions), letters compared without
 * regard to case. Names longer than 63 bytes are infinitely far from everything. */
size_t nearest_distance(const char *a, const char *b);

/* Remembers the best candidate: start with {.typed = text} and offer each name. */
struct nearest {
    const char *typed;
    const char *best; /* NULL as long as nothing is near enough to be a slip of the fingers */
    size_t distance;
};
void nearest_offer(struct nearest *n, const char *name);

#endif
