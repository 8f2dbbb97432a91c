#include "processor/segments.h"

#include <stdlib.h>
#include <string.h>

void segments_init(struct segment_list *list, struct arena *arena)
{
    *list = (struct segment_list){.arena = arena};
}

void segments_fini(struct segment_list *list)
{
    free(list->rows);
    list->rows = NULL;
    list->count = list->capacity = 0;
}

static int grow(struct segment_list *list)
{
    if (list->count >= CAP_SEGMENTS)
        return error_set(ERR_TOO_LARGE, "too_many_segments",
                         "a transcript has more than %d segments", CAP_SEGMENTS);
    size_t capacity = list->capacity ? list->capacity * 2 : 64;
    struct segment_row *rows = realloc(list->rows, capacity * sizeof *rows);
    if (!rows)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for %zu segments", capacity);
    list->rows = rows;
    list->capacity = capacity;
    return OK;
}

int segments_add(struct segment_list *list, int64_t start_ms, int64_t end_ms, const char *speaker,
                 const char *text)
{
    text += strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    if (length == 0)
        return OK;
    int rc = list->count == list->capacity ? grow(list) : OK;
    if (rc)
        return rc;
    struct segment_row row = {.ordinal = (int)list->count,
                              .start_ms = start_ms,
                              .end_ms = end_ms > start_ms ? end_ms : start_ms,
                              .speaker = arena_strdup(list->arena, speaker ? speaker : ""),
                              .text = arena_strndup(list->arena, text, length)};
    if (!row.speaker || !row.text)
        return ERR_NO_MEMORY;
    list->rows[list->count++] = row;
    return OK;
}

static int by_start(const void *a, const void *b)
{
    const struct segment_row *x = a, *y = b;
    if (x->start_ms != y->start_ms)
        return x->start_ms < y->start_ms ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static void sort(struct segment_row *rows, size_t count)
{
    qsort(rows, count, sizeof *rows, by_start);
    for (size_t i = 0; i < count; i++)
        rows[i].ordinal = (int)i;
}

int job_take_segments(struct job *job, const struct segment_list *list)
{
    job->segments = arena_array(&job->arena, list->count + 1, sizeof *job->segments);
    if (!job->segments)
        return ERR_NO_MEMORY;
    job->segment_count = list->count;
    if (list->count > 0)
        memcpy(job->segments, list->rows, list->count * sizeof *list->rows);
    sort(job->segments, job->segment_count);
    int64_t end = 0;
    for (size_t i = 0; i < job->segment_count; i++) {
        const struct segment_row *row = &job->segments[i];
        int rc = text_source_write(&job->text, row->text, strlen(row->text));
        if (!rc)
            rc = text_source_write(&job->text, "\n", 1);
        if (rc)
            return rc;
        if (row->end_ms > end)
            end = row->end_ms;
    }
    if (end > job->info.duration_ms)
        job->info.duration_ms = end;
    return text_source_finish(&job->text);
}
