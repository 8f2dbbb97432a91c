/*
 * watch.h - a folder whose files become media as they appear (inotify(7)).
 *
 * A file is taken when its writer closes it or it is renamed into place, never half-written; what
 * was there at the start, or changed while nobody watched, is taken too.
 */
#ifndef AEGIS_INGESTION_WATCH_H
#define AEGIS_INGESTION_WATCH_H

#include "ingestion/files.h"

struct watch_options {
    struct file_options files; /* key is not used; cancel ends the watching */
    bool mirror;               /* a file that goes takes its medium with it */
    /* Everything that was there at the start is taken, and whatever comes from now on will be
     * noticed. May be NULL. */
    void (*ready)(void *ctx); /* with files.ctx */
};

/*
 * Watches `root` and everything below it until options->files.cancel is requested: 0 then. Names
 * ending in .part, .partial, .tmp, .crdownload, .download or ~ are temporary and left alone. When
 * the disk is full or the pipeline's storage does not answer, it waits and tries again, reporting
 * the failure each time. Errors: ERR_NOT_FOUND (no such folder, or it was removed), ERR_INVALID
 * (not a folder), ERR_SYSTEMIC "inotify_limit" (the text names the sysctl to raise), and what
 * files.report returned.
 */
int watch_folder(const struct ingestion_ports *ports, const char *root,
                 const struct watch_options *options);

#endif
