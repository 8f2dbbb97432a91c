#include "adapters/offline/answer.h"

#include <string.h>

#include "adapters/offline/phrases.h"
#include "adapters/offline/terms.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"

enum { QUESTION_TERMS = 32, SHORT_QUOTE = 60, LONGEST_QUOTE = 500 };

struct question {
    uint64_t stems[QUESTION_TERMS];
    size_t count;
    struct term_scan terms;
};

struct quote {
    struct text_slice slice;
    size_t passage; /* from 0 */
    size_t shared;  /* stems of the question */
};

static void read_question(struct question *q, const char *text)
{
    struct term term;
    term_scan_text(&q->terms, text, strlen(text));
    while (q->count < QUESTION_TERMS && term_next(&q->terms, &term)) {
        bool known = term.stop;
        for (size_t i = 0; i < q->count; i++)
            known = known || q->stems[i] == term.stem;
        if (!known)
            q->stems[q->count++] = term.stem;
    }
}

static size_t count_shared(struct question *q, const struct text_slice *s)
{
    bool met[QUESTION_TERMS] = {false};
    struct term term;
    size_t shared = 0;
    term_scan_text(&q->terms, s->text, s->length);
    while (term_next(&q->terms, &term))
        for (size_t i = 0; i < q->count; i++)
            if (q->stems[i] == term.stem && !met[i]) {
                met[i] = true;
                shared++;
            }
    return shared;
}

/* The best sentence of a passage; one that is very short takes the next with it. */
static struct quote best_of(struct question *q, const char *text, size_t passage)
{
    struct quote best = {.passage = passage};
    struct sentence_scan scan;
    struct text_slice s;
    bool widen = false;
    sentence_scan_begin(&scan, text, strlen(text));
    while (sentence_next(&scan, &s)) {
        if (widen)
            best.slice.length = (size_t)(s.text + s.length - best.slice.text);
        widen = false;
        size_t shared = count_shared(q, &s);
        if (shared > best.shared || !best.slice.text) {
            best.shared = shared;
            best.slice = s;
            widen = s.length < SHORT_QUOTE;
        }
    }
    return best;
}

/* Keeps quotes in order, most shared stems first; earlier passages first among equals. */
static void insert(struct quote quotes[ANSWER_QUOTES], size_t *count, struct quote q)
{
    size_t at = *count;
    while (at > 0 && quotes[at - 1].shared < q.shared)
        at--;
    if (at == ANSWER_QUOTES)
        return;
    if (*count < ANSWER_QUOTES)
        (*count)++;
    memmove(quotes + at + 1, quotes + at, (*count - at - 1) * sizeof *quotes);
    quotes[at] = q;
}

static int write_quote(struct buffer *out, const struct quote *q, struct arena *arena)
{
    struct text_slice s = q->slice;
    const char *more = "";
    if (s.length > LONGEST_QUOTE) {
        s.length = LONGEST_QUOTE;
        while (s.length > 0 && (s.text[s.length] & 0xc0) == 0x80)
            s.length--;
        more = "…";
    }
    char *text = phrase_text(arena, &s);
    if (!text)
        return ERR_NO_MEMORY;
    return buffer_printf(out, "%s“%s%s” [%zu]", out->length ? "\n" : "", text, more,
                         q->passage + 1);
}

static int write_answer(const struct quote *quotes, size_t count, struct arena *arena,
                        struct answer_result *out)
{
    struct buffer text;
    int rc = OK;
    buffer_init(&text, KIB(64));
    for (size_t i = 0; !rc && i < count; i++)
        if (quotes[i].slice.text && (i == 0 || quotes[i].shared > 0))
            rc = write_quote(&text, &quotes[i], arena);
    if (!rc) {
        out->text = arena_strndup(arena, buffer_string(&text), text.length);
        rc = out->text ? OK : ERR_NO_MEMORY;
    }
    buffer_free(&text);
    return rc;
}

int answer_from(const struct stopwords *stopwords, struct language_detector *detector,
                const struct answer_request *request, struct arena *arena,
                struct answer_result *out)
{
    struct question question = {.count = 0};
    struct quote quotes[ANSWER_QUOTES];
    size_t count = 0;
    char language[LANGUAGE_TEXT];
    *out = (struct answer_result){.text = "", .quoted = true};
    language_detect(detector, request->question, strlen(request->question), language);
    term_scan_begin(&question.terms, stopwords, language);
    read_question(&question, request->question);
    for (size_t i = 0; i < request->count; i++)
        insert(quotes, &count, best_of(&question, request->passages[i].text, i));
    term_scan_end(&question.terms);
    return write_answer(quotes, count, arena, out);
}
