/*
 * What rests before it is indexed, and questions that ride along with changes: chunk_fresh and
 * checkpoint_get of the PostgreSQL adapter.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "database/postgres.h"
#include "database/postgres_internal.h"
#include "support/database_fixture.h"
#include "support/pg_test.h"

static struct fixture f;

static int open_all(void **state)
{
    if (set_up(state))
        return -1;
    f = (struct fixture){0};
    arena_init(&f.arena, MIB(16));
    atomic_store(&f.now_ms, clock_now(clock_system()));
    OKAY(postgres_database_open(
        &(struct postgres_database_options){.url = fixture.url, .no_background = true}, &f.db));
    return 0;
}

static int close_all(void **state)
{
    f.db.ops->close(f.db.ctx);
    arena_free(&f.arena);
    return tear_down(state);
}

static int64_t number(const char *sql)
{
    struct pg *c = take();
    int64_t n;
    ok(pg_number(c, &n, -1, sql, NULL, 0));
    pg_release(c);
    return n;
}

#define RESTING "SELECT count(*) FROM chunk_fresh"
#define INDEXED "SELECT count(*) FROM ONLY chunk"
#define ALL     "SELECT count(*) FROM chunk"

/* ---- chunks ---- */

static void new_chunks_rest_and_move(void **state)
{
    (void)state;
    int64_t a = put_text(&f, "a", "glacier one");
    put_text(&f, "b", "glacier two");
    put_text(&f, "c", "glacier three");
    assert_int_equal(number(RESTING), 3);
    assert_int_equal(number(INDEXED), 0);
    assert_int_equal(lexical_count(&f, "glacier", NULL), 3);
    assert_int_equal(lexical_best(&f, "one", NULL), a);
    remove_key(&f, "b", clock_now(clock_system()) + 1000);
    assert_int_equal(lexical_count(&f, "glacier", NULL), 2);
    OKAY(postgres_database_settle(&f.db));
    assert_int_equal(number(RESTING), 0);
    assert_int_equal(number(INDEXED), 2); /* the collector found the third where it rested */
    assert_int_equal(lexical_count(&f, "glacier", NULL), 2);
    assert_int_equal(lexical_best(&f, "one", NULL), a);
    assert_int_equal(vector_best(&f, "glacier one", NULL), a);
    put_text(&f, "d", "glacier four");
    assert_int_equal(number(RESTING), 1);
    assert_int_equal(lexical_count(&f, "glacier", NULL), 3);
}

static void a_removed_chunk_leaves_both(void **state)
{
    (void)state;
    put_text(&f, "a", "glacier one");
    OKAY(postgres_database_settle(&f.db));
    put_text(&f, "b", "glacier two");
    remove_key(&f, "a", clock_now(clock_system()) + 1000);
    remove_key(&f, "b", clock_now(clock_system()) + 1000);
    OKAY(postgres_database_settle(&f.db));
    assert_int_equal(number(ALL), 0);
    assert_int_equal(number("SELECT count(*) FROM result"), 0);
}

static void a_crowd_is_indexed_at_once(void **state)
{
    (void)state;
    struct store *s = f.db.ctx;
    atomic_store(&s->crowded, true);
    put_text(&f, "a", "glacier one");
    assert_int_equal(number(INDEXED), 1);
    OKAY(postgres_database_settle(&f.db)); /* looks again how much rests */
    assert_false(atomic_load(&s->crowded));
    put_text(&f, "b", "glacier two");
    assert_int_equal(number(RESTING), 1);
    assert_int_equal(lexical_count(&f, "glacier", NULL), 2);
}

static void *settle(void *arg)
{
    atomic_int *done = arg;
    OKAY(postgres_database_settle(&f.db));
    atomic_store(done, 1);
    return NULL;
}

/* Whoever reads meanwhile sees each in exactly one place. */
static void nothing_is_out_of_sight_while_it_moves(void **state)
{
    (void)state;
    enum { ROWS = 5500 };
    pthread_t thread;
    atomic_int done = 0;
    struct pg *c = take();
    ok(pg_script(c, "INSERT INTO chunk_fresh (chunk_id, result_id, start_ms, end_ms, byte_offset, "
                    "ordinal, text, words) SELECT i, i, -1, -1, 0, 0, 't', '''ice'':1' FROM "
                    "generate_series(1, 5500) i"));
    pg_release(c);
    assert_int_equal(pthread_create(&thread, NULL, settle, &done), 0);
    while (!atomic_load(&done))
        assert_int_equal(number("SELECT count(*) FROM chunk WHERE words @@ 'ice'"), ROWS);
    pthread_join(thread, NULL);
    assert_int_equal(number(INDEXED), ROWS);
    assert_int_equal(number(RESTING), 0);
}

/* ---- checkpoints ---- */

struct asker {
    struct checkpoint_key key;
    struct arena arena;
    void *bytes;
    size_t length;
    int rc;
    pthread_t thread;
};

static struct checkpoint_key key_of(const char *input)
{
    return (struct checkpoint_key){
        .stage = "summarise", .input = digest_text(input), .settings = digest_text("s")};
}

static void *ask(void *arg)
{
    struct asker *a = arg;
    a->rc = DB(&f, checkpoint_get, &a->key, &a->arena, &a->bytes, &a->length);
    return NULL;
}

struct publisher {
    struct job_work work;
    int rc;
    pthread_t thread;
};

static void *publish(void *arg)
{
    struct publisher *p = arg;
    const char *text = "at the gate";
    p->rc =
        publish_result(&f, &p->work, &(struct simple_result){.chunks = &text, .chunk_count = 1});
    return NULL;
}

