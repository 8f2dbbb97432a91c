/*
 * runtime_api.h - AWS Lambda's side of the Runtime API, and of the process that speaks it, as
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and
 * https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html have it:
 *
 *   - invocations one after the other, each under its own request id, with a deadline at which the
 *     process is killed
 *   - the process stands still (SIGSTOP) from its answer until the next invocation
 *   - answers under a wrong id, after the deadline, over 6 MB or malformed are refused, as are an
 *     init error after the first `next`, and a `next` before the answer
 */
#ifndef AEGIS_TESTS_RUNTIME_API_H
#define AEGIS_TESTS_RUNTIME_API_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct runtime_api;

enum runtime_outcome {
    RUNTIME_RESPONSE,
    RUNTIME_ERROR,
    RUNTIME_TIMED_OUT, /* and the process killed */
    RUNTIME_EXITED,    /* the process ended without an answer */
};

struct runtime_result {
    enum runtime_outcome outcome;
    char error_type[128]; /* the header's */
    char *body;           /* malloc'd; "" if there is none */
};

/* Listens on loopback. Ends the program if it cannot. */
struct runtime_api *runtime_api_start(void);
void runtime_api_stop(struct runtime_api *api); /* kills the process, if one runs */
const char *runtime_api_endpoint(const struct runtime_api *api); /* "127.0.0.1:41234" */

/* Starts `program` under the name "bootstrap" with AWS_LAMBDA_RUNTIME_API, _HANDLER and more of the
 * environment ("NAME=value", ended by NULL); its standard error goes to the file `log`. */
void runtime_api_launch(struct runtime_api *api, const char *program, const char *handler,
                        const char *const *environment, const char *log);
/* The same as for a container image: with arguments (from argv[0] on, ended by NULL) and without
 * _HANDLER. */
void runtime_api_launch_image(struct runtime_api *api, const char *program, char *const *arguments,
                              const char *const *environment, const char *log);
pid_t runtime_api_pid(const struct runtime_api *api);

/* Gives out one invocation, letting the process go on if it stands still; the other waits for its
 * end. Free the result's body. */
void runtime_api_send(struct runtime_api *api, const char *payload, int64_t timeout_ms);
void runtime_api_wait(struct runtime_api *api, struct runtime_result *out);
/* The request id of the newest invocation. */
const char *runtime_api_request_id(const struct runtime_api *api);

/* Waits until the process asks for an invocation; false if it ended, or after 20 s. */
bool runtime_api_wait_next(struct runtime_api *api);
/* Does the process stand still? */
bool runtime_api_is_frozen(const struct runtime_api *api);
/* How often `next` was answered; how many calls were refused. */
int runtime_api_refused(const struct runtime_api *api);

/* SIGTERM; how the process ended (waitpid's status). Also for one that ends by itself: 0. */
int runtime_api_end(struct runtime_api *api, int signal);
/* What was posted to init/error; "" if nothing was. Borrowed. */
const char *runtime_api_init_error(const struct runtime_api *api);

#endif
