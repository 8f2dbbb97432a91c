/*
 * actions.h - action items, where a text says so plainly.
 *
 * Taken are: lines marked "Action:", "Action item:", "TODO:", "To do:", "Next step:" (and the like
 * in German, French and Spanish); Markdown task boxes "- [ ] ..." (ticked ones are done); and
 * sentences
 * "<Name> will|must|shall|should|has to|needs to|agreed to ..." that also name a deadline ("by
 * Friday", "until March", "before the next meeting"). Everything else is left out: empty rather
 * than wrong.
 */
#ifndef AEGIS_OFFLINE_ACTIONS_H
#define AEGIS_OFFLINE_ACTIONS_H

#include "ports/model_provider.h"
#include "shared/arena.h"

/* At most `most` items in the order of the text. 0 or ERR_NO_MEMORY. */
int actions_find(const char *text, size_t length, size_t most, struct arena *arena,
                 struct action_item **out, size_t *count);

#endif
