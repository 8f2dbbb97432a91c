/*
 * The database port on a PostgreSQL that is halted, cut off, read-only or closed to this login; on
 * one that several processes use at once, with clocks that differ.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "database/postgres.h"
#include "database/postgres_migrate.h"
#include "database/postgres_roles.h"
#include "support/database_fixture.h"
#include "support/pg_test.h"
#include "support/seed.h"
#include "support/tcp_proxy.h"

/* ---- stores ---- */

static int64_t system_ms(void)
{
    return clock_now(clock_system());
}

static void open_with(struct fixture *f, const struct postgres_database_options *options)
{
    *f = (struct fixture){0};
    arena_init(&f->arena, MIB(16));
    atomic_store(&f->now_ms, system_ms());
    OKAY(postgres_database_open(options, &f->db));
}

static void open_url(struct fixture *f, const char *url)
{
    open_with(f, &(struct postgres_database_options){.url = url, .wait_ms = 3000});
}

static void close_store(struct fixture *f)
{
    f->db.ops->close(f->db.ctx);
    arena_free(&f->arena);
}

static void is_systemic(int rc, const char *reason)
{
    if (rc != ERR_SYSTEMIC || strcmp(error_last()->reason, reason) != 0)
        fail_msg("%d, not systemic: %s (%s)", rc, error_last()->reason, error_last()->message);
}

static int64_t number(const char *sql)
{
    struct pg *c = take();
    int64_t n;
    ok(pg_number(c, &n, -1, sql, NULL, 0));
    pg_release(c);
    return n;
}

/* Until `sql` gives `wanted`; fails after a while. */
static void await(const char *sql, int64_t wanted)
{
    int64_t until = clock_monotonic_ms() + 20000;
    while (number(sql) != wanted) {
        if (clock_monotonic_ms() > until)
            fail_msg("waited in vain for %lld: %s", (long long)wanted, sql);
        usleep(2000);
    }
}

static const struct model_call CALL = {
    .provider = "p", .model = "m", .cost_nanousd = 3, .http_status = 200};

static int publish_words(struct fixture *f, const struct job_work *work, const char *text)
{
    return publish_result(f, work,
                          &(struct simple_result){
                              .chunks = &text, .chunk_count = 1, .calls = &CALL, .call_count = 1});
}

static int port_of(const char *url)
{
    const char *at = strchr(strstr(url, "://") + 3, ':');
    assert_non_null(at);
    return atoi(at + 1);
}

/* The fixture's database through a proxy. */
static void proxied(const struct tcp_proxy *proxy, char *out, size_t size)
{
    snprintf(out, size, "postgresql://postgres@127.0.0.1:%d/%s?connect_timeout=2", proxy->port,
             fixture.name);
}

/* ---- a COMMIT without an answer ---- */

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

static void open_gate(struct pg *gate)
{
    ok(pg_script(gate, "SELECT pg_advisory_unlock(4711)"));
    pg_release(gate);
}

#define AT_GATE "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

struct publisher {
    struct fixture *f;
    struct job_work work;
    int rc;
    char reason[40];
    pthread_t thread;
};

static void *publish_there(void *arg)
{
    struct publisher *p = arg;
    p->rc = publish_words(p->f, &p->work, "gate words");
    snprintf(p->reason, sizeof p->reason, "%s", error_last()->reason);
    return NULL;
}

static void publish_beside(struct publisher *p)
{
    assert_int_equal(pthread_create(&p->thread, NULL, publish_there, p), 0);
}

static void published_once(struct fixture *f, const struct event_outcome *out)
{
    assert_int_equal(state_of(f, out->job_id), JOB_SUCCEEDED);
    assert_int_equal(totals_of(f).cost_nanousd, 3);
    assert_int_equal(media_of(f, out->media_id).cost_nanousd, 3);
    assert_int_equal(life_count(f, "job.succeeded", out->job_id), 1);
    assert_int_equal(number("SELECT count(*) FROM chunk"), 1);
    assert_int_equal(number("SELECT count(*) FROM model_call"), 1);
}

static void *look_around(void *arg)
{
    struct fixture *f = arg;
    struct totals totals;
    f->db.ops->totals(f->db.ctx, &totals);
    return NULL;
}

