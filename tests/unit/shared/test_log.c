#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/clock.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/json.h"
#include "shared/log.h"

/* What was logged since the last call. */
static char *logged(int fd)
{
    struct buffer b;
    buffer_init(&b, MIB(16));
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(file_read_fd(fd, "log", &b), OK);
    assert_int_equal(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(buffer_append(&b, "", 0), OK);
    char *text = strdup(buffer_string(&b));
    buffer_free(&b);
    return text;
}

static int begin(enum log_level level, enum log_format format)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    log_configure(level, format, fd);
    return fd;
}

static yyjson_doc *logged_json(int fd)
{
    char *text = logged(fd);
    yyjson_doc *line;
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
    if (json_parse(text, strlen(text), "the line", &line))
        fail_msg("%s: %s", error_last()->message, text);
    free(text);
    return line;
}

static void json_lines_read_back(void **state)
{
    int fd = begin(LOG_INFO, LOG_JSON);
    int64_t at;
    (void)state;
    log_write(LOG_INFO, "job.succeeded", LOG_INT("job", INT64_MIN), LOG_STR("key", "a\"b\n\x01"),
              LOG_STR("none", NULL), LOG_RAW("times", "{\"fetch\":1}"), LOG_RAW("empty", NULL),
              LOG_STR("bytes", "\xff"), LOG_END);
    yyjson_doc *line_doc = logged_json(fd);
    yyjson_val *line = yyjson_doc_get_root(line_doc);
    assert_string_equal(json_string_at(line, "event", ""), "job.succeeded");
    assert_string_equal(json_string_at(line, "level", ""), "info");
    assert_int_equal(clock_parse(json_string_at(line, "time", ""), &at), OK);
    assert_true(json_int_at(line, "job", 0) == INT64_MIN);
    assert_string_equal(json_string_at(line, "key", ""), "a\"b\n\x01");
    assert_string_equal(json_string_at(line, "none", "-"), "");
    assert_int_equal(json_int_at(line, "times.fetch", 0), 1);
    assert_true(yyjson_is_null(json_at(line, "empty")));
    yyjson_doc_free(line_doc);
    close(fd);
}

static void plain_lines_stay_lines(void **state)
{
    int fd = begin(LOG_DEBUG, LOG_TEXT);
    (void)state;
    log_write(LOG_WARN, "file.failed", LOG_STR("path", "a\nb\x1b[2J"), LOG_INT("n", 3),
              LOG_STR("none", ""), LOG_END);
    char *text = logged(fd);
    assert_non_null(strstr(text, " warn  file.failed path=a b [2J n=3\n"));
    free(text);
    close(fd);
}

static void the_level_holds(void **state)
{
    int fd = begin(LOG_WARN, LOG_TEXT);
    (void)state;
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_ERROR));
    log_write(LOG_INFO, "quiet", LOG_END);
    char *text = logged(fd);
    assert_string_equal(text, "");
    free(text);
    close(fd);
}

static void what_is_too_long_is_left_out_whole(void **state)
{
    int fd = begin(LOG_INFO, LOG_JSON);
    char *large = malloc(40001);
    (void)state;
    assert_non_null(large);
    memset(large, '"', 40000);
    large[40000] = '\0';
    log_write(LOG_INFO, "big", LOG_STR("large", large), LOG_INT("after", 7), LOG_END);
    yyjson_doc *line_doc = logged_json(fd);
    yyjson_val *line = yyjson_doc_get_root(line_doc);
    assert_null(json_at(line, "large"));
    assert_int_equal(json_int_at(line, "after", 0), 7);
    assert_true(yyjson_is_true(json_at(line, "truncated")));
    yyjson_doc_free(line_doc);
    for (size_t n = 8000; n < 8200; n++) { /* every way to come near the cap */
        large[n] = '\0';
        log_write(LOG_INFO, "big", LOG_STR("large", large), LOG_END);
        yyjson_doc_free(logged_json(fd));
        large[n] = '"';
    }
    free(large);
    close(fd);
}

