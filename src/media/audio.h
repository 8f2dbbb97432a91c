/* audio.h - the receiving half of media_decode_audio, for fuzzing and measuring. */
#ifndef AEGIS_MEDIA_AUDIO_H
#define AEGIS_MEDIA_AUDIO_H

#include "media/media.h"

/* As media_decode_audio, with a child "audio" that runs already; *out starts zeroed. The child
 * stays the caller's. */
int audio_receive(struct child *child, const struct media_identity *identity,
                  const struct audio_options *options, const struct cancel *cancel,
                  const struct audio_sink *sink, struct audio_info *out);

#endif
