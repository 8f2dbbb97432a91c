/* database_place.h - a temporary directory for a database. */
#ifndef AEGIS_TESTS_DATABASE_PLACE_H
#define AEGIS_TESTS_DATABASE_PLACE_H

struct place {
    char path[512];
};

/* Under $TMPDIR or /tmp; fails the test if it cannot be made. */
void place_make(struct place *place);
/* With everything in it. */
void place_remove(struct place *place);

#endif
