#include "support/http_stub.h"

#include <arpa/inet.h>
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

enum { REQUEST_CAP = 256 << 10 };

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
    char request[REQUEST_CAP];
    struct http_stub_reply reply;
};

static void send_all(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        left -= (size_t)n;
    }
}

static bool is_whole(const char *request, size_t length)
{
    const char *end = strstr(request, "\r\n\r\n");
    const char *announced = strcasestr(request, "\r\nContent-Length:");
    size_t body = announced && announced < end ? strtoul(announced + 17, NULL, 10) : 0;
    return end && length >= (size_t)(end + 4 - request) + body;
}

static bool receive(struct http_stub *s, int fd)
{
    size_t length = 0;
    s->request[0] = '\0';
    while (!is_whole(s->request, length)) {
        ssize_t n = recv(fd, s->request + length, REQUEST_CAP - 1 - length, 0);
        if (n <= 0)
            return false;
        length += (size_t)n;
        s->request[length] = '\0';
    }
    return true;
}

static void count(struct http_stub *s)
{
    pthread_mutex_lock(&s->lock);
    s->requests++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void serve(struct http_stub *s, int fd)
{
    char head[128];
    if (!receive(s, fd))
        return;
    count(s);
    s->reply.status = 200;
    s->reply.body[0] = '\0';
    s->reply.missing = 0;
    s->answer(s->ctx, s->request, &s->reply);
    if (s->reply.status == 0)
        return;
    snprintf(head, sizeof head,
             "HTTP/1.1 %d Answer\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
             s->reply.status, strlen(s->reply.body) + (size_t)s->reply.missing);
    send_all(fd, head);
    send_all(fd, s->reply.body);
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
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_non_null(s);
    s->answer = answer;
    s->ctx = ctx;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 64), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
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
