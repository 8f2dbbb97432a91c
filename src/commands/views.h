/*
 * views.h - how media, jobs and summaries look: in JSON and to people.
 */
#ifndef AEGIS_COMMANDS_VIEWS_H
#define AEGIS_COMMANDS_VIEWS_H

#include "commands/app.h"
#include "yyjson.h"

yyjson_mut_val *media_json(yyjson_mut_doc *doc, const struct media_row *media);
yyjson_mut_val *job_json(yyjson_mut_doc *doc, const struct job_row *job);
yyjson_mut_val *attempt_json(yyjson_mut_doc *doc, const struct attempt_row *attempt);
yyjson_mut_val *summary_json(yyjson_mut_doc *doc, const struct summary *summary);

/* The document shapes of the above, for --help and docs/cli.md. */
#define MEDIA_JSON_HELP                                                                            \
    "  {\"id\": 12, \"bucket\": \"media\", \"key\": \"talk.mp3\", \"collection\": \"media\",\n"    \
    "   \"state\": \"succeeded\", \"kind\": \"audio\", \"format\": \"mp3\", \"language\": "        \
    "\"en\",\n"                                                                                    \
    "   \"title\": \"...\", \"outcome\": \"content\", \"draft\": false,\n"                         \
    "   \"incomplete\": false, \"missing_ms\": 0, \"size\": 123456,\n"                             \
    "   \"duration_ms\": 61000, \"text_bytes\": 900, \"chunks\": 1, \"segments\": 7,\n"            \
    "   \"summary_coverage\": 1.0, \"uploaded\": \"2026-03-01T12:00:00.000Z\",\n"                  \
    "   \"published\": \"2026-03-01T12:00:04.120Z\", \"job\": 12, \"reason\": null,\n"             \
    "   \"message\": null, \"cost_usd\": 0.0061, \"made_by\": {\"transcribe\": {...}}}"

#define JOB_JSON_HELP                                                                              \
    "  {\"id\": 12, \"media\": 12, \"bucket\": \"media\", \"key\": \"talk.mp3\",\n"                \
    "   \"collection\": \"media\", \"state\": \"dead\", \"attempts\": 1, \"stage\": "              \
    "\"extract\",\n"                                                                               \
    "   \"reason\": \"unreadable\", \"message\": \"...\", \"queued\": \"...\", \"started\": "      \
    "\"...\",\n"                                                                                   \
    "   \"finished\": \"...\", \"due\": null, \"worker\": \"host:123\", \"trace_id\": \"...\"}"

/* What a medium is called: its title, else the end of its key. Clean, in the arena. */
const char *media_name(struct arena *arena, const struct media_row *media);

/* "audio 12:03", "pdf", "text"; "-" while nothing is published. */
const char *media_what(struct arena *arena, const struct media_row *media);

/* "draft", "incomplete", both or "": what is not to be trusted, or not all there. */
const char *label_text(bool draft, bool incomplete);

/* "no speech was found in it" and so on for an outcome that is not content, else NULL. */
const char *outcome_text(enum result_outcome outcome);

/* "succeeded", "retrying": the style a state is shown in. */
enum style state_style(enum job_state state);

/* Prints a summary as paragraphs and lists. */
void print_summary(struct app *app, const struct summary *summary, int indent);

/* What to do about a failed job with this reason code. Never NULL. */
const char *advice(const char *reason);

/* ERR_NOT_FOUND that says why nothing is published for this medium yet; 0 if something is. */
int media_has_nothing(const struct app *app, const struct media_row *media);

/* Streams {"name": [ ... ]} row by row: constant memory whatever the length. */
struct json_stream {
    size_t count;
};
void json_stream_begin(struct json_stream *s, const char *name);
/* Frees the document. */
void json_stream_row(struct json_stream *s, yyjson_mut_doc *doc, yyjson_mut_val *row);
void json_stream_end(struct json_stream *s);

#endif
