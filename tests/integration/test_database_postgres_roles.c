/* The roles of grants.sql suffice for what each does, by the verbs themselves, and for no more. */
#include <stdio.h>
#include <stdlib.h>

#include "database/postgres.h"
#include "database/postgres_roles.h"
#include "support/database_fixture.h"
#include "support/pg_test.h"

struct login {
    char name[100];
    struct fixture f;
};

static void login_open(struct login *l, const char *role)
{
    char sql[256], url[512];
    snprintf(l->name, sizeof l->name, "%s_%s", fixture.name, role);
    snprintf(sql, sizeof sql, "CREATE ROLE %s LOGIN IN ROLE %s", l->name, role);
    pg_fixture_script(&fixture, sql);
    pg_fixture_url_for(&fixture, l->name, "", url, sizeof url);
    l->f = (struct fixture){0};
    arena_init(&l->f.arena, MIB(16));
    atomic_store(&l->f.now_ms, clock_now(clock_system()));
    bool background = !strcmp(role, "aegis_process");
    OKAY(postgres_database_open(
        &(struct postgres_database_options){.url = url, .no_background = !background}, &l->f.db));
}

static void login_close(struct login *l)
{
    char sql[256];
    l->f.db.ops->close(l->f.db.ctx);
    arena_free(&l->f.arena);
    snprintf(sql, sizeof sql, "DROP OWNED BY %s; DROP ROLE %s", l->name, l->name);
    pg_fixture_script(&fixture, sql);
}

static void refused(int rc)
{
    if (rc != ERR_SYSTEMIC || strcmp(error_last()->reason, "database_access") != 0)
        fail_msg("%d, not refused: %s", rc, error_last()->message);
}

static const struct model_call CALL = {
    .provider = "p", .model = "m", .cost_nanousd = 7, .http_status = 200};

/* ---- what workers do ---- */

static void put_checkpoint(struct fixture *f, int64_t job_id)
{
    struct checkpoint_key key = {.stage = "summarise", .input = digest_text("in")};
    struct checkpoint item = {
        .job_id = job_id, .key = key, .bytes = "x", .length = 1, .calls = &CALL, .call_count = 1};
    void *bytes;
    size_t length;
    OKAY(DB(f, checkpoints_put, &item, 1));
    OKAY(item.rc);
    OKAY(DB(f, checkpoint_get, &key, &f->arena, &bytes, &length));
}

static void process_one(struct fixture *f, int64_t job_id, const char *text)
{
    struct digest content = digest_text(text);
    int64_t result, chunks, segments, due = clock_now(clock_system()) + 60000;
    struct result_key key = {.content = content, .settings = digest_text("staged")};
    struct job_work work = start(f, job_id);
    OKAY(DB(f, extend_leases, &job_id, 1, due));
    OKAY(DB(f, touch, &job_id, 1, due));
    OKAY(DB(f, set_content, job_id, &content));
    OKAY(DB(f, set_paused, job_id, true, "r", "m"));
    OKAY(DB(f, set_paused, job_id, false, "", ""));
    put_checkpoint(f, job_id);
    OKAY(DB(f, result_begin, job_id, &key, fixture_space(f), &result, &chunks, &segments));
    OKAY(publish_result(f, &work,
                        &(struct simple_result){
                            .chunks = &text, .chunk_count = 1, .calls = &CALL, .call_count = 1}));
}

static void process_dead(struct fixture *f, int64_t job_id)
{
    struct job_work work = start(f, job_id);
    OKAY(end_with(f, &work, ATTEMPT_DEAD, "unreadable"));
    OKAY(DB(f, redrive, job_id));
    OKAY(DB(f, mark_dead, job_id, "max_receives", ""));
    OKAY(DB(f, drop, job_id));
}

static void process_rest(struct fixture *f)
{
    const char *reason, *message;
    struct job_row *rows;
    struct life_event *events;
    int64_t since;
    size_t n;
    OKAY(DB(f, reprocess, NULL, 0, 10, &f->arena, &rows, &n));
    OKAY(DB(f, stranded, clock_now(clock_system()), 10, &f->arena, &rows, &n));
    OKAY(DB(f, calls_record, &CALL, 1));
    OKAY(DB(f, pause_set, "r", "m"));
    OKAY(DB(f, pause_set, "", ""));
    OKAY(DB(f, pause_get, &f->arena, &reason, &message, &since));
    OKAY(DB(f, life_events, 0, 10, &f->arena, &events, &n));
    OKAY(postgres_database_settle(&f->db));
}

