/*
 * sphinx.h - PocketSphinx (Carnegie Mellon's recogniser; D. Huggins-Daines et al., ICASSP 2006),
 * loaded when it is needed: nothing of Aegis links to it.
 */
#ifndef AEGIS_OFFLINE_SPHINX_H
#define AEGIS_OFFLINE_SPHINX_H

#include <stddef.h>
#include <stdint.h>

struct sphinx;

/* Loads the libraries and the model in directory `model` (about half a second, 110 MB).
 * ERR_PERMANENT "no_offline_speech" if something is missing. Never unloaded: for a child that ends
 * soon. */
int sphinx_open(const char *model, struct sphinx **out);

/* Recognises one utterance as a whole, at most VOICE_LONGEST_MS and its margins. `word` gets each
 * word with its time in milliseconds from the first sample; noises are left out. A non-zero return
 * of it stops and is returned. ERR_PERMANENT "parser_crashed" if the recogniser fails. */
int sphinx_recognise(struct sphinx *sphinx, const int16_t *samples, size_t count,
                     int (*word)(void *ctx, const char *text, int64_t start_ms, int64_t end_ms),
                     void *ctx);

#endif
