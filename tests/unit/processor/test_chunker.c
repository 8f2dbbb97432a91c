#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unigbrk.h>

#include <cmocka.h>

#include "processor/chunker.h"
#include "shared/random.h"
#include "shared/words.h"
#include "support/seed.h"

enum { MOST = 4096 };

struct seen {
    struct text_chunk items[MOST];
    size_t count;
    const char *whole; /* chunks must be stretches of it */
    size_t length;
    int stop_after; /* 0: never */
};

static int keep(void *ctx, const struct text_chunk *chunk)
{
    struct seen *seen = ctx;
    assert_true(seen->count < MOST);
    assert_true(chunk->length > 0);
    assert_true(chunk->offset >= 0 && (size_t)chunk->offset + chunk->length <= seen->length);
    assert_memory_equal(chunk->text, seen->whole + chunk->offset, chunk->length);
    seen->items[seen->count++] = *chunk;
    return seen->stop_after && (int)seen->count == seen->stop_after ? 77 : 0;
}

static struct seen *seen_of(const char *whole, size_t length)
{
    struct seen *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    seen->whole = whole;
    seen->length = length;
    return seen;
}

/* slice 0: all at once; else random slices of at most that many bytes. */
static struct seen *chunks_of(const char *text, size_t length, size_t target, size_t slice)
{
    struct seen *seen = seen_of(text, length);
    struct chunk_sink sink = {.chunk = keep, .ctx = seen};
    struct chunker *chunker;
    assert_int_equal(chunker_open(target, &sink, &chunker), 0);
    for (size_t at = 0; at < length;) {
        size_t n = slice ? 1 + (size_t)lrand48() % slice : length;
        if (n > length - at)
            n = length - at;
        char *copy = malloc(n); /* exact, so that a sanitizer sees reads past it */
        assert_non_null(copy);
        memcpy(copy, text + at, n);
        assert_int_equal(chunker_push(chunker, copy, n), 0);
        free(copy);
        at += n;
    }
    assert_int_equal(chunker_finish(chunker), 0);
    chunker_close(chunker);
    return seen;
}

/* Every byte outside the chunks is white space. */
static void assert_covers(const struct seen *seen)
{
    const char *end = seen->whole + seen->length;
    size_t at = 0;
    for (size_t i = 0; i <= seen->count; i++) {
        size_t next = i < seen->count ? (size_t)seen->items[i].offset : seen->length;
        assert_true(next >= at);
        while (at < next) {
            size_t n = space_at(seen->whole + at, end);
            assert_true(n > 0);
            at += n;
        }
        if (i < seen->count)
            at += seen->items[i].length;
    }
}

static void assert_same(const struct seen *a, const struct seen *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->items[i].offset, b->items[i].offset);
        assert_int_equal(a->items[i].length, b->items[i].length);
        assert_int_equal(a->items[i].start_ms, b->items[i].start_ms);
        assert_int_equal(a->items[i].end_ms, b->items[i].end_ms);
    }
}

static void assert_between_graphemes(const struct seen *seen)
{
    char *breaks = malloc(seen->length + 1);
    assert_non_null(breaks);
    u8_grapheme_breaks((const uint8_t *)seen->whole, seen->length, breaks);
    breaks[seen->length] = 1;
    for (size_t i = 0; i < seen->count; i++) {
        assert_true(breaks[seen->items[i].offset]);
        assert_true(breaks[(size_t)seen->items[i].offset + seen->items[i].length]);
    }
    free(breaks);
}

/* ---- texts made of parts ---- */

struct text {
    char *data;
    size_t length;
};

static void add(struct text *t, const char *part)
{
    size_t n = strlen(part);
    t->data = realloc(t->data, t->length + n + 1);
    assert_non_null(t->data);
    memcpy(t->data + t->length, part, n + 1);
    t->length += n;
}

