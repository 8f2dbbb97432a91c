#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/words.h"
#include "support/seed.h"

/* All words of `text`, joined by '|'. */
static const char *words_of(const char *text)
{
    static char out[4096];
    struct word_scan scan;
    struct text_slice word;
    size_t n = 0;
    word_scan_begin(&scan, text, strlen(text));
    while (word_next(&scan, &word))
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", n ? "|" : "", (int)word.length,
                              word.text);
    out[n] = '\0';
    return out;
}

static const char *sentences_of(const char *text)
{
    static char out[8192];
    struct sentence_scan scan;
    struct text_slice sentence;
    size_t n = 0;
    sentence_scan_begin(&scan, text, strlen(text));
    while (sentence_next(&scan, &sentence)) {
        assert_true(sentence.length > 0);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", n ? "|" : "", (int)sentence.length,
                              sentence.text);
    }
    out[n] = '\0';
    return out;
}

static const char *folded(const char *word)
{
    static char out[WORD_BYTES + 1];
    out[word_fold(word, strlen(word), out)] = '\0';
    return out;
}

static const char *unaccented(const char *word)
{
    static char out[WORD_BYTES + 1];
    out[word_unaccent(out, word_fold(word, strlen(word), out))] = '\0';
    return out;
}

static void words_of_ascii(void **state)
{
    (void)state;
    assert_string_equal(words_of("It's 3.14, not 1,000; see example.com: done!"),
                        "It's|3.14|not|1,000|see|example.com|done");
    assert_string_equal(words_of("  --- ... ___ "), "");
    assert_string_equal(words_of("a_b 'quoted' end."), "a_b|quoted|end");
    assert_string_equal(words_of(""), "");
}

static void words_of_other_scripts(void **state)
{
    (void)state;
    assert_string_equal(words_of("Grüße, l'été — naïve café!"), "Grüße|l'été|naïve|café");
    assert_string_equal(words_of("don’t “stop”"), "don’t|stop");
    assert_string_equal(words_of("Привет, мир"), "Привет|мир");
    assert_string_equal(words_of("東京です。"), "東|京|で|す");
    assert_string_equal(words_of("カタカナ 한국어"), "カタカナ|한국어");
    assert_string_equal(words_of("👩‍👩‍👧 fun"), "fun");
}

static void words_outlast_the_window(void **state)
{
    (void)state;
    char text[3 * 1000 + 1];
    for (int i = 0; i < 1000; i++)
        memcpy(text + 3 * i, "語", 3);
    struct word_scan scan;
    struct text_slice word;
    int count = 0;
    word_scan_begin(&scan, text, 3 * 1000);
    while (word_next(&scan, &word)) {
        assert_int_equal(word.length, 3);
        count++;
    }
    assert_int_equal(count, 1000);
}

static void folding(void **state)
{
    (void)state;
    assert_string_equal(folded("HeLLo"), "hello");
    assert_string_equal(folded("STRASSE"), folded("Straße"));
    assert_string_equal(folded("ÉTÉ"), "été");
    assert_string_equal(folded("don’t"), "don't");
    assert_string_equal(folded("ﬁne"), "fine");
    assert_string_equal(unaccented("Café"), "cafe");
    assert_string_equal(unaccented("Żółć"), "zołc");
    assert_string_equal(unaccented("plain"), "plain");
    char out[WORD_BYTES], longest[301];
    for (int i = 0; i < 100; i++)
        memcpy(longest + 3 * i, "語", 3);
    assert_int_equal(word_fold(longest, 300, out), 63); /* whole characters */
}

static void stemming(void **state)
{
    (void)state;
    static const char *const same[][3] = {
        {"en", "connections", "connected"}, {"en", "pumps", "pumping"},
        {"de", "häuser", "hauses"},         {"fr", "continuellement", "continuelle"},
        {"es", "reuniones", "reunión"},     {"ru", "книгами", "книга"}};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct stemmer *stemmer = stemmer_open(same[i][0]);
        assert_non_null(stemmer);
        char a[WORD_BYTES], b[WORD_BYTES];
        size_t n = stemmer_stem(stemmer, a, word_fold(same[i][1], strlen(same[i][1]), a));
        size_t m = stemmer_stem(stemmer, b, word_fold(same[i][2], strlen(same[i][2]), b));
        n = word_unaccent(a, n);
        m = word_unaccent(b, m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        stemmer_close(stemmer);
    }
    assert_null(stemmer_open("ja"));
    char word[WORD_BYTES] = "walking";
    assert_int_equal(stemmer_stem(NULL, word, 7), 7);
    stemmer_close(NULL);
    struct stemmer *bokmal = stemmer_open("nb");
    assert_non_null(bokmal);
    stemmer_close(bokmal);
}

