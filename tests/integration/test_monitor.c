/* The monitoring server as a client sees it, over a real pipeline and databases that fail. */
#include <arpa/inet.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/metered_providers.h"
#include "server/monitor.h"
#include "shared/http.h"
#include "support/pipeline_fixture.h"

enum { WORKS, FAILS, HANGS };

static struct site {
    struct world *world;
    struct http_engine *http;
    struct instruments instruments;
    struct monitor *monitor;
    struct database_ops ops; /* the world's, some verbs of which do as `mode` says */
    const struct database_ops *real;
    int64_t figures_ms;
    atomic_int mode; /* WORKS, FAILS or HANGS */
    atomic_int looks, released;
} site;

static int pause_get(void *ctx, struct arena *arena, const char **reason, const char **message,
                     int64_t *since)
{
    atomic_fetch_add(&site.looks, 1);
    while (site.mode == HANGS && !atomic_load(&site.released))
        sched_yield();
    if (site.mode == FAILS)
        return error_set(ERR_SYSTEMIC, "database_down", "cannot reach 'db'");
    return site.real->pause_get(ctx, arena, reason, message, since);
}

static void open_site_aged(void **state, int64_t figures_ms)
{
    struct world *w = world_of(state);
    site = (struct site){.world = w,
                         .real = w->ports.database.ops,
                         .ops = *w->ports.database.ops,
                         .figures_ms = figures_ms};
    site.ops.pause_get = pause_get;
    w->ports.database.ops = &site.ops;
    struct monitor_options options = {.listen = ":0",
                                      .database = w->ports.database,
                                      .queue = w->ports.queue,
                                      .instruments = &site.instruments};
    assert_int_equal(OK,
                     http_engine_open(&(struct http_options){.user_agent = "test"}, &site.http));
    assert_int_equal(OK, instruments_open(&site.instruments, &options.database, &options.queue,
                                          site.figures_ms));
    if (monitor_open(&options, &site.monitor))
        fail_msg("%s", error_last()->message);
}

static void open_site(void **state)
{
    open_site_aged(state, 20);
}

static void close_site(void)
{
    world_stop(site.world);
    monitor_close(site.monitor);
    instruments_close(&site.instruments);
    http_engine_close(site.http);
    site.world->ports.database.ops = site.real;
}

static struct http_response ask(const char *method, const char *path)
{
    char url[200];
    struct http_response r;
    snprintf(url, sizeof url, "http://%s%s", monitor_address(site.monitor), path);
    struct http_request request = {.method = method, .url = url, .timeout_ms = PATIENCE_MS};
    if (http_perform(site.http, &request, NULL, &r))
        fail_msg("%s %s: %s", method, path, error_last()->message);
    return r;
}

static void answers(const char *method, const char *path, int status, const char *body)
{
    struct http_response r = ask(method, path);
    if (r.status != status || (body && strcmp(body, buffer_string(&r.body)) != 0))
        fail_msg("%s %s: %d %s", method, path, r.status, buffer_string(&r.body));
    http_response_free(&r);
}

static bool tells(const char *line)
{
    char wanted[300];
    struct http_response r = ask("GET", "/metrics");
    snprintf(wanted, sizeof wanted, "\n%s", line);
    bool told = r.status == 200 && strstr(buffer_string(&r.body), wanted);
    http_response_free(&r);
    return told;
}

/* Figures are some seconds old. */
static void wait_until_told(const char *line)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    while (!tells(line)) {
        if (clock_monotonic_ms() > deadline)
            fail_msg("never told: %s", line);
        pause_briefly();
    }
}

static void wait_for_status(int status)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    int got;
    do {
        struct http_response r = ask("GET", "/readyz");
        got = r.status;
        http_response_free(&r);
        pause_briefly();
    } while (got != status && clock_monotonic_ms() < deadline);
    assert_int_equal(status, got);
}