static struct text prose(size_t bytes)
{
    static const char *const sentences[] = {
        "The committee met on Monday to decide about the old pump. ",
        "Repairing it would cost nine hundred dollars, a new one two thousand. ",
        "Maria asked three suppliers. ", "Nobody objected, although the treasurer sighed aloud. ",
        "Until then water comes from the river in buckets, as it did in the first year. "};
    struct text t = {0};
    while (t.length < bytes)
        add(&t, sentences[lrand48() % 5]);
    t.data[t.length = bytes] = '\0';
    return t;
}

static void nothing_gives_nothing(void **state)
{
    (void)state;
    static const char *const blank[] = {"", " ", "\n\n\t \r\n", "\xe3\x80\x80 \xc2\xa0"};
    for (size_t i = 0; i < sizeof blank / sizeof blank[0]; i++) {
        struct seen *seen = chunks_of(blank[i], strlen(blank[i]), 0, 0);
        assert_int_equal(seen->count, 0);
        free(seen);
    }
}

static void short_text_is_one_trimmed_chunk(void **state)
{
    (void)state;
    const char *text = " \n Hello world.\xc2\xa0\n";
    struct seen *seen = chunks_of(text, strlen(text), 0, 0);
    assert_int_equal(seen->count, 1);
    assert_int_equal(seen->items[0].offset, 3);
    assert_int_equal(seen->items[0].length, 12);
    assert_int_equal(seen->items[0].start_ms, -1);
    free(seen);
}

static void four_kilobytes_give_three_even_chunks(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct text t = prose(4096);
        struct seen *seen = chunks_of(t.data, t.length, 0, 0);
        assert_int_equal(seen->count, 3);
        for (size_t k = 0; k < 3; k++)
            assert_in_range(seen->items[k].length, 1100, 1600);
        for (size_t k = 0; k < 2; k++) /* between sentences */
            assert_int_equal(t.data[(size_t)seen->items[k].offset + seen->items[k].length - 1],
                             '.');
        assert_covers(seen);
        free(seen);
        free(t.data);
    }
}

static void sizes_are_balanced_at_any_length(void **state)
{
    (void)state;
    for (size_t length = 1400; length < 20000; length += 311) {
        struct text t = prose(length);
        struct seen *seen = chunks_of(t.data, t.length, 0, 0);
        for (size_t k = 0; k < seen->count; k++)
            assert_in_range(seen->items[k].length, 700, 2100);
        free(seen);
        free(t.data);
    }
}

static void headings_stay_with_what_follows(void **state)
{
    (void)state;
    for (int style = 0; style < 2; style++) {
        struct text t = {0};
        char heading[64];
        for (int section = 0; section < 12; section++) {
            struct text body = prose(900 + (size_t)lrand48() % 300);
            snprintf(heading, sizeof heading,
                     style ? "\n\nSection %d\n\n" : "\n\n## Section %d\n\n", section);
            add(&t, heading);
            add(&t, body.data);
            free(body.data);
        }
        struct seen *seen = chunks_of(t.data, t.length, 0, 0);
        size_t at_heading = 0;
        for (size_t i = 0; i < seen->count; i++) {
            const struct text_chunk *c = &seen->items[i];
            const char *text = t.data + c->offset;
            at_heading += !strncmp(text, style ? "Section" : "## Section", 7);
            /* none ends with a heading: the last line is longer than one */
            size_t line = c->length;
            while (line > 0 && text[line - 1] != '\n')
                line--;
            assert_true(c->length - line > 14);
        }
        assert_true(at_heading * 2 >= seen->count);
        free(seen);
        free(t.data);
    }
}

static void paragraphs_before_sentences(void **state)
{
    (void)state;
    struct text t = {0}, half = prose(1250);
    add(&t, half.data);
    add(&t, ".\n\nA new paragraph begins here. ");
    add(&t, half.data);
    struct seen *seen = chunks_of(t.data, t.length, 0, 0);
    assert_int_equal(seen->count, 2);
    assert_memory_equal(t.data + seen->items[1].offset, "A new paragraph", 15);
    free(seen);
    free(t.data);
    free(half.data);
}

