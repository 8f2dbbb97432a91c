/*
 * http_internal.h - what http.c (the caller's side of a request) and http_engine.c (the thread that
 * drives them all) share. Nobody else includes it.
 */
#ifndef AEGIS_SHARED_HTTP_INTERNAL_H
#define AEGIS_SHARED_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "shared/http.h"

/* Why the engine itself ended a transfer; then curl's own code says nothing useful. */
enum http_stop {
    HTTP_RAN,
    HTTP_STOP_CANCELLED,
    HTTP_STOP_IDLE,
    HTTP_STOP_TIMEOUT,
    HTTP_STOP_TOO_LARGE,
    HTTP_STOP_CUT, /* too, and the caller wants no more */
    HTTP_STOP_NO_MEMORY,
    HTTP_STOP_READ, /* a file part could not be read */
};

/*
 * One request under way. It lives on the stack of the thread that blocks in http_perform, which
 * prepares it before http_submit and looks at it again after `done` was posted; in between it
 * belongs to the engine's thread.
 */
struct http_call {
    const struct http_request *request;
    struct http_response *response;
    const struct cancel *cancel;
    CURL *easy;
    struct curl_slist *headers;
    curl_mime *mime;
    struct http_file *files;

    struct http_call *next, *previous; /* the engine's lists */
    int64_t started_ms;
    int64_t active_ms; /* when a byte was last seen to move */
    int64_t moved;     /* bytes that had moved by then */
    int64_t received;  /* header and body bytes */
    bool sent;         /* a connection was found and the request is on its way */

    enum http_stop stop;
    CURLcode code;
    char detail[CURL_ERROR_SIZE]; /* curl's words; never holds a header */
    sem_t done;
};

/* A file part being read: rewound by curl when a connection that had gone stale is replaced. */
struct http_file {
    struct http_call *call;
    int fd;
    int64_t size, offset;
};

struct http_engine {
    CURLM *multi;
    pthread_t thread;
    int epoll;
    int wake; /* eventfd: something was submitted, or the engine is to stop */
    char user_agent[128];
    char ca_file[512];
    bool no_proxy_for_loopback;

    pthread_cond_t unused; /* the last user left while stopping */
    pthread_mutex_t lock;  /* guards what follows up to the blank line */
    struct http_call *submitted;
    CURL **idle; /* easy handles nobody uses */
    size_t idle_count;
    size_t users; /* threads in http_perform */
    bool stopping;

    struct http_call *in_flight; /* the engine's thread alone, as all below */
    struct http_call *finished;  /* in this round: handed back at its end */
    size_t in_flight_count;
    bool turnover;        /* a request has begun or ended since the engine last waited */
    int64_t timer_due_us; /* when curl wants to be called; -1: never */
    int64_t sweep_due_ms;
};

/* Hands the call to the engine's thread and blocks until it is over. */
void http_submit(struct http_engine *engine, struct http_call *call);

/* An easy handle with all options at their defaults; NULL with ERR_NO_MEMORY set. Until it is given
 * back the engine stays alive. */
CURL *http_easy_take(struct http_engine *engine);
void http_easy_give_back(struct http_engine *engine, CURL *easy);

#endif
