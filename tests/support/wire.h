/*
 * wire.h - an HTTP server on the loopback that speaks byte by byte what a test tells it to, so that
 * every way a reply can go wrong is sent for real.
 */
#ifndef AEGIS_TESTS_SUPPORT_WIRE_H
#define AEGIS_TESTS_SUPPORT_WIRE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { WIRE_REQUEST = 256 << 10 };

/* Answers one request that was read whole into `request`, the nth (from 0) of this server; false
 * closes the connection. Runs in the server's thread. */
typedef bool (*wire_serve)(int fd, const char *request, size_t length, int nth);

/* One connection is served at a time; the next one waits until it is closed. */
struct wire {
    int listener;
    int port;
    wire_serve serve;
    pthread_t thread;
    atomic_int connections, requests;
    atomic_bool stopping;
    char origin[64]; /* "http://127.0.0.1:PORT" */
    char url[80];    /* with a path */
    pthread_mutex_t lock;
    char incoming[WIRE_REQUEST];
    char newest[WIRE_REQUEST]; /* request, under the lock */
    size_t newest_length;
    char seen[WIRE_REQUEST]; /* by the test */
    size_t seen_length;
};

struct wire *wire_open(wire_serve serve);
/* Close the client's engine first: the server's thread then sees the end of its connection. */
void wire_close(struct wire *w);

/* The newest request, as the test's own copy (until the next call). */
const char *wire_last_request(struct wire *w);

/* ---- the pieces, for servers that answer in their own way ---- */

/* Listens on a free port of 127.0.0.1. */
int wire_listen(int *port);
/* Reads one request with its body, NUL-terminated; its length, or 0 at the end. Of a body that does
 * not fit a part is forgotten. */
size_t wire_read(int fd, char *out, size_t capacity);
void wire_say(int fd, const char *text);

#endif
