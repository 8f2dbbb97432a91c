#include <stdlib.h>
#include <string.h>

#include "adapters/offline/summary.h"
#include "shared/error.h"
#include "shared/summary_json.h"

/* What the parts say, gathered: their sentences as one text, and their lists end to end. */
struct parts {
    struct summary *items;
    size_t count;
    struct buffer sentences;
};

static size_t count_lines(const char *text, size_t length)
{
    size_t lines = 1;
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    return lines;
}

static int read_parts(const char *text, size_t length, struct arena *arena, struct parts *parts)
{
    parts->items = arena_array(arena, count_lines(text, length), sizeof *parts->items);
    if (!parts->items)
        return ERR_NO_MEMORY;
    const char *end = text + length;
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end;
        if (stop > line) {
            int rc =
                summary_json_parse(line, (size_t)(stop - line), arena, &parts->items[parts->count]);
            if (rc)
                return error_prefix("part %zu of a long text's summary", parts->count + 1);
            parts->count++;
        }
        line = stop + 1;
    }
    return OK;
}

/* One blank line between, so that each stays a sentence of its own. */
static int add_sentence(struct buffer *out, const char *text)
{
    int rc = *text ? buffer_append_string(out, text) : OK;
    return rc || !*text ? rc : buffer_append(out, "\n\n", 2);
}

static int gather_sentences(struct parts *parts)
{
    int rc = OK;
    for (size_t i = 0; !rc && i < parts->count; i++) {
        const struct summary *part = &parts->items[i];
        rc = add_sentence(&parts->sentences, part->abstract);
        for (size_t k = 0; !rc && k < part->key_point_count; k++)
            rc = add_sentence(&parts->sentences, part->key_points[k]);
    }
    return rc;
}

/* ---- votes ---- */

struct vote {
    const char *text;
    size_t votes, order;
};

static int by_votes(const void *a, const void *b)
{
    const struct vote *x = a, *y = b;
    if (x->votes != y->votes)
        return x->votes > y->votes ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

enum { CANDIDATES = 2048 };

struct ballot {
    struct vote votes[CANDIDATES];
    size_t count;
};

static void cast_vote(struct ballot *ballot, const char *text)
{
    for (size_t i = 0; i < ballot->count; i++) {
        if (!strcmp(ballot->votes[i].text, text)) {
            ballot->votes[i].votes++;
            return;
        }
    }
    if (ballot->count < CANDIDATES) {
        ballot->votes[ballot->count] =
            (struct vote){.text = text, .votes = 1, .order = ballot->count};
        ballot->count++;
    }
}

static int count_votes(struct ballot *ballot, size_t most, struct arena *arena, const char ***out,
                       size_t *count)
{
    *count = ballot->count < most ? ballot->count : most;
    qsort(ballot->votes, ballot->count, sizeof *ballot->votes, by_votes);
    *out = arena_array(arena, *count ? *count : 1, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = ballot->votes[i].text;
    return OK;
}

static int elect(const struct parts *parts, struct arena *arena, struct summary *out)
{
    struct ballot *ballot = arena_alloc(arena, sizeof *ballot);
    if (!ballot)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < parts->count; i++)
        for (size_t k = 0; k < parts->items[i].topic_count; k++)
            cast_vote(ballot, parts->items[i].topics[k]);
    int rc = count_votes(ballot, SUMMARY_TOPICS, arena, &out->topics, &out->topic_count);
    ballot->count = 0;
    for (size_t i = 0; i < parts->count; i++)
        for (size_t k = 0; k < parts->items[i].entity_count; k++)
            cast_vote(ballot, parts->items[i].entities[k]);
    return rc ? rc
              : count_votes(ballot, SUMMARY_ENTITIES, arena, &out->entities, &out->entity_count);
}

static int gather_actions(const struct parts *parts, struct arena *arena, struct summary *out)
{
    out->action_item_count = 0;
    out->action_items = arena_array(arena, SUMMARY_ACTIONS, sizeof *out->action_items);
    if (!out->action_items)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < parts->count; i++)
        for (size_t k = 0; k < parts->items[i].action_item_count; k++)
            if (out->action_item_count < SUMMARY_ACTIONS)
                out->action_items[out->action_item_count++] = parts->items[i].action_items[k];
    return OK;
}

/* The language of most parts. */
static const char *common_language(const struct parts *parts)
{
    const char *best = "";
    size_t most = 0;
    for (size_t i = 0; i < parts->count; i++) {
        size_t same = 0;
        for (size_t j = 0; j < parts->count; j++)
            same += !strcmp(parts->items[i].language, parts->items[j].language);
        if (same > most && *parts->items[i].language) {
            best = parts->items[i].language;
            most = same;
        }
    }
    return best;
}

static int summarise_parts(const struct stopwords *stopwords, struct language_detector *detector,
                           const struct summarise_request *request, const struct cancel *cancel,
                           struct arena *arena, struct parts *parts, struct summary *out)
{
    int rc = gather_sentences(parts);
    if (rc)
        return rc;
    struct summarise_request together = *request;
    together.text = buffer_string(&parts->sentences);
    together.length = parts->sentences.length;
    if (!*together.language)
        together.language = common_language(parts);
    rc = summary_of_text(stopwords, detector, &together, cancel, arena, out);
    if (!rc && parts->count && *parts->items[0].title)
        out->title = parts->items[0].title;
    if (!rc)
        rc = elect(parts, arena, out);
    return rc ? rc : gather_actions(parts, arena, out);
}

int summary_of_parts(const struct stopwords *stopwords, struct language_detector *detector,
                     const struct summarise_request *request, const struct cancel *cancel,
                     struct arena *arena, struct summary *out)
{
    struct parts parts = {.count = 0};
    buffer_init(&parts.sentences, arena->limit);
    int rc = read_parts(request->text, request->length, arena, &parts);
    if (!rc)
        rc = summarise_parts(stopwords, detector, request, cancel, arena, &parts, out);
    buffer_free(&parts.sentences);
    return rc;
}
