/*
 * summarise: one call where the text fits the model's context, else map and reduce. Every call's
 * output is checkpointed under the digest of what it read, so a retry pays for none of them again,
 * and a text edited near its end re-reads only its last parts.
 *
 * A text longer than settings.summary_max_bytes is not read whole: evenly spread parts of it are,
 * and the summary says what share of the text it covers.
 */
#include <string.h>

#include "processor/internal.h"
#include "shared/summary_json.h"

enum { MAX_REDUCE_ROUNDS = 8 };

struct summariser {
    struct job *job;
    struct model_identity model;
    struct digest settings;
    const char *hint; /* the document's own title, else the file's name */
};

static int call_model(struct summariser *s, const struct summarise_request *request,
                      struct model_calls *calls, struct summary *out)
{
    struct job *job = s->job;
    struct processor *p = job->processor;
    const struct model_provider *provider = &p->ports.providers.by_operation[MODEL_SUMMARISE];
    int64_t waited_ms = 0;
    int tries = 0;
    for (;;) {
        size_t before = calls->count;
        int rc = provider_begin(p, &s->model, job->cancel);
        if (rc)
            return rc;
        rc = provider->ops->summarise(provider->ctx, request, job->cancel, &job->arena, calls, out);
        provider_end(p, &s->model, calls, before);
        if (rc == OK)
            return OK;
        rc = provider_wait_out(p, job->cancel, &waited_ms, &tries);
        if (rc)
            return rc;
    }
}

static struct digest input_digest(const struct summarise_request *r)
{
    static const char *const parts[] = {"whole", "map", "reduce"};
    struct digest text = digest_of(r->text, r->length);
    char hex[DIGEST_TEXT];
    digest_format(&text, hex);
    return digest_of_strings(parts[r->part], hex, r->title_hint, r->language, NULL);
}

/* Keeps what was paid for: that of a whole text may wait for the result it goes into. */
static int keep(struct summariser *s, const struct summarise_request *request,
                struct checkpoint *item)
{
    struct job *job = s->job;
    const struct database *db = &job->processor->ports.database;
    if (request->part == SUMMARY_WHOLE) {
        pending_add(job, item);
        return OK;
    }
    int rc = db->ops->checkpoints_put(db->ctx, item, 1);
    return rc ? rc : item->rc;
}

static int summary_text(struct job *job, const struct summary *summary, struct checkpoint *item)
{
    struct buffer text;
    buffer_init(&text, CAP_SUMMARY_JSON);
    int rc = summary_json_append(&text, summary);
    if (!rc) {
        item->bytes = arena_strndup(&job->arena, buffer_string(&text), text.length);
        item->length = text.length;
        rc = item->bytes ? OK : ERR_NO_MEMORY;
    }
    buffer_free(&text);
    return rc;
}

/* The only summary of a text is made once in an attempt; parts of a long one are found again when
 * the stage is tried again. */
static int find_checkpoint(struct summariser *s, const struct summarise_request *request,
                           const struct checkpoint_key *key, struct summary *out)
{
    struct job *job = s->job;
    const struct database *db = &job->processor->ports.database;
    void *bytes;
    size_t length;
    if (request->part == SUMMARY_WHOLE && job->work->no_checkpoints)
        return ERR_NOT_FOUND;
    int rc = db->ops->checkpoint_get(db->ctx, key, &job->arena, &bytes, &length);
    return rc ? rc : summary_json_parse(bytes, length, &job->arena, out);
}

/* One summary, from its checkpoint or from the model. */
static int summarise_once(struct summariser *s, const struct summarise_request *request,
                          struct summary *out)
{
    struct job *job = s->job;
    struct checkpoint item = {.job_id = job->work->job_id,
                              .key = {.stage = stage_name(STAGE_SUMMARISE),
                                      .input = input_digest(request),
                                      .settings = s->settings}};
    struct model_calls calls = {.arena = &job->arena};
    int rc = find_checkpoint(s, request, &item.key, out);
    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = call_model(s, request, &calls, out);
    if (!rc)
        rc = summary_text(job, out, &item);
    item.calls = calls.items;
    item.call_count = calls.count;
    if (!rc)
        rc = keep(s, request, &item);
    if (rc)
        job_bill(job, &calls);
    return rc;
}

/* ---- long texts ---- */

/* The chunks from `first` on that together stay within `bytes`; at least one. */
static size_t chunks_within(const struct job *job, size_t first, int64_t bytes)
{
    size_t n = first;
    while (n < job->chunk_count &&
           job->chunks[n].offset + job->chunks[n].length - job->chunks[first].offset <= bytes)
        n++;
    return n > first ? n - first : 1;
}

static int map_part(struct summariser *s, size_t first, size_t count, struct buffer *scratch,
                    struct buffer *lines)
{
    struct job *job = s->job;
    const struct chunk_ref *from = &job->chunks[first], *to = &job->chunks[first + count - 1];
    struct summarise_request request = {.part = SUMMARY_MAP,
                                        .length = (size_t)(to->offset + to->length - from->offset),
                                        .title_hint = s->hint,
                                        .language = job->language};
    struct summary part;
    int rc = text_source_read(&job->text, from->offset, request.length, scratch, &request.text);
    if (!rc)
        rc = summarise_once(s, &request, &part);
    if (!rc)
        rc = summary_json_append(lines, &part);
    return rc ? rc : buffer_append_char(lines, '\n');
}

/* Cuts the text into parts that fit a call and maps them; evenly spread ones if all would be too
 * many. */