/* Until that many connections have been made. */
static void connect_often(struct fixture *f, struct tcp_proxy *proxy, int wanted)
{
    enum { AT_ONCE = 8 };
    pthread_t threads[AT_ONCE];
    int64_t until = clock_monotonic_ms() + 20000;
    while (atomic_load(&proxy->accepted) < wanted && clock_monotonic_ms() < until) {
        for (int i = 0; i < AT_ONCE; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, look_around, f), 0);
        for (int i = 0; i < AT_ONCE; i++)
            pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&proxy->accepted) >= wanted);
}

/* `harm` comes to the connections while the server commits: on another the outcome is found. */
static void look_up_after(void (*harm)(struct tcp_proxy *proxy), int connections)
{
    struct tcp_proxy proxy;
    struct fixture f;
    char url[256];
    tcp_proxy_start(&proxy, port_of(fixture.url));
    proxied(&proxy, url, sizeof url);
    open_with(&f, &(struct postgres_database_options){.url = url, .wait_ms = 30000});
    fixture_space(&f);
    struct event_outcome out = upload(&f, "a", "e", 1);
    struct publisher p = {.f = &f, .work = start(&f, out.job_id)};
    connect_often(&f, &proxy, connections);
    struct pg *gate = shut_gate();
    publish_beside(&p);
    await(AT_GATE, 1);
    harm(&proxy);
    open_gate(gate);
    pthread_join(p.thread, NULL);
    assert_int_equal(p.rc, OK);
    published_once(&f, &out);
    close_store(&f);
    tcp_proxy_stop(&proxy);
}

static void test_lost_answer_is_looked_up(void **state)
{
    (void)state;
    look_up_after(tcp_proxy_cut, 1);
}

/* Those that idle are gone as well, but nobody has noticed yet. */
static void test_lost_answer_is_looked_up_past_dead_connections(void **state)
{
    (void)state;
    look_up_after(tcp_proxy_doom, 3);
}

/* The same with no way back in time: the caller does not know, and sends it again. */
static void test_doubt_is_resolved_by_repeating(void **state)
{
    struct tcp_proxy proxy;
    struct fixture f;
    char url[256];
    (void)state;
    tcp_proxy_start(&proxy, port_of(fixture.url));
    proxied(&proxy, url, sizeof url);
    open_with(&f, &(struct postgres_database_options){.url = url, .wait_ms = 100});
    fixture_space(&f);
    struct event_outcome out = upload(&f, "a", "e", 1);
    struct publisher p = {.f = &f, .work = start(&f, out.job_id)};
    struct pg *gate = shut_gate();
    publish_beside(&p);
    await(AT_GATE, 1);
    tcp_proxy_stall(&proxy, true);
    tcp_proxy_cut(&proxy);
    pthread_join(p.thread, NULL);
    assert_int_equal(p.rc, ERR_SYSTEMIC);
    open_gate(gate);
    await("SELECT count(*) FROM attempt", 1);
    tcp_proxy_stall(&proxy, false);
    int64_t until = clock_monotonic_ms() + 20000;
    int rc = ERR_SYSTEMIC; /* until the pool dares to connect again */
    while (rc == ERR_SYSTEMIC && clock_monotonic_ms() < until)
        rc = publish_words(&f, &p.work, "gate words");
    assert_int_equal(rc, OK);
    published_once(&f, &out);
    /* without a doubt it is a conflict, and its calls were made */
    assert_int_equal(publish_words(&f, &p.work, "gate words"), ERR_CONFLICT);
    assert_int_equal(totals_of(&f).cost_nanousd, 6);
    close_store(&f);
    tcp_proxy_stop(&proxy);
}

/* ---- many publications while connections are cut, or the server is halted ---- */

enum { CREW_JOBS = 160, CREW_THREADS = 8 };

struct workers {
    struct fixture *f;
    struct job_work works[CREW_JOBS];
    atomic_int next, done, refused, failures, idle;
    char first_refusal[200];
};