static void text_without_spaces_is_cut_between_words(void **state)
{
    (void)state;
    struct text t = {0};
    while (t.length < 9000)
        add(&t, t.length % 7 ? "地下鉄は一日に何百万人もの乗客を運んでいます" : "カタカナの言葉");
    struct seen *seen = chunks_of(t.data, t.length, 0, 0);
    char *breaks = malloc(t.length);
    assert_non_null(breaks);
    assert_true(seen->count >= 5 && seen->count <= 8);
    for (size_t i = 0; i < seen->count; i++)
        assert_in_range(seen->items[i].length, 700, 2100);
    assert_covers(seen);
    assert_between_graphemes(seen);
    free(breaks);
    free(seen);
    free(t.data);
}

static void ideographic_sentences_end_chunks(void **state)
{
    (void)state;
    struct text t = {0};
    while (t.length < 9000)
        add(&t, "地下鉄は一日に何百万人もの乗客を運んでいます。");
    struct seen *seen = chunks_of(t.data, t.length, 0, 0);
    for (size_t i = 0; i < seen->count; i++)
        assert_memory_equal(t.data + seen->items[i].offset + seen->items[i].length - 3, "。", 3);
    assert_covers(seen);
    free(seen);
    free(t.data);
}

static void one_endless_word(void **state)
{
    (void)state;
    struct text t = {0};
    while (t.length < 50000)
        add(&t, "ACGTTGCA");
    struct seen *seen = chunks_of(t.data, t.length, 0, 0);
    assert_covers(seen);
    for (size_t i = 0; i < seen->count; i++)
        assert_in_range(seen->items[i].length, 700, 2100);
    free(seen);
    free(t.data);
}

static void long_white_space(void **state)
{
    (void)state;
    struct text t = {0};
    add(&t, "one");
    for (int i = 0; i < 30000; i++)
        add(&t, i % 3 ? " " : "\n");
    add(&t, "two");
    struct seen *seen = chunks_of(t.data, t.length, 0, 0);
    assert_int_equal(seen->count, 2);
    assert_int_equal(seen->items[0].length, 3);
    assert_int_equal(seen->items[1].length, 3);
    free(seen);
    free(t.data);
}

/* Text of random pieces of many scripts, marks and white space. */
static struct text random_text(size_t pieces)
{
    static const char *const parts[] = {"word",
                                        "Sentence.",
                                        " ",
                                        " ",
                                        " ",
                                        "\n",
                                        "\n\n",
                                        "# Heading",
                                        "é",
                                        "e\xcc\x81",
                                        "日本",
                                        "。",
                                        "\r\n",
                                        "\xe3\x80\x80",
                                        "👩‍👩‍👧",
                                        "🇩🇪🇫🇷",
                                        "ไทย",
                                        "नमस्ते",
                                        "한국",
                                        "\"!",
                                        "- item ",
                                        "(x)",
                                        " \xcc\x88",
                                        "supercalifragilistic",
                                        "مرحبا",
                                        ", ",
                                        "? Yes",
                                        "\t",
                                        "1,000.5",
                                        "a\xe2\x80\x8d",
                                        "……",
                                        "</b>"};
    struct text t = {0};
    for (size_t i = 0; i < pieces; i++)
        add(&t, parts[(size_t)lrand48() % (sizeof parts / sizeof parts[0])]);
    return t;
}

static void slices_do_not_matter(void **state)
{
    (void)state;
    srand48((long)test_seed());
    for (int round = 0; round < 200; round++) {
        struct text t = random_text(1 + (size_t)lrand48() % 3000);
        size_t target = round % 4 ? 64 + (size_t)lrand48() % 600 : 0;
        struct seen *whole = chunks_of(t.data, t.length, target, 0);
        struct seen *bytes = chunks_of(t.data, t.length, target, 1);
        struct seen *some = chunks_of(t.data, t.length, target, 3000);
        assert_covers(whole);
        assert_between_graphemes(whole);
        assert_same(whole, bytes);
        assert_same(whole, some);
        free(whole);
        free(bytes);
        free(some);
        free(t.data);
    }
}

