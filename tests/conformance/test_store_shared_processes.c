#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/local/store_shared_keys.h"
#include "shared/error.h"
#include "support/shared_machine.h"

enum { MACHINES = 2, ROUNDS = 150 };

/* What a process does with the folder until `in` is closed; 0 if all went well. */
typedef int work_fn(struct machine *m, int number, int in, int out);

struct worker {
    pid_t pid;
    int to, from; /* pipes */
};

static void start(struct worker *w, const struct machine *place, int number, work_fn *work)
{
    int to[2], from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    w->pid = fork();
    assert_true(w->pid >= 0);
    if (w->pid == 0) {
        struct machine m = {.now = place->now + number * 3 * HOUR_MS}; /* clocks differ */
        close(to[1]);
        close(from[0]);
        machine_beside(place, &m);
        if (machine_open(&m))
            _exit(2);
        _exit(work(&m, number, to[0], from[1]) != 0);
    }
    close(to[0]);
    close(from[1]);
    w->to = to[1];
    w->from = from[0];
}

/* Those started later hold what this one reads from, so they are ended first. */
static int end(struct worker *w)
{
    int status;
    close(w->to);
    close(w->from);
    return waitpid(w->pid, &status, 0) == w->pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int seed_of(int number, int round)
{
    return number * 10000 + round;
}

static size_t size_of(int number, int round)
{
    return (number + round) % 3 ? 200 : 40000;
}

/* ---- the same key at the same time ---- */

static int put_on_signal(struct machine *m, int number, int in, int out)
{
    int round;
    while (read(in, &round, sizeof round) == sizeof round) {
        struct object_info info;
        if (machine_put_as(&m->store, "same", seed_of(number, round), size_of(number, round),
                           &info) ||
            write(out, &info, sizeof info) != sizeof info)
            return 1;
    }
    return 0;
}

static void assert_both_there(struct machine *p, int round, const struct object_info made[])
{
    struct object_info head;
    bool first = strcmp(made[0].sequencer, made[1].sequencer) > 0;
    assert_string_not_equal(made[0].sequencer, made[1].sequencer);
    for (int i = 0; i < MACHINES; i++)
        if (!machine_reads(&p->store, "same", made[i].version_id, seed_of(i, round),
                           size_of(i, round)))
            fail_msg("round %d: version %s: %s", round, made[i].version_id, error_last()->message);
    assert_int_equal(p->store.ops->head(p->store.ctx, "media", "same", &head), OK);
    assert_string_equal(head.version_id, made[first ? 0 : 1].version_id);
    assert_string_equal(head.etag, made[first ? 0 : 1].etag);
}

static void puts_of_one_key_at_once_make_two_versions(void **state)
{
    struct machine *p = *state;
    struct worker workers[MACHINES];
    struct object_info made[MACHINES];
    char last[CAP_SEQUENCER + 1] = "";
    for (int i = 0; i < MACHINES; i++)
        start(&workers[i], p, i, put_on_signal);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MACHINES; i++)
            assert_int_equal(write(workers[i].to, &round, sizeof round), sizeof round);
        for (int i = 0; i < MACHINES; i++)
            assert_int_equal(read(workers[i].from, &made[i], sizeof made[i]), sizeof made[i]);
        assert_both_there(p, round, made);
        for (int i = 0; i < MACHINES; i++)
            assert_true(strcmp(last, made[i].sequencer) < 0);
        strcpy(last, made[strcmp(made[0].sequencer, made[1].sequencer) < 0].sequencer);
    }
    for (int i = MACHINES; i-- > 0;)
        assert_int_equal(end(&workers[i]), 0);
}

/* ---- reading while others write, remove and collect ---- */

static int churn(struct machine *m, int number, int in, int out)
{
    (void)in;
    (void)out;
    for (int round = 0; round < ROUNDS; round++) {
        struct object_info info;
        if (machine_put_as(&m->store, "same", seed_of(number, round), size_of(number, round),
                           &info))
            return 1;
        if (round % 4 == 3 && m->store.ops->remove(m->store.ctx, "media", "same", NULL))
            return 1;
    }
    return 0;
}