/* Repeats what failed for want of the database, as the pipeline does. */
static void *publish_until_done(void *arg)
{
    struct workers *w = arg;
    int i;
    while ((i = atomic_fetch_add(&w->next, 1)) < CREW_JOBS) {
        char text[64];
        float vector[FIXTURE_DIMENSION];
        snprintf(text, sizeof text, "crew text number%d", i);
        vector_of(text, vector);
        struct chunk_row chunk = {
            .start_ms = -1, .end_ms = -1, .text = text, .length = strlen(text)};
        struct result_info info = {
            .kind = "text", .format = "", .language = "en", .title = "", .stages_json = "{}"};
        struct publication p = {.job_id = w->works[i].job_id,
                                .attempt = w->works[i].attempt,
                                .key = {.content = digest_text(text), .settings = digest_text("s")},
                                .info = &info,
                                .batch = {.chunks = &chunk,
                                          .chunk_count = 1,
                                          .space_id = w->f->space_id,
                                          .embeddings = vector,
                                          .calls = &CALL,
                                          .call_count = 1},
                                .stage_times_json = "{}"};
        int rc;
        while ((rc = DB(w->f, publish, &p)) == ERR_SYSTEMIC || rc == ERR_TRANSIENT)
            atomic_fetch_add(&w->failures, 1);
        if (rc && !atomic_fetch_add(&w->refused, 1))
            snprintf(w->first_refusal, sizeof w->first_refusal, "%s", error_last()->message);
        atomic_fetch_add(&w->done, !rc);
    }
    atomic_fetch_add(&w->idle, 1);
    return NULL;
}

static struct workers *start_crew(struct fixture *f)
{
    struct workers *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->f = f;
    fixture_space(f);
    for (int i = 0; i < CREW_JOBS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        w->works[i] = start(f, upload(f, key, "e", 1).job_id);
    }
    return w;
}

static void check_crew(struct fixture *f, const struct workers *w)
{
    struct totals t = totals_of(f);
    if (atomic_load(&w->refused))
        fail_msg("%d refused: %s", atomic_load(&w->refused), w->first_refusal);
    assert_int_equal(atomic_load(&w->done), CREW_JOBS);
    assert_int_equal(t.jobs[JOB_SUCCEEDED], CREW_JOBS);
    assert_int_equal(t.published, CREW_JOBS);
    assert_int_equal(t.chunks, CREW_JOBS);
    assert_int_equal(t.cost_nanousd, 3 * CREW_JOBS);
    assert_int_equal(life_count(f, "job.succeeded", 0), CREW_JOBS);
}

static void test_cut_connections_lose_and_double_nothing(void **state)
{
    struct tcp_proxy proxy;
    struct fixture f;
    pthread_t threads[CREW_THREADS];
    char url[256];
    unsigned seed = test_seed();
    (void)state;
    tcp_proxy_start(&proxy, port_of(fixture.url));
    proxied(&proxy, url, sizeof url);
    open_url(&f, url);
    struct workers *w = start_crew(&f);
    for (int i = 0; i < CREW_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_until_done, w), 0);
    while (atomic_load(&w->idle) < CREW_THREADS) {
        int next = atomic_load(&w->done) + 1 + (int)(rand_r(&seed) % 12);
        while (atomic_load(&w->done) < next && atomic_load(&w->idle) < CREW_THREADS)
            sched_yield();
        tcp_proxy_cut(&proxy);
    }
    for (int i = 0; i < CREW_THREADS; i++)
        pthread_join(threads[i], NULL);
    check_crew(&f, w);
    free(w);
    close_store(&f);
    tcp_proxy_stop(&proxy);
}

static void test_halted_server(void **state)
{
    struct pg_own_server own;
    struct postgres_migrate_options options = {0};
    struct postgres_migrated done;
    struct fixture f;
    struct event_outcome out;
    pthread_t threads[CREW_THREADS];
    (void)state;
    if (!pg_own_start(&own, NULL))
        skip();
    OKAY(
        postgres_migrate(own.url, migrations_postgres, migrations_postgres_count, &options, &done));
    open_url(&f, own.url);
    struct workers *w = start_crew(&f);
    for (int i = 0; i < CREW_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_until_done, w), 0);
    while (atomic_load(&w->done) < CREW_JOBS / 8)
        usleep(500);
    pg_own_halt(&own);
    struct media_event e = event_of("late", "e", 1);
    if (atomic_load(&w->idle) < CREW_THREADS)
        is_systemic(DB(&f, record_events, &e, 1, &out), "database_unreachable");
    pg_own_again(&own, NULL);
    for (int i = 0; i < CREW_THREADS; i++)
        pthread_join(threads[i], NULL);
    check_crew(&f, w);
    OKAY(DB(&f, record_events, &e, 1, &out));
    assert_int_equal(out.result, EVENT_JOB_QUEUED); /* the first try left nothing behind */
    free(w);
    close_store(&f);
    pg_own_stop(&own);
}

