/*
 * store_ram.h - an object store in memory, for tests. It keeps the newest version of an object and
 * the one before.
 */
#ifndef AEGIS_ADAPTERS_RAM_STORE_RAM_H
#define AEGIS_ADAPTERS_RAM_STORE_RAM_H

#include "ports/object_store.h"

/* Close it with out->ops->close(out->ctx). ERR_NO_MEMORY. */
int ram_store_open(struct object_store *out);

#endif
