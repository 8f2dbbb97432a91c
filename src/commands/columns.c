#include "commands/columns.h"

#include <string.h>

#include "shared/error.h"

enum { GAP = 2, LEAST_SHRUNK = 12, HIDDEN = -1 };

void columns_init(struct columns *c, struct arena *arena, const struct column *specs, size_t count)
{
    *c = (struct columns){.arena = arena, .specs = specs, .count = count};
}

static int grow(struct columns *c)
{
    size_t capacity = c->row_capacity ? c->row_capacity * 2 : 64;
    const char *(*rows)[COLUMNS_CAP] = arena_array(c->arena, capacity, sizeof *rows);
    enum style *styles = arena_array(c->arena, capacity, sizeof *styles);
    if (!rows || !styles)
        return ERR_NO_MEMORY;
    if (c->row_count) {
        memcpy(rows, c->rows, c->row_count * sizeof *rows);
        memcpy(styles, c->styles, c->row_count * sizeof *styles);
    }
    c->rows = rows;
    c->styles = styles;
    c->row_capacity = capacity;
    return OK;
}

int columns_row(struct columns *c, enum style style, const char *const *cells)
{
    if (c->row_count == c->row_capacity && grow(c))
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < c->count; i++)
        c->rows[c->row_count][i] = cells[i] ? cells[i] : "";
    c->styles[c->row_count++] = style;
    return OK;
}

static void measure(const struct columns *c, int widths[COLUMNS_CAP])
{
    for (size_t i = 0; i < c->count; i++)
        widths[i] = text_columns(c->specs[i].title);
    for (size_t r = 0; r < c->row_count; r++)
        for (size_t i = 0; i < c->count; i++) {
            int width = text_columns(c->rows[r][i]);
            if (width > widths[i])
                widths[i] = width;
        }
}

static int total_width(const struct columns *c, const int widths[COLUMNS_CAP])
{
    int sum = -GAP;
    for (size_t i = 0; i < c->count; i++)
        sum += widths[i] == HIDDEN ? 0 : widths[i] + GAP;
    return sum;
}

/* The widest column that may still shrink; c->count if none may. */
static size_t widest(const struct columns *c, const int widths[COLUMNS_CAP])
{
    size_t found = c->count;
    for (size_t i = 0; i < c->count; i++)
        if (c->specs[i].shrinks && widths[i] > LEAST_SHRUNK &&
            (found == c->count || widths[i] > widths[found]))
            found = i;
    return found;
}

/* Takes single columns from the widest that may shrink; when that is not enough, leaves out the
 * optional ones from the right. */
static void fit(const struct columns *c, int widths[COLUMNS_CAP], int room)
{
    while (total_width(c, widths) > room) {
        size_t at = widest(c, widths);
        if (at < c->count) {
            widths[at]--;
            continue;
        }
        for (at = c->count; at > 0; at--)
            if (c->specs[at - 1].optional && widths[at - 1] != HIDDEN)
                break;
        if (at == 0)
            return;
        widths[at - 1] = HIDDEN;
    }
}

static const char *cut_front(struct arena *arena, const char *text, int columns)
{
    while (*text && text_columns(text) > columns - 1) {
        text++;
        while ((*text & 0xc0) == 0x80)
            text++;
    }
    const char *cut = arena_printf(arena, "…%s", text);
    return cut ? cut : "";
}

static void print_cell(const struct columns *c, size_t i, const char *text, int width)
{
    const struct column *spec = &c->specs[i];
    if (width == HIDDEN)
        return;
    if (spec->to_ending && text_columns(text) > width)
        text = cut_front(c->arena, text, width);
    else
        text = text_truncate(c->arena, text, width);
    int pad = width - text_columns(text);
    bool last = i + 1 == c->count;
    if (spec->right)
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, last ? 0 : pad, "");
    if (!last)
        printf("%*s", GAP, "");
}

void columns_print(const struct columns *c, const struct terminal *t)
{
    int widths[COLUMNS_CAP];
    measure(c, widths);
    if (t->out_tty)
        fit(c, widths, t->width);
    fputs(style_text(t->out_color, STYLE_BOLD), stdout);
    for (size_t i = 0; i < c->count; i++)
        print_cell(c, i, c->specs[i].title, widths[i]);
    printf("%s\n", style_text(t->out_color, STYLE_NONE));
    for (size_t r = 0; r < c->row_count; r++) {
        bool styled = c->styles[r] != STYLE_NONE;
        fputs(styled ? style_text(t->out_color, c->styles[r]) : "", stdout);
        for (size_t i = 0; i < c->count; i++)
            print_cell(c, i, c->rows[r][i], widths[i]);
        printf("%s\n", styled ? style_text(t->out_color, STYLE_NONE) : "");
    }
}
