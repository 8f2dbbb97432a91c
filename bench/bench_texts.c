/*
 * bench_texts.c - bench_texts DIRECTORY COUNT [BYTES]: distinct texts for the end-to-end rows.
 *
 * Words by Zipf's law out of 20,000, in sentences and paragraphs; the same files every time.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/error.h"
#include "shared/file.h"

enum { WORDS = 20000, DEFAULT_BYTES = 4096 };

static uint64_t seed = 7;

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014) */
static uint64_t next(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Rank r with probability about 1/r: the logarithm of the rank is uniform. */
static unsigned zipf(void)
{
    double u = (double)(next() >> 11) / 9007199254740992.0;
    return (unsigned)(exp(u * log(WORDS)) - 0.5);
}

/* The r-th word: syllables, so that stems and word breaks behave as in real text. */
static size_t word(unsigned rank, char *out)
{
    static const char *const syllables[] = {"ba", "den", "ri",  "so", "ta",  "mel", "ko",  "ver",
                                            "li", "nu",  "par", "gi", "ton", "fe",  "sha", "wo"};
    size_t length = 0;
    do {
        const char *s = syllables[rank % 16];
        memcpy(out + length, s, strlen(s));
        length += strlen(s);
        rank /= 16;
    } while (rank);
    return length;
}

static void fill(char *text, size_t bytes)
{
    size_t used = 0, in_sentence = 0;
    while (used + 40 < bytes) {
        char w[32];
        size_t n = word(zipf(), w);
        if (in_sentence == 0)
            w[0] = (char)(w[0] - 'a' + 'A');
        memcpy(text + used, w, n);
        used += n;
        bool end = ++in_sentence > 8 && next() % 8 == 0;
        if (end) {
            text[used++] = '.';
            in_sentence = 0;
        }
        text[used++] = end && next() % 6 == 0 ? '\n' : ' ';
    }
    memset(text + used, '.', bytes - used);
    text[bytes - 1] = '\n';
}

static int write_text(const char *directory, size_t number, const char *text, size_t bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/text-%06zu.txt", directory, number);
    FILE *f = fopen(path, "we");
    if (!f)
        return -1;
    size_t written = fwrite(text, 1, bytes, f);
    return fclose(f) || written != bytes ? -1 : 0;
}

int main(int argc, char **argv)
{
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    size_t bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : DEFAULT_BYTES;
    if (argc < 3 || bytes < 64) {
        fprintf(stderr, "usage: bench_texts DIRECTORY COUNT [BYTES]\n");
        return 2;
    }
    if (file_make_directory(argv[1])) {
        fprintf(stderr, "bench_texts: %s\n", error_last()->message);
        return 1;
    }
    char *text = malloc(bytes);
    for (size_t i = 0; text && i < count; i++) {
        fill(text, bytes);
        if (write_text(argv[1], i, text, bytes)) {
            perror("bench_texts");
            return 1;
        }
    }
    free(text);
    return text ? 0 : 1;
}