/* ---- no rights, no writes, no connections ---- */

static void login_make(const char *name, const char *options)
{
    char sql[256];
    snprintf(sql, sizeof sql, "CREATE ROLE %s LOGIN %s", name, options);
    pg_fixture_script(&fixture, sql);
}

static void login_drop(const char *name)
{
    char sql[256];
    snprintf(sql, sizeof sql, "DROP OWNED BY %s; DROP ROLE %s", name, name);
    pg_fixture_script(&fixture, sql);
}

static void test_login_without_rights(void **state)
{
    struct database db;
    char name[100], url[512];
    (void)state;
    snprintf(name, sizeof name, "%s_stranger", fixture.name);
    login_make(name, "");
    pg_fixture_url_for(&fixture, name, "", url, sizeof url);
    struct postgres_database_options options = {.url = url, .wait_ms = 1000};
    int rc = postgres_database_open(&options, &db);
    is_systemic(rc, error_last()->reason); /* the schema is out of its sight, or closed to it */
    assert_true(!strcmp(error_last()->reason, "database_access") ||
                !strcmp(error_last()->reason, "database_schema"));
    login_drop(name);
}

static void test_no_connections_left(void **state)
{
    struct database db;
    char name[100], url[512];
    (void)state;
    snprintf(name, sizeof name, "%s_limited", fixture.name);
    login_make(name, "CONNECTION LIMIT 0");
    pg_fixture_url_for(&fixture, name, "", url, sizeof url);
    struct postgres_database_options options = {.url = url, .wait_ms = 200};
    is_systemic(postgres_database_open(&options, &db), "database_no_connections");
    login_drop(name);
}

static void read_only(bool on)
{
    char sql[200];
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET default_transaction_read_only = %s",
             fixture.name, on ? "on" : "off");
    pg_fixture_script(&fixture, on ? sql : "SET default_transaction_read_only = off");
    if (!on) {
        struct pg *c = take();
        ok(pg_script(c, "SET default_transaction_read_only = off"));
        ok(pg_script(c, sql));
        pg_release(c);
    }
}

static void test_read_only_server(void **state)
{
    struct fixture f;
    struct event_outcome out;
    (void)state;
    read_only(true);
    open_with(&f, &(struct postgres_database_options){
                      .url = fixture.url, .wait_ms = 1000, .no_background = true});
    struct media_event e = event_of("a", "e", 1);
    struct embedding_space space = {.provider = "p", .model = "m", .revision = "r", .dimension = 4};
    is_systemic(DB(&f, record_events, &e, 1, &out), "database_read_only");
    is_systemic(DB(&f, calls_record, &CALL, 1), "database_read_only");
    is_systemic(DB(&f, space_ensure, &space), "database_read_only");
    is_systemic(DB(&f, pause_set, "r", "m"), "database_read_only");
    assert_int_equal(totals_of(&f).media, 0);
    read_only(false);
    int rc, tries = 0; /* sessions that were made read-only are replaced as they fail */
    while ((rc = DB(&f, record_events, &e, 1, &out)) == ERR_SYSTEMIC && ++tries < 8)
        assert_string_equal(error_last()->reason, "database_read_only");
    assert_int_equal(rc, OK);
    assert_int_equal(out.result, EVENT_JOB_QUEUED);
    close_store(&f);
}

static void test_schema_of_another_age(void **state)
{
    struct database db;
    struct postgres_database_options options = {.url = fixture.url, .no_background = true};
    (void)state;
    pg_fixture_script(
        &fixture, "INSERT INTO aegis.schema_migration (version, name, checksum, lowest_program, "
                  "duration_ms) VALUES (999, '0999_future', '\\x00', 999, 0)");
    assert_int_equal(postgres_database_open(&options, &db), ERR_SCHEMA);
    pg_fixture_script(&fixture, "DROP SCHEMA aegis CASCADE");
    is_systemic(postgres_database_open(&options, &db), "database_schema");
}

