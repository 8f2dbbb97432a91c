/*
 * summary.h - summaries without a model: sentences, phrases and names taken from the text.
 *
 *   title        the first Markdown heading, else the title hint, else the first sentence
 *   abstract     the two or three best sentences by TextRank (textrank.h), those near the beginning
 *                somewhat preferred, in the order of the text
 *   key points   the next best ones that do not repeat them
 *   topics       RAKE phrases (keywords.h)
 *   entities     capitalised names (keywords.h)
 *   action items where the text says so plainly (actions.h)
 */
#ifndef AEGIS_OFFLINE_SUMMARY_H
#define AEGIS_OFFLINE_SUMMARY_H

#include "adapters/offline/language.h"
#include "ports/model_provider.h"

/* Changes whenever a summary would. */
#define SUMMARY_REVISION "textrank+rake-1"

enum {
    SUMMARY_MAX_INPUT = 200000,
    SUMMARY_KEY_POINTS = 6,
    SUMMARY_TOPICS = 8,
    SUMMARY_ENTITIES = 12,
    SUMMARY_ACTIONS = 20,
};

/* WHOLE or MAP. 0, ERR_NO_MEMORY or ERR_CANCELLED. */
int summary_of_text(const struct stopwords *stopwords, struct language_detector *detector,
                    const struct summarise_request *request, const struct cancel *cancel,
                    struct arena *arena, struct summary *out);

/* REDUCE: `text` is one summary a line in the form of shared/summary_json.h. Key points and
 * abstracts are ranked again together; topics and entities are chosen by how many parts name them.
 * Also ERR_INVALID for a line that is no summary. */
int summary_of_parts(const struct stopwords *stopwords, struct language_detector *detector,
                     const struct summarise_request *request, const struct cancel *cancel,
                     struct arena *arena, struct summary *out);

#endif