/* COMMIT of a publication waits for an advisory lock, which `gate` holds. */
static struct pg *shut_gate(void)
{
    struct pg *gate = take();
    ok(pg_script(gate,
                 "CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                 "PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;"
                 "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON attempt DEFERRABLE INITIALLY "
                 "DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_gate()"));
    ok(pg_script(gate, "SELECT pg_advisory_lock(4711)"));
    return gate;
}

static size_t waiting(void)
{
    struct store *s = f.db.ctx;
    pthread_mutex_lock(&s->writer.lock);
    size_t n = s->writer.waiting;
    pthread_mutex_unlock(&s->writer.lock);
    return n;
}

#define AT_GATE "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

/* Three that ask while a transaction is under way: one statement answers them all. */
static void questions_ride_along(void **state)
{
    (void)state;
    struct asker askers[3] = {
        {.key = key_of("there")}, {.key = key_of("not there")}, {.key = key_of("there")}};
    struct publisher p;
    fixture_space(&f);
    p.work = start(&f, upload(&f, "a", "e", 1).job_id);
    struct checkpoint item = {
        .job_id = p.work.job_id, .key = key_of("there"), .bytes = "paid", .length = 4};
    OKAY(DB(&f, checkpoints_put, &item, 1));
    struct pg *gate = shut_gate();
    int64_t until = clock_monotonic_ms() + 20000;
    assert_int_equal(pthread_create(&p.thread, NULL, publish, &p), 0);
    while (number(AT_GATE) != 1 && clock_monotonic_ms() < until)
        usleep(2000);
    for (int i = 0; i < 3; i++) {
        arena_init(&askers[i].arena, MIB(1));
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    while (waiting() != 3 && clock_monotonic_ms() < until)
        usleep(2000);
    assert_int_equal(waiting(), 3);
    ok(pg_script(gate, "SELECT pg_advisory_unlock(4711)"));
    pg_release(gate);
    pthread_join(p.thread, NULL);
    assert_int_equal(p.rc, OK);
    for (int i = 0; i < 3; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].rc, i == 1 ? ERR_NOT_FOUND : OK);
        if (i != 1) {
            assert_int_equal(askers[i].length, 4);
            assert_memory_equal(askers[i].bytes, "paid", 4);
        }
        arena_free(&askers[i].arena);
    }
}

/* The look for a checkpoint is saved where it would find nothing, and only there. */
static void a_content_without_checkpoints_is_known(void **state)
{
    (void)state;
    struct media_event events[] = {event_of("a", "e", 1), event_of("b", "e", 1),
                                   event_of("c", "e", 1)};
    struct digest found_out = digest_text("three");
    events[0].content = digest_text("one");
    events[1].content = digest_text("two");
    struct job_work a = start(&f, record(&f, events[0]).job_id), again, b, c;
    assert_true(a.no_checkpoints);
    struct checkpoint item = {.job_id = a.job_id, .key = key_of("a"), .bytes = "a", .length = 1};
    OKAY(DB(&f, checkpoints_put, &item, 1));
    b = start(&f, record(&f, events[1]).job_id);
    assert_true(b.no_checkpoints);
    c = start(&f, record(&f, events[2]).job_id);
    assert_false(c.no_checkpoints);
    OKAY(DB(&f, set_content, c.job_id, &found_out));
    item = (struct checkpoint){.job_id = c.job_id, .key = key_of("c"), .bytes = "c", .length = 1};
    OKAY(DB(&f, checkpoints_put, &item, 1));
    OKAY(end_with(&f, &c, ATTEMPT_DEAD, "broken"));
    events[2] = event_of("d", "e", 1);
    events[2].content = found_out;
    again = start(&f, record(&f, events[2]).job_id);
    assert_false(again.no_checkpoints);
}

/* A space found once is the same as one asked for anew. */
static void a_space_is_remembered(void **state)
{
    (void)state;
    struct embedding_space one = {.provider = "p", .model = "m", .dimension = 8}, again = one,
                           other = one;
    snprintf(other.revision, sizeof other.revision, "2");
    OKAY(DB(&f, space_ensure, &one));
    OKAY(DB(&f, space_ensure, &again));
    OKAY(DB(&f, space_ensure, &other));
    assert_true(one.id > 0);
    assert_int_equal(again.id, one.id);
    assert_int_not_equal(other.id, one.id);
    assert_int_equal(number("SELECT count(*) FROM embedding_space"), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

/* A worker that does not say its medium's key leaves more to the transaction; the words are the
 * same. */
static void words_do_not_depend_on_who_knew_the_key(void **state)
{
    (void)state;
    const char *const text[] = {"the first passage", "and the second"};
    for (int i = 0; i < 2; i++) {
        struct media_event e = event_of("talks/keynote.txt", "e", 1);
        e.bucket = i ? "this" : "that";
        struct job_work work = start(&f, record(&f, e).job_id);
        OKAY(publish_result(&f, &work,
                            &(struct simple_result){.chunks = text,
                                                    .chunk_count = 2,
                                                    .title = "Opening",
                                                    .settings = e.bucket,
                                                    .key_untold = i == 1}));
    }
    assert_int_equal(number("SELECT count(*) FROM chunk"), 4);
    assert_int_equal(number("SELECT count(DISTINCT words) FROM chunk"), 2);
    assert_int_equal(number("SELECT count(*) FROM chunk WHERE words @@ "
                            "'open:A <-> talk:A <-> keynot:A & passag:D'::tsquery"),
                     2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(words_do_not_depend_on_who_knew_the_key),
        TEST(new_chunks_rest_and_move),
        TEST(a_removed_chunk_leaves_both),
        TEST(a_crowd_is_indexed_at_once),
        TEST(nothing_is_out_of_sight_while_it_moves),
        TEST(questions_ride_along),
        TEST(a_content_without_checkpoints_is_known),
        TEST(a_space_is_remembered),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