/* ---- the tests ---- */

static void test_roles_at_work(void **state)
{
    struct login in, worker, reader;
    (void)state;
    login_open(&in, "aegis_ingest");
    login_open(&worker, "aegis_process");
    login_open(&reader, "aegis_read");

    struct event_outcome a = upload(&in.f, "a", "e1", 1), b = upload(&in.f, "b", "e", 1),
                         c = upload(&in.f, "c", "e", 1);
    fixture_space(&worker.f);
    process_one(&worker.f, a.job_id, "zebra crossing");
    process_dead(&worker.f, b.job_id);
    process_one(&worker.f, c.job_id, "giraffe neck");
    process_rest(&worker.f);

    reader.f.space_id = worker.f.space_id;
    assert_int_equal(lexical_best(&reader.f, "zebra", NULL), a.media_id);
    assert_int_equal(vector_best(&reader.f, "giraffe neck", NULL), c.media_id);
    OKAY(DB(&reader.f, calls_record, &CALL, 1));
    assert_int_equal(totals_of(&reader.f).cost_nanousd, 7 * 6);

    /* a newer version cancels, a removal takes a result out of sight and marks it */
    assert_int_equal(upload(&in.f, "c", "e2", 2).media_id, c.media_id);
    assert_int_equal(remove_key(&in.f, "a", 3).result, EVENT_MEDIA_REMOVED);
    assert_int_equal(lexical_count(&reader.f, "zebra", NULL), 0);
    assert_int_equal(totals_of(&reader.f).results, 1);
    OKAY(postgres_database_settle(&worker.f.db));
    assert_int_equal(vector_best(&reader.f, "zebra crossing", NULL), c.media_id);

    login_close(&reader);
    login_close(&worker);
    login_close(&in);
}

static void test_roles_may_not_more(void **state)
{
    struct login in, worker, reader;
    struct event_outcome out;
    struct embedding_space space = {.provider = "p", .model = "m", .revision = "r", .dimension = 4};
    (void)state;
    login_open(&in, "aegis_ingest");
    login_open(&worker, "aegis_process");
    login_open(&reader, "aegis_read");
    struct media_event e = event_of("a", "e", 1);
    OKAY(DB(&in.f, record_events, &e, 1, &out));
    struct job_work work = start(&worker.f, out.job_id);
    fixture_space(&worker.f);
    const char *text = "text";
    struct simple_result result = {.chunks = &text, .chunk_count = 1};
    struct model_call call = CALL;

    in.f.space_id = reader.f.space_id = worker.f.space_id;
    refused(publish_result(&in.f, &work, &result));
    refused(DB(&in.f, calls_record, &call, 1));
    refused(DB(&in.f, space_ensure, &space));
    refused(DB(&in.f, pause_set, "r", "m"));
    e.etag = "e2";
    e.event_ms = 2;
    refused(DB(&reader.f, record_events, &e, 1, &out));
    refused(publish_result(&reader.f, &work, &result));
    refused(end_with(&reader.f, &work, ATTEMPT_DEAD, "r"));
    refused(DB(&reader.f, pause_set, "r", "m"));
    refused(DB(&reader.f, space_ensure, &space));
    assert_int_equal(state_of(&worker.f, out.job_id), JOB_RUNNING);
    assert_int_equal(totals_of(&worker.f).cost_nanousd, 0);
    OKAY(publish_result(&worker.f, &work, &result));

    login_close(&reader);
    login_close(&worker);
    login_close(&in);
}

static int make_roles(void **state)
{
    int rc = set_up(state);
    struct pg *owner = take();
    rc = rc ? rc : postgres_roles_make(owner);
    pg_release(owner);
    return rc;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_roles, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_roles_at_work),
        TEST(test_roles_may_not_more),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
