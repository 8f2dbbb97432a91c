/* store_shared_write.h - how versions and removals come into a shared folder. */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_SHARED_WRITE_H
#define AEGIS_ADAPTERS_LOCAL_STORE_SHARED_WRITE_H

#include "adapters/local/store_shared_internal.h"

/* Stores what `source` gives as the next version of info's bucket and key, durably; fills in the
 * rest of *info but its content type. Errors as the port's put. */
int shared_write_object(const struct shared_store *store, const struct object_source *source,
                        struct object_info *info);

/* Removes info's bucket and key, durably; fills in the sequencer. */
int shared_write_removal(const struct shared_store *store, struct object_info *info);

/* ERR_INVALID if the file system has no hard links. */
int shared_check_links(const struct shared_store *store);

#endif
