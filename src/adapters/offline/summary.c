#include "adapters/offline/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "adapters/offline/actions.h"
#include "adapters/offline/keywords.h"
#include "adapters/offline/phrases.h"
#include "adapters/offline/textrank.h"
#include "shared/error.h"

enum {
    LONGEST_POINT = 320,
    LONGEST_TITLE = 90,
    ABSTRACT_BYTES = 700,
    ABSTRACT_SENTENCES = 3,
};

/* ---- text for people ---- */

/* At most `most` bytes, cut between words with an ellipsis. */
static char *shortened(struct arena *arena, const struct text_slice *slice, size_t most)
{
    char *text = phrase_text(arena, slice);
    if (!text || strlen(text) <= most)
        return text;
    size_t n = most;
    while (n > most / 2 && text[n] != ' ')
        n--;
    while (n > 0 && (text[n] & 0xc0) == 0x80)
        n--;
    while (n > 0 && strchr(" ,;:-", text[n - 1]))
        n--;
    return arena_printf(arena, "%.*s…", (int)n, text);
}

static struct text_slice without_marks(struct text_slice s)
{
    while (s.length > 1 && (strchr("-*+#>_`", *s.text) || space_at(s.text, s.text + s.length))) {
        s.text++;
        s.length--;
    }
    if (s.length > 4 && s.text[0] == '[' && s.text[2] == ']' && s.text[3] == ' ') { /* a task box */
        s.text += 4;
        s.length -= 4;
    }
    while (s.length > 1 && strchr("*_`", s.text[s.length - 1]))
        s.length--;
    return s;
}

/* ---- title ---- */

static bool first_heading(const char *text, size_t length, struct text_slice *out)
{
    enum { LOOK = 4096 };
    const char *end = text + (length < LOOK ? length : LOOK);
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end;
        if (stop - line > 2 && line[0] == '#' && (line[1] == ' ' || line[1] == '#')) {
            *out = without_marks((struct text_slice){line, (size_t)(stop - line)});
            return out->length > 1;
        }
        line = stop + 1;
    }
    return false;
}

/* A first line that stands alone, is short and does not end like a sentence. */
static bool title_line(const char *text, size_t length, struct text_slice *out)
{
    const char *end = text + length, *p = text;
    for (size_t n; p < end && (n = space_at(p, end)) > 0;)
        p += n;
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    if (!stop || stop == p || stop - p > LONGEST_TITLE || stop + 1 >= end || stop[1] != '\n')
        return false;
    *out = without_marks((struct text_slice){p, (size_t)(stop - p)});
    return !strchr(".!?,;:", stop[-1]) && out->length > 2;
}

/* "talks/well_meeting-2.mp3" becomes "well meeting 2". */
static char *title_of_hint(struct arena *arena, const char *hint)
{
    const char *slash = strrchr(hint, '/');
    const char *name = slash && slash[1] ? slash + 1 : hint, *dot = strrchr(name, '.');
    bool spaced = strchr(name, ' ') != NULL;
    bool extension = dot && dot > name && strlen(dot) <= 6 && !strchr(dot, ' ');
    size_t n = extension ? (size_t)(dot - name) : strlen(name);
    char *title = arena_strndup(arena, name, n);
    for (char *p = title; p && *p && !spaced; p++)
        if (*p == '_' || *p == '-')
            *p = ' ';
    return title;
}

static int choose_title(const struct summarise_request *request, struct arena *arena,
                        struct summary *out)
{
    struct text_slice slice;
    struct sentence_scan scan;
    if (first_heading(request->text, request->length, &slice) ||
        title_line(request->text, request->length, &slice)) {
        out->title = shortened(arena, &slice, LONGEST_TITLE);
    } else if (*request->title_hint) {
        out->title = title_of_hint(arena, request->title_hint);
    } else {
        sentence_scan_begin(&scan, request->text, request->length);
        bool found = sentence_next(&scan, &slice);
        slice = found ? without_marks(slice) : (struct text_slice){"", 0};
        out->title = shortened(arena, &slice, LONGEST_TITLE);
    }
    return out->title ? OK : ERR_NO_MEMORY;
}

/* ---- abstract and key points ---- */

