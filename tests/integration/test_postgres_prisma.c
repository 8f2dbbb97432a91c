/*
 * src/database/schema.prisma says what the migrations make: every table, view, column, type, NULL,
 * default, primary and unique key and comment of a migrated database is compared with it, both
 * ways. support/prisma_lines.sql reads the database as lines of that file.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/file.h"
#include "support/pg_test.h"

enum { MAX_LINES = 2000, SCHEMA_BYTES = 1 << 20 };

struct lines {
    char *line[MAX_LINES]; /* "block: line /// comment" */
    size_t count;
};

static struct buffer file, query;
static char said[1 << 16];

static void lines_add(struct lines *l, const char *block, const char *line, const char *comment)
{
    char text[2048];
    assert_true(l->count < MAX_LINES);
    int n = snprintf(text, sizeof text, "%s: %s /// %s", block, line, comment);
    assert_in_range(n, 0, sizeof text - 1);
    assert_non_null(l->line[l->count++] = strdup(text));
}

static void lines_free(struct lines *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->line[i]);
    l->count = 0;
}

static bool lines_have(const struct lines *l, const char *line)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->line[i], line))
            return true;
    return false;
}

/* ---- the file ---- */

/* One blank between words: `prisma format` aligns columns. */
static void squeeze(const char *from, size_t length, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (isspace((unsigned char)from[i]) && (n == 0 || out[n - 1] == ' '))
            continue;
        assert_true(n + 1 < size);
        out[n++] = isspace((unsigned char)from[i]) ? ' ' : from[i];
    }
    while (n && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

/* The name of a model begins in lower case, that of a type does not. */
static bool is_relation(const char *line)
{
    const char *blank = strchr(line, ' ');
    return *line != '@' && blank && islower((unsigned char)blank[1]);
}

struct place_in_file {
    char block[128], comment[1024];
};

static void read_line(struct lines *out, struct place_in_file *at, char *line)
{
    size_t length = strlen(line);
    if (!strncmp(line, "/// ", 4)) {
        snprintf(at->comment, sizeof at->comment, "%s", line + 4);
        return;
    }
    bool head = !strncmp(line, "model ", 6) || !strncmp(line, "view ", 5);
    if (head && !strcmp(line + length - 2, " {")) {
        line[length - 2] = '\0';
        snprintf(at->block, sizeof at->block, "%s", strchr(line, ' ') + 1);
        lines_add(out, at->block, line, at->comment);
    } else if (!strcmp(line, "}")) {
        *at->block = '\0';
    } else if (*at->block && *line && !is_relation(line)) {
        lines_add(out, at->block, line, at->comment);
    }
    *at->comment = '\0';
}

static void read_file(struct lines *out, const char *text)
{
    struct place_in_file at = {0};
    char line[2048];
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = strchrnul(text, '\n');
        squeeze(text, (size_t)(end - text), line, sizeof line);
        if (strncmp(line, "//", 2) != 0 || !strncmp(line, "/// ", 4))
            read_line(out, &at, line);
    }
}

/* ---- the database ---- */

static void read_database(struct lines *out)
{
    struct pg_rows rows;
    struct pg *c = take();
    ok(pg_query_once(c, &rows, (const char *)query.data, NULL, 0));
    for (int i = 0; i < rows.count; i++) {
        char comment[1024];
        squeeze(pg_peek(&rows, i, 3), pg_length(&rows, i, 3), comment, sizeof comment);
        lines_add(out, pg_peek(&rows, i, 0), pg_peek(&rows, i, 2), comment);
    }
    pg_rows_free(&rows);
    pg_release(c);
}

/* ---- compared ---- */

static int tell(const struct lines *a, const struct lines *b, const char *what)
{
    int count = 0;
    for (size_t i = 0; i < a->count; i++)
        if (!lines_have(b, a->line[i])) {
            size_t used = strlen(said);
            snprintf(said + used, sizeof said - used, "%s %s\n", what, a->line[i]);
            count++;
        }
    return count;
}

