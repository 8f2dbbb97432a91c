#include "adapters/offline/keywords.h"

#include <math.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

#include "adapters/offline/phrases.h"
#include "shared/error.h"

/* ---- topics ---- */

/* A run of content words under construction. */
struct run {
    struct term terms[PHRASE_WORDS];
    unsigned words;
};

struct rake {
    struct phrases phrases, words; /* a word's count is its frequency, its score its degree */
};

/* Only white space, hyphens or nothing may stand between two words of a phrase. */
static bool adjoins(const struct term *a, const struct term *b)
{
    const char *p = a->slice.text + a->slice.length;
    if (b->slice.text - p > 8)
        return false;
    for (; p < b->slice.text; p++)
        if (*p != ' ' && *p != '-' && *p != '\n')
            return false;
    return true;
}

static void count_word(struct rake *rake, const struct term *term, unsigned degree)
{
    struct phrase *word = phrases_put(&rake->words, term->stem);
    if (!word)
        return;
    word->count++;
    word->score += degree;
}

static void count_phrase(struct rake *rake, const struct term *terms, unsigned words, bool whole)
{
    uint64_t hash = words;
    for (unsigned i = 0; i < words; i++)
        hash = term_mix(hash * 31 + terms[i].stem);
    struct phrase *phrase = phrases_put(&rake->phrases, hash);
    if (!phrase)
        return;
    phrase->whole |= whole;
    if (phrase->count++ > 0)
        return;
    const struct text_slice *first = &terms[0].slice, *last = &terms[words - 1].slice;
    phrase->slice.text = first->text;
    phrase->slice.length = (size_t)(last->text + last->length - first->text);
    phrase->words = words;
    for (unsigned i = 0; i < words; i++)
        phrase->stems[i] = terms[i].stem;
}

/* The run and all its parts are candidates. */
static void end_run(struct rake *rake, struct run *run)
{
    unsigned n = run->words;
    run->words = 0;
    for (unsigned i = 0; i < n; i++)
        count_word(rake, &run->terms[i], n);
    for (unsigned words = n; words > 0; words--)
        for (unsigned i = 0; i + words <= n; i++)
            count_phrase(rake, &run->terms[i], words, words == n);
}

/* "Agent: ..." says who speaks. */
static bool is_label(const struct term *term, const char *end)
{
    const char *p = term->slice.text + term->slice.length;
    return p < end && *p == ':';
}

static bool is_number(const struct term *term)
{
    for (size_t i = 0; i < term->length; i++)
        if ((term->word[i] < '0' || term->word[i] > '9') && term->word[i] != '.' &&
            term->word[i] != ',')
            return false;
    return true;
}

static void collect_runs(struct term_scan *terms, const char *text, size_t length,
                         struct rake *rake)
{
    struct run run = {.words = 0};
    struct term term, before = {.length = 0};
    term_scan_text(terms, text, length);
    while (term_next(terms, &term)) {
        if (run.words && (!adjoins(&before, &term) || run.words == PHRASE_WORDS))
            end_run(rake, &run);
        if (term.stop || is_number(&term) || is_label(&term, text + length))
            end_run(rake, &run);
        else
            run.terms[run.words++] = term;
        before = term;
    }
    end_run(rake, &run);
}

/* What recurs comes first, phrases before words and long words before short ones; of the rest,
 * whole runs of at most two words. */
static double weight_of(const struct phrase *phrase)
{
    double length = phrase->words > 1 ? 2 : phrase->slice.length < 4 ? 0.6 : 1;
    if (phrase->count > 1)
        return phrase->count * length;
    return phrase->whole && phrase->words < PHRASE_WORDS ? 0.2 * length : 0;
}

static void score_phrases(struct rake *rake)
{
    for (size_t i = 0; i < rake->phrases.size; i++) {
        struct phrase *phrase = &rake->phrases.slots[i];
        for (unsigned w = 0; phrase->hash && w < phrase->words; w++) {
            const struct phrase *word = phrases_get(&rake->words, phrase->stems[w]);
            if (word)
                phrase->score += word->score / word->count;
        }
        if (phrase->hash)
            phrase->score *= weight_of(phrase);
    }
}

/* Whether a better phrase already holds one of its words. */
static bool repeats(const struct phrase *chosen, size_t count, const struct phrase *phrase)
{
    for (size_t i = 0; i < count; i++)
        for (unsigned a = 0; a < chosen[i].words; a++)
            for (unsigned b = 0; b < phrase->words; b++)
                if (chosen[i].stems[a] == phrase->stems[b])
                    return true;
    return false;
}