static int by_score(const void *a, const void *b)
{
    const struct ranked_sentence *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static int by_place(const void *a, const void *b)
{
    const struct ranked_sentence *x = a, *y = b;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* Moves up to `most` sentences from the front of `list` on, best first and without repetitions, to
 * `chosen`; what is passed over is dropped from the list. Returns how many were chosen. */
static size_t choose(struct ranked_sentence *list, size_t *count, size_t most, size_t bytes,
                     struct ranked_sentence *chosen, size_t have)
{
    size_t left = 0, n = have, used = 0;
    for (size_t i = 0; i < *count; i++) {
        bool repeats = false;
        for (size_t c = 0; c < n && !repeats; c++)
            repeats = textrank_overlap(&list[i], &chosen[c]) > 0.6;
        if (repeats)
            continue;
        bool fits = n - have < most && (n == have || used + list[i].slice.length <= bytes);
        if (fits) {
            used += list[i].slice.length;
            chosen[n++] = list[i];
        } else {
            list[left++] = list[i];
        }
    }
    *count = left;
    return n - have;
}

static int write_abstract(const struct ranked_sentence *chosen, size_t count, struct arena *arena,
                          struct summary *out)
{
    out->abstract = "";
    for (size_t i = 0; i < count; i++) {
        struct text_slice s = without_marks(chosen[i].slice);
        char *text = shortened(arena, &s, ABSTRACT_BYTES / 2);
        if (!text)
            return ERR_NO_MEMORY;
        out->abstract = arena_printf(arena, "%s%s%s", out->abstract, i ? " " : "", text);
        if (!out->abstract)
            return ERR_NO_MEMORY;
    }
    return OK;
}

static int write_points(const struct ranked_sentence *chosen, size_t count, struct arena *arena,
                        struct summary *out)
{
    out->key_points = arena_array(arena, count ? count : 1, sizeof *out->key_points);
    for (size_t i = 0; out->key_points && i < count; i++) {
        struct text_slice s = without_marks(chosen[i].slice);
        out->key_points[i] = shortened(arena, &s, LONGEST_POINT);
        if (!out->key_points[i])
            return ERR_NO_MEMORY;
        out->key_point_count++;
    }
    return out->key_points ? OK : ERR_NO_MEMORY;
}

/* Of a short text the abstract takes one or two sentences, so that points are left. */
static int extract(struct ranked_sentence *list, size_t count, struct arena *arena,
                   struct summary *out)
{
    struct ranked_sentence chosen[ABSTRACT_SENTENCES + SUMMARY_KEY_POINTS];
    size_t abstract = count < 4 ? 1 : count < 8 ? 2 : ABSTRACT_SENTENCES;
    size_t points = count / 4 + 2 < SUMMARY_KEY_POINTS ? count / 4 + 2 : SUMMARY_KEY_POINTS;
    for (size_t i = 0; i < count; i++)
        list[i].score *= 1 + 0.5 / (1 + (double)list[i].ordinal);
    qsort(list, count, sizeof *list, by_score);
    abstract = choose(list, &count, abstract, ABSTRACT_BYTES, chosen, 0);
    points = choose(list, &count, points, SIZE_MAX, chosen, abstract);
    qsort(chosen, abstract, sizeof *chosen, by_place);
    qsort(chosen + abstract, points, sizeof *chosen, by_place);
    int rc = write_abstract(chosen, abstract, arena, out);
    return rc ? rc : write_points(chosen + abstract, points, arena, out);
}

/* ---- topics ---- */

/* A name of several words is a person or a place, and already among the entities. */
static bool is_name(const struct summary *s, const char *topic)
{
    for (size_t i = 0; strchr(topic, ' ') && i < s->entity_count; i++)
        if (!strcasecmp(s->entities[i], topic))
            return true;
    return false;
}

static int write_topics(struct term_scan *terms, const char *text, size_t length,
                        struct arena *arena, struct summary *out)
{
    size_t count, kept = 0;
    int rc = keywords_topics(terms, text, length, SUMMARY_TOPICS + out->entity_count, arena,
                             &out->topics, &count);
    for (size_t i = 0; !rc && i < count && kept < SUMMARY_TOPICS; i++)
        if (!is_name(out, out->topics[i]))
            out->topics[kept++] = out->topics[i];
    out->topic_count = kept;
    return rc;
}

/* ---- the whole ---- */

static int fill(struct term_scan *terms, const struct summarise_request *request,
                const struct cancel *cancel, struct arena *arena, struct summary *out)
{
    struct ranked_sentence *sentences;
    size_t count;
    const char *text = request->text;
    size_t length = request->length;
    int rc = choose_title(request, arena, out);
    if (!rc)
        rc = textrank(terms, text, length, cancel, arena, &sentences, &count);
    if (!rc)
        rc = extract(sentences, count, arena, out);
    if (!rc)
        rc = keywords_entities(terms, out->language, text, length, SUMMARY_ENTITIES, arena,
                               &out->entities, &out->entity_count);
    if (!rc)
        rc = write_topics(terms, text, length, arena, out);
    if (!rc)
        rc = actions_find(text, length, SUMMARY_ACTIONS, arena, &out->action_items,
                          &out->action_item_count);
    return rc;
}

static int decide_language(struct language_detector *detector, const char *told, const char *text,
                           size_t length, struct arena *arena, struct summary *out)
{
    char language[LANGUAGE_TEXT];
    snprintf(language, sizeof language, "%s", told);
    if (!*language)
        language_detect(detector, text, length, language);
    out->language = arena_strdup(arena, language);
    return out->language ? OK : ERR_NO_MEMORY;
}

int summary_of_text(const struct stopwords *stopwords, struct language_detector *detector,
                    const struct summarise_request *request, const struct cancel *cancel,
                    struct arena *arena, struct summary *out)
{
    struct term_scan terms;
    *out = (struct summary){.title = ""};
    int rc =
        decide_language(detector, request->language, request->text, request->length, arena, out);
    if (rc)
        return rc;
    term_scan_begin(&terms, stopwords, out->language);
    rc = fill(&terms, request, cancel, arena, out);
    term_scan_end(&terms);
    return rc;
}
