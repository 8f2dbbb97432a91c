#include "commands/progress.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/clock.h"

enum {
    DRAW_EVERY_MS = 100,
    NOTE_EVERY_MS = 10000,
    PRICE_EVERY_MS = 1000,
    JOB_LINES = 8,
    BAR_COLUMNS = 24,
    STAGE_COLUMNS = 22,
};

static int64_t total_cost(const struct app *app)
{
    struct totals totals;
    if (!app->database.ops || app->database.ops->totals(app->database.ctx, &totals))
        return 0;
    return totals.cost_nanousd;
}

void progress_init(struct progress *p, struct app *app)
{
    int64_t now = clock_monotonic_ms();
    *p = (struct progress){.app = app, .started_ms = now, .drawn_ms = now, .priced_ms = now};
    if (app->terminal.err_tty)
        p->cost_before = total_cost(app);
}

/* ---- putting it on the screen ---- */

/* One write for the whole picture, so that nothing half-drawn is ever seen. */
static void put(struct progress *p, const struct buffer *lines, int count)
{
    struct buffer out;
    buffer_init(&out, KIB(64));
    if (p->lines > 0)
        buffer_printf(&out, "\033[%dA", p->lines);
    buffer_append(&out, buffer_string(lines), lines->length);
    if (count < p->lines)
        buffer_append_string(&out, "\033[J");
    fflush(stdout);
    if (out.length > 0 && write(STDERR_FILENO, out.data, out.length) < 0) {
        /* a terminal that went away needs no picture */
    }
    buffer_free(&out);
    p->lines = count;
}

void progress_clear(struct progress *p)
{
    if (p->lines == 0)
        return;
    char sequence[32];
    int n = snprintf(sequence, sizeof sequence, "\033[%dA\033[J", p->lines);
    fflush(stdout);
    if (write(STDERR_FILENO, sequence, (size_t)n) < 0) {
        /* as above */
    }
    p->lines = 0;
    p->drawn_ms = 0;
}

/* ---- what it says ---- */

struct picture {
    struct progress *progress;
    struct buffer text;
    struct arena arena;
    int lines, width;
    double done; /* jobs, with the shares of those under way */
};

static void line(struct picture *pic, const char *text)
{
    buffer_printf(&pic->text, "%s\033[K\n", text);
    pic->lines++;
}

static double share(const struct tracked *item)
{
    if (item->state == JOB_SUCCEEDED || item->state == JOB_DEAD || item->state == JOB_CANCELLED)
        return 1;
    if (!item->here)
        return 0;
    double within = item->permille > 0 ? item->permille / 1000.0 : 0;
    return ((double)item->stage + within) / STAGES;
}

/* "transcribe 43%", "retrying in 12 s" */
static void what_happens(const struct tracked *item, char *out, size_t size)
{
    char wait[HUMAN_TEXT];
    int64_t due = item->due_ms - clock_now(clock_system());
    if (item->state == JOB_RETRYING && due > 0)
        snprintf(out, size, "retrying in %s", human_duration(due < 1000 ? 1000 : due, wait));
    else if (item->state == JOB_RETRYING || item->state == JOB_PAUSED)
        snprintf(out, size, "%s", job_state_name(item->state));
    else if (item->here && item->permille >= 0)
        snprintf(out, size, "%s %d%%", stage_name(item->stage), item->permille / 10);
    else if (item->here)
        snprintf(out, size, "%s", stage_name(item->stage));
    else
        snprintf(out, size, "running");
}

static void job_line(struct picture *pic, const struct tracked *item)
{
    char stage[64], text[1024];
    what_happens(item, stage, sizeof stage);
    const char *key = text_clean(&pic->arena, item->key);
    const char *name = strrchr(key, '/');
    name = text_truncate(&pic->arena, name ? name + 1 : key, pic->width - STAGE_COLUMNS - 4);
    snprintf(text, sizeof text, "  %-*s  %s", STAGE_COLUMNS, stage, name);
    if (item->state == JOB_RETRYING && item->reason[0])
        snprintf(text + strlen(text), sizeof text - strlen(text), " (%s)", item->reason);
    line(pic, text_truncate(&pic->arena, text, pic->width - 1));
}

static bool is_under_way(const struct tracked *item)
{
    return item->here || item->state == JOB_RUNNING || item->state == JOB_RETRYING ||
           item->state == JOB_PAUSED;
}

