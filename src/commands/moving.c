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
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *tables = yyjson_mut_arr(doc), *o = yyjson_mut_obj(doc);
    for (size_t i = 0; i < report->count; i++) {
        char digest[DIGEST_TEXT];
        const struct move_count *t = &report->tables[i];
        digest_format(&t->digest, digest);
        yyjson_mut_arr_append(tables, js_object(doc, "table", yyjson_mut_strcpy(doc, t->table),
                                                "rows", yyjson_mut_sint(doc, t->rows), "digest",
                                                yyjson_mut_strcpy(doc, digest), NULL));
    }
    yyjson_mut_obj_add_val(doc, o, "engine", js(doc, engine));
    yyjson_mut_obj_add_val(doc, o, "database", js(doc, place));
    yyjson_mut_obj_add_val(doc, o, "file", js(doc, file));
    yyjson_mut_obj_add_val(doc, o, "rows", yyjson_mut_sint(doc, rows_of(report)));
    yyjson_mut_obj_add_val(doc, o, "resumed_rows", yyjson_mut_sint(doc, report->resumed_rows));
    yyjson_mut_obj_add_val(doc, o, "tables", tables);
    print_json(&m->app->terminal, doc, o);
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
