/*
 * transcribe: a recording is decoded as a stream and cut at silences; each piece is transcribed by
 * a thread of its own, a few at a time, while decoding goes on. A piece that was paid for once is
 * found again under the digest of its samples.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "processor/internal.h"
#include "processor/segments.h"
#include "processor/transcript_json.h"
#include "shared/condition.h"
#include "shared/file.h"
#include "shared/words.h"

enum {
    PIECE_ARENA = 4 << 20,
    MIN_PIECE_MS = 15000,     /* shortest piece that decoding may cut */
    UNTIMED_PIECE_MS = 45000, /* longest piece where the model gives no times of its own */
};

struct recording;

struct piece {
    struct piece *next;
    struct recording *recording;
    pthread_t thread;
    struct audio_piece audio;
    struct arena arena;
    struct transcribe_result result;
    int rc;
    struct error error;
    bool finished; /* under recording.lock: the thread is at its end */
    bool joined;   /* the job's thread only */
};

struct recording {
    struct job *job;
    struct model_identity model;
    struct digest settings;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    int running;
    bool failed;
    struct cancel stop;          /* a piece failed: the others need not go on */
    struct piece *first, **last; /* in order of the recording */
};

/* ---- one piece, on its own thread ---- */

/* Not from the piece's arena, which stays until the whole recording is done. */
static int digest_piece(const struct audio_piece *audio, struct digest *out)
{
    char bytes[KIB(64)];
    struct digest_stream *stream = digest_begin(false);
    if (!stream)
        return ERR_NO_MEMORY;
    size_t got = 1;
    int rc = OK;
    for (int64_t at = 0; !rc && got > 0; at += (int64_t)got) {
        rc = file_read_at(audio->fd, "audio piece", bytes, sizeof bytes, at, &got);
        if (!rc)
            digest_update(stream, bytes, got);
    }
    *out = digest_end(stream, NULL);
    return rc;
}

static int call_model(struct piece *piece, struct model_calls *calls)
{
    struct recording *r = piece->recording;
    struct processor *p = r->job->processor;
    const struct model_provider *provider = &p->ports.providers.by_operation[MODEL_TRANSCRIBE];
    struct transcribe_request request = {.fd = piece->audio.fd,
                                         .size = piece->audio.size,
                                         .duration_ms = piece->audio.end_ms - piece->audio.start_ms,
                                         .language = "",
                                         .prompt = ""};
    int64_t waited_ms = 0;
    int tries = 0;
    for (;;) {
        size_t before = calls->count;
        int rc = provider_begin(p, &r->model, &r->stop);
        if (rc)
            return rc;
        rc = provider->ops->transcribe(provider->ctx, &request, &r->stop, &piece->arena, calls,
                                       &piece->result);
        provider_end(p, &r->model, calls, before);
        if (rc == OK)
            return OK;
        rc = provider_wait_out(p, &r->stop, &waited_ms, &tries);
        if (rc)
            return rc;
    }
}

/* From the checkpoint, or from the model and then into the checkpoint together with its cost. */
static int transcribe_piece(struct piece *piece)
{
    struct recording *r = piece->recording;
    const struct database *db = &r->job->processor->ports.database;
    struct checkpoint item = {
        .job_id = r->job->work->job_id,
        .key = {.stage = stage_name(STAGE_TRANSCRIBE), .settings = r->settings}};
    struct model_calls calls = {.arena = &piece->arena};
    void *bytes;
    size_t length;
    int rc = digest_piece(&piece->audio, &item.key.input);
    if (rc)
        return rc;
    rc = db->ops->checkpoint_get(db->ctx, &item.key, &piece->arena, &bytes, &length);
    if (rc == OK)
        return transcript_json_parse(bytes, length, &piece->arena, &piece->result);
    if (rc != ERR_NOT_FOUND)
        return rc;
    struct buffer text;
    buffer_init(&text, CAP_CHECKPOINT);
    rc = call_model(piece, &calls);
    if (!rc)
        rc = transcript_json_append(&text, &piece->result);
    item.bytes = text.data;
    item.length = text.length;
    item.calls = calls.items;
    item.call_count = calls.count;
    if (!rc)
        rc = db->ops->checkpoints_put(db->ctx, &item, 1);
    rc = rc ? rc : item.rc;
    buffer_free(&text);
    if (rc) {
        pthread_mutex_lock(&r->lock);
        job_bill(r->job, &calls);
        pthread_mutex_unlock(&r->lock);
    }
    return rc;
}

