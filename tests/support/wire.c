#include "support/wire.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

const char *wire_last_request(struct wire *w)
{
    pthread_mutex_lock(&w->lock);
    memcpy(w->seen, w->newest, w->newest_length + 1);
    w->seen_length = w->newest_length;
    pthread_mutex_unlock(&w->lock);
    return w->seen;
}

void wire_say(int fd, const char *text)
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

static size_t announced(const char *head)
{
    const char *p = strcasestr(head, "\r\nContent-Length:");
    return p ? (size_t)atoll(p + 17) : 0;
}

size_t wire_read(int fd, char *out, size_t capacity)
{
    size_t got = 0, dropped = 0;
    for (;;) {
        ssize_t n = recv(fd, out + got, capacity - 1 - got, 0);
        if (n <= 0)
            return 0;
        got += (size_t)n;
        out[got] = '\0';
        if (out[0] == 0x16) /* a TLS handshake, which is not spoken here */
            return got;
        const char *end = strstr(out, "\r\n\r\n");
        if (end && got + dropped >= (size_t)(end + 4 - out) + announced(out))
            return got;
        if (got == capacity - 1) {
            assert_non_null(end);
            dropped += got - (size_t)(end + 4 - out);
            got = (size_t)(end + 4 - out);
        }
    }
}

static void serve_connection(struct wire *w, int fd)
{
    size_t n;
    while ((n = wire_read(fd, w->incoming, sizeof w->incoming))) {
        pthread_mutex_lock(&w->lock);
        memcpy(w->newest, w->incoming, n + 1);
        w->newest_length = n;
        pthread_mutex_unlock(&w->lock);
        int nth = atomic_fetch_add(&w->requests, 1);
        if (!w->serve(fd, w->incoming, n, nth))
            break;
    }
    close(fd);
}

static void *run_wire(void *ctx)
{
    struct wire *w = ctx;
    for (;;) {
        int fd = accept(w->listener, NULL, NULL);
        if (fd < 0 || atomic_load(&w->stopping)) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        atomic_fetch_add(&w->connections, 1);
        serve_connection(w, fd);
    }
}

int wire_listen(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return listener;
}

struct wire *wire_open(wire_serve serve)
{
    struct wire *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->serve = serve;
    pthread_mutex_init(&w->lock, NULL);
    w->listener = wire_listen(&w->port);
    snprintf(w->origin, sizeof w->origin, "http://127.0.0.1:%d", w->port);
    snprintf(w->url, sizeof w->url, "%s/thing", w->origin);
    assert_int_equal(pthread_create(&w->thread, NULL, run_wire, w), 0);
    return w;
}

void wire_close(struct wire *w)
{
    atomic_store(&w->stopping, true);
    shutdown(w->listener, SHUT_RDWR);
    pthread_join(w->thread, NULL);
    close(w->listener);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