/* One text that PostgreSQL refuses harms no other change of its batch. */
static void *record_with_bad_ones(void *arg)
{
    struct workers *w = arg;
    int i;
    while ((i = atomic_fetch_add(&w->next, 1)) < CREW_JOBS) {
        struct event_outcome out;
        char key[32];
        bool bad = i % 5 == 0;
        snprintf(key, sizeof key, bad ? "bad\xff%d" : "fine%d", i);
        struct media_event e = event_of(key, "e", 1);
        int rc = DB(w->f, record_events, &e, 1, &out);
        if (rc != (bad ? ERR_INVALID : OK))
            atomic_fetch_add(&w->refused, 1);
    }
    return NULL;
}

static void test_refused_text_harms_no_other(void **state)
{
    struct fixture f;
    struct workers w = {.f = &f};
    pthread_t threads[CREW_THREADS];
    (void)state;
    open_url(&f, fixture.url);
    for (int i = 0; i < CREW_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, record_with_bad_ones, &w), 0);
    for (int i = 0; i < CREW_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&w.refused), 0);
    assert_int_equal(totals_of(&f).media, CREW_JOBS - CREW_JOBS / 5);
    close_store(&f);
}

/* ---- several processes ---- */

struct racer {
    struct fixture *f;
    const int64_t *jobs;
    pthread_barrier_t *line;
    int won, busy, errors;
    pthread_t thread;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    pthread_barrier_wait(r->line);
    for (int i = 0; i < CREW_JOBS; i++) {
        struct job_work work;
        struct job_start s = {.job_id = r->jobs[i], .receive_count = 1, .work = &work};
        int rc = DB(r->f, start_attempts, &s, 1, "racer", system_ms() + 60000);
        r->won += !rc && !s.rc;
        r->busy += !rc && s.rc == ERR_BUSY;
        r->errors += rc != OK;
    }
    return NULL;
}

static void test_one_start_wins(void **state)
{
    enum { RACERS = 6 };
    struct fixture stores[2];
    struct racer racers[RACERS] = {0};
    pthread_barrier_t line;
    int64_t jobs[CREW_JOBS];
    int won = 0, busy = 0;
    (void)state;
    open_url(&stores[0], fixture.url);
    open_url(&stores[1], fixture.url);
    for (int i = 0; i < CREW_JOBS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        jobs[i] = upload(&stores[0], key, "e", 1).job_id;
    }
    pthread_barrier_init(&line, NULL, RACERS);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.f = &stores[i % 2], .jobs = jobs, .line = &line};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_int_equal(racers[i].errors, 0);
        won += racers[i].won;
        busy += racers[i].busy;
    }
    pthread_barrier_destroy(&line);
    assert_int_equal(won, CREW_JOBS);
    assert_int_equal(busy, (RACERS - 1) * CREW_JOBS);
    assert_int_equal(totals_of(&stores[0]).jobs[JOB_RUNNING], CREW_JOBS);
    close_store(&stores[0]);
    close_store(&stores[1]);
}

struct taker {
    struct fixture *f;
    int64_t job_id;
    struct digest content;
    pthread_barrier_t *line;
    int rc;
    pthread_t thread;
};

static void *take_content(void *arg)
{
    struct taker *t = arg;
    pthread_barrier_wait(t->line);
    t->rc = DB(t->f, set_content, t->job_id, &t->content);
    return NULL;
}

