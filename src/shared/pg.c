/* The pool. Connecting, asking and closing happen outside of its lock. */
#include "shared/pg.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/condition.h"
#include "shared/pg_internal.h"
#include "shared/random.h"

enum { BACKOFF_MS = 100, BACKOFF_CAP_MS = 5000 };

static void fill_defaults(struct pg_settings *s)
{
    s->connections = s->connections > 0 ? s->connections : 8;
    s->connect_timeout_ms = s->connect_timeout_ms > 0 ? s->connect_timeout_ms : 5000;
    s->statement_timeout_ms = s->statement_timeout_ms ? s->statement_timeout_ms : 60000;
    s->lock_timeout_ms = s->lock_timeout_ms ? s->lock_timeout_ms : 10000;
    s->transaction_timeout_ms = s->transaction_timeout_ms ? s->transaction_timeout_ms : 60000;
    s->grace_ms = s->grace_ms > 0 ? s->grace_ms : 15000;
    s->check_idle_ms = s->check_idle_ms > 0 ? s->check_idle_ms : 15000;
    s->close_idle_ms = s->close_idle_ms > 0 ? s->close_idle_ms : 300000;
    s->application_name = s->application_name ? s->application_name : "aegis";
    s->schema = s->schema ? s->schema : "aegis";
}

/* connect_timeout of the URL counts, in seconds; libpq itself does not keep it when polled. */
static void url_timeout(struct pg_pool *pool)
{
    for (size_t i = 0; pool->url.keywords[i]; i++)
        if (!strcmp(pool->url.keywords[i], "connect_timeout")) {
            long seconds = strtol(pool->url.values[i], NULL, 10);
            if (seconds > 0 && seconds < 3600)
                pool->settings.connect_timeout_ms = (seconds < 2 ? 2 : seconds) * 1000;
        }
}

