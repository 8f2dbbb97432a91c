/*
 * emf.h - figures of one invocation of a function on AWS Lambda, as CloudWatch takes metrics out of
 * a log: the embedded metric format
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
 *
 * Namespace Aegis. One line has the function's figures, under the dimension FunctionName; one more
 * line for each model that was called has those of its calls, under FunctionName, Operation and
 * Model: a line has room for one value of a dimension. Only what is not 0 is told, since CloudWatch
 * bills each metric by the hour in which it is told anything.
 *
 * Not thread-safe.
 */
#ifndef AEGIS_SERVER_EMF_H
#define AEGIS_SERVER_EMF_H

#include "server/metrics.h"
#include "shared/buffer.h"

/* Units of CloudWatch: "Count", "Milliseconds", "Seconds", "None". */
struct emf;

/* `function` is the function's name; copied. */
int emf_open(const char *function, struct emf **out);
void emf_close(struct emf *emf); /* NULL is fine */

/* Adds to one of the function's figures. A NULL emf takes nothing. Name and unit are constants. */
void emf_add(struct emf *emf, const char *name, const char *unit, double value);

/* Adds all that was counted; docs/lambda.md has the names. */
void emf_add_metrics(struct emf *emf, struct metrics *metrics);

/* Was anything added? */
bool emf_any(const struct emf *emf);

/* Appends the lines, each with its end; none if nothing was added. ERR_TOO_LARGE or ERR_NO_MEMORY.
 */
int emf_write(const struct emf *emf, int64_t now_ms, struct buffer *out);

#endif
