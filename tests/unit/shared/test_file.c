#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/file.h"
#include "support/tree.h"

struct fixture {
    char place[256];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *parent = getenv("TMPDIR");
    assert_non_null(f);
    snprintf(f->place, sizeof f->place, "%s/aegis-file.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(f->place));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tree_remove(f->place), 0);
    free(f);
    return 0;
}

/* The last of two calls stays valid. */
static const char *at(struct fixture *f, const char *name)
{
    static char paths[2][512];
    static int next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", f->place, name);
    return path;
}

static void assert_content(const char *path, const char *expected)
{
    struct buffer b;
    buffer_init(&b, 1000);
    if (file_read(path, &b))
        fail_msg("%s", error_last()->message);
    assert_string_equal(buffer_string(&b), expected);
    buffer_free(&b);
}

static int count_entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void makes_directories(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(file_make_directory(at(f, "a/b//c/")), OK);
    assert_int_equal(file_make_directory(at(f, "a/b/c")), OK);
    assert_int_equal(stat(at(f, "a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(file_make_directory("/"), OK);
    assert_int_equal(file_make_directory(""), ERR_INVALID);
    assert_int_equal(file_replace(at(f, "file"), "x", 1, 0600), OK);
    assert_int_equal(file_make_directory(at(f, "file")), ERR_INVALID);
    assert_int_not_equal(file_make_directory(at(f, "file/below")), OK);
    char long_path[10000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(file_make_directory(long_path), ERR_INVALID);
}

static void replaces_atomically(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(file_replace(at(f, "x"), "old", 3, 0600), OK);
    int held = open(at(f, "x"), O_RDONLY);
    assert_int_equal(file_replace(at(f, "x"), "newer", 5, 0640), OK);
    assert_content(at(f, "x"), "newer");
    assert_int_equal(stat(at(f, "x"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    char old[8] = "";
    assert_int_equal(read(held, old, sizeof old), 3); /* whoever read the old one goes on */
    close(held);
    assert_int_equal(count_entries(f->place), 1);
    assert_int_equal(file_replace(at(f, "x"), "", 0, 0600), OK);
    assert_content(at(f, "x"), "");
}

static void failed_replacement_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(at(f, "d"), 0700), 0);
    assert_int_equal(file_replace(at(f, "d/inside"), "x", 1, 0600), OK);
    assert_int_not_equal(file_replace(at(f, "d"), "x", 1, 0600), OK); /* a folder is in the way */
    assert_int_equal(count_entries(f->place), 1);
    assert_int_equal(file_replace(at(f, "missing/x"), "x", 1, 0600), ERR_NOT_FOUND);
    assert_non_null(strstr(error_last()->message, "missing"));
}

static void works_in_the_current_directory(void **state)
{
    struct fixture *f = *state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(f->place), 0);
    assert_int_equal(file_replace("plain", "x", 1, 0600), OK);
    assert_int_equal(file_make_directory("relative/path"), OK);
    assert_int_equal(chdir(here), 0);
    assert_content(at(f, "plain"), "x");
}

static void reading_has_a_cap(void **state)
{
    struct fixture *f = *state;
    struct buffer b;
    assert_int_equal(file_replace(at(f, "x"), "0123456789", 10, 0600), OK);
    buffer_init(&b, 10);
    assert_int_equal(file_read(at(f, "x"), &b), OK); /* exactly the cap */
    assert_string_equal(b.data, "0123456789");
    buffer_free(&b);
    buffer_init(&b, 9);
    assert_int_equal(file_read(at(f, "x"), &b), ERR_TOO_LARGE);
    buffer_free(&b);
    buffer_init(&b, 12);
    assert_int_equal(buffer_append_string(&b, "+"), OK);
    assert_int_equal(file_read(at(f, "x"), &b), OK); /* behind what is there */
    assert_string_equal(b.data, "+0123456789");
    buffer_free(&b);
    buffer_init(&b, 12);
    assert_int_equal(file_read(at(f, "missing"), &b), ERR_NOT_FOUND);
    assert_int_equal(file_read(f->place, &b), ERR_IO);
    buffer_free(&b);
}

static void reads_pipes_and_large_files(void **state)
{
    struct fixture *f = *state;
    struct buffer b;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(file_write_all(pipes[1], "pipe", "through", 7), OK);
    close(pipes[1]);
    buffer_init(&b, 1 << 20);
    assert_int_equal(file_read_fd(pipes[0], "pipe", &b), OK);
    assert_string_equal(b.data, "through");
    close(pipes[0]);
    char *large = malloc(500000);
    assert_non_null(large);
    memset(large, 'L', 500000);
    assert_int_equal(file_replace(at(f, "large"), large, 500000, 0600), OK);
    buffer_clear(&b);
    assert_int_equal(file_read(at(f, "large"), &b), OK);
    assert_int_equal(b.length, 500000);
    assert_memory_equal(b.data, large, 500000);
    free(large);
    buffer_free(&b);
}

static void reads_at_an_offset(void **state)
{
    struct fixture *f = *state;
    char bytes[20];
    size_t got;
    assert_int_equal(file_replace(at(f, "x"), "0123456789", 10, 0600), OK);
    int fd = open(at(f, "x"), O_RDONLY);
    assert_int_equal(file_read_at(fd, "x", bytes, 4, 3, &got), OK);
    assert_int_equal(got, 4);
    assert_memory_equal(bytes, "3456", 4);
    assert_int_equal(file_read_at(fd, "x", bytes, 20, 8, &got), OK);
    assert_int_equal(got, 2);
    assert_int_equal(file_read_at(fd, "x", bytes, 20, 100, &got), OK);
    assert_int_equal(got, 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0); /* its own offset is not moved */
    close(fd);
    assert_int_equal(file_read_at(fd, "x", bytes, 1, 0, &got), ERR_IO);
}

static void full_device_is_told_apart(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0)
        skip();
    assert_int_equal(file_write_all(fd, "full", "x", 1), ERR_DISK_FULL);
    close(fd);
}

static void temporary_files_have_no_name(void **state)
{
    struct fixture *f = *state;
    int fd;
    char back[5] = "";
    assert_int_equal(file_temporary(f->place, &fd), OK);
    assert_int_equal(count_entries(f->place), 0);
    assert_int_equal(write(fd, "data", 4), 4);
    assert_int_equal(pread(fd, back, 4, 0), 4);
    assert_string_equal(back, "data");
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    assert_int_equal(file_temporary(at(f, "missing"), &fd), ERR_NOT_FOUND);
}

static void memory_files_cannot_be_changed(void **state)
{
    int fd;
    char back[6] = "";
    struct stat st;
    (void)state;
    assert_int_equal(file_from_memory("bytes", 5, &fd), OK);
    assert_int_equal(read(fd, back, sizeof back), 5);
    assert_string_equal(back, "bytes");
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_int_equal(ftruncate(fd, 100), -1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_size, 5);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    assert_int_equal(file_from_memory(NULL, 0, &fd), OK);
    assert_int_equal(read(fd, back, 1), 0);
    close(fd);
}

static void free_space_is_told(void **state)
{
    struct fixture *f = *state;
    int64_t bytes = -1;
    assert_int_equal(file_free_space(f->place, &bytes), OK);
    assert_true(bytes >= 0);
    assert_int_equal(file_free_space(at(f, "missing"), &bytes), ERR_NOT_FOUND);
    assert_int_equal(file_sync_directory(f->place), OK);
    assert_int_equal(file_sync_directory(at(f, "missing")), ERR_NOT_FOUND);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(makes_directories),
        CASE(replaces_atomically),
        CASE(failed_replacement_leaves_nothing),
        CASE(works_in_the_current_directory),
        CASE(reading_has_a_cap),
        CASE(reads_pipes_and_large_files),
        CASE(reads_at_an_offset),
        CASE(full_device_is_told_apart),
        CASE(temporary_files_have_no_name),
        CASE(memory_files_cannot_be_changed),
        CASE(free_space_is_told),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
