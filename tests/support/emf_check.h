/*
 * emf_check.h - what CloudWatch takes metrics from, held against the schema in its specification
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html)
 * and against what PutMetricData says of names and dimensions.
 */
#ifndef AEGIS_TESTS_EMF_CHECK_H
#define AEGIS_TESTS_EMF_CHECK_H

#include <stddef.h>

/* Checks each line of a log that has a member "_aws"; one that is not as it should be fails the
 * test. Returns how many there were. */
size_t emf_check(const char *log);

/* The sum of a metric over those lines that have this Model and Operation (both NULL: over those
 * without). */
double emf_sum(const char *log, const char *operation, const char *model, const char *metric);

#endif
