/* av.c - see av.h. */
#include "media/av.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>

#include "shared/error.h"
#include "shared/packed.h"

/* Packed for AWS Lambda the program uses nothing of the system, and cannot be given it there. */
static const char *remedy(void)
{
    char path[PATH_MAX];
    return packed_path("lib/gconv", path, sizeof path)
               ? "add the layer with FFmpeg's libraries (aegis-lambda-av-layer.zip) to the function"
               : "install FFmpeg's libraries";
}

static int missing(const char *what)
{
    const char *why = dlerror();
    return error_set(ERR_PERMANENT, "no_decoder", "'%s' was not found; %s to read recordings (%s)",
                     what, remedy(), why ? why : "no reason given");
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