static int map_all(struct summariser *s, int64_t text_bytes, struct buffer *lines,
                   int64_t *bytes_read)
{
    struct job *job = s->job;
    int64_t part = (int64_t)s->model.max_input,
            budget = (int64_t)job->processor->settings.summary_max_bytes;
    int64_t parts = (text_bytes + part - 1) / part, taken = budget / part > 0 ? budget / part : 1;
    int64_t stride = parts > taken ? text_bytes / taken : part;
    struct buffer scratch;
    buffer_init(&scratch, s->model.max_input + CAP_TEXT_IN_MEMORY);
    int rc = OK;
    *bytes_read = 0;
    for (size_t first = 0; !rc && first < job->chunk_count;) {
        int64_t begin = job->chunks[first].offset;
        size_t count = chunks_within(job, first, part);
        const struct chunk_ref *last = &job->chunks[first + count - 1];
        rc = map_part(s, first, count, &scratch, lines);
        *bytes_read += last->offset + last->length - begin;
        for (first += count;
             first < job->chunk_count && job->chunks[first].offset < begin + stride;)
            first++;
        job_progress(job, text_bytes > 0 ? (int)(begin * 1000 / text_bytes) : -1);
    }
    buffer_free(&scratch);
    return rc;
}

/* The longest prefix of whole lines within `limit` bytes; at least one line. */
static size_t lines_within(const char *text, size_t length, size_t limit)
{
    if (length <= limit)
        return length;
    const char *cut = memrchr(text, '\n', limit);
    if (!cut)
        cut = memchr(text, '\n', length);
    return cut ? (size_t)(cut - text) + 1 : length;
}

static int reduce_round(struct summariser *s, const struct buffer *in, struct buffer *out,
                        struct summary *last)
{
    struct job *job = s->job;
    for (size_t at = 0; at < in->length;) {
        size_t n = lines_within(in->data + at, in->length - at, s->model.max_input);
        struct summarise_request request = {.part = SUMMARY_REDUCE,
                                            .text = in->data + at,
                                            .length = n,
                                            .title_hint = s->hint,
                                            .language = job->language};
        int rc = summarise_once(s, &request, last);
        if (!rc)
            rc = summary_json_append(out, last);
        if (!rc)
            rc = buffer_append_char(out, '\n');
        if (rc)
            return rc;
        at += n;
    }
    return OK;
}

static bool one_line(const struct buffer *b)
{
    const char *end = memchr(b->data, '\n', b->length);
    return end && (size_t)(end - b->data) + 1 == b->length;
}

static int summarise_long(struct summariser *s, int64_t text_bytes, struct summary *out)
{
    struct buffer in, reduced;
    int64_t bytes_read;
    buffer_init(&in, CAP_JOB_ARENA);
    buffer_init(&reduced, CAP_JOB_ARENA);
    int rc = map_all(s, text_bytes, &in, &bytes_read);
    for (int round = 0; !rc && round < MAX_REDUCE_ROUNDS; round++) {
        buffer_clear(&reduced);
        rc = reduce_round(s, &in, &reduced, out);
        if (rc || one_line(&reduced))
            break;
        struct buffer swap = in;
        in = reduced;
        reduced = swap;
    }
    s->job->info.summary_coverage_permille = text_bytes > 0 ? bytes_read * 1000 / text_bytes : 1000;
    buffer_free(&in);
    buffer_free(&reduced);
    return rc;
}

static int summarise_whole(struct summariser *s, int64_t text_bytes, struct summary *out)
{
    struct job *job = s->job;
    struct summarise_request request = {.part = SUMMARY_WHOLE,
                                        .length = (size_t)text_bytes,
                                        .title_hint = s->hint,
                                        .language = job->language};
    struct buffer scratch;
    buffer_init(&scratch, s->model.max_input);
    int rc = text_source_read(&job->text, 0, request.length, &scratch, &request.text);
    if (!rc)
        rc = summarise_once(s, &request, out);
    job->info.summary_coverage_permille = 1000;
    buffer_free(&scratch);
    return rc;
}

static const char *title_hint(const struct job *job)
{
    const char *slash = strrchr(job->work->key, '/');
    if (job->info.title && job->info.title[0])
        return job->info.title;
    return slash ? slash + 1 : job->work->key;
}

/* From a result of this content that another embedding model was used for. */
static int find_summary(struct job *job)
{
    const struct database *db = &job->processor->ports.database;
    if (job->work->content_is_new)
        return ERR_NOT_FOUND;
    return db->ops->summary_find(db->ctx, &job->key, &job->arena, &job->summary,
                                 &job->info.summary_coverage_permille);
}

int stage_summarise(struct job *job)
{
    job->has_summary = false;
    if (job->chunk_count == 0)
        return OK;
    int found = find_summary(job);
    job->has_summary = found == OK;
    if (found != ERR_NOT_FOUND)
        return found;
    struct summariser s = {.job = job, .hint = title_hint(job)};
    int rc = provider_identify(job->processor, MODEL_SUMMARISE, &s.model);
    if (!rc)
        rc = digest_summarise(job->processor, &s.settings);
    if (rc)
        return rc;
    int64_t text_bytes = text_source_length(&job->text);
    rc = text_bytes <= (int64_t)s.model.max_input ? summarise_whole(&s, text_bytes, &job->summary)
                                                  : summarise_long(&s, text_bytes, &job->summary);
    job->has_summary = rc == OK;
    return rc;
}
