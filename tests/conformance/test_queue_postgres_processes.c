/*
 * Several processes on one queue in PostgreSQL: they share the work, hear of each other's messages,
 * and any of them may be killed at any moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/postgres/queue_postgres.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/random.h"
#include "support/pg_fixture.h"

enum {
    NUMBERS = 1500,
    WORKERS = 3,
    SENDERS = 2,
    CHILDREN = WORKERS + SENDERS,
    KILLS = 40,
    HIDE_MS = 400,
    ROUNDS = 20,
    LONG_WAIT_MS = 20000,
};

/* In memory that all processes share; one entry a message, by the number in its body. */
struct board {
    _Atomic int next; /* number to send */
    _Atomic int acknowledged[NUMBERS];
    _Atomic int64_t until[NUMBERS]; /* the last claim holds at least until then */
    _Atomic int deleting[NUMBERS];  /* a delete was begun */
    _Atomic int deleted[NUMBERS];   /* deletes that were acknowledged */
    _Atomic int overlaps, failures, stop;
    int pipe[2]; /* a byte for each step */
};

static struct board *board_make(void)
{
    struct board *b =
        mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(b != MAP_FAILED);
    assert_int_equal(pipe2(b->pipe, O_CLOEXEC | O_NONBLOCK), 0);
    return b;
}

static void board_free(struct board *b)
{
    close(b->pipe[0]);
    close(b->pipe[1]);
    munmap(b, sizeof *b);
}

static void tell(struct board *b)
{
    ssize_t n = write(b->pipe[1], "", 1);
    (void)n; /* a full pipe tells as well */
}

static int64_t now(void)
{
    return clock_now(clock_system());
}

/* What a process needs; gone with it when it is killed. */
struct client {
    struct pg_pool *pool;
    struct job_queue queue;
};

static int client_open(const struct pg_fixture *p, struct client *c)
{
    int rc = pg_pool_open(p->url, NULL, &c->pool);
    return rc ? rc
              : postgres_queue_open(&(struct postgres_queue_options){.pool = c->pool,
                                                                     .max_receives = 100000,
                                                                     .advance_every = 10},
                                    &c->queue);
}

static void client_close(struct client *c)
{
    c->queue.ops->close(c->queue.ctx);
    pg_pool_close(c->pool);
}

/* ---- what the children do ----------------------------------------------------------------------
 */

static void fail_in_child(struct board *b, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, error_last()->message);
    atomic_fetch_add(&b->failures, 1);
}

static void send_next(struct board *b, struct job_queue *q)
{
    char body[16];
    int number = atomic_fetch_add(&b->next, 1);
    if (number >= NUMBERS)
        return;
    int length = snprintf(body, sizeof body, "%d", number);
    struct queue_send s = {.body = body, .length = (size_t)length};
    if (q->ops->send(q->ctx, &s, 1, NULL))
        fail_in_child(b, "send");
    else
        atomic_store(&b->acknowledged[number], 1);
}

static void finish(struct board *b, struct job_queue *q, const struct queue_message *m, long number)
{
    struct queue_receipt r = {.receipt = m->receipt};
    if (random_below(10) == 0) {
        atomic_store(&b->until[number], 0);
        if (q->ops->change_visibility(q->ctx, &r, 1, 0))
            fail_in_child(b, "give back");
        return;
    }
    atomic_store(&b->deleting[number], 1);
    if (q->ops->delete (q->ctx, &r, 1))
        fail_in_child(b, "delete");
    else if (r.rc == OK)
        atomic_fetch_add(&b->deleted[number], 1);
}

static void work(struct board *b, struct job_queue *q)
{
    struct arena arena;
    struct queue_message *m;
    size_t count;
    arena_init(&arena, MIB(1));
    int64_t before = now();
    if (q->ops->receive(q->ctx, 5, HIDE_MS, 100, NULL, &arena, &m, &count))
        fail_in_child(b, "receive");
    int64_t after = now();
    for (size_t i = 0; i < count; i++) {
        long number = strtol(m[i].body, NULL, 10);
        if (after < atomic_exchange(&b->until[number], before + HIDE_MS))
            atomic_fetch_add(&b->overlaps, 1);
    }
    for (size_t i = 0; i < count; i++)
        finish(b, q, &m[i], strtol(m[i].body, NULL, 10));
    arena_free(&arena);
}

static pid_t start(struct board *b, const struct pg_fixture *p,
                   void (*step)(struct board *, struct job_queue *))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct client c;
    if (client_open(p, &c)) {
        fail_in_child(b, "open");
        _exit(1);
    }
    while (!atomic_load(&b->stop)) {
        step(b, &c.queue);
        tell(b);
    }
    client_close(&c);
    _exit(0);
}