int pg_pool_open(const char *url, const struct pg_settings *settings, struct pg_pool **out)
{
    struct pg_pool *pool = calloc(1, sizeof *pool);
    *out = NULL;
    if (!pool)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for a pool of connections");
    if (settings)
        pool->settings = *settings;
    fill_defaults(&pool->settings);
    int rc = pg_url_parse(url, &pool->settings, &pool->url);
    if (rc) {
        free(pool);
        return rc;
    }
    url_timeout(pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_rwlock_init(&pool->url_lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    *out = pool;
    return OK;
}

void pg_pool_close(struct pg_pool *pool)
{
    if (!pool)
        return;
    assert(pool->in_use == 0);
    while (pool->free) {
        struct pg *c = pool->free;
        pool->free = c->next;
        pg_disconnect(c);
    }
    pthread_mutex_destroy(&pool->lock);
    pthread_rwlock_destroy(&pool->url_lock);
    pthread_cond_destroy(&pool->changed);
    pg_url_free(&pool->url);
    free(pool);
}

const char *pg_pool_name(const struct pg_pool *pool)
{
    return pool->url.name;
}

/* ---- taking one ---- */

/* Anything to read on an idle connection, or long idleness, is reason to ask. */
static bool is_alive(struct pg *c)
{
    struct pollfd fd = {.fd = PQsocket(c->conn), .events = POLLIN};
    bool idled = clock_monotonic_ms() - c->idle_since_ms > c->pool->settings.check_idle_ms;
    if (!idled && poll(&fd, 1, 0) == 0)
        return true;
    return pg_ping(c);
}

static int64_t backoff(int failures)
{
    int64_t ms = BACKOFF_MS;
    for (int i = 1; i < failures && ms < BACKOFF_CAP_MS; i++)
        ms *= 2;
    ms = ms < BACKOFF_CAP_MS ? ms : BACKOFF_CAP_MS;
    return ms / 2 + (int64_t)random_below((uint64_t)ms / 2 + 1);
}

/* With the lock held, which is let go meanwhile. While the server is away one caller tries at a
 * time: the others see next_try_ms. */
static int make(struct pg_pool *pool, const struct cancel *cancel, struct pg **out)
{
    pool->open++;
    if (pool->failures)
        pool->next_try_ms = clock_monotonic_ms() + backoff(pool->failures + 1);
    pthread_mutex_unlock(&pool->lock);
    int rc = pg_connect(pool, cancel, out);
    pthread_mutex_lock(&pool->lock);
    if (!rc) {
        pool->failures = 0;
        pool->next_try_ms = 0;
        pthread_cond_broadcast(&pool->changed);
        return OK;
    }
    pool->open--;
    pthread_cond_signal(&pool->changed);
    if (rc != ERR_CANCELLED) {
        pool->failures++;
        pool->next_try_ms = clock_monotonic_ms() + backoff(pool->failures);
        pool->last_error = *error_last();
    }
    return rc;
}

static struct pg *take_free(struct pg_pool *pool)
{
    struct pg *c = pool->free;
    if (c)
        pool->free = c->next;
    return c;
}

/* A free connection that is alive; NULL: there is none. With the lock held, let go meanwhile. */
static struct pg *take_alive(struct pg_pool *pool)
{
    struct pg *c;
    while ((c = take_free(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        bool alive = is_alive(c);
        if (!alive)
            pg_disconnect(c);
        pthread_mutex_lock(&pool->lock);
        if (alive)
            return c;
        pool->open--;
    }
    return NULL;
}

static int all_in_use(const struct pg_pool *pool)
{
    return error_set(ERR_TRANSIENT, "database_pool",
                     "all %d connections to PostgreSQL '%s' are in use", pool->settings.connections,
                     pool->url.name);
}

/* One look for a connection. With the lock held. */
static int try_one(struct pg_pool *pool, const struct cancel *cancel, struct pg **out)
{
    *out = take_alive(pool);
    if (*out)
        return OK;
    if (pool->open >= pool->settings.connections)
        return all_in_use(pool);
    if (pool->failures && clock_monotonic_ms() < pool->next_try_ms)
        return error_restore(&pool->last_error);
    return make(pool, cancel, out);
}

static void wait_for_change(struct pg_pool *pool, int64_t deadline_ms, const struct cancel *cancel)
{
    int64_t now = clock_monotonic_ms(), until = deadline_ms;
    if (pool->failures && pool->open < pool->settings.connections && pool->next_try_ms < until)
        until = pool->next_try_ms > now ? pool->next_try_ms : now + 1;
    if (cancel && until > now + CANCEL_POLL_MS)
        until = now + CANCEL_POLL_MS;
    condition_wait_until(&pool->changed, &pool->lock, until);
}

int pg_acquire(struct pg_pool *pool, int64_t wait_ms, const struct cancel *cancel, struct pg **out)
{
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    *out = NULL;
    pthread_mutex_lock(&pool->lock);
    int rc = try_one(pool, cancel, out);
    while (rc && !pg_error_is_final(error_last()) && clock_monotonic_ms() < deadline) {
        wait_for_change(pool, deadline, cancel);
        rc = cancel_requested(cancel)
                 ? error_set(ERR_CANCELLED, NULL, "cancelled while waiting for a connection")
                 : try_one(pool, cancel, out);
    }
    if (!rc)
        pool->in_use++;
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

/* ---- giving it back ---- */

/* The list is in order of idleness, the latest first: takes off its end what idled too long. */
static struct pg *take_idle(struct pg_pool *pool, int64_t now)
{
    struct pg **link = &pool->free;
    while (*link && now - (*link)->idle_since_ms < pool->settings.close_idle_ms)
        link = &(*link)->next;
    struct pg *old = *link;
    *link = NULL;
    for (struct pg *c = old; c; c = c->next)
        pool->open--;
    return old;
}

void pg_release(struct pg *c)
{
    if (!c)
        return;
    struct pg_pool *pool = c->pool;
    struct error kept = *error_last();
    if (c->in_transaction)
        pg_rollback(c);
    bool usable = !c->lost && !c->listened && !c->queue_count && !c->pending;
    c->idle_since_ms = clock_monotonic_ms();
    pthread_mutex_lock(&pool->lock);
    pool->in_use--;
    struct pg *old = take_idle(pool, c->idle_since_ms);
    if (usable) {
        c->next = pool->free;
        pool->free = c;
    } else {
        pool->open--;
        c->next = old;
        old = c;
    }
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    while (old) {
        struct pg *next = old->next;
        pg_disconnect(old);
        old = next;
    }
    error_restore(&kept);
}