static void the_last_error_is_not_disturbed(void **state)
{
    int fd = begin(LOG_INFO, LOG_JSON);
    char *large = malloc(40001);
    (void)state;
    assert_non_null(large);
    memset(large, 'x', 40000);
    large[40000] = '\0';
    error_set(ERR_CONFLICT, "mine", "still here");
    log_write(LOG_INFO, "big", LOG_STR("large", large), LOG_END);
    assert_int_equal(error_last()->code, ERR_CONFLICT);
    assert_string_equal(error_last()->message, "still here");
    free(large);
    close(fd);
}

enum { THREADS = 4, LINES = 300 };

static void *log_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_write(LOG_INFO, "line", LOG_INT("thread", *(int *)arg), LOG_INT("i", i),
                  LOG_STR("text", "some words to make it longer"), LOG_END);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    char path[] = "/tmp/aegis-log.XXXXXX";
    pthread_t threads[THREADS];
    int numbers[THREADS], lines = 0;
    (void)state;
    int made = mkstemp(path);
    assert_true(made >= 0);
    close(made);
    FILE *file = fopen(path, "a+"); /* appending, as standard error is redirected */
    assert_non_null(file);
    log_configure(LOG_INFO, LOG_JSON, fileno(file));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, log_lines, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rewind(file);
    char line[1000];
    for (; fgets(line, sizeof line, file); lines++) {
        yyjson_doc *value;
        assert_int_equal(json_parse(line, strlen(line), "line", &value), OK);
        yyjson_doc_free(value);
    }
    assert_int_equal(lines, THREADS * LINES);
    fclose(file);
    unlink(path);
}

static void *log_from_elsewhere(void *unused)
{
    log_write(LOG_INFO, "elsewhere", LOG_END);
    return unused;
}

/* Lines that are held back come whole and in order, no more at once than a pipe takes without
 * mixing them with another's. */
static void held_lines_are_written_together(void **state)
{
    (void)state;
    enum { HELD = 100 };
    int ends[2], lines = 0;
    char text[PIPE_BUF + 1], expected[32];
    pthread_t thread;
    assert_int_equal(pipe2(ends, O_DIRECT | O_CLOEXEC), 0); /* each write is a packet */
    log_configure(LOG_INFO, LOG_TEXT, ends[1]);
    log_hold();
    log_write(LOG_INFO, "event", LOG_INT("number", lines), LOG_END);
    assert_int_equal(pthread_create(&thread, NULL, log_from_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int i = 1; i < HELD; i++)
        log_write(LOG_INFO, "event", LOG_INT("number", i), LOG_END);
    log_release();
    log_write(LOG_INFO, "last", LOG_END);
    ssize_t n = read(ends[0], text, PIPE_BUF);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "elsewhere\n")); /* it did not wait for the others */
    while ((n = read(ends[0], text, PIPE_BUF)) > 0) {
        text[n] = '\0';
        assert_int_equal(text[n - 1], '\n');
        if (strstr(text, " last\n"))
            break;
        assert_true(lines > 0 || n > PIPE_BUF / 2);
        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            snprintf(expected, sizeof expected, "event number=%d", lines++);
            assert_string_equal(strstr(line, "event"), expected);
        }
    }
    assert_int_equal(lines, HELD);
    close(ends[0]);
    close(ends[1]);
}

static void a_long_line_comes_after_those_held(void **state)
{
    (void)state;
    int fd = begin(LOG_INFO, LOG_TEXT);
    char *wide = malloc(PIPE_BUF + 1);
    assert_non_null(wide);
    memset(wide, 'x', PIPE_BUF);
    wide[PIPE_BUF] = '\0';
    log_hold();
    log_write(LOG_INFO, "first", LOG_END);
    log_write(LOG_INFO, "second", LOG_STR("wide", wide), LOG_END);
    log_write(LOG_INFO, "third", LOG_END);
    log_release();
    char *text = logged(fd), *first = strstr(text, "first\n"),
         *second = strstr(text, "second wide=x");
    assert_true(first && second && first < second && strstr(second, "x\n") < strstr(text, "third"));
    free(text);
    free(wide);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_lines_read_back),
        cmocka_unit_test(held_lines_are_written_together),
        cmocka_unit_test(a_long_line_comes_after_those_held),
        cmocka_unit_test(plain_lines_stay_lines),
        cmocka_unit_test(the_level_holds),
        cmocka_unit_test(what_is_too_long_is_left_out_whole),
        cmocka_unit_test(the_last_error_is_not_disturbed),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
