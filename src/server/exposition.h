/*
 * exposition.h - figures on their way out: in Prometheus's text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), or to a sink that writes another.
 *
 * What has figures tells them family by family, and does not know in which format.
 *
 * The text is a buffer with a cap; once that is reached nothing more is added, and whoever serves
 * it looks at `full`.
 */
#ifndef AEGIS_SERVER_EXPOSITION_H
#define AEGIS_SERVER_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buffer.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { LABELS_TEXT = 480, LABEL_NAME_TEXT = 64 };

struct exposition_histogram {
    const double *bounds; /* upper ones, rising; what is equal to one is below it */
    size_t bound_count;
    const int64_t *buckets; /* bound_count + 1: each for itself, the last above every bound */
    double sum;
};

/* Gets what is told instead of the text. Samples belong to the family told last. */
struct exposition_sink {
    void (*family)(void *ctx, const char *name, const char *type, const char *help);
    void (*sample)(void *ctx, const char *labels, double value);
    void (*histogram)(void *ctx, const char *labels, const struct exposition_histogram *h);
    void *ctx;
};

struct exposition {
    struct buffer text;
    bool full;                          /* the cap or memory was reached: it ends early */
    const struct exposition_sink *sink; /* NULL: the text; borrowed */
};

/* The lines before a family's samples. `type` is "counter", "gauge" or "histogram". */
void exposition_family(struct exposition *x, const char *name, const char *type, const char *help);

/* One sample; `labels` as of labels_add, "" for none. */
void exposition_sample(struct exposition *x, const char *name, const char *labels, double value);

/* One histogram: buckets, sum and count. */
void exposition_histogram(struct exposition *x, const char *name, const char *labels,
                          const struct exposition_histogram *h);

/* A family of one sample without labels. */
void exposition_single(struct exposition *x, const char *name, const char *type, const char *help,
                       double value);

/* Appends name="value" with the value escaped. What does not fit is cut within the value. */
void labels_add(char labels[LABELS_TEXT], const char *name, const char *value);

/* The label at *at, as it was added; *at goes on to the next. False: there is none. */
bool labels_next(const char **at, char name[LABEL_NAME_TEXT], char value[LABELS_TEXT]);

/* The value of a label; "" and false if it is not there. */
bool labels_find(const char *labels, const char *name, char value[LABELS_TEXT]);

#endif