static bool told_to_end(int in)
{
    struct pollfd p = {.fd = in, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

/* With a clock a month ahead: whatever may be deleted is. */
static int collect_always(struct machine *m, int number, int in, int out)
{
    int rc = OK;
    (void)number;
    (void)out;
    m->now += INT64_C(30) * 24 * HOUR_MS;
    while (!rc && !told_to_end(in))
        rc = shared_store_collect(&m->store, NULL, NULL);
    if (rc)
        fprintf(stderr, "%s\n", error_last()->message);
    return rc;
}

/* Bytes and description are of one version, or the key is not there. */
static int read_once(struct machine *p, int *seen)
{
    struct object object;
    struct object_info *i = &object.info;
    char *bytes = calloc(1, 50000);
    size_t got = 0;
    int rc = p->store.ops->open(p->store.ctx, "media", "same", "", "", NULL, &object);
    if (!rc) {
        rc = object_descriptor(&object);
        if (!rc)
            rc = file_read_at(object.fd, "same", bytes, 50000, 0, &got);
        struct digest digest = digest_of(bytes, got);
        if (!rc && (!digest_equal(&digest, &i->content) || (int64_t)got != i->size))
            rc = error_set(ERR_IO, "torn", "%zu bytes of %s are torn", got, i->version_id);
        object_close(&object);
        *seen += rc == OK;
    } else if (rc == ERR_NOT_FOUND &&
               strcmp(error_last()->message, "object 'same' is not in bucket 'media'") == 0) {
        rc = OK;
    }
    free(bytes);
    return rc;
}

static int read_always(struct machine *m, int number, int in, int out)
{
    int rc = OK, seen = 0;
    (void)number;
    (void)out;
    while (!rc && !told_to_end(in))
        rc = read_once(m, &seen);
    if (rc)
        fprintf(stderr, "%s\n", error_last()->message);
    return rc || seen == 0;
}

static void readers_see_whole_versions_beside_writers_and_sweeps(void **state)
{
    struct machine *p = *state;
    struct worker writers[MACHINES], reader, collector;
    struct object_info info;
    machine_put(p, "same", 0, 200);
    start(&collector, p, 0, collect_always);
    start(&reader, p, 0, read_always);
    for (int i = 0; i < MACHINES; i++)
        start(&writers[i], p, i, churn);
    for (int i = MACHINES; i-- > 0;)
        assert_int_equal(end(&writers[i]), 0);
    assert_int_equal(end(&reader), 0);
    assert_int_equal(end(&collector), 0);
    assert_int_equal(machine_put_as(&p->store, "same", 5, BIG, &info), OK);
    assert_true(machine_reads(&p->store, "same", "", 5, BIG));
}

/* ---- killed ---- */

static int put_until_killed(struct machine *m, int first, int in, int out)
{
    (void)in;
    for (int i = first;; i++) {
        struct object_info info;
        char key[32];
        snprintf(key, sizeof key, "k%d", i);
        if (machine_put_as(&m->store, key, i, i % 2 ? BIG : 100, &info) ||
            machine_put_as(&m->store, "same", i, i % 3 ? BIG : 100, &info) ||
            write(out, &i, sizeof i) != sizeof i)
            return 1;
    }
}

/* Kills it some puts on; the last number it told. */
static int run_and_kill(struct machine *p, int first, int puts)
{
    struct worker w;
    int status, last = first - 1;
    start(&w, p, first, put_until_killed);
    for (int i = 0; i < puts; i++)
        assert_int_equal(read(w.from, &last, sizeof last), sizeof last);
    kill(w.pid, SIGKILL);
    assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
    assert_true(WIFSIGNALED(status));
    while (read(w.from, &last, sizeof last) == sizeof last)
        continue;
    close(w.from);
    close(w.to);
    return last;
}

static void killed_writers_lose_nothing_and_leave_nothing_half(void **state)
{
    struct machine *p = *state;
    int next = 0;
    char key[32];
    for (int round = 0; round < 25; round++) {
        int last = run_and_kill(p, next, 1 + round % 5);
        for (int i = next; i <= last; i++) {
            snprintf(key, sizeof key, "k%d", i);
            assert_true(machine_reads(&p->store, key, "", i, i % 2 ? BIG : 100));
        }
        snprintf(key, sizeof key, "k%d", last + 1); /* all of it or nothing */
        if (machine_has(&p->store, key))
            assert_true(machine_reads(&p->store, key, "", last + 1, (last + 1) % 2 ? BIG : 100));
        if (!machine_reads(&p->store, "same", "", last, last % 3 ? BIG : 100))
            assert_true(machine_reads(&p->store, "same", "", last + 1, (last + 1) % 3 ? BIG : 100));
        next = last + 1;
    }
    assert_true(next >= 25);
}

/* ---- stopped at each system call ---- */

typedef int step_fn(struct machine *m);

static int put_small(struct machine *m)
{
    struct object_info info;
    return machine_put_as(&m->store, "cut", 2, 100, &info);
}

static int put_big(struct machine *m)
{
    struct object_info info;
    return machine_put_as(&m->store, "cut", 3, BIG, &info);
}

static int remove_it(struct machine *m)
{
    return m->store.ops->remove(m->store.ctx, "media", "cut", NULL);
}

/* Runs the step in a child that is killed at its nth stop for a system call. True if it came to its
 * end before. `allowed`: tracing is. */
static bool cut_at(struct machine *p, step_fn *step, int n, bool *allowed)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(77);
        raise(SIGSTOP);
        _exit(step(p) != 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 0; WIFSTOPPED(status) && i < n; i++) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    *allowed = !WIFEXITED(status) || WEXITSTATUS(status) != 77;
    if (!WIFSTOPPED(status)) {
        assert_true(!*allowed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
        return true;
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return false;
}

/* How the key is after `step` was cut: as before, or as after it. */
static void assert_before_or_after(struct machine *p, const char *before, int seed, size_t size)
{
    struct object_info info;
    int rc = p->store.ops->head(p->store.ctx, "media", "cut", &info);
    if (!rc && strcmp(info.version_id, before) == 0)
        assert_true(machine_reads(&p->store, "cut", "", 1, BIG));
    else if (size)
        assert_true(rc == OK && machine_reads(&p->store, "cut", "", seed, size));
    else
        assert_int_equal(rc, ERR_NOT_FOUND);
}

static void cut_everywhere(struct machine *p, step_fn *step, int seed, size_t size)
{
    bool allowed = true, ended = false;
    int n = 0;
    for (; !ended; n++) {
        struct object_info before = machine_put(p, "cut", 1, BIG);
        ended = cut_at(p, step, n, &allowed);
        if (!allowed)
            skip();
        assert_before_or_after(p, before.version_id, seed, size);
    }
    assert_true(n > 20);
}

static void a_step_cut_anywhere_is_whole_or_not_at_all(void **state)
{
    struct machine *p = *state;
    cut_everywhere(p, put_small, 2, 100);
    cut_everywhere(p, put_big, 3, BIG);
    cut_everywhere(p, remove_it, 0, 0);
    assert_true(machine_files(p, "incoming") > 3);
    machine_put(p, "cut", 4, 100);
    p->now += 2 * HOUR_MS;
    machine_age(p, 2 * DAY_SECONDS);
    machine_collect(p);
    assert_int_equal(machine_files(p, "incoming"), 0);
    assert_int_equal(machine_files(p, "objects"), 1);
    assert_true(machine_reads(&p->store, "cut", "", 4, 100));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)
    const struct CMUnitTest tests[] = {
        CASE(puts_of_one_key_at_once_make_two_versions),
        CASE(readers_see_whole_versions_beside_writers_and_sweeps),
        CASE(killed_writers_lose_nothing_and_leave_nothing_half),
        CASE(a_step_cut_anywhere_is_whole_or_not_at_all),
    };
    return cmocka_run_group_tests_name("shared store, several machines", tests, NULL, NULL);
}
