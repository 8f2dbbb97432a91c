/* av.c - see av.h. */
#include "media/av.h"

#include <dlfcn.h>
#include <stdbool.h>

#include "shared/error.h"

static int missing(const char *what)
{
    return error_set(ERR_PERMANENT, "no_decoder",
                     "'%s' was not found; install FFmpeg's libraries to read recordings (%s)", what,
                     dlerror());
}

#define SONAME(name, major) "lib" name ".so." AV_STRINGIFY(major)

#define RESOLVE(name)                                                                              \
    if (!(*(void **)&av->name = dlsym(library, #name)))                                            \
        return missing(#name);

#define LOADER(part, soname, FUNCTIONS)                                                            \
    static int load_##part(struct av *av)                                                          \
    {                                                                                              \
        void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);                                     \
        if (!library)                                                                              \
            return missing(soname);                                                                \
        FUNCTIONS(RESOLVE)                                                                         \
        return OK;                                                                                 \
    }

LOADER(util, SONAME("avutil", LIBAVUTIL_VERSION_MAJOR), AV_UTIL_FUNCTIONS)
LOADER(resample, SONAME("swresample", LIBSWRESAMPLE_VERSION_MAJOR), AV_RESAMPLE_FUNCTIONS)
LOADER(codec, SONAME("avcodec", LIBAVCODEC_VERSION_MAJOR), AV_CODEC_FUNCTIONS)
LOADER(format, SONAME("avformat", LIBAVFORMAT_VERSION_MAJOR), AV_FORMAT_FUNCTIONS)

int av_load(struct av *av)
{
    int rc = load_util(av);
    if (!rc)
        rc = load_resample(av);
    if (!rc)
        rc = load_codec(av);
    if (!rc)
        rc = load_format(av);
    return rc;
}
