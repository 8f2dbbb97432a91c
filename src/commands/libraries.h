/* libraries.h - the shared libraries this process really runs with. */
#ifndef AEGIS_COMMANDS_LIBRARIES_H
#define AEGIS_COMMANDS_LIBRARIES_H

#include <stddef.h>

enum { LIBRARIES_CAP = 8 };
struct library {
    const char *name;
    char version[64];
};

/* Fills at most LIBRARIES_CAP rows; returns how many. */
size_t libraries_list(struct library out[LIBRARIES_CAP]);

#endif
