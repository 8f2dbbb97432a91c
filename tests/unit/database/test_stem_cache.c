#include "database/stem_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "database/word_bytes.h"

static struct stem_caches set;

static int begin(void **state)
{
    (void)state;
    memset(&set, 0, sizeof set);
    return pthread_mutex_init(&set.lock, NULL);
}

static int end(void **state)
{
    (void)state;
    stem_caches_free(&set);
    return 0;
}

static void add(struct stem_cache *c, const char *word, const char *stem)
{
    size_t length = strlen(word);
    stem_cache_add(c, word, length, word_hash(word, length), stem, strlen(stem));
}

/* NULL: not known. */
static const char *stem_of(const struct stem_cache *c, const char *word)
{
    static char text[STEM_CACHE_BYTES + 1];
    size_t length = strlen(word);
    const struct known_word *k = stem_cache_find(c, word, length, word_hash(word, length));
    if (!k)
        return NULL;
    assert_int_equal(k->length, length);
    assert_memory_equal(k->word, word, length);
    memcpy(text, k->stem, k->stem_length);
    text[k->stem_length] = '\0';
    return text;
}

static void what_was_added_is_found(void **state)
{
    (void)state;
    struct stem_cache *c = stem_caches_take(&set, "");
    assert_non_null(c);
    assert_null(stem_of(c, "running"));
    add(c, "running", "run");
    add(c, "run", "run");
    add(c, "?", "");
    add(c, "running", "other"); /* it stays as it is */
    assert_string_equal(stem_of(c, "running"), "run");
    assert_string_equal(stem_of(c, "run"), "run");
    assert_string_equal(stem_of(c, "?"), "");
    assert_null(stem_of(c, "runnin"));
    stem_caches_give(&set, c);
    c = stem_caches_take(&set, "");
    assert_string_equal(stem_of(c, "running"), "run");
    stem_caches_give(&set, c);
}

static void long_ones_are_not_kept(void **state)
{
    (void)state;
    char word[STEM_CACHE_BYTES + 2];
    struct stem_cache *c = stem_caches_take(&set, "");
    memset(word, 'x', sizeof word);
    word[STEM_CACHE_BYTES] = '\0';
    add(c, word, word);
    assert_string_equal(stem_of(c, word), word);
    word[STEM_CACHE_BYTES] = 'x';
    word[STEM_CACHE_BYTES + 1] = '\0';
    add(c, word, "x");
    assert_null(stem_of(c, word));
    add(c, "short", word);
    assert_null(stem_of(c, "short"));
    stem_caches_give(&set, c);
}

static const char *numbered(char out[16], int n)
{
    snprintf(out, 16, "word%d", n);
    return out;
}

/* Most of the words there is room for find it; a full one is left as it is to those who use it. */
static void a_full_one_is_replaced(void **state)
{
    (void)state;
    struct stem_cache *c = stem_caches_take(&set, "de"), *next = NULL;
    char word[16];
    int n = 0, kept = 0;
    while (n < 100000) {
        add(c, numbered(word, n++), "w");
        next = stem_caches_take(&set, "de");
        stem_caches_give(&set, next);
        if (next != c)
            break;
    }
    assert_in_range(n, 40000, 60000);
    for (int i = 0; i < n; i++)
        kept += stem_of(c, numbered(word, i)) != NULL;
    assert_true(kept >= n / 100 * 97);
    next = stem_caches_take(&set, "de");
    assert_null(stem_of(next, "word0"));
    stem_caches_give(&set, next);
    stem_caches_give(&set, c);
}

static void few_languages_are_kept(void **state)
{
    (void)state;
    const char *const codes[] = {"", "de", "fr", "es", "it"};
    for (int i = 0; i < 5; i++) {
        struct stem_cache *porter = stem_caches_take(&set, ""), *c;
        c = stem_caches_take(&set, codes[i]);
        add(c, "word", codes[i]);
        stem_caches_give(&set, c);
        stem_caches_give(&set, porter);
    }
    for (int i = 4; i >= 0; i--) { /* "de" was asked for longest ago */
        struct stem_cache *c = stem_caches_take(&set, codes[i]);
        const char *stem = stem_of(c, "word");
        if (i == 1)
            assert_null(stem);
        else if (i)
            assert_string_equal(stem, codes[i]);
        stem_caches_give(&set, c);
    }
}

/* ---- many threads ---- */

enum { THREADS = 4, WORDS = 20000 };

static void *add_and_find(void *arg)
{
    struct stem_cache *c = arg;
    char word[16];
    size_t wrong = 0;
    for (int i = 0; i < WORDS; i++) {
        numbered(word, i);
        size_t length = strlen(word);
        uint32_t hash = word_hash(word, length);
        const struct known_word *k = stem_cache_find(c, word, length, hash);
        wrong += k && (k->stem_length != length || memcmp(k->stem, word, length));
        if (!k)
            stem_cache_add(c, word, length, hash, word, length);
    }
    return (void *)wrong;
}

static void many_may_add_and_find(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct stem_cache *c = stem_caches_take(&set, "");
    void *wrong;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_and_find, c), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_string_equal(stem_of(c, "word0"), "word0");
    stem_caches_give(&set, c);
}

/* ---- words as numbers ---- */

/* A hash that looks at some of the letters only leaves most of them without a place. */
static void short_words_spread(void **state)
{
    (void)state;
    struct stem_cache *c = stem_caches_take(&set, "");
    int kept = 0, all = 26 * 26 * 26;
    for (int i = 0; i < all; i++) {
        char word[] = {(char)('a' + i / 676), (char)('a' + i / 26 % 26), (char)('a' + i % 26), 0};
        add(c, word, word);
        const char *stem = stem_of(c, word);
        kept += stem && !strcmp(stem, word);
    }
    assert_int_equal(kept, all);
    stem_caches_give(&set, c);
}

static void heads_are_in_the_order_of_bytes(void **state)
{
    (void)state;
    const char *const words[] = {"a",       "ab",       "abc", "abcd", "abcde",   "abcdef",
                                 "abcdefg", "abcdefgh", "abd", "b",    "\xc3\xa9"};
    size_t count = sizeof words / sizeof words[0];
    for (size_t i = 1; i < count; i++)
        assert_true(word_head(words[i - 1], strlen(words[i - 1])) <
                    word_head(words[i], strlen(words[i])));
    assert_true(word_head("ab", 2) == (uint64_t)0x6162 << 48);
    assert_true(word_head("abcdefghij", 10) == 0x6162636465666768u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_added_is_found, begin, end),
        cmocka_unit_test_setup_teardown(long_ones_are_not_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_full_one_is_replaced, begin, end),
        cmocka_unit_test_setup_teardown(few_languages_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(many_may_add_and_find, begin, end),
        cmocka_unit_test_setup_teardown(short_words_spread, begin, end),
        cmocka_unit_test(heads_are_in_the_order_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
