#include "support/http_stub.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/wire.h"

struct http_stub {
    int listener;
    char url[64];
    http_stub_fn *answer;
    void *ctx;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int requests;
    char request[WIRE_REQUEST];
    struct http_stub_reply reply;
};

static void count(struct http_stub *s)
{
    pthread_mutex_lock(&s->lock);
    s->requests++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void serve(struct http_stub *s, int fd)
{
    char head[300];
    if (!wire_read(fd, s->request, sizeof s->request))
        return;
    count(s);
    s->reply.status = 200;
    s->reply.body[0] = s->reply.header[0] = '\0';
    s->reply.missing = 0;
    s->answer(s->ctx, s->request, &s->reply);
    if (s->reply.status == HTTP_STUB_SILENT)
        wire_read(fd, s->request, sizeof s->request);
    if (s->reply.status <= 0)
        return;
    snprintf(head, sizeof head,
             "HTTP/1.1 %d Answer\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
             s->reply.status, s->reply.header, strlen(s->reply.body) + (size_t)s->reply.missing);
    wire_say(fd, head);
    wire_say(fd, s->reply.body);
}

static void *run(void *ctx)
{
    struct http_stub *s = ctx;
    for (;;) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && !atomic_load(&s->stopping))
            serve(s, fd);
        if (fd >= 0)
            close(fd);
        if (fd < 0 || atomic_load(&s->stopping))
            return NULL;
    }
}

struct http_stub *http_stub_open(http_stub_fn *answer, void *ctx)
{
    struct http_stub *s = calloc(1, sizeof *s);
    int port;
    assert_non_null(s);
    s->answer = answer;
    s->ctx = ctx;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->listener = wire_listen(&port);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", port);
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
    return s;
}

void http_stub_close(struct http_stub *s)
{
    atomic_store(&s->stopping, true);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *http_stub_url(const struct http_stub *s)
{
    return s->url;
}

int http_stub_requests(struct http_stub *s)
{
    pthread_mutex_lock(&s->lock);
    int n = s->requests;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void http_stub_await(struct http_stub *s, int requests)
{
    pthread_mutex_lock(&s->lock);
    while (s->requests < requests)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
