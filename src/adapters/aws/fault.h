/*
 * fault.h - what an AWS service says when it does not do what it was asked.
 */
#ifndef AEGIS_ADAPTERS_AWS_FAULT_H
#define AEGIS_ADAPTERS_AWS_FAULT_H

#include "adapters/aws/client.h"

enum { AWS_MESSAGE_TEXT = 256 };

enum fault_kind {
    FAULT_OTHER,
    FAULT_THROTTLED,
    FAULT_UNAVAILABLE, /* 5xx and what is announced like it: worth another try */
    FAULT_EXPIRED,     /* the credential, or it is not known any more: a newer one may be there */
    FAULT_SKEWED,      /* signed with a clock that is wrong */
    FAULT_DENIED,      /* rights */
    FAULT_NO_RESOURCE, /* no such bucket, no such queue */
};

/*
 * Reads code and message of a response that is not 2xx: JSON ("__type", x-amzn-query-error), XML
 * (<Error><Code>) or, without a body, the status alone. `message` is for people and may be "".
 */
void fault_read(const struct http_response *response, struct aws_fault *out,
                char message[AWS_MESSAGE_TEXT]);

enum fault_kind fault_kind(const struct aws_fault *fault);

/* Sets the error of client.h for it. `what` names the request in quotes. */
int fault_error(const struct aws_fault *fault, const char *message, const char *what);

#endif
