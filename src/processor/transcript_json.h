/*
 * transcript_json.h - the checkpoint of one transcribed piece:
 *
 *   {"language":"en","segments":[{"start_ms":0,"end_ms":900,"speaker":"","text":"..."}]}
 */
#ifndef AEGIS_PROCESSOR_TRANSCRIPT_JSON_H
#define AEGIS_PROCESSOR_TRANSCRIPT_JSON_H

#include "ports/model_provider.h"
#include "shared/arena.h"
#include "shared/buffer.h"

int transcript_json_append(struct buffer *out, const struct transcribe_result *result);
int transcript_json_parse(const char *text, size_t length, struct arena *arena,
                          struct transcribe_result *out);

#endif
