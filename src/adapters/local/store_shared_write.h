/* store_shared_write.h - how versions and removals come into a shared folder. */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_SHARED_WRITE_H
#define AEGIS_ADAPTERS_LOCAL_STORE_SHARED_WRITE_H

#include "adapters/local/store_shared_keys.h"

enum { SHARED_TRIES = 1000 }; /* sequencers taken by others one after the other */

/* Stores what `source` gives as the next version of info's bucket and key, durably; fills in the
 * rest of *info but its content type. Errors as the port's put. */
int shared_write_object(const struct shared_store *store, const struct object_source *source,
                        struct object_info *info);

/* Removes info's bucket and key, durably; fills in the sequencer. */
int shared_write_removal(const struct shared_store *store, struct object_info *info);

/* What a failure to put something into a key's directory means. `vanished`: a sweep took the
 * directory away because it was empty, so make it again. `draft` (may be NULL) is the path of the
 * file that was to be put there. Returns the code set. */
int shared_directory_failed(const struct shared_store *store, const struct key_directory *d,
                            const char *draft, int errnum, const char *doing, bool *vanished);

#endif
