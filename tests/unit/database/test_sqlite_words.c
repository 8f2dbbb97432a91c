/* The index made with the tokenizer that remembers words is the one made without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "database/sqlite_words.h"
#include "support/seed.h"

enum { DOCUMENTS = 400, PIECES = 60 };

static void run(sqlite3 *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
}

static sqlite3 *open_tables(void)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(words_register(db), SQLITE_OK);
    run(db, "CREATE VIRTUAL TABLE plain USING fts5 (text, tokenize = 'porter unicode61 "
            "remove_diacritics 2');"
            "CREATE VIRTUAL TABLE quick USING fts5 (text, tokenize = 'words porter unicode61 "
            "remove_diacritics 2');"
            "CREATE VIRTUAL TABLE plain_words USING fts5vocab (plain, instance);"
            "CREATE VIRTUAL TABLE quick_words USING fts5vocab (quick, instance);");
    return db;
}

static void add(sqlite3 *db, const char *table, const char *text, int length)
{
    char sql[80];
    sqlite3_stmt *row;
    snprintf(sql, sizeof sql, "INSERT INTO %s (text) VALUES (?1)", table);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    sqlite3_bind_text(row, 1, text, length, SQLITE_TRANSIENT);
    assert_int_equal(sqlite3_step(row), SQLITE_DONE);
    sqlite3_finalize(row);
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return n;
}

static void check_same(sqlite3 *db)
{
    assert_true(number(db, "SELECT count(*) FROM plain_words") > 0);
    assert_int_equal(number(db, "SELECT count(*) FROM (SELECT * FROM plain_words EXCEPT SELECT * "
                                "FROM quick_words)"),
                     0);
    assert_int_equal(number(db, "SELECT count(*) FROM (SELECT * FROM quick_words EXCEPT SELECT * "
                                "FROM plain_words)"),
                     0);
}

static void add_both(sqlite3 *db, const char *text, size_t length)
{
    add(db, "plain", text, (int)length);
    add(db, "quick", text, (int)length);
}

static void test_words_of_every_kind(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Running runners ran; the runner's RUN-time was 12.5 s!",
        "caf\xc3\xa9 cafe\xcc\x81 CAF\xc3\x89 na\xc3\xafve na\xc3\xafvely",
        "snake_case and kebab-case, a@b.example, 3rd 42nd x86_64",
        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e text, "
        "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
        "internationalisation internationalisations pneumonoultramicroscopicsilicovolcanoconiosis",
        "a b c d relational conditional rational valenci hesitanci digitizer",
        "broken \xff\xfe bytes \xc3 at the end \xe6\x97",
        "\xe2\x80\x94"
        "dash\xe2\x80\x94"
        "between \xc2\xa0no break\xc2\xa0"
        "space",
        "",
        " ",
        "\xcc\x81",
    };
    sqlite3 *db = open_tables();
    for (int twice = 0; twice < 2; twice++) /* asked first, remembered then */
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
            add_both(db, texts[i], strlen(texts[i]));
    check_same(db);
    sqlite3_close(db);
}

static void test_random_texts(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        " ",    " ",   " ",        ". ",          "-",
        "_",    "\n",  "ing",      "ed",          "ly",
        "tion", "s",   "ness",     "run",         "happ",
        "y",    "ies", "\xc3\xa9", "\xcc\x81",    "\xe2\x80\x99",
        "\xff", "9",   "Q",        "conditional", "x",
    };
    unsigned seed = test_seed();
    sqlite3 *db = open_tables();
    for (int d = 0; d < DOCUMENTS; d++) {
        char text[PIECES * 16] = "";
        for (int i = 0; i < PIECES; i++)
            strcat(text, pieces[(size_t)rand_r(&seed) % (sizeof pieces / sizeof pieces[0])]);
        add_both(db, text, strlen(text));
    }
    check_same(db);
    sqlite3_close(db);
}

static void test_queries_use_the_same_words(void **state)
{
    (void)state;
    sqlite3 *db = open_tables();
    add_both(db, "the runners were running", 24);
    assert_int_equal(number(db, "SELECT count(*) FROM quick WHERE quick MATCH 'runs'"), 1);
    assert_int_equal(number(db, "SELECT count(*) FROM quick WHERE quick MATCH '\"runner were\"'"),
                     1);
    assert_int_equal(number(db, "SELECT count(*) FROM quick WHERE quick MATCH 'walk'"), 0);
    sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_of_every_kind),
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_queries_use_the_same_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
