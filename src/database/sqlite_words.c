#include "database/sqlite_words.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4096, WORD = 24, LONGEST_WORD = 21 };

/* A word in lower case, zeros behind it, and the one token it stands for. */
struct known_word {
    uint8_t length, token_length; /* length 0: a free slot */
    char word[WORD], token[WORD];
};

struct words {
    fts5_tokenizer inner;
    Fts5Tokenizer *instance;
    struct known_word *known; /* SLOTS, made when the first document comes: queries need none */
    unsigned char folded[256];
};

typedef int token_callback(void *ctx, int flags, const char *token, int length, int start, int end);

/* ---- making ---- */

static void words_delete(Fts5Tokenizer *tokenizer)
{
    struct words *w = (struct words *)tokenizer;
    if (w->instance)
        w->inner.xDelete(w->instance);
    free(w->known);
    free(w);
}

static int words_create(void *api_pointer, const char **arguments, int count, Fts5Tokenizer **out)
{
    fts5_api *api = api_pointer;
    void *context;
    if (count < 1)
        return SQLITE_ERROR;
    struct words *w = calloc(1, sizeof *w);
    if (!w)
        return SQLITE_NOMEM;
    int rc = api->xFindTokenizer(api, arguments[0], &context, &w->inner);
    if (rc == SQLITE_OK)
        rc = w->inner.xCreate(context, arguments + 1, count - 1, &w->instance);
    for (int c = 0; c < 128; c++)
        w->folded[c] = (unsigned char)(isalnum(c) ? tolower(c) : 0);
    if (rc != SQLITE_OK) {
        w->instance = NULL;
        words_delete((Fts5Tokenizer *)w);
        return rc;
    }
    *out = (Fts5Tokenizer *)w;
    return SQLITE_OK;
}

/* ---- one word ---- */

/* What the inner tokenizer made of a word: one token is remembered. */
struct lesson {
    struct known_word *slot;
    int tokens;
    int start;
    token_callback *emit;
    void *ctx;
};

static int learn(void *ctx, int flags, const char *token, int length, int start, int end)
{
    struct lesson *l = ctx;
    l->tokens++;
    if (l->slot && length <= LONGEST_WORD) {
        l->slot->token_length = (uint8_t)length;
        memcpy(l->slot->token, token, (size_t)length);
    }
    return l->emit(l->ctx, flags, token, length, l->start + start, l->start + end);
}

static int ask(struct words *w, int flags, const char *text, int start, int end,
               struct known_word *slot, token_callback *emit, void *ctx)
{
    struct lesson l = {.slot = slot, .start = start, .emit = emit, .ctx = ctx};
    int rc = w->inner.xTokenize(w->instance, &l, flags, text + start, end - start, learn);
    if (slot && (rc != SQLITE_OK || l.tokens != 1 || slot->token_length == 0))
        slot->length = 0;
    return rc;
}

/* A word of ASCII letters and digits where it stands, in lower case with zeros behind it, and its
 * FNV-1a hash. */
struct met_word {
    int start, end;
    uint32_t hash;
    char text[WORD];
};

/* Words of a fixed size are compared without a call. */
static bool is_known(const struct known_word *slot, const struct met_word *word)
{
    uint64_t a[WORD / 8], b[WORD / 8];
    memcpy(a, slot->word, WORD);
    memcpy(b, word->text, WORD);
    return slot->length == word->end - word->start && a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

static int known_or_ask(struct words *w, int flags, const char *text, const struct met_word *word,
                        token_callback *emit, void *ctx)
{
    struct known_word *slot = &w->known[(word->hash ^ word->hash >> 16) % SLOTS];
    if (is_known(slot, word))
        return emit(ctx, 0, slot->token, slot->token_length, word->start, word->end);
    *slot = (struct known_word){.length = (uint8_t)(word->end - word->start)};
    memcpy(slot->word, word->text, WORD);
    return ask(w, flags, text, word->start, word->end, slot, emit, ctx);
}

/* ---- a text ---- */

static int words_tokenize(Fts5Tokenizer *tokenizer, void *ctx, int flags, const char *text,
                          int length, token_callback *emit)
{
    struct words *w = (struct words *)tokenizer;
    if (!w->known && flags & FTS5_TOKENIZE_DOCUMENT)
        w->known = calloc(SLOTS, sizeof *w->known);
    if (!w->known)
        return w->inner.xTokenize(w->instance, ctx, flags, text, length, emit);
    const unsigned char *p = (const unsigned char *)text;
    int rc = SQLITE_OK, i = 0;
    while (rc == SQLITE_OK && i < length) {
        struct met_word word = {.start = i, .hash = 2166136261u};
        unsigned char high = 0, c;
        for (; i < length && ((c = w->folded[p[i]]) || p[i] >= 0x80); i++) {
            high |= p[i];
            word.hash = (word.hash ^ c) * 16777619u;
            if (i - word.start < LONGEST_WORD)
                word.text[i - word.start] = (char)c;
        }
        word.end = i;
        if (word.end == word.start)
            i++;
        else if (high < 0x80 && word.end - word.start <= LONGEST_WORD)
            rc = known_or_ask(w, flags, text, &word, emit, ctx);
        else
            rc = ask(w, flags, text, word.start, word.end, NULL, emit, ctx);
    }
    return rc;
}

/* ---- registering ---- */

int words_register(sqlite3 *db)
{
    static const fts5_tokenizer words = {words_create, words_delete, words_tokenize};
    fts5_api *api = NULL;
    sqlite3_stmt *row = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &row, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_pointer(row, 1, (void *)&api, "fts5_api_ptr", NULL);
    if (rc == SQLITE_OK)
        sqlite3_step(row);
    sqlite3_finalize(row);
    if (rc == SQLITE_OK && !api)
        rc = SQLITE_ERROR;
    return rc != SQLITE_OK
               ? rc
               : api->xCreateTokenizer(api, "words", api, (fts5_tokenizer *)&words, NULL);
}
