/*
 * hits.h - search hits, as `search` and `ask` show them.
 */
#ifndef AEGIS_COMMANDS_HITS_H
#define AEGIS_COMMANDS_HITS_H

#include "commands/app.h"
#include "database/search.h"
#include "yyjson.h"

#define HIT_JSON_HELP                                                                              \
    "  {\"rank\": 1, \"media\": 12, \"bucket\": \"media\", \"key\": \"talk.mp3\", \"score\": "     \
    "0.0328,\n"                                                                                    \
    "   \"arms\": {\"lexical\": {\"rank\": 1, \"score\": 7.1},\n"                                  \
    "            \"vector\": {\"rank\": 2, \"score\": 0.61}},\n"                                   \
    "   \"passage\": \"...\", \"start_ms\": 187000, \"end_ms\": 201500, \"offset\": 5120,\n"       \
    "   \"snippet\": \"...\", \"highlights\": [{\"start\": 4, \"end\": 9}],\n"                     \
    "   \"collection\": \"media\", \"kind\": \"audio\", \"language\": \"en\", \"title\": "         \
    "\"...\",\n"                                                                                   \
    "   \"draft\": false, \"incomplete\": false, \"uploaded\": \"...\",\n"                         \
    "   \"others\": [{\"media\": 13, \"key\": \"...\"}]}\n\n"                                      \
    "An arm that did not find the passage is null. `start_ms` and `end_ms` are null for "          \
    "documents. Highlights are byte offsets in `snippet`."

/* Filter, limit and per-media by the arguments (search and ask have the same). */
int hits_request(const struct app *app, const char *query, int64_t default_limit,
                 struct search_request *out);

/* Opens what is needed and searches; what that cost is recorded. */
int hits_find(struct app *app, const struct search_request *request, struct search_answer *out);

/* Records what was called for no job, unless all of it was free (as offline models are): reading
 * then writes nothing. What was found is worth more than its bill: a failure to record is only a
 * note. */
void hits_record(struct app *app, const struct model_calls *calls);

yyjson_mut_val *hit_json(yyjson_mut_doc *doc, const struct search_hit *hit, size_t rank);
yyjson_mut_val *hit_warnings_json(yyjson_mut_doc *doc, const struct search_answer *answer);
void hit_warnings_print(struct app *app, const struct search_answer *answer);
void hit_print(struct app *app, const struct search_hit *hit, size_t rank);

/* "talk.mp3 at 3:07", "notes.pdf": clean, in the arena. */
const char *hit_source(struct arena *arena, const struct passage *passage);

#endif
