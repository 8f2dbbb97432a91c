#include "support/tcp_proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(99);
}

static int dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void drop(struct tcp_proxy *p, int i)
{
    close(p->pairs[i].client);
    close(p->pairs[i].server);
    p->pairs[i] = p->pairs[--p->count];
}

static void take_one(struct tcp_proxy *p)
{
    int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    atomic_fetch_add(&p->accepted, 1);
    int server = p->count < TCP_PROXY_PAIRS ? dial(p->target) : -1;
    if (server < 0) {
        close(client);
        return;
    }
    p->pairs[p->count].doomed = false;
    p->pairs[p->count].client = client;
    p->pairs[p->count++].server = server;
}

/* False: this side has ended. The amounts are small enough for blocking sends. */
static bool pass(int from, int to)
{
    char bytes[65536];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    for (ssize_t at = 0; at < n;) {
        ssize_t sent = send(to, bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
    }
    return n > 0;
}

static void *run(void *arg)
{
    struct tcp_proxy *p = arg;
    struct pollfd fds[2 + 2 * TCP_PROXY_PAIRS];
    char byte;
    while (!p->stop) {
        bool stalled = atomic_load(&p->stalled);
        fds[0] = (struct pollfd){.fd = p->wake[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = stalled ? -1 : p->listener, .events = POLLIN};
        int count = p->count;
        for (int i = 0; i < count; i++) {
            fds[2 + 2 * i] = (struct pollfd){stalled ? -1 : p->pairs[i].client, POLLIN, 0};
            fds[3 + 2 * i] = (struct pollfd){stalled ? -1 : p->pairs[i].server, POLLIN, 0};
        }
        poll(fds, (nfds_t)(2 + 2 * count), -1);
        for (int i = count - 1; i >= 0; i--) { /* downwards: drop() moves the last into the gap */
            int client = p->pairs[i].client, server = p->pairs[i].server;
            bool said = fds[2 + 2 * i].revents || fds[3 + 2 * i].revents;
            bool on = !(said && p->pairs[i].doomed) &&
                      (!fds[2 + 2 * i].revents || pass(client, server)) &&
                      (!fds[3 + 2 * i].revents || pass(server, client));
            if (!on)
                drop(p, i);
        }
        if (fds[1].revents)
            take_one(p);
        if (fds[0].revents && read(p->wake[0], &byte, 1) == 1 && byte == 's')
            p->stop = true;
        if (atomic_load(&p->doom)) {
            for (int i = 0; i < p->count; i++)
                p->pairs[i].doomed = true;
            atomic_store(&p->doom, 0);
        }
        if (atomic_load(&p->cut)) {
            while (p->count)
                drop(p, 0);
            atomic_store(&p->cut, 0);
        }
    }
    while (p->count)
        drop(p, 0);
    return NULL;
}

static void wake(struct tcp_proxy *p, char byte)
{
    if (write(p->wake[1], &byte, 1) != 1)
        fail("waking the proxy");
}

void tcp_proxy_start(struct tcp_proxy *p, int target_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    memset(p, 0, sizeof *p);
    p->target = target_port;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&address, length) ||
        listen(p->listener, 64) || getsockname(p->listener, (struct sockaddr *)&address, &length) ||
        pipe(p->wake))
        fail("the proxy's socket");
    p->port = ntohs(address.sin_port);
    if (pthread_create(&p->thread, NULL, run, p))
        fail("the proxy's thread");
}

void tcp_proxy_stall(struct tcp_proxy *p, bool stalled)
{
    atomic_store(&p->stalled, stalled);
    wake(p, 'w');
}

void tcp_proxy_cut(struct tcp_proxy *p)
{
    atomic_store(&p->cut, 1);
    wake(p, 'w');
    while (atomic_load(&p->cut))
        sched_yield();
}

void tcp_proxy_doom(struct tcp_proxy *p)
{
    atomic_store(&p->doom, 1);
    wake(p, 'w');
    while (atomic_load(&p->doom))
        sched_yield();
}

void tcp_proxy_stop(struct tcp_proxy *p)
{
    wake(p, 's');
    pthread_join(p->thread, NULL);
    close(p->listener);
    close(p->wake[0]);
    close(p->wake[1]);
}
