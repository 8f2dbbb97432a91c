/*
 * wave.h - the header of a WAV file (RIFF; Microsoft and IBM, "Multimedia Programming Interface and
 * Data Specifications 1.0", 1991).
 */
#ifndef AEGIS_OFFLINE_WAVE_H
#define AEGIS_OFFLINE_WAVE_H

#include <stddef.h>
#include <stdint.h>

/* Finds the samples in a WAV file in memory: PCM, 16 bits, mono, 16 kHz, or ERR_PERMANENT
 * "unsupported_audio". A data chunk that claims more than there is ends with the file, as those of
 * streams do. *samples points into `bytes` (at an even offset). */
int wave_samples(const unsigned char *bytes, size_t length, const int16_t **samples, size_t *count);

#endif