static bool has_capital_inside(const char *text)
{
    for (const char *p = text + (*text != '\0'); *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            return true;
    return false;
}

/* "Water pump" from the head of a sentence becomes "water pump"; "PostgreSQL" stays. */
static const char *lowered(struct arena *arena, const struct text_slice *slice)
{
    char *text = phrase_text(arena, slice);
    if (text && !has_capital_inside(text) && *text >= 'A' && *text <= 'Z')
        *text |= 0x20;
    return text;
}

int keywords_topics(struct term_scan *terms, const char *text, size_t length, size_t most,
                    struct arena *arena, const char ***out, size_t *count)
{
    struct rake rake;
    *count = 0;
    *out = arena_array(arena, most, sizeof **out);
    if (!*out || phrases_init(&rake.phrases, arena, length) ||
        phrases_init(&rake.words, arena, length))
        return ERR_NO_MEMORY;
    collect_runs(terms, text, length, &rake);
    score_phrases(&rake);
    struct phrase *list = rake.phrases.slots;
    size_t n = phrases_sort(&rake.phrases);
    for (size_t i = 0; i < n && *count < most && list[i].score > 0; i++) {
        if (repeats(list, *count, &list[i]))
            continue;
        list[*count] = list[i];
        (*out)[*count] = lowered(arena, &list[i].slice);
        if (!(*out)[*count])
            return ERR_NO_MEMORY;
        (*count)++;
    }
    return OK;
}

/* ---- entities ---- */

static bool is_capitalised(const struct text_slice *slice)
{
    ucs4_t uc;
    u8_mbtouc(&uc, (const uint8_t *)slice->text, slice->length);
    return uc_is_upper(uc) || uc_is_general_category_withtable(uc, UC_CATEGORY_MASK_Lt);
}

/* Two capitals or more and no small letter: an acronym, wherever it stands. */
static bool is_acronym(const struct text_slice *slice)
{
    size_t capitals = 0;
    for (size_t i = 0; i < slice->length; i++) {
        if (slice->text[i] >= 'a' && slice->text[i] <= 'z')
            return false;
        capitals += slice->text[i] >= 'A' && slice->text[i] <= 'Z';
    }
    return capitals >= 2;
}

struct name_run {
    struct text_slice slice;
    uint64_t hash;
    unsigned words;
    bool at_start; /* begins a sentence: its capital tells nothing */
};

static void end_name(struct phrases *names, struct name_run *run, bool noun_capitals)
{
    unsigned words = run->words;
    run->words = 0;
    bool acronym = words == 1 && is_acronym(&run->slice);
    if (words == 0 || (noun_capitals && words == 1 && !acronym))
        return;
    struct phrase *name = phrases_put(names, run->hash);
    if (!name)
        return;
    if (name->count++ == 0)
        name->slice = run->slice;
    /* seen once inside a sentence, or of several words: then it is a name */
    name->words += !run->at_start || words > 1 || acronym;
}

/* The length of a word without "'s". */
static size_t without_genitive(const struct term *term)
{
    const char *end = term->slice.text + term->slice.length;
    size_t n = term->slice.length;
    if (n > 2 && !memcmp(end - 2, "'s", 2))
        return n - 2;
    return n > 4 && !memcmp(end - 4, "\xe2\x80\x99s", 4) ? n - 4 : n;
}

static void add_name_word(struct name_run *run, const struct term *term, bool at_start)
{
    if (run->words == 0)
        *run = (struct name_run){.slice.text = term->slice.text, .at_start = at_start};
    run->slice.length = (size_t)(term->slice.text - run->slice.text) + without_genitive(term);
    run->hash = term_mix(run->hash * 31 + term_hash('n', term->word, term->length));
    run->words++;
}

/* Title case: capitals tell nothing. */
static bool is_headline(struct term_scan *terms, const struct text_slice *sentence)
{
    struct term term;
    size_t capitals = 0, words = 0;
    term_scan_text(terms, sentence->text, sentence->length);
    while (term_next(terms, &term)) {
        if (term.stop)
            continue;
        words++;
        capitals += is_capitalised(&term.slice);
    }
    return words >= 4 && capitals * 10 >= words * 7 && sentence->text[sentence->length - 1] != '.';
}

/* After a colon or an opening quotation mark a sentence begins. */
static bool begins_speech(const struct term *before, const struct term *term)
{
    const char *p = before->slice.text + before->slice.length;
    for (; p < term->slice.text; p++)
        if (*p == ':' || *p == '"' || *p == '\xe2') /* the first byte of typographic quotes */
            return true;
    return false;
}

static void collect_names(struct term_scan *terms, const struct text_slice *sentence,
                          bool noun_capitals, struct phrases *names)
{
    struct name_run run = {.words = 0};
    struct term term, before = {.length = 0};
    bool first = true;
    term_scan_text(terms, sentence->text, sentence->length);
    while (term_next(terms, &term)) {
        bool joined = run.words > 0 && adjoins(&before, &term);
        if (!joined)
            end_name(names, &run, noun_capitals);
        bool function_word = term.stop && !is_acronym(&term.slice);
        if (is_capitalised(&term.slice) && !function_word)
            add_name_word(&run, &term, first || begins_speech(&before, &term));
        else
            end_name(names, &run, noun_capitals);
        first = false;
        before = term;
    }
    end_name(names, &run, noun_capitals);
}

int keywords_entities(struct term_scan *terms, const char *language, const char *text,
                      size_t length, size_t most, struct arena *arena, const char ***out,
                      size_t *count)
{
    struct phrases names;
    struct sentence_scan scan;
    struct text_slice sentence;
    bool noun_capitals = !strcmp(language, "de") || !strcmp(language, "lb");
    *count = 0;
    *out = arena_array(arena, most, sizeof **out);
    if (!*out || phrases_init(&names, arena, length))
        return ERR_NO_MEMORY;
    struct stemmer *stemmer = terms->stemmer;
    terms->stemmer = NULL; /* names are taken as they are; stemming is most of the work */
    sentence_scan_begin(&scan, text, length);
    while (sentence_next(&scan, &sentence))
        if (sentence.text[0] != '#' && !is_headline(terms, &sentence))
            collect_names(terms, &sentence, noun_capitals, &names);
    terms->stemmer = stemmer;
    for (size_t i = 0; i < names.size; i++)
        names.slots[i].score = names.slots[i].words > 0 ? names.slots[i].count : 0;
    size_t n = phrases_sort(&names);
    for (size_t i = 0; i < n && *count < most && names.slots[i].score > 0; i++) {
        (*out)[*count] = phrase_text(arena, &names.slots[i].slice);
        if (!(*out)[(*count)++])
            return ERR_NO_MEMORY;
    }
    return OK;
}
