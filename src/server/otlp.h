/*
 * otlp.h - traces and metrics to an OpenTelemetry collector, over OTLP/HTTP in JSON
 * (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
 *
 * A thread of its own sends. Spans wait for it in a queue of CAP_OTLP_SPANS; what finds it full is
 * lost and counted (aegis_telemetry_lost_total), so that no worker ever waits for a collector. A
 * request that the collector has no time for (429, 502, 503, 504, no connection, no answer) is
 * repeated, after Retry-After or a delay that grows, for OTLP_PATIENCE_MS; any other refusal loses
 * it. Metrics are cumulative: instead of repeating some, newer ones are sent. Each signal's first
 * failure is logged, and that it works again; what fails meanwhile is only counted.
 */
#ifndef AEGIS_SERVER_OTLP_H
#define AEGIS_SERVER_OTLP_H

#include "server/instruments.h"
#include "server/otlp_json.h"

struct otlp;

enum { OTLP_CLOSE_MS = 5000, OTLP_PATIENCE_MS = 60000 };

/* Strings and all else are borrowed until otlp_close. */
struct otlp_options {
    struct http_engine *http;
    const char *traces_url, *metrics_url; /* NULL: not sent */
    const struct http_header *headers;    /* of each request */
    size_t header_count;
    struct otlp_resource resource;
    int64_t timeout_ms;              /* of one request */
    int64_t interval_ms;             /* between two of metrics */
    struct instruments *instruments; /* NULL: no metrics, and nothing is counted */
    /* For tests; 0: what is good otherwise. */
    int64_t gather_ms;  /* how long spans wait for others: 1 s */
    int64_t backoff_ms; /* before the first repetition: 1 s */
};

/* Starts the thread; connects to nothing yet. */
int otlp_open(const struct otlp_options *options, struct otlp **out);

/* Sends what waits, once, and the metrics; gives up after OTLP_CLOSE_MS. Blocks. NULL is fine. */
void otlp_close(struct otlp *otlp);

/* Copies the span into the queue; never blocks on the network. Thread-safe. NULL takes nothing. */
void otlp_span(struct otlp *otlp, const struct span *span);

/* Waits until the spans are sent, or one request failed, at most until deadline_ms (of
 * clock_monotonic_ms): for a process that stands still then. True: all are sent. */
bool otlp_flush(struct otlp *otlp, int64_t deadline_ms);

#endif
