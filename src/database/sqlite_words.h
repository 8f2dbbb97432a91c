/*
 * sqlite_words.h - the full-text index's tokenizer: FTS5's own, with a memory for words.
 *
 * Texts repeat their words, and finding a word's stem costs far more than recognising the word. So
 * a word of ASCII letters and digits is looked up among those seen before; what is new, long or
 * not ASCII goes to the tokenizer named by the arguments, whose answers are the only ones ever
 * given. An index made with "words porter unicode61" is therefore the same as one made with
 * "porter unicode61" (https://www.sqlite.org/fts5.html#custom_tokenizers).
 */
#ifndef AEGIS_DATABASE_SQLITE_WORDS_H
#define AEGIS_DATABASE_SQLITE_WORDS_H

#include <sqlite3.h>

/* Makes "words" known to a connection, for tables with tokenize = 'words INNER ...' where INNER
 * takes ASCII letters and digits, and no other ASCII, as parts of words. An SQLite result code. */
int words_register(sqlite3 *db);

#endif