static void any_bytes_are_safe(void **state)
{
    (void)state;
    srand48((long)test_seed());
    for (int round = 0; round < 100; round++) {
        size_t length = (size_t)lrand48() % 20000;
        char *text = malloc(length + 1);
        assert_non_null(text);
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(lrand48() % 5 ? lrand48() : ' ');
        struct seen *whole = chunks_of(text, length, 200, 0);
        struct seen *some = chunks_of(text, length, 200, 500);
        assert_covers(whole);
        assert_same(whole, some);
        free(whole);
        free(some);
        free(text);
    }
}

static void sink_stops_it_and_it_begins_anew(void **state)
{
    (void)state;
    struct text t = prose(20000);
    struct seen *seen = seen_of(t.data, t.length);
    seen->stop_after = 2;
    struct chunk_sink sink = {.chunk = keep, .ctx = seen};
    struct chunker *chunker;
    assert_int_equal(chunker_open(0, &sink, &chunker), 0);
    assert_int_equal(chunker_push(chunker, t.data, t.length), 77);
    assert_int_equal(seen->count, 2);
    seen->stop_after = 0;
    chunker_finish(chunker);
    seen->count = 0;
    assert_int_equal(chunker_push(chunker, t.data, 100), 0);
    assert_int_equal(chunker_finish(chunker), 0);
    assert_int_equal(seen->count, 1);
    assert_int_equal(seen->items[0].offset, 0);
    chunker_close(chunker);
    free(seen);
    free(t.data);
}

/* ---- segments ---- */

struct cue {
    int64_t start_ms, end_ms;
    const char *speaker, *text;
};

static struct text joined(const struct cue *cues, size_t count)
{
    struct text t = {0};
    add(&t, "");
    for (size_t i = 0, n = 0; i < count; i++) {
        if (!*cues[i].text)
            continue;
        add(&t, n++ ? "\n" : "");
        add(&t, cues[i].text);
    }
    return t;
}