/* ---- killing -----------------------------------------------------------------------------------
 */

static void wait_for_steps(struct board *b, uint64_t steps)
{
    char bytes[64];
    while (steps > 0) {
        struct pollfd fd = {.fd = b->pipe[0], .events = POLLIN};
        assert_true(poll(&fd, 1, LONG_WAIT_MS) == 1);
        ssize_t n = read(b->pipe[0], bytes, steps < sizeof bytes ? steps : sizeof bytes);
        if (n > 0)
            steps -= (uint64_t)n;
    }
}

static void reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
}

/* What the killed held comes back when it times out; this process helps to finish it. */
static void drain(struct board *b, const struct pg_fixture *p)
{
    struct client c;
    struct queue_stats s;
    assert_int_equal(client_open(p, &c), OK);
    while (atomic_load(&b->next) < NUMBERS)
        send_next(b, &c.queue);
    do {
        work(b, &c.queue);
        assert_int_equal(c.queue.ops->stats(c.queue.ctx, &s), OK);
    } while (s.visible + s.in_flight + s.delayed > 0);
    assert_int_equal(s.dead, 0);
    client_close(&c);
}

static void test_killed_processes_lose_nothing(void **state)
{
    const struct pg_fixture *p = *state;
    struct board *b = board_make();
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        children[i] = start(b, p, i < WORKERS ? work : send_next);
    for (int k = 0; k < KILLS; k++) {
        wait_for_steps(b, 1 + random_below(30));
        int i = (int)random_below(CHILDREN);
        kill(children[i], SIGKILL);
        reap(children[i]);
        children[i] = start(b, p, i < WORKERS ? work : send_next);
    }
    drain(b, p);
    atomic_store(&b->stop, 1);
    for (int i = 0; i < CHILDREN; i++)
        reap(children[i]);
    assert_int_equal(b->failures, 0);
    assert_int_equal(b->overlaps, 0);
    for (int i = 0; i < NUMBERS; i++) {
        if (b->acknowledged[i])
            assert_true(b->deleted[i] == 1 || b->deleting[i]);
        assert_true(b->deleted[i] <= 1);
    }
    board_free(b);
}

/* ---- waking ------------------------------------------------------------------------------------
 */

static pid_t start_echo(struct board *b, const struct pg_fixture *p, const int wanted[2])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct client c;
    char byte;
    close(wanted[1]);
    if (client_open(p, &c))
        _exit(1);
    tell(b);
    while (read(wanted[0], &byte, 1) == 1)
        send_next(b, &c.queue);
    client_close(&c);
    _exit(0);
}

static void receive_and_delete(struct job_queue *q)
{
    struct arena arena;
    struct queue_message *m;
    size_t count;
    arena_init(&arena, MIB(1));
    assert_int_equal(
        q->ops->receive(q->ctx, 1, LONG_WAIT_MS, LONG_WAIT_MS, NULL, &arena, &m, &count), OK);
    assert_int_equal(count, 1);
    struct queue_receipt r = {.receipt = m->receipt};
    assert_int_equal(q->ops->delete (q->ctx, &r, 1), OK);
    arena_free(&arena);
}

static void test_a_send_wakes_another_process(void **state)
{
    const struct pg_fixture *p = *state;
    struct board *b = board_make();
    struct client c;
    int wanted[2];
    assert_int_equal(pipe2(wanted, O_CLOEXEC), 0);
    pid_t sender = start_echo(b, p, wanted);
    wait_for_steps(b, 1);
    assert_int_equal(client_open(p, &c), OK);
    int64_t begin = clock_monotonic_ms();
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(write(wanted[1], "", 1), 1);
        receive_and_delete(&c.queue);
    }
    assert_true(clock_monotonic_ms() - begin < LONG_WAIT_MS / 2);
    close(wanted[1]);
    reap(sender);
    close(wanted[0]);
    client_close(&c);
    board_free(b);
}

/* ---- the group ---------------------------------------------------------------------------------
 */

static int make_place(void **state)
{
    struct pg_fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    pg_fixture_open(f);
    *state = f;
    return 0;
}

static int remove_place(void **state)
{
    pg_fixture_close(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_send_wakes_another_process, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(test_killed_processes_lose_nothing, make_place,
                                        remove_place),
    };
    int why = pg_fixture_start();
    if (why)
        return why;
    return cmocka_run_group_tests_name("postgres queue, several processes", tests, NULL, NULL);
}
