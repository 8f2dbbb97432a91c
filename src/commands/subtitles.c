#include "commands/subtitles.h"

#include <inttypes.h>
#include <string.h>

#include "commands/output.h"
#include "commands/views.h"
#include "shared/clock.h"
#include "shared/error.h"

static void print_time(FILE *out, int64_t ms, char point)
{
    if (ms < 0)
        ms = 0;
    fprintf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64 "%c%03" PRId64, ms / 3600000,
            ms / 60000 % 60, ms / 1000 % 60, point, ms % 1000);
}

static void print_times(struct subtitle_writer *w, const struct segment_row *s, char point)
{
    print_time(w->out, s->start_ms, point);
    fputs(" --> ", w->out);
    print_time(w->out, s->end_ms > s->start_ms ? s->end_ms : s->start_ms + 1, point);
    fputc('\n', w->out);
}

/* A line may not look like the line of times. */
static void print_srt_text(FILE *out, const char *text)
{
    for (const char *arrow; (arrow = strstr(text, "-->")); text = arrow + 3)
        fprintf(out, "%.*s->", (int)(arrow - text), text);
    fputs(text, out);
}

static void print_vtt_text(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        default:
            fputc(*text, out);
        }
}

void subtitles_begin(struct subtitle_writer *w, int (*row)(void *, const struct segment_row *))
{
    const char *label = label_text(w->draft, w->incomplete);
    if (row == subtitles_vtt)
        fputs("WEBVTT\n\n", w->out);
    if (row == subtitles_vtt && *label)
        fprintf(w->out, "NOTE %s transcript\n\n", label);
    if (row == subtitles_txt && *label)
        fprintf(w->out, "[%s transcript]\n", label);
}

/* Text and speaker clean and on one line; the arena is emptied after each cue. */
struct cue {
    const char *text, *speaker;
    struct arena arena;
};

static void cue_open(struct cue *cue, const struct segment_row *s)
{
    arena_init(&cue->arena, MIB(16));
    cue->text = text_clean(&cue->arena, s->text);
    cue->speaker = text_clean(&cue->arena, s->speaker);
}

int subtitles_txt(void *writer, const struct segment_row *s)
{
    struct subtitle_writer *w = writer;
    struct cue cue;
    char at[CLOCK_TEXT];
    cue_open(&cue, s);
    if (!w->plain)
        fprintf(w->out, "%7s  ", clock_format_position(s->start_ms, at));
    if (!w->plain && *cue.speaker)
        fprintf(w->out, "%s: ", cue.speaker);
    fprintf(w->out, "%s\n", cue.text);
    arena_free(&cue.arena);
    w->count++;
    return OK;
}

int subtitles_srt(void *writer, const struct segment_row *s)
{
    struct subtitle_writer *w = writer;
    struct cue cue;
    cue_open(&cue, s);
    fprintf(w->out, "%s%" PRId64 "\n", w->count ? "\n" : "", w->count + 1);
    print_times(w, s, ',');
    if (*cue.speaker) {
        print_srt_text(w->out, cue.speaker);
        fputs(": ", w->out);
    }
    print_srt_text(w->out, cue.text);
    fputc('\n', w->out);
    arena_free(&cue.arena);
    w->count++;
    return OK;
}

int subtitles_vtt(void *writer, const struct segment_row *s)
{
    struct subtitle_writer *w = writer;
    struct cue cue;
    cue_open(&cue, s);
    if (w->count++)
        fputc('\n', w->out);
    print_times(w, s, '.');
    if (*cue.speaker) {
        fputs("<v ", w->out);
        print_vtt_text(w->out, cue.speaker);
        fputc('>', w->out);
    }
    print_vtt_text(w->out, cue.text);
    fputc('\n', w->out);
    arena_free(&cue.arena);
    return OK;
}
