/*
 * Settings digests: what a stage's output depends on besides its input. Whatever is left out of a
 * digest does not re-run the stage when it changes; whatever is in it does.
 */
#include <inttypes.h>
#include <stdio.h>

#include "processor/chunker.h"
#include "processor/internal.h"

/* Raised when the stage's own code changes its output. */
#define EXTRACT_VERSION    "extract-1"
#define TRANSCRIBE_VERSION "transcribe-1"
#define SUMMARISE_VERSION  "summarise-1"

static void number(int64_t value, char out[24])
{
    snprintf(out, 24, "%" PRId64, value);
}

int digest_transcribe(struct processor *p, struct digest *out)
{
    struct model_identity m;
    char piece[24];
    int rc = provider_identify(p, MODEL_TRANSCRIBE, &m);
    if (rc)
        return rc;
    number(p->settings.piece_ms, piece);
    *out = digest_of_strings(TRANSCRIBE_VERSION, m.provider, m.model, m.revision, piece, NULL);
    return OK;
}

int digest_summarise(struct processor *p, struct digest *out)
{
    struct model_identity m;
    char bytes[24];
    int rc = provider_identify(p, MODEL_SUMMARISE, &m);
    if (rc)
        return rc;
    number((int64_t)p->settings.summary_max_bytes, bytes);
    *out = digest_of_strings(SUMMARISE_VERSION, m.provider, m.model, m.revision, bytes, NULL);
    return OK;
}

/* Embeddings are not in it: a result may have those of several models, and which are needed is the
 * database's to say. */
int job_fill_key(struct job *job)
{
    struct processor *p = job->processor;
    struct digest transcribe = {0}, summarise;
    char t[DIGEST_TEXT], s[DIGEST_TEXT], text[DIGEST_TEXT], chunk_bytes[24];
    int rc = job_is_recording(job) ? digest_transcribe(p, &transcribe) : OK;
    if (!rc)
        rc = digest_summarise(p, &summarise);
    if (rc)
        return rc;
    digest_format(&transcribe, t);
    digest_format(&summarise, s);
    number((int64_t)p->settings.chunk_bytes, chunk_bytes);
    job->key.content = job->content;
    job->key.text = digest_of_strings(EXTRACT_VERSION, media_kind_name(job->identity.kind), t,
                                      CHUNKER_VERSION, chunk_bytes, NULL);
    digest_format(&job->key.text, text);
    job->key.summary = digest_of_strings(text, s, NULL);
    job->key.settings = digest_of_strings("settings-2", text, s, NULL);
    return OK;
}
