/*
 * summary_json.h - a summary as JSON: the one form in which it is stored, checkpointed, handed from
 * map to reduce and printed.
 *
 *   {"title":"...","abstract":"...","language":"en","key_points":["..."],"topics":["..."],
 *    "entities":["..."],"action_items":[{"text":"...","owner":"..."}]}
 */
#ifndef AEGIS_SHARED_SUMMARY_JSON_H
#define AEGIS_SHARED_SUMMARY_JSON_H

#include "ports/model_provider.h"
#include "shared/arena.h"
#include "shared/buffer.h"
#include "yyjson.h"

/* Appends it on one line, without a newline. */
int summary_json_append(struct buffer *out, const struct summary *summary);

/* Reads what is there; members that are missing become "" or empty. Strings are copied into the
 * arena. ERR_INVALID "malformed_reply" if a member has the wrong type or the root is no object. */
int summary_json_read(yyjson_val *root, struct arena *arena, struct summary *out);
int summary_json_parse(const char *text, size_t length, struct arena *arena, struct summary *out);

#endif
