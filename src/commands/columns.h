/*
 * columns.h - tables whose columns line up, whatever script their texts are in.
 */
#ifndef AEGIS_COMMANDS_COLUMNS_H
#define AEGIS_COMMANDS_COLUMNS_H

#include "commands/output.h"

struct column {
    const char *title;
    bool right;     /* numbers */
    bool shrinks;   /* gives up width first when the terminal is narrow, ending in "…" */
    bool to_ending; /* shrinks at its front instead: "…end/of/path" */
    bool optional;  /* left out of a terminal too narrow for all */
};

enum { COLUMNS_CAP = 12 };

struct columns {
    struct arena *arena;
    const struct column *specs;
    size_t count;
    const char *(*rows)[COLUMNS_CAP];
    enum style *styles; /* of whole rows */
    size_t row_count, row_capacity;
};

void columns_init(struct columns *c, struct arena *arena, const struct column *specs, size_t count);

/* One row: `count` clean texts in the arena or static. ERR_NO_MEMORY. */
int columns_row(struct columns *c, enum style style, const char *const *cells);

/* With a heading. On a terminal rows are cut to its width; elsewhere nothing is cut. */
void columns_print(const struct columns *c, const struct terminal *t);

#endif