static void sentences_of_prose(void **state)
{
    (void)state;
    assert_string_equal(sentences_of("One. Two! Three? Four"), "One.|Two!|Three?|Four");
    assert_string_equal(sentences_of("Dr. Smith paid $3.50, e.g. for tea. J. Doe left."),
                        "Dr. Smith paid $3.50, e.g. for tea.|J. Doe left.");
    assert_string_equal(sentences_of("He said \"Stop.\" Then he left. (All of it.) End."),
                        "He said \"Stop.\"|Then he left.|(All of it.)|End.");
    assert_string_equal(sentences_of("It was etc. and so on. Yes."), "It was etc. and so on.|Yes.");
    assert_string_equal(sentences_of("A line\nthat wraps. Next\none here."),
                        "A line\nthat wraps.|Next\none here.");
    assert_string_equal(sentences_of("今日は晴れです。明日は雨です。"),
                        "今日は晴れです。|明日は雨です。");
    assert_string_equal(sentences_of("كيف حالك؟ بخير."), "كيف حالك؟|بخير.");
    assert_string_equal(sentences_of(" \n\n\t "), "");
}

static void sentences_of_markdown(void **state)
{
    (void)state;
    assert_string_equal(sentences_of("# Title\nBody starts. It ends.\n\n- one item\n- two items\n"
                                     "1. first\n2. second\n\nLast one."),
                        "# Title|Body starts.|It ends.|- one item|- two items|1. first|2. second|"
                        "Last one.");
}

static void lines_without_punctuation_are_sentences(void **state)
{
    (void)state;
    assert_string_equal(sentences_of("the pump was old\nwe bought a new one\nit works"),
                        "the pump was old|we bought a new one|it works");
}

static void endless_sentences_are_cut_between_words(void **state)
{
    (void)state;
    char text[5001];
    for (int i = 0; i < 1000; i++)
        memcpy(text + 5 * i, "word ", 5);
    struct sentence_scan scan;
    struct text_slice s;
    size_t total = 0;
    sentence_scan_begin(&scan, text, 5000);
    while (sentence_next(&scan, &s)) {
        assert_true(s.length <= SENTENCE_BYTES);
        assert_int_equal((s.length + 1) % 5, 0);
        total += s.length + 1;
    }
    assert_int_equal(total, 5000);
}

/* Any bytes: slices lie inside, do not overlap, and the scan ends. */
static void any_bytes_are_safe(void **state)
{
    (void)state;
    srand48((long)test_seed());
    for (int round = 0; round < 500; round++) {
        size_t length = (size_t)(lrand48() % 2000);
        char *text = malloc(length + 1); /* exact, so that a sanitizer sees overruns */
        assert_non_null(text);
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(lrand48() % 3 ? lrand48() : " .\n\xe3\x80\x82 a!"[lrand48() % 8]);
        struct word_scan words;
        struct sentence_scan sentences;
        struct text_slice s;
        char folded_word[WORD_BYTES];
        const char *last = text;
        word_scan_begin(&words, text, length);
        while (word_next(&words, &s)) {
            assert_true(s.text >= last && s.length > 0 && s.text + s.length <= text + length);
            last = s.text + s.length;
            assert_true(word_unaccent(folded_word, word_fold(s.text, s.length, folded_word)) <=
                        WORD_BYTES);
        }
        last = text;
        sentence_scan_begin(&sentences, text, length);
        while (sentence_next(&sentences, &s)) {
            assert_true(s.text >= last && s.length > 0 && s.text + s.length <= text + length);
            last = s.text + s.length;
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_ascii),
        cmocka_unit_test(words_of_other_scripts),
        cmocka_unit_test(words_outlast_the_window),
        cmocka_unit_test(folding),
        cmocka_unit_test(stemming),
        cmocka_unit_test(sentences_of_prose),
        cmocka_unit_test(sentences_of_markdown),
        cmocka_unit_test(lines_without_punctuation_are_sentences),
        cmocka_unit_test(endless_sentences_are_cut_between_words),
        cmocka_unit_test(any_bytes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
