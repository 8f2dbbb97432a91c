/*
 * http_stub.h - a server on the loopback interface that answers each request with what a test's
 * function says, one at a time.
 */
#ifndef AEGIS_TESTS_HTTP_STUB_H
#define AEGIS_TESTS_HTTP_STUB_H

struct http_stub;

enum {
    HTTP_STUB_BODY = 16 << 10,
    HTTP_STUB_SILENT = -1, /* nothing is said until the client closes the connection */
};

struct http_stub_reply {
    int status; /* 200 unless set; 0: the connection is closed without a word; HTTP_STUB_SILENT */
    char header[128]; /* one more, with its line end; "" unless set */
    char body[HTTP_STUB_BODY];
    int missing; /* bytes that are announced behind the body, and do not come */
};

/* Called by the server's thread with the whole request, head and body. */
typedef void http_stub_fn(void *ctx, const char *request, struct http_stub_reply *reply);

/* Listens when it returns. */
struct http_stub *http_stub_open(http_stub_fn *answer, void *ctx);
void http_stub_close(struct http_stub *stub);

const char *http_stub_url(const struct http_stub *stub); /* "http://127.0.0.1:PORT" */
int http_stub_requests(struct http_stub *stub);          /* so far */
/* Blocks until there have been so many. */
void http_stub_await(struct http_stub *stub, int requests);

#endif