static void it_has_three_pages_and_no_other(void **state)
{
    open_site(state);
    char type[100];
    answers("GET", "/healthz", 200, "ok\n");
    answers("GET", "/readyz", 200, "ready\n");
    answers("HEAD", "/healthz", 200, "");
    answers("GET", "/", 404, NULL);
    answers("GET", "/metrics/", 404, NULL);
    answers("GET", "/metrics%2f", 404, NULL);
    answers("POST", "/metrics", 405, NULL);
    answers("DELETE", "/healthz", 405, NULL);
    answers("OPTIONS", "/", 405, NULL);
    struct http_response r = ask("GET", "/metrics");
    assert_int_equal(200, r.status);
    assert_true(http_response_header(&r, "content-type", type, sizeof type));
    assert_string_equal("text/plain; version=0.0.4; charset=utf-8", type);
    http_response_free(&r);
    close_site();
}

static void a_pause_makes_it_unready_until_it_ends(void **state)
{
    open_site(state);
    struct database *db = &site.world->ports.database;
    answers("GET", "/readyz", 200, "ready\n");
    assert_int_equal(OK, db->ops->pause_set(db->ctx, "invalid_key", "the key was refused"));
    wait_for_status(503);
    answers("GET", "/readyz", 503, "the pipeline is paused: invalid_key\n");
    answers("GET", "/healthz", 200, "ok\n");
    wait_until_told("aegis_pipeline_paused 1\n");
    assert_true(tells("aegis_pipeline_pause_start_time_seconds{reason=\"invalid_key\"} "));
    assert_int_equal(OK, db->ops->pause_set(db->ctx, "", ""));
    wait_for_status(200);
    wait_until_told("aegis_pipeline_paused 0\n");
    close_site();
}

static void a_database_that_fails_makes_it_unready(void **state)
{
    open_site(state);
    site.mode = FAILS;
    answers("GET", "/readyz", 503, "the database does not answer: cannot reach 'db'\n");
    assert_true(tells("aegis_database_up 0\n"));
    assert_true(tells("aegis_queue_up 1\n"));
    assert_false(tells("aegis_jobs{"));
    site.mode = WORKS;
    wait_for_status(200);
    wait_until_told("aegis_database_up 1\n");
    close_site();
}

static void a_database_that_hangs_keeps_nobody_waiting(void **state)
{
    open_site(state);
    site.mode = HANGS;
    int64_t begun = clock_monotonic_ms();
    answers("GET", "/readyz", 503, "the database or the queue has not answered for 2 s\n");
    int64_t took = clock_monotonic_ms() - begun;
    assert_in_range(took, 1900, PATIENCE_MS / 2);
    answers("GET", "/healthz", 200, "ok\n");
    assert_true(tells("aegis_database_up 0\n"));
    atomic_store(&site.released, 1);
    wait_for_status(200);
    close_site();
}

static void probes_do_not_load_the_database(void **state)
{
    open_site_aged(state, 0);
    int64_t begun = clock_monotonic_ms();
    for (int i = 0; i < 300; i++) {
        answers("GET", "/readyz", 200, "ready\n");
        if (i % 3 == 0)
            assert_true(tells("aegis_database_up 1\n"));
    }
    int64_t seconds = (clock_monotonic_ms() - begun) / 1000;
    assert_in_range(atomic_load(&site.looks), 2, 2 + 2 * (seconds + 1));
    close_site();
}

static void draining_makes_it_unready(void **state)
{
    open_site(state);
    answers("GET", "/readyz", 200, "ready\n");
    monitor_drain(site.monitor);
    answers("GET", "/readyz", 503, "the process is stopping\n");
    answers("GET", "/healthz", 200, "ok\n");
    close_site();
}

/* ---- what the pipeline does ---- */

static void work_is_counted(void **state)
{
    struct metered_providers *metered;
    struct world *w = world_of(state);
    struct model_providers real = w->ports.providers;
    open_site(state);
    assert_int_equal(
        OK, metered_providers_open(&real, site.instruments.metrics, &metered, &w->ports.providers));
    scripted_fail(w->provider, MODEL_SUMMARISE, 0, 1, ERR_TRANSIENT, "rate_limited");
    world_start(w);
    wait_for_state(w, add(w, "counted.txt", TEXT).job_id, JOB_SUCCEEDED);
    wait_for_empty_queue(w);
    wait_until_told("aegis_jobs{state=\"succeeded\"} 1\n");
    wait_until_told("aegis_queue_messages{state=\"visible\"} 0\n");
    struct model_identity model;
    assert_int_equal(OK, real.by_operation[MODEL_SUMMARISE].ops->identify(
                             real.by_operation[MODEL_SUMMARISE].ctx, MODEL_SUMMARISE, &model));
    char line[300];
    static const char *const outcomes[] = {"ok", "rate_limited"};
    for (int i = 0; i < 2; i++) {
        snprintf(line, sizeof line,
                 "aegis_provider_calls_total{operation=\"summarise\",provider=\"%s\",model=\"%s\","
                 "outcome=\"%s\"} 1\n",
                 model.provider, model.model, outcomes[i]);
        assert_true(tells(line));
    }
    assert_true(tells("aegis_provider_call_duration_seconds_count{operation=\"summarise\"} 2\n"));
    assert_true(tells("aegis_provider_cost_usd_total{operation=\"summarise\""));
    close_site();
    w->ports.providers = real;
    metered_providers_close(metered);
}

