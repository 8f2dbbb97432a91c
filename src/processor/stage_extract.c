/*
 * extract: documents become text, subtitles become segments. Recordings are left to transcribe.
 */
#include <stdlib.h>
#include <string.h>

#include "processor/internal.h"
#include "processor/segments.h"

static int write_text(void *ctx, const char *text, size_t length)
{
    return text_source_write(ctx, text, length);
}

static struct media_limits limits_of(const struct job *job)
{
    const struct processor_settings *s = &job->processor->settings;
    return (struct media_limits){.text_bytes = s->text_bytes, .parser_ms = s->parser_ms};
}

static int extract_text(struct job *job, const struct text_sink *sink, struct text_info *info)
{
    struct object *o = &job->object;
    struct media_limits limits = limits_of(job);
    int rc = ERR_INVALID;
    if (o->bytes && job->identity.plain_utf8)
        rc = media_extract_plain(o->bytes, (size_t)o->info.size, &job->identity, &limits, sink,
                                 info);
    if (rc != ERR_INVALID)
        return rc;
    rc = object_descriptor(o);
    return rc ? rc
              : media_extract_text(o->fd, o->info.size, &job->identity, &limits, job->cancel, sink,
                                   info);
}

static int extract_document(struct job *job)
{
    struct text_info info;
    struct text_sink sink = {.write = write_text, .ctx = &job->text};
    int rc = extract_text(job, &sink, &info);
    if (!rc)
        rc = text_source_finish(&job->text);
    if (rc)
        return rc;
    snprintf(job->language, sizeof job->language, "%s", info.language);
    job->info.title = arena_strdup(&job->arena, info.title);
    return job->info.title ? OK : ERR_NO_MEMORY;
}

static int add_cue(void *ctx, int64_t start_ms, int64_t end_ms, const char *speaker,
                   const char *text)
{
    return segments_add(ctx, start_ms, end_ms, speaker, text);
}

static int extract_subtitles(struct job *job)
{
    struct segment_list list;
    segments_init(&list, &job->arena);
    struct subtitle_sink sink = {.cue = add_cue, .ctx = &list};
    struct media_limits limits = limits_of(job);
    int rc = object_descriptor(&job->object);
    if (!rc)
        rc = media_extract_subtitles(job->object.fd, job->object.info.size, &job->identity, &limits,
                                     job->cancel, &sink);
    if (!rc)
        rc = job_take_segments(job, &list);
    segments_fini(&list);
    return rc;
}

/* Parsing in a child is CPU work; plain text is not worth a slot. */
static int extract_in_slot(struct job *job, int (*extract)(struct job *job))
{
    struct slots *cpu = &job->processor->cpu;
    if (job->identity.plain_utf8)
        return extract(job);
    int rc = slots_hold(cpu, job->cancel);
    if (rc)
        return rc;
    rc = extract(job);
    slots_release(cpu);
    return rc;
}

int stage_extract(struct job *job)
{
    text_source_fini(&job->text);
    text_source_init(&job->text, job->processor->settings.spool_directory);
    job->info = (struct result_info){.kind = media_kind_name(job->identity.kind),
                                     .format = job->identity.format,
                                     .title = "",
                                     .language = "",
                                     .outcome = OUTCOME_CONTENT,
                                     .duration_ms = -1};
    if (job_is_recording(job))
        return OK;
    if (job->identity.kind == MEDIA_EMPTY) {
        job->info.outcome = OUTCOME_EMPTY;
        return OK;
    }
    bool subtitles = job->identity.kind == MEDIA_SRT || job->identity.kind == MEDIA_VTT;
    int rc = extract_in_slot(job, subtitles ? extract_subtitles : extract_document);
    if (!rc) /* while models are waited for, a thousand jobs need not hold their files */
        object_close(&job->object);
    return rc;
}
