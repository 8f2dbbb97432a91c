/* tcp_proxy.h - a proxy between a client and a server of this machine that stalls and cuts. */
#ifndef AEGIS_TESTS_TCP_PROXY_H
#define AEGIS_TESTS_TCP_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { TCP_PROXY_PAIRS = 64 };

struct tcp_proxy {
    int port;   /* of 127.0.0.1: where clients connect */
    int target; /* port of the server */
    int listener, wake[2];
    pthread_t thread;
    atomic_bool stalled; /* bytes stay where they are, new connections too */
    atomic_int cut;      /* requests to close all connections */
    atomic_int accepted; /* connections so far */
    bool stop;
    atomic_int doom; /* requests to doom all connections */
    struct {
        int client, server;
        bool doomed; /* closed instead of passing anything on */
    } pairs[TCP_PROXY_PAIRS];
    int count;
};

void tcp_proxy_start(struct tcp_proxy *p, int target_port);
void tcp_proxy_stall(struct tcp_proxy *p, bool stalled);
/* Closes all connections; returns once that is done. */
void tcp_proxy_cut(struct tcp_proxy *p);
/* Each connection that is there now is closed when something is said on it, which is lost: as by a
 * server that has gone without its clients having heard of it. */
void tcp_proxy_doom(struct tcp_proxy *p);
void tcp_proxy_stop(struct tcp_proxy *p);

#endif
