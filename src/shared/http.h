/*
 * http.h - the HTTP engine: one thread drives every request of every job (curl multi over epoll,
 * HTTP/2 where the server offers it, connections reused); callers block, or start several requests
 * and wait for each.
 */
#ifndef AEGIS_SHARED_HTTP_H
#define AEGIS_SHARED_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"
#include "shared/cancel.h"

struct http_engine;

struct http_options {
    const char *user_agent;
    int max_connections_per_host; /* 0: no limit but memory */
    const char *ca_file;          /* PEM bundle; NULL: SSL_CERT_FILE if set, else the system's */
};

/* Starts the engine's thread. */
int http_engine_open(const struct http_options *options, struct http_engine **out);
/* Cancels what is under way and joins the thread. NULL is fine. */
void http_engine_close(struct http_engine *engine);

/* One part of a multipart/form-data body: a text value or a piece of a file (read with pread from
 * offset 0, streamed, never whole in memory). */
struct http_part {
    const char *name;
    const char *value; /* text part if not NULL */
    int fd;            /* file part otherwise */
    int64_t size;
    const char *filename;
    const char *content_type;
};

/* Whether a URL's host ("127.0.0.1", "[::1]", "localhost") is this machine; no name is looked up.
 */
bool http_host_is_loopback(const char *host);

/* Whether a URL leads over plain HTTP to another machine, so that what is sent can be read on the
 * way. False for what is no URL. */
bool http_url_is_open(const char *url);

struct http_header {
    const char *name, *value;
};

struct http_request {
    const char *method; /* "GET", "POST", ... */
    const char *url;
    bool direct; /* through no proxy, whatever the environment says */
    const struct http_header *headers;
    size_t header_count;
    const void *body; /* or */
    size_t body_length;
    const struct http_part *parts;
    size_t part_count;
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t idle_timeout_ms;    /* no byte for so long is ERR_TIMEOUT; 0: 120 s; -1: none */
    int64_t timeout_ms;         /* the whole request; 0: 600 s; -1: none */
    size_t max_response;        /* 0: CAP_HTTP_RESPONSE; more is ERR_TOO_LARGE */
    bool cut_long; /* more than that is no error: the response ends there and is `cut` */
    bool as_is; /* dot segments of the path stay; a content coding of the response is not undone */
};

struct http_response {
    int status;
    struct buffer body;
    struct buffer header_block; /* "name: value\n" lines, names in lower case, last response only */
    int64_t duration_ms;
    bool cut; /* it was longer than max_response: the body is a part of it, or empty */
};

/* Blocks until the response is whole. Any status is success: 0 is returned and the caller judges
 * it. ERR_TRANSIENT with reason "connect_failed", "connection_reset", "dns", "incomplete_body",
 * "malformed_reply" (that was not HTTP); ERR_TIMEOUT; ERR_TOO_LARGE; ERR_SYSTEMIC "tls"
 * (certificate refused); ERR_INVALID "bad_url", "bad_header"; ERR_IO (a part's file);
 * ERR_CANCELLED. What the request points to must live until the return. *out is initialised here;
 * free it with http_response_free in any case. */
int http_perform(struct http_engine *engine, const struct http_request *request,
                 const struct cancel *cancel, struct http_response *out);
void http_response_free(struct http_response *response);

/* The value of a response header (name in lower case), copied to `out`; false if absent or too
 * long. */
bool http_response_header(const struct http_response *response, const char *name, char *out,
                          size_t capacity);

/* How long the server asks to wait: its header Retry-After, in seconds or as a date (RFC 9110,
 * 10.2.3), in milliseconds from now_ms (Unix time) and at most a day. -1: it does not say. */
int64_t http_retry_after(const struct http_response *response, int64_t now_ms);

#endif
