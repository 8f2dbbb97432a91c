#include "adapters/offline/language.h"

#include <libexttextcat/textcat.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unictype.h>
#include <unistd.h>
#include <unistr.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/packed.h"
#include "shared/words.h"

enum {
    SAMPLE_BYTES = 4096, /* small words and scripts look at so much */
    NGRAM_BYTES = 600,   /* n-grams: more costs time and changes nothing */
    NGRAM_MINIMUM = 60,  /* and less is a guess */
    NGRAM_SHORT = 200,
};

struct language_detector {
    const struct stopwords *stopwords;
    pthread_mutex_t lock; /* libexttextcat's handle serves one thread at a time */
    void *textcat;        /* NULL: not loaded yet, or not there */
    bool tried;
};

int language_open(const struct stopwords *stopwords, struct language_detector **out)
{
    struct language_detector *d = *out = calloc(1, sizeof *d);
    if (!d)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for language detection");
    d->stopwords = stopwords;
    pthread_mutex_init(&d->lock, NULL);
    return OK;
}

void language_close(struct language_detector *detector)
{
    if (!detector)
        return;
    if (detector->textcat)
        textcat_Done(detector->textcat);
    pthread_mutex_destroy(&detector->lock);
    free(detector);
}

/* ---- scripts ---- */

/* Scripts that are written by one language that Aegis may meet; Han alone is Chinese, with kana it
 * is Japanese. */
static const struct {
    const char *script, *language;
} scripts[] = {
    {"Hiragana", "ja"}, {"Katakana", "ja"},  {"Hangul", "ko"},  {"Han", "zh"},
    {"Greek", "el"},    {"Hebrew", "he"},    {"Thai", "th"},    {"Armenian", "hy"},
    {"Georgian", "ka"}, {"Tamil", "ta"},     {"Telugu", "te"},  {"Bengali", "bn"},
    {"Gujarati", "gu"}, {"Gurmukhi", "pa"},  {"Khmer", "km"},   {"Lao", "lo"},
    {"Myanmar", "my"},  {"Malayalam", "ml"}, {"Kannada", "kn"}, {"Sinhala", "si"},
    {"Tibetan", "bo"},  {"Ethiopic", "am"},
};
enum { SCRIPT_ROWS = sizeof scripts / sizeof scripts[0] };

static int script_row(ucs4_t uc)
{
    const uc_script_t *script = uc_script(uc);
    for (int i = 0; script && i < SCRIPT_ROWS; i++)
        if (!strcmp(scripts[i].script, script->name))
            return i;
    return -1;
}

/* The language told by the script of most letters, or NULL. */
static const char *by_script(const char *text, size_t length)
{
    size_t counts[SCRIPT_ROWS] = {0}, letters = 0, best = 0;
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x80) {
            letters += (unsigned char)((c | 0x20) - 'a') < 26;
            i++;
            continue;
        }
        ucs4_t uc;
        i += (size_t)u8_mbtouc(&uc, (const uint8_t *)text + i, length - i);
        if (!uc_is_general_category_withtable(uc, UC_CATEGORY_MASK_L))
            continue;
        int row = script_row(uc);
        letters++;
        if (row >= 0)
            counts[row]++;
    }
    size_t kana = counts[0] + counts[1];
    if (kana > 0 && (kana + counts[3]) * 2 > letters && kana * 10 > counts[3])
        return "ja";
    for (size_t i = 1; i < SCRIPT_ROWS; i++)
        if (counts[i] > counts[best])
            best = i;
    return counts[best] * 2 > letters ? scripts[best].language : NULL;
}

/* ---- small words ---- */

/* Decisive if the best language claims enough words, well before the second. A text of a few words
 * only has to be all but unanimous. */
static const char *by_small_words(const struct stopwords *stopwords, const char *text,
                                  size_t length)
{
    unsigned counts[STOPWORD_LANGUAGES] = {0}, words = 0;
    struct word_scan scan;
    struct text_slice slice;
    word_scan_begin(&scan, text, length);
    while (word_next(&scan, &slice)) {
        char word[WORD_BYTES];
        size_t n = word_unaccent(word, word_fold(slice.text, slice.length, word));
        language_set set = stopwords_find(stopwords, word, n);
        for (int i = 0; i < STOPWORD_LANGUAGES; i++)
            counts[i] += set >> i & 1;
        words++;
    }
    int best = 0;
    for (int i = 1; i < STOPWORD_LANGUAGES; i++)
        if (counts[i] > counts[best])
            best = i;
    unsigned second = 0;
    for (int i = 0; i < STOPWORD_LANGUAGES; i++)
        if (i != best && counts[i] > second)
            second = counts[i];
    bool enough = counts[best] >= 2 && counts[best] * 10 >= words * 3;
    return enough && counts[best] * 2 >= second * 3 ? stopwords_language(best) : NULL;
}