/* How many lines only one of both has; `said` tells which. */
static int differences(const char *text)
{
    static struct lines in_file, in_database;
    read_file(&in_file, text);
    read_database(&in_database);
    assert_true(in_database.count > 250);
    *said = '\0';
    int count = tell(&in_database, &in_file, "schema.prisma lacks      ");
    count += tell(&in_file, &in_database, "the database does not have");
    lines_free(&in_file);
    lines_free(&in_database);
    return count;
}

static const char *own_text(void)
{
    return (const char *)file.data;
}

static void test_same(void **state)
{
    (void)state;
    if (differences(own_text()))
        fail_msg("src/database/schema.prisma is not what the migrations make:\n%s", said);
}

/* What a change of the database alone does to the comparison, in lines: one changed is two. */
static void test_database_changed(void **state)
{
    static const struct {
        const char *sql;
        int differences;
        const char *names;
    } changes[] = {
        {"ALTER TABLE aegis.media ADD COLUMN owner text", 1, "media: owner String?"},
        {"ALTER TABLE aegis.version DROP COLUMN etag CASCADE", 1, "version: etag String"},
        {"ALTER TABLE aegis.job ALTER COLUMN receive_count TYPE smallint", 2,
         "receive_count Int @default(0)"},
        {"ALTER TABLE aegis.life_event ALTER COLUMN type DROP NOT NULL", 2, "type Int? @db.Small"},
        {"ALTER TABLE aegis.segment ALTER COLUMN speaker DROP DEFAULT", 2, "speaker String ///"},
        {"ALTER TABLE aegis.garbage ALTER COLUMN arg SET DEFAULT 7", 2, "arg BigInt @default(7)"},
        {"ALTER TABLE aegis.model_call DROP CONSTRAINT model_call_pkey", 1, "@@id([media_id"},
        {"ALTER TABLE aegis.checkpoint ADD UNIQUE (created_ms)", 2, "created_ms BigInt @unique"},
        {"DROP INDEX aegis.media_by_key", 1, "@@unique([bucket, key]"},
        {"COMMENT ON COLUMN aegis.chunk.text IS 'Other'", 2, "text String /// Other"},
        {"CREATE TABLE aegis.extra (id bigint)", 3, "extra: model extra"},
        {"CREATE VIEW aegis.seen AS SELECT 1 AS one", 3, "seen: one Int?"},
        {"DROP TABLE aegis.pipeline", 6, "pipeline: since_ms"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct pg_fixture old = fixture;
        pg_pool_close(pool);
        pg_fixture_open(&fixture);
        ok(pg_pool_open(fixture.url, NULL, &pool));
        pg_fixture_close(&old);
        pg_fixture_script(&fixture, changes[i].sql);
        if (differences(own_text()) != changes[i].differences || !strstr(said, changes[i].names))
            fail_msg("after %s:\n%s", changes[i].sql, said);
    }
}

static bool says_nothing_of_the_database(const char *line, const char *end)
{
    char own[1024];
    snprintf(own, sizeof own, "%.*s", (int)(end - line), line);
    return strncmp(own, "  ", 2) != 0 || !strncmp(own, "  //", 4) || strstr(own, "@relation") ||
           strstr(own, "[]");
}

/* Each line of the file in turn is left out: each is missed. */
static void test_file_changed(void **state)
{
    char *text = strdup(own_text());
    size_t left_out = 0;
    (void)state;
    assert_non_null(text);
    for (char *line = strstr(text, "model media"), *end; (end = strchr(line, '\n'));
         line = end + 1) {
        if (says_nothing_of_the_database(line, end))
            continue;
        memcpy(line, "//", 2);
        if (differences(text) != 1)
            fail_msg("without '%.*s':\n%s", (int)(end - line), line, said);
        memcpy(line, "  ", 2);
        left_out++;
    }
    assert_true(left_out > 250);
    free(text);
}

static void load(struct buffer *out, const char *path)
{
    buffer_init(out, SCHEMA_BYTES);
    ok(file_read(path, out));
    ok(buffer_append(out, "", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_database_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_changed, set_up, tear_down),
    };
    int status = pg_fixture_start();
    if (status)
        return status;
    load(&file, TEST_SOURCE_DIR "/src/database/schema.prisma");
    load(&query, TEST_SOURCE_DIR "/tests/support/prisma_lines.sql");
    status = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_free(&file);
    buffer_free(&query);
    return status;
}