/* Identical content found out by two processes at the same moment is worked on by one. */
static void test_one_holds_a_content(void **state)
{
    enum { ROUNDS = 30 };
    struct fixture stores[2];
    pthread_barrier_t line;
    (void)state;
    open_url(&stores[0], fixture.url);
    open_url(&stores[1], fixture.url);
    pthread_barrier_init(&line, NULL, 2);
    for (int round = 0; round < ROUNDS; round++) {
        struct taker takers[2];
        char text[32];
        snprintf(text, sizeof text, "content %d", round);
        for (int i = 0; i < 2; i++) {
            char key[32];
            snprintf(key, sizeof key, "%d/%d", round, i);
            takers[i] =
                (struct taker){.f = &stores[i], .content = digest_text(text), .line = &line};
            takers[i].job_id = start(&stores[i], upload(&stores[i], key, "e", 1).job_id).job_id;
        }
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&takers[i].thread, NULL, take_content, &takers[i]), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(takers[i].thread, NULL);
        assert_true((takers[0].rc == OK && takers[1].rc == ERR_BUSY) ||
                    (takers[1].rc == OK && takers[0].rc == ERR_BUSY));
    }
    pthread_barrier_destroy(&line);
    close_store(&stores[0]);
    close_store(&stores[1]);
}

/* ---- clocks ---- */

static int64_t clock_beside(void *ctx)
{
    return system_ms() + *(const int64_t *)ctx;
}

static int start_until(struct fixture *f, int64_t job_id, int64_t lease_until_ms)
{
    struct job_work work;
    return start_rc(f, job_id, 1, lease_until_ms, &work);
}

/* Leases are as long as their owner meant, whoever's clock is wrong. */
static void test_clock_ten_minutes_off(void **state)
{
    static int64_t slow = -600000, fast = 600000;
    static const struct clock slow_clock = {.now = clock_beside, .ctx = &slow},
                              fast_clock = {.now = clock_beside, .ctx = &fast};
    struct fixture right, late, early;
    struct job_row *rows;
    size_t n;
    (void)state;
    open_url(&right, fixture.url);
    open_with(&late, &(struct postgres_database_options){.url = fixture.url, .clock = &slow_clock});
    open_with(&early,
              &(struct postgres_database_options){.url = fixture.url, .clock = &fast_clock});
    int64_t a = upload(&late, "a", "e", 1).job_id, b = upload(&early, "b", "e", 1).job_id;
    assert_in_range(job_of(&right, a).queued_ms, system_ms() - 20000, system_ms() + 20000);

    /* one minute of the slow clock is in the right one's future */
    assert_int_equal(start_until(&late, a, clock_now(&slow_clock) + 60000), OK);
    assert_int_equal(start_until(&right, a, system_ms() + 60000), ERR_BUSY);
    assert_int_equal(start_until(&early, a, clock_now(&fast_clock) + 60000), ERR_BUSY);
    OKAY(DB(&late, extend_leases, &a, 1, clock_now(&slow_clock) + 120000));
    assert_int_equal(start_until(&right, a, system_ms() + 60000), ERR_BUSY);

    /* a short lease of the fast clock is over soon, not in ten minutes */
    assert_int_equal(start_until(&early, b, clock_now(&fast_clock) + 50), OK);
    int64_t until = clock_monotonic_ms() + 20000;
    int rc = ERR_BUSY;
    while (rc == ERR_BUSY && clock_monotonic_ms() < until)
        rc = start_until(&right, b, system_ms() + 60000);
    assert_int_equal(rc, OK);

    /* what is stranded is so for all of them */
    int64_t c = upload(&right, "c", "e", 1).job_id;
    OKAY(DB(&late, touch, &c, 1, clock_now(&slow_clock) + 30000));
    OKAY(DB(&early, stranded, clock_now(&fast_clock) + 10000, 10, &early.arena, &rows, &n));
    assert_int_equal(n, 0);
    OKAY(DB(&early, stranded, clock_now(&fast_clock) + 45000, 10, &early.arena, &rows, &n));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].job_id, c);
    close_store(&early);
    close_store(&late);
    close_store(&right);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lost_answer_is_looked_up),
        TEST(test_lost_answer_is_looked_up_past_dead_connections),
        TEST(test_doubt_is_resolved_by_repeating),
        TEST(test_cut_connections_lose_and_double_nothing),
        TEST(test_halted_server),
        TEST(test_login_without_rights),
        TEST(test_no_connections_left),
        TEST(test_read_only_server),
        TEST(test_schema_of_another_age),
        TEST(test_refused_text_harms_no_other),
        TEST(test_one_start_wins),
        TEST(test_one_holds_a_content),
        TEST(test_clock_ten_minutes_off),
    };
    int status = pg_fixture_start();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