/* ---- character n-grams ---- */

/* Languages that people store recordings and documents in; rare ones are left out because they
 * claim texts that are not theirs (Scots claims half of all English). */
static const char *const fingerprints[] = {
    "en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "nn",      "fi",
    "pl", "cs", "sk", "hu", "ro", "bg", "ru", "uk", "be", "mk", "sr-Cyrl", "sr-Latn",
    "hr", "sl", "lt", "lv", "et", "tr", "az", "ar", "fa", "ur", "he",      "hi",
    "mr", "ne", "vi", "id", "ms", "tl", "ca", "gl", "eu", "ga", "cy",      "is",
    "sq", "kk", "ky", "uz", "mn", "af", "sw", "eo", "la",
};

/* Only fingerprints that are there may be listed: one that is missing makes the library refuse all.
 */
static int write_index(int fd, const char *folder)
{
    struct buffer index;
    buffer_init(&index, KIB(16));
    int rc = OK;
    for (size_t i = 0; !rc && i < sizeof fingerprints / sizeof fingerprints[0]; i++) {
        char path[PATH_MAX + 64];
        snprintf(path, sizeof path, "%s%s.lm", folder, fingerprints[i]);
        if (access(path, R_OK) == 0)
            rc = buffer_printf(&index, "%s.lm %s--utf8\n", fingerprints[i], fingerprints[i]);
    }
    if (!rc)
        rc = file_write_all(fd, "index of languages", buffer_string(&index), index.length);
    buffer_free(&index);
    return rc;
}

/* The library wants a slash at its end. */
static void find_fingerprints(char folder[PATH_MAX])
{
    if (!packed_path("share/libexttextcat/", folder, PATH_MAX))
        snprintf(folder, PATH_MAX, "/usr/share/libexttextcat/");
}

static void *load_fingerprints(void)
{
    char folder[PATH_MAX];
    void *handle = NULL;
    find_fingerprints(folder);
    int fd = memfd_create("languages", MFD_CLOEXEC);
    if (fd >= 0 && write_index(fd, folder) == OK) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        handle = special_textcat_Init(path, folder);
    }
    if (fd >= 0)
        close(fd);
    if (handle)
        return handle;
    char standard[PATH_MAX + 16];
    snprintf(standard, sizeof standard, "%sfpdb.conf", folder);
    return special_textcat_Init(standard, folder);
}

/* "[es--utf8][ca--utf8]" gives "es"; for a short text several candidates mean that it is unsure. */
static void read_answer(const char *answer, size_t length, char out[LANGUAGE_TEXT])
{
    out[0] = '\0';
    if (answer[0] != '[' || (length < NGRAM_SHORT && strchr(answer + 1, '[')))
        return;
    size_t n = strcspn(answer + 1, "-]");
    if (n == 0 || n > 3)
        return;
    memcpy(out, answer + 1, n);
    out[n] = '\0';
    if (!strcmp(out, "nb") || !strcmp(out, "nn"))
        memcpy(out, "no", 3);
}

static void by_ngrams(struct language_detector *d, const char *text, size_t length,
                      char out[LANGUAGE_TEXT])
{
    if (length > NGRAM_BYTES)
        length = NGRAM_BYTES;
    pthread_mutex_lock(&d->lock);
    if (!d->tried) {
        d->tried = true;
        d->textcat = load_fingerprints();
    }
    if (d->textcat) {
        char *answer = textcat_Classify(d->textcat, text, length);
        read_answer(answer ? answer : "", length, out);
    }
    pthread_mutex_unlock(&d->lock);
}

void language_detect(struct language_detector *detector, const char *text, size_t length,
                     char out[LANGUAGE_TEXT])
{
    out[0] = '\0';
    size_t sample = length < SAMPLE_BYTES ? length : SAMPLE_BYTES;
    while (sample < length && sample > 0 && (text[sample] & 0xc0) == 0x80)
        sample--;
    const char *found = by_script(text, sample);
    if (!found)
        found = by_small_words(detector->stopwords, text, sample);
    if (found)
        snprintf(out, LANGUAGE_TEXT, "%s", found);
    else if (sample >= NGRAM_MINIMUM)
        by_ngrams(detector, text, sample, out);
}
