/*
 * aws_fixture.h - servers that speak AWS's protocols and check signatures, for tests: moto (S3,
 * SQS, Secrets Manager; moto.sh) and radosgw (S3 alone, presigned URLs too; radosgw.sh).
 *
 * The server is the one CTest started for this build directory, else (a test run by hand) one
 * started now, which ends when the program does. Tests share it: name buckets, queues and secrets
 * with aws_fixture_name(). One user may do everything.
 */
#ifndef AEGIS_TESTS_AWS_FIXTURE_H
#define AEGIS_TESTS_AWS_FIXTURE_H

#include <stddef.h>

struct aws_fixture {
    char endpoint[128]; /* "http://127.0.0.1:PORT" */
    char key_id[64];
    char secret[128];
    char region[32];
};

/* Call first in main(). 0: there is a server; else what main() has to return: 77, which CTest calls
 * skipped, with why on standard error, or 1 where AEGIS_REQUIRE_AWS or CI is set. */
int aws_fixture_moto(struct aws_fixture *f);
int aws_fixture_radosgw(struct aws_fixture *f);

/* Sets AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION of this process
 * and of what it starts, and hides what else AWS's clients would read of this machine. */
void aws_fixture_setenv(const struct aws_fixture *f);

/* "aegis-PID-NUMBER", another one with each call: valid for a bucket, a queue and a secret. */
void aws_fixture_name(char *out, size_t size);

#endif
