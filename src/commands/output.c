#include "commands/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <unistr.h>
#include <uniwidth.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/json.h"

enum { NO_TERMINAL_WIDTH = 80, LEAST_WIDTH = 40 };

/* ---- terminals ---- */

int terminal_width(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col < LEAST_WIDTH ? LEAST_WIDTH : size.ws_col;
    return NO_TERMINAL_WIDTH;
}

void terminal_look(struct terminal *t, const char *color)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    t->out_tty = isatty(STDOUT_FILENO);
    t->err_tty = isatty(STDERR_FILENO);
    t->width = terminal_width(STDOUT_FILENO);
    bool can = !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
    bool always = !strcmp(color, "always"), never = !strcmp(color, "never");
    t->out_color = always || (!never && can && t->out_tty);
    t->err_color = always || (!never && can && t->err_tty);
}

const char *style_text(bool color, enum style style)
{
    static const char *const sequences[] = {
        [STYLE_NONE] = "\033[0m",  [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",
        [STYLE_RED] = "\033[31m",  [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m",
        [STYLE_CYAN] = "\033[36m",
    };
    return color ? sequences[style] : "";
}

/* ---- text ---- */

static bool is_unsafe(ucs4_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029;
}

static const char *clean(struct arena *arena, const char *text, size_t length, bool lines)
{
    /* U+FFFD takes three bytes and stands for at least one. */
    char *out = arena_alloc(arena, length * 3 + 1);
    if (!out)
        return "";
    size_t n = 0;
    for (size_t i = 0; i < length;) {
        ucs4_t c;
        int step = u8_mbtouc(&c, (const uint8_t *)text + i, length - i);
        if (c == '\n' || c == '\t' || c == '\r') {
            out[n++] = c == '\n' && lines ? '\n' : ' ';
        } else if (c == 0xfffd || is_unsafe(c)) {
            memcpy(out + n, "\xef\xbf\xbd", 3);
            n += 3;
        } else {
            memcpy(out + n, text + i, (size_t)step);
            n += (size_t)step;
        }
        i += (size_t)step;
    }
    out[n] = '\0';
    return out;
}

const char *text_clean_n(struct arena *arena, const char *text, size_t length)
{
    return clean(arena, text, length, false);
}

const char *text_clean(struct arena *arena, const char *text)
{
    return text ? clean(arena, text, strlen(text), false) : "";
}

const char *text_clean_lines(struct arena *arena, const char *text)
{
    return text ? clean(arena, text, strlen(text), true) : "";
}

int text_columns(const char *text)
{
    return u8_width((const uint8_t *)text, strlen(text), "UTF-8");
}

/* Bytes of the longest start of `text` that fits `columns`. */
static size_t fitting(const char *text, int columns)
{
    size_t length = strlen(text), i = 0;
    int used = 0;
    while (i < length) {
        ucs4_t c;
        int step = u8_mbtouc(&c, (const uint8_t *)text + i, length - i);
        int width = uc_width(c, "UTF-8");
        if (width > 0 && used + width > columns)
            break;
        used += width > 0 ? width : 0;
        i += (size_t)step;
    }
    return i;
}

const char *text_truncate(struct arena *arena, const char *text, int columns)
{
    if (text_columns(text) <= columns)
        return text;
    size_t keep = fitting(text, columns > 1 ? columns - 1 : 0);
    while (keep > 0 && text[keep - 1] == ' ')
        keep--;
    const char *cut = arena_printf(arena, "%.*s…", (int)keep, text);
    return cut ? cut : "";
}

void print_wrapped(FILE *out, const char *text, int indent, int width)
{
    int room = width - indent < 20 ? 20 : width - indent;
    while (*text == ' ')
        text++;
    while (*text) {
        size_t take = strlen(text);
        if (text_columns(text) > room) {
            take = fitting(text, room);
            size_t blank = take;
            while (blank > 0 && text[blank] != ' ')
                blank--;
            if (blank > 0)
                take = blank;
            if (take == 0)
                take = strcspn(text, " ");
        }
        fprintf(out, "%*s%.*s\n", indent, "", (int)take, text);
        for (text += take; *text == ' ';)
            text++;
    }
}

/* ---- numbers ---- */

static char *fixed(char out[HUMAN_TEXT], const char *text)
{
    snprintf(out, HUMAN_TEXT, "%s", text);
    return out;
}

char *human_bytes(int64_t bytes, char out[HUMAN_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    if (bytes < 0)
        return fixed(out, "-");
    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(out, HUMAN_TEXT, "%.*f %s", unit == 0 || value >= 99.95 ? 0 : 1, value, units[unit]);
    return out;
}

char *human_cost(int64_t nanousd, bool known, char out[HUMAN_TEXT])
{
    double usd = (double)nanousd / 1e9;
    if (nanousd <= 0)
        return fixed(out, known ? "$0" : "unknown price");
    /* two significant digits below a dollar, cents above */
    int digits = usd >= 1 ? 2 : usd >= 0.01 ? 3 : usd >= 0.001 ? 4 : usd >= 0.0001 ? 5 : 6;
    snprintf(out, HUMAN_TEXT, "$%.*f%s", digits, usd, known ? "" : "+");
    return out;
}

char *human_duration(int64_t ms, char out[HUMAN_TEXT])
{
    int64_t s = (ms + 500) / 1000;
    if (ms < 0)
        fixed(out, "-");
    else if (ms < 1000)
        snprintf(out, HUMAN_TEXT, "%" PRId64 " ms", ms);
    else if (ms < 9950)
        snprintf(out, HUMAN_TEXT, "%.1f s", (double)ms / 1000);
    else if (s < 60)
        snprintf(out, HUMAN_TEXT, "%" PRId64 " s", s);
    else if (s < 3600)
        snprintf(out, HUMAN_TEXT, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(out, HUMAN_TEXT, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(out, HUMAN_TEXT, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
    return out;
}

static void print_local(int64_t unix_ms, char out[HUMAN_TEXT])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (!localtime_r(&seconds, &tm) || !strftime(out, HUMAN_TEXT, "%Y-%m-%d %H:%M", &tm))
        fixed(out, "?");
}

char *human_ago(int64_t then_ms, int64_t now_ms, char out[HUMAN_TEXT])
{
    int64_t s = (now_ms - then_ms) / 1000;
    if (then_ms == 0)
        fixed(out, "-");
    else if (s < -5 || s >= 7 * 86400)
        print_local(then_ms, out);
    else if (s < 5)
        fixed(out, "just now");
    else if (s < 60)
        snprintf(out, HUMAN_TEXT, "%" PRId64 " s ago", s);
    else if (s < 3600)
        snprintf(out, HUMAN_TEXT, "%" PRId64 " min ago", s / 60);
    else if (s < 86400)
        snprintf(out, HUMAN_TEXT, "%" PRId64 " h ago", s / 3600);
    else
        snprintf(out, HUMAN_TEXT, "%" PRId64 " d ago", s / 86400);
    return out;
}

char *human_count(int64_t count, char out[HUMAN_TEXT])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, count < 0 ? -count : count), o = 0;
    if (count < 0)
        out[o++] = '-';
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            out[o++] = ',';
        out[o++] = digits[i];
    }
    out[o] = '\0';
    return out;
}

/* ---- JSON ---- */

yyjson_mut_val *js(yyjson_mut_doc *doc, const char *text)
{
    if (!text)
        return yyjson_mut_null(doc);
    if (!u8_check((const uint8_t *)text, strlen(text)))
        return yyjson_mut_strcpy(doc, text);
    struct arena arena;
    arena_init(&arena, MIB(64));
    yyjson_mut_val *value = yyjson_mut_strcpy(doc, text_clean_lines(&arena, text));
    arena_free(&arena);
    return value;
}

yyjson_mut_val *js_time(yyjson_mut_doc *doc, int64_t unix_ms)
{
    char text[CLOCK_TEXT];
    return unix_ms == 0 ? yyjson_mut_null(doc)
                        : yyjson_mut_strcpy(doc, clock_format(unix_ms, text));
}

yyjson_mut_val *js_cost(yyjson_mut_doc *doc, int64_t nanousd, bool known)
{
    return known ? js_real(doc, (double)nanousd / 1e9) : yyjson_mut_null(doc);
}

yyjson_mut_val *js_position(yyjson_mut_doc *doc, int64_t ms)
{
    return ms < 0 ? yyjson_mut_null(doc) : yyjson_mut_sint(doc, ms);
}

yyjson_mut_val *js_real(yyjson_mut_doc *doc, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.12g", value);
    return yyjson_mut_real(doc, strtod(text, NULL));
}

yyjson_mut_val *js_strings(yyjson_mut_doc *doc, const char *const *texts, size_t count)
{
    yyjson_mut_val *array = yyjson_mut_arr(doc);
    for (size_t i = 0; i < count; i++)
        yyjson_mut_arr_append(array, js(doc, texts[i]));
    return array;
}

yyjson_mut_val *js_object(yyjson_mut_doc *doc, ...)
{
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    const char *key;
    va_list pairs;
    va_start(pairs, doc);
    while ((key = va_arg(pairs, const char *)))
        yyjson_mut_obj_add_val(doc, object, key, va_arg(pairs, yyjson_mut_val *));
    va_end(pairs);
    return object;
}

static void write_value(const yyjson_mut_val *value, yyjson_write_flag flags)
{
    yyjson_write_err e;
    if (!yyjson_mut_val_write_fp(stdout, value, flags, NULL, &e))
        fprintf(stderr, "aegis: cannot write JSON: %s\n", e.msg);
}

void print_json_value(const yyjson_mut_val *value)
{
    write_value(value, YYJSON_WRITE_NOFLAG);
}

void print_json(const struct terminal *t, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
    write_value(root, t->out_tty ? YYJSON_WRITE_PRETTY_TWO_SPACES : YYJSON_WRITE_NOFLAG);
    putchar('\n');
    yyjson_mut_doc_free(doc);
}

void print_json_line(yyjson_mut_doc *doc, yyjson_mut_val *object)
{
    print_json_value(object);
    putchar('\n');
    yyjson_mut_doc_free(doc);
}
