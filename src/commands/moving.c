#include "commands/moving.h"

#include <inttypes.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/pg.h"

enum { DRAW_EVERY_MS = 100 };

/* One line that is written over. */
static void report(void *arg, enum move_phase phase, const char *table, int64_t rows, int64_t of)
{
    static const char *const names[] = {[MOVE_COPY] = "copying",
                                        [MOVE_CHECK_FILE] = "checking the file",
                                        [MOVE_FINISH] = "indexes and totals",
                                        [MOVE_CHECK] = "checking"};
    struct moving *m = arg;
    char count[HUMAN_TEXT], all[HUMAN_TEXT] = "";
    int64_t now = clock_monotonic_ms();
    if (m->drawn_ms && now - m->drawn_ms < DRAW_EVERY_MS && phase != MOVE_FINISH)
        return;
    m->drawn_ms = now;
    if (of >= 0)
        human_count(of, all);
    fprintf(stderr, "\r\033[K%s %s%s%s%s%s", names[phase], table, *table ? " " : "",
            *table ? human_count(rows, count) : "", *all ? " of " : "", all);
    fflush(stderr);
}

void moving_begin(struct moving *m, struct app *app)
{
    *m = (struct moving){.app = app, .options = {.cancel = app_stop(), .arg = m}};
    if (app->terminal.err_tty && !app->json)
        m->options.report = report;
    app_catch_signals();
}

void moving_end(struct moving *m)
{
    if (m->drawn_ms)
        fputs("\r\033[K", stderr);
    m->drawn_ms = 0;
}

const char *moving_place(struct app *app, const char *url)
{
    struct pg_pool *pool;
    const char *name = NULL;
    if (!pg_pool_open(url, NULL, &pool)) {
        name = arena_strdup(&app->arena, pg_pool_name(pool));
        pg_pool_close(pool);
    }
    return name ? name : "PostgreSQL";
}

static int64_t rows_of(const struct move_report *report)
{
    int64_t rows = 0;
    for (size_t i = 0; i < report->count; i++)
        rows += report->tables[i].rows;
    return rows;
}

static void print_document(struct moving *m, const struct move_report *report, const char *engine,
                           const char *file, const char *place)
{
    json_t *tables = json_array(), *o = json_object();
    for (size_t i = 0; i < report->count; i++) {
        char digest[DIGEST_TEXT];
        const struct move_count *t = &report->tables[i];
        digest_format(&t->digest, digest);
        json_array_append_new(tables, json_pack("{s:s, s:I, s:s}", "table", t->table, "rows",
                                                (json_int_t)t->rows, "digest", digest));
    }
    json_object_set_new(o, "engine", js(engine));
    json_object_set_new(o, "database", js(place));
    json_object_set_new(o, "file", js(file));
    json_object_set_new(o, "rows", json_integer(rows_of(report)));
    json_object_set_new(o, "resumed_rows", json_integer(report->resumed_rows));
    json_object_set_new(o, "tables", tables);
    print_json(&m->app->terminal, o);
}

void moving_print(struct moving *m, const struct move_report *report, const char *what,
                  const char *engine, const char *file, const char *place)
{
    struct arena *arena = &m->app->arena;
    char count[HUMAN_TEXT], resumed[HUMAN_TEXT];
    bool exported = strcmp(what, "exported") == 0;
    if (m->app->json) {
        print_document(m, report, engine, file, place);
        return;
    }
    printf("%s rows %s from %s to %s; each table was read back and is the same.\n",
           human_count(rows_of(report), count), what, text_clean(arena, exported ? place : file),
           text_clean(arena, exported ? file : place));
    if (report->resumed_rows)
        printf("%s of them were there from an earlier run.\n",
               human_count(report->resumed_rows, resumed));
    for (size_t i = 0; i < report->count; i++)
        if (report->tables[i].rows)
            printf("  %-16s %12s\n", report->tables[i].table,
                   human_count(report->tables[i].rows, count));
}
