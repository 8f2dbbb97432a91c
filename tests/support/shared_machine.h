/* shared_machine.h - a store in a shared folder of its own, for its tests. */
#ifndef AEGIS_TESTS_SHARED_MACHINE_H
#define AEGIS_TESTS_SHARED_MACHINE_H

#include "adapters/local/store_shared.h"
#include "support/store_conformance.h"

enum { BIG = 100000, HOUR_MS = 3600000, DAY_SECONDS = 86400 };

/* One machine: a store with a clock of its own. */
struct machine {
    char directory[256];
    struct object_store store;
    struct clock clock;
    int64_t now;
};

void machine_make(struct machine *p); /* a new folder; nothing is opened */
void machine_remove(struct machine *p);
/* Another machine on the folder of `p`; its `now` is kept. */
void machine_beside(const struct machine *p, struct machine *other);
int machine_open(struct machine *p);
void machine_close(struct machine *p);

/* For cmocka: a struct machine, opened. */
int machine_setup(void **state);
int machine_teardown(void **state);

/* `size` bytes that differ by `seed`: above 32 KiB they are a file of their own. */
int machine_put_as(struct object_store *store, const char *key, int seed, size_t size,
                   struct object_info *info);
struct object_info machine_put(struct machine *p, const char *key, int seed, size_t size);
/* Whether exactly these bytes are there ("" is the newest version). */
bool machine_reads(struct object_store *store, const char *key, const char *version, int seed,
                   size_t size);
bool machine_has(struct object_store *store, const char *key);

int machine_files(const struct machine *p, const char *below);
/* Makes every file of the folder that much older. */
void machine_age(const struct machine *p, int seconds);
int64_t machine_collect(struct machine *p);
/* The path of a file in the directory of a key of bucket "media". */
void machine_key_file(const struct machine *p, const char *key, const char *name, char out[700]);

#endif
