/* database_suite.h - the parts of the database's conformance suite. */
#ifndef AEGIS_TESTS_DATABASE_SUITE_H
#define AEGIS_TESTS_DATABASE_SUITE_H

#include <stddef.h>

enum { SUITE_TESTS = 64 };

struct suite_test {
    const char *name;
    void (*run)(void **state); /* *state is a struct fixture */
};
#define SUITE_TEST(f)                                                                              \
    {                                                                                              \
        .name = #f, .run = (f)                                                                     \
    }

extern const struct suite_test database_event_tests[], database_job_tests[],
    database_result_tests[], database_swap_tests[], database_read_tests[], database_search_tests[],
    database_word_tests[], database_thread_tests[], database_space_tests[];
extern const size_t database_event_test_count, database_job_test_count, database_result_test_count,
    database_swap_test_count, database_read_test_count, database_search_test_count,
    database_word_test_count, database_thread_test_count, database_space_test_count;

#endif