static struct seen *segment_chunks(const struct cue *cues, size_t count, const struct text *whole)
{
    struct seen *seen = seen_of(whole->data, whole->length);
    struct chunk_sink sink = {.chunk = keep, .ctx = seen};
    struct segment_chunker *c;
    assert_int_equal(segment_chunker_open(0, &sink, &c), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(segment_chunker_push(c, cues[i].start_ms, cues[i].end_ms, cues[i].speaker,
                                              cues[i].text, strlen(cues[i].text)),
                         0);
    assert_int_equal(segment_chunker_finish(c), 0);
    segment_chunker_close(c);
    assert_covers(seen);
    return seen;
}

static void few_segments_are_one_chunk(void **state)
{
    (void)state;
    const struct cue cues[] = {
        {1000, 3000, "", "hello there"}, {3000, 3500, "", ""}, {3500, 9000, "", "this is a test"}};
    struct text t = joined(cues, 3);
    struct seen *seen = segment_chunks(cues, 3, &t);
    assert_int_equal(seen->count, 1);
    assert_int_equal(seen->items[0].start_ms, 1000);
    assert_int_equal(seen->items[0].end_ms, 9000);
    assert_int_equal(seen->items[0].length, strlen("hello there\nthis is a test"));
    free(seen);
    free(t.data);
}

static void recordings_are_cut_by_time_and_at_pauses(void **state)
{
    (void)state;
    struct cue cues[200];
    int64_t now = 0;
    for (size_t i = 0; i < 200; i++) {
        int64_t pause = i % 4 == 3 ? 3000 : 100; /* a long pause every 4 segments of 5 s */
        cues[i] = (struct cue){now, now + 5000, "", "some words of a slow speaker"};
        now += 5000 + pause;
    }
    struct text t = joined(cues, 200);
    struct seen *seen = segment_chunks(cues, 200, &t);
    assert_int_equal(seen->count, 50);
    for (size_t i = 0; i < seen->count; i++) {
        assert_int_equal(seen->items[i].start_ms, cues[4 * i].start_ms);
        assert_int_equal(seen->items[i].end_ms, cues[4 * i + 3].end_ms);
    }
    free(seen);
    free(t.data);
}

static void speakers_are_kept_apart_where_possible(void **state)
{
    (void)state;
    struct cue cues[55];
    for (size_t i = 0; i < 55; i++)
        cues[i] = (struct cue){(int64_t)i * 4000, (int64_t)i * 4000 + 3900, i / 5 % 2 ? "B" : "A",
                               "words are said in this place"};
    struct text t = joined(cues, 55);
    struct seen *seen = segment_chunks(cues, 55, &t);
    for (size_t i = 1; i < seen->count; i++)
        assert_int_equal(seen->items[i].start_ms % (5 * 4000), 0);
    free(seen);
    free(t.data);
}

static void one_long_segment_is_divided_with_its_time(void **state)
{
    (void)state;
    srand48(1);
    struct text body = prose(14000);
    const struct cue cue = {60000, 660000, "", body.data}; /* 10 minutes */
    struct seen *seen = segment_chunks(&cue, 1, &body);
    assert_true(seen->count >= 10);
    int64_t last = 60000;
    for (size_t i = 0; i < seen->count; i++) {
        const struct text_chunk *c = &seen->items[i];
        assert_true(c->start_ms >= last && c->end_ms > c->start_ms);
        assert_true(c->end_ms - c->start_ms <= CHUNKER_MAX_MS);
        int64_t expected = 60000 + c->offset * 600000 / 14000;
        assert_true(llabs(c->start_ms - expected) < 200);
        last = c->end_ms;
    }
    assert_int_equal(last, 660000);
    free(seen);
    free(body.data);
}

static void random_segments_are_covered(void **state)
{
    (void)state;
    srand48((long)test_seed());
    for (int round = 0; round < 60; round++) {
        enum { CUES = 80 };
        struct cue cues[CUES];
        struct text texts[CUES];
        int64_t now = 0;
        for (size_t i = 0; i < CUES; i++) {
            bool huge = lrand48() % 30 == 0, blank = lrand48() % 15 == 0;
            texts[i] = random_text(huge ? 4000 : (size_t)lrand48() % 60);
            if (blank)
                for (size_t k = 0; k < 5000; k++)
                    add(&texts[i], " ");
            add(&texts[i], "");
            now += lrand48() % 5000;
            cues[i] = (struct cue){now, now + lrand48() % (huge ? 400000 : 9000),
                                   lrand48() % 2 ? "A" : "B", texts[i].data};
        }
        struct text t = joined(cues, CUES);
        free(segment_chunks(cues, CUES, &t));
        free(t.data);
        for (size_t i = 0; i < CUES; i++)
            free(texts[i].data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_gives_nothing),
        cmocka_unit_test(short_text_is_one_trimmed_chunk),
        cmocka_unit_test(four_kilobytes_give_three_even_chunks),
        cmocka_unit_test(sizes_are_balanced_at_any_length),
        cmocka_unit_test(headings_stay_with_what_follows),
        cmocka_unit_test(paragraphs_before_sentences),
        cmocka_unit_test(text_without_spaces_is_cut_between_words),
        cmocka_unit_test(ideographic_sentences_end_chunks),
        cmocka_unit_test(one_endless_word),
        cmocka_unit_test(long_white_space),
        cmocka_unit_test(slices_do_not_matter),
        cmocka_unit_test(any_bytes_are_safe),
        cmocka_unit_test(sink_stops_it_and_it_begins_anew),
        cmocka_unit_test(few_segments_are_one_chunk),
        cmocka_unit_test(recordings_are_cut_by_time_and_at_pauses),
        cmocka_unit_test(speakers_are_kept_apart_where_possible),
        cmocka_unit_test(one_long_segment_is_divided_with_its_time),
        cmocka_unit_test(random_segments_are_covered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
