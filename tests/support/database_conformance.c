#include "support/database_conformance.h"

#include <stdio.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"

static int run(const struct database_harness *harness, const char *part, size_t count,
               const struct suite_test *tests)
{
    char name[128];
    struct CMUnitTest units[SUITE_TESTS];
    assert_true(count <= SUITE_TESTS);
    for (size_t i = 0; i < count; i++)
        units[i] = (struct CMUnitTest){.name = tests[i].name,
                                       .test_func = tests[i].run,
                                       .setup_func = fixture_open,
                                       .teardown_func = fixture_close,
                                       .initial_state = (void *)(uintptr_t)harness};
    snprintf(name, sizeof name, "database %s: %s", harness->name, part);
    return _cmocka_run_group_tests(name, units, count, NULL, NULL);
}

int database_conformance_run(const struct database_harness *harness)
{
    int failed = 0;
    failed += run(harness, "events", database_event_test_count, database_event_tests);
    failed += run(harness, "jobs", database_job_test_count, database_job_tests);
    failed += run(harness, "results", database_result_test_count, database_result_tests);
    failed += run(harness, "swaps", database_swap_test_count, database_swap_tests);
    failed += run(harness, "reads", database_read_test_count, database_read_tests);
    failed += run(harness, "words", database_word_test_count, database_word_tests);
    failed += run(harness, "search", database_search_test_count, database_search_tests);
    failed += run(harness, "spaces", database_space_test_count, database_space_tests);
    failed += run(harness, "threads", database_thread_test_count, database_thread_tests);
    return failed;
}