static void job_lines(struct picture *pic, const struct tracker *t, int most)
{
    int shown = 0, more = 0;
    for (size_t i = 0; i < t->count; i++) {
        pic->done += share(&t->items[i]);
        if (!is_under_way(&t->items[i]))
            continue;
        if (shown < most) {
            job_line(pic, &t->items[i]);
            shown++;
        } else {
            more++;
        }
    }
    char text[64];
    snprintf(text, sizeof text, "  and %d more", more);
    if (more > 0)
        line(pic, text);
}

static void bar(double fraction, char out[BAR_COLUMNS * 3 + 1])
{
    int full = (int)(fraction * BAR_COLUMNS + 0.5);
    char *p = out;
    for (int i = 0; i < BAR_COLUMNS; i++) {
        memcpy(p, i < full ? "█" : "░", 3);
        p += 3;
    }
    *p = '\0';
}

static void time_left(const struct progress *p, double fraction, char out[64])
{
    char text[HUMAN_TEXT];
    int64_t elapsed = clock_monotonic_ms() - p->started_ms;
    *out = '\0';
    if (elapsed < 3000 || fraction < 0.02 || fraction >= 1)
        return;
    int64_t left = (int64_t)((double)elapsed * (1 - fraction) / fraction);
    if (left < 60000)
        snprintf(out, 64, ", about %" PRId64 " s left", (left + 999) / 1000);
    else
        snprintf(out, 64, ", about %s left", human_duration(left, text));
}

static void overall(const struct progress *p, const struct tracker *t, double done, bool draw_bar,
                    char *out, size_t size)
{
    char drawn[BAR_COLUMNS * 3 + 1] = "", left[64], cost[HUMAN_TEXT], failed[48] = "";
    double fraction = t->count ? done / (double)t->count : 0;
    size_t ended = t->ended[JOB_SUCCEEDED] + t->ended[JOB_DEAD] + t->ended[JOB_CANCELLED];
    bar(fraction, drawn);
    time_left(p, fraction, left);
    if (t->ended[JOB_DEAD])
        snprintf(failed, sizeof failed, ", %zu failed", t->ended[JOB_DEAD]);
    snprintf(out, size, "%s%s%zu of %zu done%s%s%s%s", draw_bar ? drawn : "", draw_bar ? " " : "",
             ended, t->count, failed, left, p->cost_nanousd > 0 ? ", " : "",
             p->cost_nanousd > 0 ? human_cost(p->cost_nanousd, true, cost) : "");
}

static int height(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

static void price(struct progress *p, int64_t now)
{
    if (now - p->priced_ms < PRICE_EVERY_MS)
        return;
    p->priced_ms = now;
    p->cost_nanousd = total_cost(p->app) - p->cost_before;
}

static void note_line(struct picture *pic, const char *what, const char *text)
{
    if (!*text)
        return;
    const char *note = arena_printf(&pic->arena, "%s%s", what, text_clean(&pic->arena, text));
    line(pic, text_truncate(&pic->arena, note ? note : what, pic->width - 1));
}

static void draw_picture(struct progress *p, struct tracker *t)
{
    struct picture pic = {.progress = p, .width = terminal_width(STDERR_FILENO)};
    char text[512];
    buffer_init(&pic.text, KIB(64));
    arena_init(&pic.arena, MIB(1));
    int most = height() - 4;
    pthread_mutex_lock(&t->lock);
    job_lines(&pic, t, most < 1 ? 1 : most < JOB_LINES ? most : JOB_LINES);
    overall(p, t, pic.done, true, text, sizeof text);
    pthread_mutex_unlock(&t->lock);
    line(&pic, text_truncate(&pic.arena, text, pic.width - 1));
    note_line(&pic, "paused: ", p->pause);
    note_line(&pic, "storing ", p->storing);
    put(p, &pic.text, pic.lines);
    arena_free(&pic.arena);
    buffer_free(&pic.text);
}

static void note(struct progress *p, struct tracker *t)
{
    char text[512];
    pthread_mutex_lock(&t->lock);
    double done = 0;
    for (size_t i = 0; i < t->count; i++)
        done += share(&t->items[i]);
    overall(p, t, done, false, text, sizeof text);
    pthread_mutex_unlock(&t->lock);
    app_note(p->app, "%s", text);
}

void progress_draw(struct progress *p, struct tracker *t)
{
    int64_t now = clock_monotonic_ms();
    bool tty = p->app->terminal.err_tty;
    if (now - p->drawn_ms < (tty ? DRAW_EVERY_MS : NOTE_EVERY_MS))
        return;
    p->drawn_ms = now;
    if (tty) {
        price(p, now);
        draw_picture(p, t);
    } else {
        note(p, t);
    }
}
