#include "adapters/offline/sphinx.h"

#include <dlfcn.h>
#include <pocketsphinx.h>
#include <sphinxbase/err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/error.h"

/* The functions used, by their own names and types. */
#define BASE_FUNCTIONS(X) X(cmd_ln_init) X(err_set_logfp)
#define FUNCTIONS(X)                                                                               \
    X(ps_args)                                                                                     \
    X(ps_init)                                                                                     \
    X(ps_start_utt)                                                                                \
    X(ps_process_raw) X(ps_end_utt) X(ps_seg_iter) X(ps_seg_next) X(ps_seg_word) X(ps_seg_frames)

#define DECLARE(name) __typeof__(&name) name;
struct sphinx {
    BASE_FUNCTIONS(DECLARE)
    FUNCTIONS(DECLARE)
    ps_decoder_t *decoder;
};

enum { FRAME_MS = 10 };

static int missing(const char *what)
{
    return error_set(ERR_PERMANENT, "no_offline_speech",
                     "cannot transcribe without a key: '%s' is missing; install the package "
                     "pocketsphinx-en-us and its library (libpocketsphinx3), or set OPENAI_API_KEY",
                     what);
}

static int load(struct sphinx *s)
{
    void *base = dlopen("libsphinxbase.so.3", RTLD_NOW | RTLD_GLOBAL);
    if (!base)
        return missing("libsphinxbase.so.3");
    void *library = dlopen("libpocketsphinx.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return missing("libpocketsphinx.so.3");
#define LOAD_FROM(handle, name)                                                                    \
    if (!(*(void **)&s->name = dlsym(handle, #name)))                                              \
        return missing(#name);
#define LOAD_BASE(name) LOAD_FROM(base, name)
#define LOAD(name)      LOAD_FROM(library, name)
    BASE_FUNCTIONS(LOAD_BASE)
    FUNCTIONS(LOAD)
    return OK;
}

static int model_path(char *out, size_t size, const char *model, const char *name)
{
    int n = snprintf(out, size, "%s/%s", model, name);
    return n < 0 || (size_t)n >= size || access(out, R_OK) != 0 ? missing(out) : OK;
}

/* Beams as narrow as a word a tenth of a second needs; the audio comes without silence already, so
 * that times are not shifted by what the recogniser takes out itself. */
static int open_decoder(struct sphinx *s, const char *model)
{
    char acoustic[512], language[512], dictionary[512];
    int rc = model_path(acoustic, sizeof acoustic, model, "en-us");
    if (!rc)
        rc = model_path(language, sizeof language, model, "en-us.lm.bin");
    if (!rc)
        rc = model_path(dictionary, sizeof dictionary, model, "cmudict-en-us.dict");
    if (rc)
        return rc;
    s->err_set_logfp(NULL);
    cmd_ln_t *settings = s->cmd_ln_init(NULL, s->ps_args(), TRUE, "-hmm", acoustic, "-lm", language,
                                        "-dict", dictionary, "-maxhmmpf", "3000", "-maxwpf", "10",
                                        "-remove_silence", "no", "-logfn", "/dev/null", NULL);
    s->decoder = settings ? s->ps_init(settings) : NULL;
    return s->decoder ? OK : missing(model);
}

int sphinx_open(const char *model, struct sphinx **out)
{
    struct sphinx *s = *out = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for speech recognition");
    int rc = load(s);
    return rc ? rc : open_decoder(s, model);
}

static int failed(const char *what)
{
    return error_set(ERR_PERMANENT, "parser_crashed", "PocketSphinx failed in %s", what);
}

/* "<sil>", "[NOISE]", "++BREATH++" are no words; "read(2)" is "read" in its second pronunciation.
 */
static bool clean_word(const char *raw, char out[64])
{
    size_t n = strcspn(raw, "(");
    if (strchr("<[+", *raw) || n == 0 || n >= 64)
        return false;
    memcpy(out, raw, n);
    out[n] = '\0';
    return true;
}

int sphinx_recognise(struct sphinx *sphinx, const int16_t *samples, size_t count,
                     int (*word)(void *ctx, const char *text, int64_t start_ms, int64_t end_ms),
                     void *ctx)
{
    if (sphinx->ps_start_utt(sphinx->decoder) < 0)
        return failed("ps_start_utt");
    if (sphinx->ps_process_raw(sphinx->decoder, samples, count, FALSE, TRUE) < 0)
        return failed("ps_process_raw");
    if (sphinx->ps_end_utt(sphinx->decoder) < 0)
        return failed("ps_end_utt");
    int rc = OK;
    for (ps_seg_t *seg = sphinx->ps_seg_iter(sphinx->decoder); seg && !rc;
         seg = sphinx->ps_seg_next(seg)) {
        char text[64];
        int first, last;
        sphinx->ps_seg_frames(seg, &first, &last);
        if (clean_word(sphinx->ps_seg_word(seg), text))
            rc = word(ctx, text, (int64_t)first * FRAME_MS, (int64_t)(last + 1) * FRAME_MS);
    }
    return rc;
}