/* ---- callers who mean no good ---- */

static int connect_raw(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(monitor_address(site.monitor), ':') + 1;
    to.sin_port = htons((uint16_t)atoi(port));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&to, sizeof to));
    return fd;
}

/* What comes until the server closes; its first line. */
static void raw(const char *request, size_t length, char out[64])
{
    int fd = connect_raw();
    char buffer[4096];
    size_t got = 0;
    if (send(fd, request, length, MSG_NOSIGNAL) < 0)
        length = 0;
    shutdown(fd, SHUT_WR);
    for (ssize_t n; (n = recv(fd, buffer + got, sizeof buffer - 1 - got, 0)) > 0;)
        got += (size_t)n;
    buffer[got] = '\0';
    buffer[strcspn(buffer, "\r\n")] = '\0';
    snprintf(out, 64, "%.63s", buffer);
    close(fd);
}

static void requests_too_long_are_refused(void **state)
{
    open_site(state);
    enum { LONG = 200000 };
    char *request = malloc(LONG), line[64];
    memset(request, 'a', LONG);
    memcpy(request, "GET /", 5);
    raw(request, LONG, line);
    assert_null(strstr(line, " 200"));
    int n = sprintf(request, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: ");
    request[n] = 'a';
    raw(request, LONG, line);
    assert_null(strstr(line, " 200"));
    n = sprintf(request, "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    raw(request, (size_t)n, line);
    assert_null(strstr(line, " 200"));
    raw("\x16\x03\x01\x02", 4, line);
    assert_null(strstr(line, " 200"));
    free(request);
    answers("GET", "/healthz", 200, "ok\n");
    close_site();
}

/* Until one of the idle connections has timed out, a new one may be refused. */
static void wait_for_answer(void)
{
    char line[64] = "";
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
    while (!strstr(line, " 200") && clock_monotonic_ms() < deadline) {
        raw(request, sizeof request - 1, line);
        pause_briefly();
    }
    assert_non_null(strstr(line, " 200"));
}

static void idle_connections_give_way(void **state)
{
    enum { MORE_THAN_ALLOWED = 40 };
    int fds[MORE_THAN_ALLOWED];
    open_site(state);
    for (int i = 0; i < MORE_THAN_ALLOWED; i++)
        fds[i] = connect_raw();
    wait_for_answer();
    for (int i = 0; i < MORE_THAN_ALLOWED; i++)
        close(fds[i]);
    close_site();
}

static void a_bad_address_is_told(void **state)
{
    struct world *w = world_of(state);
    struct monitor *m;
    struct monitor_options options = {
        .listen = "everywhere", .database = w->ports.database, .queue = w->ports.queue};
    assert_int_equal(ERR_INVALID, monitor_open(&options, &m));
    assert_non_null(strstr(error_last()->message, "metrics.listen"));
    open_site(state);
    options.listen = monitor_address(site.monitor);
    assert_int_equal(ERR_BUSY, monitor_open(&options, &m));
    close_site();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(it_has_three_pages_and_no_other),
        WORLD_TEST(a_pause_makes_it_unready_until_it_ends),
        WORLD_TEST(a_database_that_fails_makes_it_unready),
        WORLD_TEST(a_database_that_hangs_keeps_nobody_waiting),
        WORLD_TEST(probes_do_not_load_the_database),
        WORLD_TEST(draining_makes_it_unready),
        WORLD_TEST(work_is_counted),
        WORLD_TEST(requests_too_long_are_refused),
        WORLD_TEST(idle_connections_give_way),
        WORLD_TEST(a_bad_address_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