static void *piece_run(void *arg)
{
    struct piece *piece = arg;
    struct recording *r = piece->recording;
    piece->rc = transcribe_piece(piece);
    if (piece->rc)
        piece->error = *error_last();
    close(piece->audio.fd);
    pthread_mutex_lock(&r->lock);
    r->running--;
    piece->finished = true;
    if (piece->rc) {
        r->failed = true;
        cancel_request(&r->stop);
    }
    pthread_cond_signal(&r->finished);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the job's thread ---- */

/* The drain deadline or a lost lease stops the pieces too. */
static void pass_on_cancel(struct recording *r)
{
    if (cancel_requested(r->job->cancel))
        cancel_request(&r->stop);
}

static void wait_for_room(struct recording *r, int limit)
{
    pthread_mutex_lock(&r->lock);
    while (r->running >= limit) {
        condition_wait_for(&r->finished, &r->lock, CANCEL_POLL_MS);
        pass_on_cancel(r);
    }
    pthread_mutex_unlock(&r->lock);
}

/* Threads that are done give their stacks back: a long recording has hundreds of pieces. */
static void join_finished(struct recording *r)
{
    for (struct piece *piece = r->first; piece; piece = piece->next) {
        pthread_mutex_lock(&r->lock);
        bool finished = piece->finished;
        pthread_mutex_unlock(&r->lock);
        if (!finished || piece->joined)
            continue;
        pthread_join(piece->thread, NULL);
        piece->joined = true;
    }
}

static int start_piece(struct recording *r, const struct audio_piece *audio)
{
    struct piece *piece = calloc(1, sizeof *piece);
    if (!piece) {
        close(audio->fd);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a piece of audio");
    }
    piece->recording = r;
    piece->audio = *audio;
    arena_init(&piece->arena, PIECE_ARENA);
    pthread_mutex_lock(&r->lock);
    r->running++;
    pthread_mutex_unlock(&r->lock);
    join_finished(r);
    int rc = processor_start_thread(&piece->thread, "transcribe", piece_run, piece);
    if (rc) {
        close(audio->fd);
        free(piece);
        pthread_mutex_lock(&r->lock);
        r->running--;
        pthread_mutex_unlock(&r->lock);
        return rc;
    }
    *r->last = piece;
    r->last = &piece->next;
    return OK;
}

/* The decoder's CPU slot is given up while waiting, or an offline model would wait for it for ever.
 */
static int on_piece(void *ctx, const struct audio_piece *audio)
{
    struct recording *r = ctx;
    slots_release(&r->job->processor->cpu);
    wait_for_room(r, r->job->processor->settings.transcribe_window);
    int rc = slots_hold(&r->job->processor->cpu, NULL);
    if (!rc && cancel_requested(&r->stop))
        rc = error_set(ERR_CANCELLED, NULL, "stopped while transcribing");
    if (rc) {
        close(audio->fd);
        return rc;
    }
    return start_piece(r, audio);
}

static void on_progress(void *ctx, int64_t done_ms, int64_t total_ms)
{
    struct recording *r = ctx;
    job_progress(r->job, total_ms > 0 ? (int)(done_ms * 1000 / total_ms) : -1);
}

static int decode(struct recording *r, struct audio_info *info)
{
    struct job *job = r->job;
    int64_t longest = job->processor->settings.piece_ms;
    if (r->model.max_ms > 0 && r->model.max_ms < longest)
        longest = r->model.max_ms;
    if (!r->model.timestamps && longest > UNTIMED_PIECE_MS)
        longest = UNTIMED_PIECE_MS;
    struct audio_options options = {.spool_directory = job->processor->settings.spool_directory,
                                    .max_bytes = r->model.max_bytes,
                                    .max_ms = longest,
                                    .min_ms = MIN_PIECE_MS < longest ? MIN_PIECE_MS : longest / 2,
                                    .parser_ms = job->processor->settings.parser_ms,
                                    .accept_truncated = job->processor->settings.accept_truncated};
    struct audio_sink sink = {.piece = on_piece, .progress = on_progress, .ctx = r};
    int rc = object_descriptor(&job->object);
    if (!rc)
        rc = slots_hold(&job->processor->cpu, job->cancel);
    if (rc)
        return rc;
    rc = media_decode_audio(job->object.fd, job->object.info.size, &job->identity, &options,
                            job->cancel, &sink, info);
    slots_release(&job->processor->cpu);
    return rc;
}

/* Joins all pieces; the error of the one that failed first in the recording, if any did (those that
 * were merely stopped because of it do not count). */
static int join(struct recording *r)
{
    struct error stopped = {.code = OK}, failed = {.code = OK};
    wait_for_room(r, 1);
    for (struct piece *piece = r->first; piece; piece = piece->next) {
        if (!piece->joined)
            pthread_join(piece->thread, NULL);
        piece->joined = true;
        struct error *slot = piece->rc == ERR_CANCELLED ? &stopped : &failed;
        if (piece->rc && slot->code == OK)
            *slot = piece->error;
    }
    if (failed.code)
        return error_restore(&failed);
    return stopped.code ? error_restore(&stopped) : OK;
}

/* Text without times is spread over its piece sentence by sentence, in proportion to its length. */
static int add_untimed(struct segment_list *list, const struct audio_piece *audio,
                       const struct transcript_segment *s, struct arena *arena)
{
    size_t total = strlen(s->text);
    int64_t start = audio->start_ms + s->start_ms, span = s->end_ms - s->start_ms;
    struct sentence_scan scan;
    struct text_slice slice;
    sentence_scan_begin(&scan, s->text, total);
    while (sentence_next(&scan, &slice)) {
        size_t from = (size_t)(slice.text - s->text);
        char *text = arena_strndup(arena, slice.text, slice.length);
        if (!text)
            return ERR_NO_MEMORY;
        int rc = segments_add(list, start + span * (int64_t)from / (int64_t)total,
                              start + span * (int64_t)(from + slice.length) / (int64_t)total,
                              s->speaker, text);
        if (rc)
            return rc;
    }
    return OK;
}

static int collect(struct recording *r, struct segment_list *list)
{
    struct job *job = r->job;
    for (struct piece *piece = r->first; piece; piece = piece->next) {
        if (!job->language[0])
            snprintf(job->language, sizeof job->language, "%s", piece->result.language);
        for (size_t i = 0; i < piece->result.count; i++) {
            const struct transcript_segment *s = &piece->result.segments[i];
            int rc = r->model.timestamps
                         ? segments_add(list, piece->audio.start_ms + s->start_ms,
                                        piece->audio.start_ms + s->end_ms, s->speaker, s->text)
                         : add_untimed(list, &piece->audio, s, &piece->arena);
            if (rc)
                return rc;
        }
    }
    return OK;
}

static int describe(struct job *job, const struct recording *r, const struct audio_info *audio)
{
    job->info.kind = media_kind_name(audio->has_video ? MEDIA_VIDEO : MEDIA_AUDIO);
    job->info.format = arena_strdup(&job->arena, audio->format);
    job->info.title = arena_strdup(&job->arena, audio->title);
    job->info.duration_ms = audio->duration_ms;
    job->info.missing_ms = audio->missing_ms;
    job->info.draft = r->model.draft && job->segment_count > 0;
    if (!audio->has_audio)
        job->info.outcome = OUTCOME_NO_AUDIO;
    else if (audio->duration_ms == 0)
        job->info.outcome = OUTCOME_EMPTY;
    else if (job->segment_count == 0)
        job->info.outcome = OUTCOME_NO_SPEECH;
    return job->info.format && job->info.title ? OK : ERR_NO_MEMORY;
}

static int transcribe(struct recording *r)
{
    struct job *job = r->job;
    struct audio_info audio = {0};
    struct segment_list list;
    struct error decode_error = {.code = OK};
    if (decode(r, &audio)) {
        decode_error = *error_last();
        cancel_request(&r->stop);
    }
    int rc = join(r);
    if (decode_error.code && (rc == OK || rc == ERR_CANCELLED))
        rc = error_restore(&decode_error);
    if (rc)
        return rc;
    segments_init(&list, &job->arena);
    rc = collect(r, &list);
    if (!rc)
        rc = job_take_segments(job, &list);
    if (!rc)
        rc = describe(job, r, &audio);
    segments_fini(&list);
    return rc;
}

static void recording_fini(struct recording *r)
{
    struct piece *next;
    for (struct piece *piece = r->first; piece; piece = next) {
        next = piece->next;
        arena_free(&piece->arena);
        free(piece);
    }
    pthread_cond_destroy(&r->finished);
    pthread_mutex_destroy(&r->lock);
}

int stage_transcribe(struct job *job)
{
    if (!job_is_recording(job))
        return OK;
    text_source_fini(&job->text);
    text_source_init(&job->text, job->processor->settings.spool_directory);
    struct recording r = {.job = job, .last = &r.first};
    int rc = provider_identify(job->processor, MODEL_TRANSCRIBE, &r.model);
    if (!rc)
        rc = digest_transcribe(job->processor, &r.settings);
    if (rc)
        return rc;
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.finished, NULL);
    rc = transcribe(&r);
    recording_fini(&r);
    return rc;
}
