/*
 * speech.h - draft transcripts by PocketSphinx and its US English model (Debian:
 * pocketsphinx-en-us).
 *
 * The recogniser runs in a sandboxed child, one per piece of audio: it loads the model, locks
 * itself down, reads the WAV from descriptor 0 and sends segments back as it finds them. Measured
 * on clean human reading about a third of its words are wrong: enough to find a recording by a
 * word, not a transcript to trust.
 */
#ifndef AEGIS_OFFLINE_SPEECH_H
#define AEGIS_OFFLINE_SPEECH_H

#include "ports/model_provider.h"
#include "shared/child.h"

#define SPEECH_MODEL    "pocketsphinx-en-us"
#define SPEECH_REVISION "hmmpf3000-wpf10-1"

enum { SPEECH_PIECE_MS = 120000 };

/* `model` is the model's directory. ERR_PERMANENT "no_offline_speech" if the library or the model
 * is not installed, "unsupported_audio" for anything but 16 kHz mono WAV, or what became of the
 * child (child.h). */
int speech_transcribe(const char *model, const struct transcribe_request *request,
                      const struct cancel *cancel, struct arena *arena,
                      struct transcribe_result *out);

/* Whether the child can load library and model; takes about half a second. */
int speech_check(const char *model, const struct cancel *cancel);

/* Debian's place of the model. */
const char *speech_default_model(void);

/* The child: arguments are the model's directory and "transcribe" or "check". */
int speech_child(int argc, char **argv);

#endif
