/* late.c - see late.h. */
#include "shared/late.h"

#include <dlfcn.h>

#include "shared/error.h"

static int missing(const struct late_library *l)
{
    const char *why = dlerror();
    return error_set(ERR_SYSTEMIC, "library_missing",
                     "the library '%s' cannot be loaded: %s; install Debian's package of it",
                     l->soname, why ? why : "no reason is told");
}

static int load(struct late_library *l)
{
    void *library = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return missing(l);
    for (size_t i = 0; i < l->count; i++)
        if (!(l->addresses[i] = dlsym(library, l->names[i])))
            return missing(l);
    atomic_store(&l->loaded, true);
    return OK;
}

int late_load(struct late_library *l)
{
    if (atomic_load(&l->loaded))
        return OK;
    pthread_mutex_lock(&l->lock);
    int rc = atomic_load(&l->loaded) ? OK : load(l);
    pthread_mutex_unlock(&l->lock);
    return rc;
}
