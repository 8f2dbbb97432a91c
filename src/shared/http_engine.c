#include "shared/http_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/error.h"

enum {
    EVENTS_PER_WAIT = 128,
    IDLE_HANDLES = 1024, /* easy handles kept for the next requests, about 6 KB each */
    LINGER_CROWD = 16,   /* requests under way */
    LINGER_US = 1000,
    IDLE_CONNECTIONS = 2048, /* kept open for reuse; curl closes those older than two minutes */
};

/* ---- the pool of easy handles ------------------------------------------------------------------
 */

CURL *http_easy_take(struct http_engine *engine)
{
    CURL *easy = NULL;
    pthread_mutex_lock(&engine->lock);
    engine->users++;
    if (engine->idle_count > 0)
        easy = engine->idle[--engine->idle_count];
    pthread_mutex_unlock(&engine->lock);
    if (!easy)
        easy = curl_easy_init();
    if (!easy) {
        http_easy_give_back(engine, NULL);
        error_set(ERR_NO_MEMORY, NULL, "out of memory for an HTTP request");
    }
    return easy;
}

void http_easy_give_back(struct http_engine *engine, CURL *easy)
{
    if (easy)
        curl_easy_reset(easy);
    pthread_mutex_lock(&engine->lock);
    if (easy && engine->idle_count < IDLE_HANDLES)
        engine->idle[engine->idle_count++] = easy;
    else
        curl_easy_cleanup(easy);
    if (--engine->users == 0 && engine->stopping)
        pthread_cond_signal(&engine->unused);
    pthread_mutex_unlock(&engine->lock);
}

/* ---- the caller's side of submitting -----------------------------------------------------------
 */

static void wake(struct http_engine *engine)
{
    uint64_t one = 1;
    while (write(engine->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void http_submit(struct http_engine *engine, struct http_call *call)
{
    sem_init(&call->done, 0, 0);
    pthread_mutex_lock(&engine->lock);
    bool first = !engine->submitted;
    call->next = engine->submitted;
    engine->submitted = call;
    pthread_mutex_unlock(&engine->lock);
    if (first) /* else the engine has been woken and not yet looked */
        wake(engine);
    while (sem_wait(&call->done) && errno == EINTR)
        ;
    sem_destroy(&call->done);
}

/* ---- the engine's thread -----------------------------------------------------------------------
 */

static void link_call(struct http_engine *engine, struct http_call *call)
{
    engine->in_flight_count++;
    engine->turnover = true;
    call->previous = NULL;
    call->next = engine->in_flight;
    if (call->next)
        call->next->previous = call;
    engine->in_flight = call;
}

static void unlink_call(struct http_engine *engine, struct http_call *call)
{
    engine->in_flight_count--;
    engine->turnover = true;
    if (call->previous)
        call->previous->next = call->next;
    else
        engine->in_flight = call->next;
    if (call->next)
        call->next->previous = call->previous;
}

static void finish(struct http_engine *engine, struct http_call *call, CURLcode code)
{
    curl_multi_remove_handle(engine->multi, call->easy);
    unlink_call(engine, call);
    call->code = code;
    call->next = engine->finished;
    engine->finished = call;
}

/* All of a round at once: whom the first wakes does not get in the way of the others' replies. A
 * call belongs to its caller again once `done` is posted: nothing may touch it after. */
static void hand_back(struct http_engine *engine)
{
    struct http_call *next;
    for (struct http_call *call = engine->finished; call; call = next) {
        next = call->next;
        sem_post(&call->done);
    }
    engine->finished = NULL;
}

static void start(struct http_engine *engine, struct http_call *call)
{
    call->started_ms = call->active_ms = clock_monotonic_ms();
    link_call(engine, call);
    CURLMcode rc = curl_multi_add_handle(engine->multi, call->easy);
    if (rc != CURLM_OK)
        finish(engine, call, rc == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_FAILED_INIT);
}

/* The list is newest first: turned round, so that requests start in the order they came. */
static struct http_call *reversed(struct http_call *list)
{
    struct http_call *turned = NULL;
    while (list) {
        struct http_call *next = list->next;
        list->next = turned;
        turned = list;
        list = next;
    }
    return turned;
}

/* Starts what was submitted; returns whether the engine is to stop. */
static bool take_submitted(struct http_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    struct http_call *list = engine->submitted;
    engine->submitted = NULL;
    bool stopping = engine->stopping;
    pthread_mutex_unlock(&engine->lock);
    struct http_call *next;
    for (struct http_call *call = reversed(list); call; call = next) {
        next = call->next;
        start(engine, call);
    }
    return stopping;
}

static void collect(struct http_engine *engine)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(engine->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* the message dies with its handle's removal */
        struct http_call *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        finish(engine, call, code);
    }
}

static int64_t bytes_moved(const struct http_call *call)
{
    curl_off_t uploaded = 0;
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    return call->received + (int64_t)uploaded;
}

static bool too_long(int64_t ms, int64_t timeout_ms, int64_t standard_ms)
{
    return timeout_ms >= 0 && ms >= (timeout_ms ? timeout_ms : standard_ms);
}

static enum http_stop reason_to_stop(struct http_call *call, int64_t now)
{
    const struct http_request *r = call->request;
    if (cancel_requested(call->cancel))
        return HTTP_STOP_CANCELLED;
    if (too_long(now - call->started_ms, r->timeout_ms, 600000))
        return HTTP_STOP_TIMEOUT;
    int64_t moved = bytes_moved(call);
    if (moved != call->moved || !call->sent) {
        call->moved = moved;
        call->active_ms = now;
    }
    if (too_long(now - call->active_ms, r->idle_timeout_ms, 120000))
        return HTTP_STOP_IDLE;
    return HTTP_RAN;
}

/* Time and cancellation are looked at here, ten times a second for all requests together, so that
 * a thousand blocked callers need no timer each. */
static void sweep(struct http_engine *engine)
{
    int64_t now = clock_monotonic_ms();
    if (now < engine->sweep_due_ms)
        return;
    engine->sweep_due_ms = now + CANCEL_POLL_MS;
    struct http_call *next;
    for (struct http_call *call = engine->in_flight; call; call = next) {
        next = call->next;
        enum http_stop stop = reason_to_stop(call, now);
        if (stop == HTTP_RAN)
            continue;
        call->stop = stop;
        finish(engine, call, CURLE_ABORTED_BY_CALLBACK);
    }
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct http_engine *engine = ctx;
    engine->timer_due_us = timeout_ms < 0 ? -1 : clock_monotonic_us() + timeout_ms * 1000;
    return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *registered)
{
    (void)easy;
    struct http_engine *engine = ctx;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(engine->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event event = {
        .events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0),
        .data.fd = fd,
    };
    if (!registered)
        curl_multi_assign(engine->multi, fd, engine);
    if (epoll_ctl(engine->epoll, registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    return epoll_ctl(engine->epoll, registered ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
}

static void run_timer(struct http_engine *engine)
{
    int running;
    /* a timer of 0 is asked for again and again while handles can go on at once */
    while (engine->timer_due_us >= 0 && engine->timer_due_us <= clock_monotonic_us()) {
        engine->timer_due_us = -1;
        curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

static void on_event(struct http_engine *engine, const struct epoll_event *event)
{
    if (event->data.fd == engine->wake) {
        uint64_t count;
        if (read(engine->wake, &count, sizeof count) < 0)
            return; /* nothing there after all */
        return;
    }
    int mask = (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
               (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    int running;
    curl_multi_socket_action(engine->multi, event->data.fd, mask, &running);
}

static int wait_ms(const struct http_engine *engine)
{
    int64_t ms = engine->in_flight ? engine->sweep_due_ms - clock_monotonic_ms() : 3600000;
    if (engine->timer_due_us >= 0) {
        int64_t until = (engine->timer_due_us - clock_monotonic_us() + 999) / 1000;
        ms = until < ms ? until : ms;
    }
    return ms < 0 ? 0 : (int)ms;
}

static void cancel_everything(struct http_engine *engine)
{
    while (engine->in_flight) {
        engine->in_flight->stop = HTTP_STOP_CANCELLED;
        finish(engine, engine->in_flight, CURLE_ABORTED_BY_CALLBACK);
    }
}

/* While requests come and go in a crowd, a moment's patience lets many be handled at one waking, by
 * this thread and by those that are woken. It is no more than that to a reply that took the server
 * a second, and large transfers, which keep the engine awake without any coming or going, are not
 * held up. */
static void linger(struct http_engine *engine)
{
    if (engine->turnover && engine->in_flight_count >= LINGER_CROWD)
        usleep(LINGER_US);
    engine->turnover = false;
}

static void *run(void *ctx)
{
    struct http_engine *engine = ctx;
    struct epoll_event events[EVENTS_PER_WAIT];
    bool stopping = false;
    while (!stopping) {
        linger(engine);
        int n = epoll_wait(engine->epoll, events, EVENTS_PER_WAIT, wait_ms(engine));
        for (int i = 0; i < n; i++)
            on_event(engine, &events[i]);
        stopping = take_submitted(engine);
        run_timer(engine);
        collect(engine);
        sweep(engine);
        hand_back(engine);
    }
    cancel_everything(engine);
    hand_back(engine);
    return NULL;
}

/* ---- opening and closing -----------------------------------------------------------------------
 */

static void initialise_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int open_descriptors(struct http_engine *engine)
{
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    engine->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = engine->wake};
    if (engine->epoll < 0 || engine->wake < 0 ||
        epoll_ctl(engine->epoll, EPOLL_CTL_ADD, engine->wake, &event))
        return error_set_errno(errno, "cannot start the HTTP engine");
    return OK;
}

static int open_multi(struct http_engine *engine, const struct http_options *options)
{
    engine->multi = curl_multi_init();
    engine->idle = calloc(IDLE_HANDLES, sizeof *engine->idle);
    if (!engine->multi || !engine->idle)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the HTTP engine");
    curl_multi_setopt(engine->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(engine->multi, CURLMOPT_SOCKETDATA, engine);
    curl_multi_setopt(engine->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(engine->multi, CURLMOPT_TIMERDATA, engine);
    curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    curl_multi_setopt(engine->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)options->max_connections_per_host);
    return OK;
}

/* Signals are the main thread's business. */
static int start_thread(struct http_engine *engine)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&engine->thread, NULL, run, engine);
    if (!rc)
        pthread_setname_np(engine->thread, "http");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? error_set_errno(rc, "cannot start the HTTP engine's thread") : OK;
}

static void release(struct http_engine *engine)
{
    for (size_t i = 0; i < engine->idle_count; i++)
        curl_easy_cleanup(engine->idle[i]);
    free(engine->idle);
    curl_multi_cleanup(engine->multi);
    if (engine->epoll >= 0)
        close(engine->epoll);
    if (engine->wake >= 0)
        close(engine->wake);
    pthread_cond_destroy(&engine->unused);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

static void configure(struct http_engine *engine, const struct http_options *options)
{
    const char *ca = options->ca_file ? options->ca_file : getenv("SSL_CERT_FILE");
    snprintf(engine->ca_file, sizeof engine->ca_file, "%s", ca ? ca : "");
    snprintf(engine->user_agent, sizeof engine->user_agent, "%s",
             options->user_agent ? options->user_agent : "aegis/" AEGIS_VERSION);
    /* a proxy set for the outside world would not reach a model server on this machine */
    engine->no_proxy_for_loopback = !getenv("no_proxy") && !getenv("NO_PROXY");
}

int http_engine_open(const struct http_options *options, struct http_engine **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise_curl);
    *out = NULL;
    struct http_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the HTTP engine");
    engine->epoll = engine->wake = -1;
    engine->timer_due_us = -1;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->unused, NULL);
    configure(engine, options);
    int rc = open_descriptors(engine);
    if (!rc)
        rc = open_multi(engine, options);
    if (!rc)
        rc = start_thread(engine);
    if (rc) {
        release(engine);
        return rc;
    }
    *out = engine;
    return OK;
}

void http_engine_close(struct http_engine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_mutex_unlock(&engine->lock);
    wake(engine);
    pthread_join(engine->thread, NULL);
    pthread_mutex_lock(&engine->lock);
    while (engine->users > 0) /* callers just cancelled are on their way out */
        pthread_cond_wait(&engine->unused, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
    release(engine);
}
