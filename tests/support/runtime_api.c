#include "support/runtime_api.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/buffer.h"
#include "shared/clock.h"
#include "shared/condition.h"
#include "yyjson.h"

enum { RESPONSE_MOST = 6291556, BODY_MOST = 16 << 20, ENVIRONMENT = 32, WAIT_MS = 20000 };

enum phase { IDLE, OFFERED, RUNNING, ANSWERED };

struct runtime_api {
    struct MHD_Daemon *daemon;
    char endpoint[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;

    pid_t pid;
    bool frozen, ended;
    int status; /* waitpid's, once ended */

    enum phase phase;
    int number;
    char request_id[64], trace[128];
    char *payload;
    int64_t deadline_unix_ms, deadline_ms; /* the second monotonic */
    bool asked;                            /* `next` was called at least once */
    int waiting;                           /* callers of `next` */
    int process; /* counts them: who asked for one that ended waits in vain */
    int refused;
    struct runtime_result result;
    char *init_error;
};

static void die(const char *what)
{
    perror(what);
    exit(99);
}

/* ---- the process -------------------------------------------------------------------------------
 */

static void freeze(struct runtime_api *api)
{
    if (api->pid > 0 && !api->ended) {
        kill(api->pid, SIGSTOP);
        api->frozen = true;
    }
}

static void thaw(struct runtime_api *api)
{
    if (api->frozen)
        kill(api->pid, SIGCONT);
    api->frozen = false;
}

/* Notices an end; never blocks. */
static void look_at_process(struct runtime_api *api)
{
    if (api->pid > 0 && !api->ended && waitpid(api->pid, &api->status, WNOHANG) == api->pid)
        api->ended = true;
}

static void kill_process(struct runtime_api *api)
{
    if (api->pid <= 0 || api->ended)
        return;
    kill(api->pid, SIGKILL);
    waitpid(api->pid, &api->status, 0);
    api->ended = true;
    api->frozen = false;
}

/* What is started: a zip's handler, or an image's arguments. */
struct launch {
    const char *program, *handler;
    char *const *arguments;
};

static void become(struct runtime_api *api, const struct launch *launch,
                   const char *const *environment, const char *log)
{
    char endpoint[128], name[64];
    const char *env[ENVIRONMENT + 5] = {"PATH=/usr/bin:/bin", endpoint, "HOME=/nonexistent"};
    size_t count = 3;
    snprintf(endpoint, sizeof endpoint, "AWS_LAMBDA_RUNTIME_API=%s", api->endpoint);
    snprintf(name, sizeof name, "_HANDLER=%s", launch->handler ? launch->handler : "");
    if (launch->handler)
        env[count++] = name;
    for (size_t i = 0; i < ENVIRONMENT && environment && environment[i]; i++)
        env[count++] = environment[i];
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0)
        die(log);
    dup2(fd, 1);
    dup2(fd, 2);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execve(launch->program, launch->arguments, (char *const *)env);
    die(launch->program);
}

static void start(struct runtime_api *api, const struct launch *launch,
                  const char *const *environment, const char *log)
{
    kill_process(api);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        become(api, launch, environment, log);
    pthread_mutex_lock(&api->lock);
    api->pid = pid;
    api->ended = api->frozen = api->asked = false;
    api->phase = IDLE;
    api->process++;
    api->waiting = 0;
    pthread_cond_broadcast(&api->changed);
    pthread_mutex_unlock(&api->lock);
}

void runtime_api_launch(struct runtime_api *api, const char *program, const char *handler,
                        const char *const *environment, const char *log)
{
    char *arguments[] = {"/var/runtime/bootstrap", NULL};
    start(api, &(struct launch){program, handler, arguments}, environment, log);
}

void runtime_api_launch_image(struct runtime_api *api, const char *program, char *const *arguments,
                              const char *const *environment, const char *log)
{
    start(api, &(struct launch){program, NULL, arguments}, environment, log);
}

pid_t runtime_api_pid(const struct runtime_api *api)
{
    return api->pid;
}

int runtime_api_end(struct runtime_api *api, int signal)
{
    int64_t deadline = clock_monotonic_ms() + WAIT_MS;
    pthread_mutex_lock(&api->lock);
    thaw(api);
    if (signal && !api->ended)
        kill(api->pid, signal);
    for (look_at_process(api); !api->ended && clock_monotonic_ms() < deadline; look_at_process(api))
        condition_wait_for(&api->changed, &api->lock, 5);
    if (!api->ended)
        fprintf(stderr, "the bootstrap process does not end\n");
    kill_process(api);
    int status = api->status;
    pthread_mutex_unlock(&api->lock);
    return status;
}

/* ---- replies -----------------------------------------------------------------------------------
 */

struct exchange {
    struct buffer body;
};

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *text,
                             struct MHD_Response **kept)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(r, "Content-Type", "application/json");
    if (kept) {
        *kept = r;
        return MHD_YES;
    }
    enum MHD_Result rc = MHD_queue_response(connection, status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result refuse(struct runtime_api *api, struct MHD_Connection *connection,
                              unsigned status, const char *type)
{
    char text[256];
    snprintf(text, sizeof text, "{\"errorMessage\":\"refused\",\"errorType\":\"%s\"}", type);
    api->refused++;
    return reply(connection, status, text, NULL);
}

static enum MHD_Result accept_call(struct MHD_Connection *connection)
{
    return reply(connection, MHD_HTTP_ACCEPTED, "{\"status\":\"OK\"}\n", NULL);
}

/* ---- next --------------------------------------------------------------------------------------
 */

static enum MHD_Result hand_out(struct runtime_api *api, struct MHD_Connection *connection)
{
    char deadline[32];
    struct MHD_Response *r;
    snprintf(deadline, sizeof deadline, "%lld", (long long)api->deadline_unix_ms);
    reply(connection, 0, api->payload, &r);
    MHD_add_response_header(r, "Lambda-Runtime-Aws-Request-Id", api->request_id);
    MHD_add_response_header(r, "Lambda-Runtime-Deadline-Ms", deadline);
    MHD_add_response_header(r, "Lambda-Runtime-Invoked-Function-Arn",
                            "arn:aws:lambda:eu-central-1:123456789012:function:aegis");
    MHD_add_response_header(r, "Lambda-Runtime-Trace-Id", api->trace);
    enum MHD_Result rc = MHD_queue_response(connection, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    api->phase = RUNNING;
    return rc;
}

static enum MHD_Result serve_next(struct runtime_api *api, struct MHD_Connection *connection)
{
    if (api->phase == RUNNING)
        return refuse(api, connection, MHD_HTTP_FORBIDDEN, "InvalidStateTransition");
    int process = api->process;
    api->asked = true;
    api->waiting++;
    pthread_cond_broadcast(&api->changed);
    while (api->phase != OFFERED && !api->stopping && process == api->process)
        pthread_cond_wait(&api->changed, &api->lock);
    if (process != api->process || api->stopping)
        return MHD_NO;
    api->waiting--;
    return hand_out(api, connection);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static bool is_json(const struct buffer *body, const char *const *members)
{
    yyjson_doc *doc = yyjson_read(buffer_string(body), body->length, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool good = root != NULL;
    for (; good && members && *members; members++)
        good = yyjson_obj_get(root, *members) != NULL;
    yyjson_doc_free(doc);
    return good;
}

static const char *const error_members[] = {"errorMessage", "errorType", "stackTrace", NULL};

static void finish(struct runtime_api *api, enum runtime_outcome outcome, const char *error_type,
                   const char *body)
{
    api->phase = ANSWERED;
    api->result = (struct runtime_result){.outcome = outcome, .body = strdup(body)};
    snprintf(api->result.error_type, sizeof api->result.error_type, "%s", error_type);
    pthread_cond_broadcast(&api->changed);
}

static enum MHD_Result serve_answer(struct runtime_api *api, struct MHD_Connection *connection,
                                    const char *id, size_t id_length, bool error,
                                    const struct buffer *body)
{
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                   "Lambda-Runtime-Function-Error-Type");
    if (api->phase != RUNNING || strlen(api->request_id) != id_length ||
        memcmp(api->request_id, id, id_length) != 0)
        return refuse(api, connection, MHD_HTTP_BAD_REQUEST, "InvalidRequestID");
    if (clock_monotonic_ms() >= api->deadline_ms)
        return refuse(api, connection, MHD_HTTP_FORBIDDEN, "Function.Timedout");
    if (body->length > RESPONSE_MOST)
        return refuse(api, connection, MHD_HTTP_CONTENT_TOO_LARGE, "RequestEntityTooLarge");
    if (!is_json(body, error ? error_members : NULL) || (error && !type))
        return refuse(api, connection, MHD_HTTP_BAD_REQUEST, "Runtime.MalformedResponse");
    enum MHD_Result rc = accept_call(connection);
    freeze(api);
    finish(api, error ? RUNTIME_ERROR : RUNTIME_RESPONSE, error ? type : "", buffer_string(body));
    return rc;
}

static enum MHD_Result serve_init_error(struct runtime_api *api, struct MHD_Connection *connection,
                                        const struct buffer *body)
{
    if (api->asked)
        return refuse(api, connection, MHD_HTTP_FORBIDDEN, "InvalidStateTransition");
    if (!is_json(body, error_members))
        return refuse(api, connection, MHD_HTTP_BAD_REQUEST, "Runtime.MalformedResponse");
    free(api->init_error);
    api->init_error = strdup(buffer_string(body));
    pthread_cond_broadcast(&api->changed);
    return accept_call(connection);
}

/* ---- routing -----------------------------------------------------------------------------------
 */

static enum MHD_Result route(struct runtime_api *api, struct MHD_Connection *connection,
                             const char *method, const char *url, const struct buffer *body)
{
    static const char PREFIX[] = "/2018-06-01/runtime/", INVOCATION[] = "invocation/";
    bool post = !strcmp(method, "POST");
    if (strncmp(url, PREFIX, strlen(PREFIX)) != 0)
        return refuse(api, connection, MHD_HTTP_NOT_FOUND, "NotFound");
    url += strlen(PREFIX);
    if (!strcmp(url, "invocation/next") && !strcmp(method, "GET"))
        return serve_next(api, connection);
    if (!strcmp(url, "init/error") && post)
        return serve_init_error(api, connection, body);
    const char *id = url + strlen(INVOCATION),
               *verb = strncmp(url, INVOCATION, strlen(INVOCATION)) ? NULL : strchr(id, '/');
    if (verb && post && (!strcmp(verb, "/response") || !strcmp(verb, "/error")))
        return serve_answer(api, connection, id, (size_t)(verb - id), !strcmp(verb, "/error"),
                            body);
    return refuse(api, connection, MHD_HTTP_NOT_FOUND, "NotFound");
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    struct runtime_api *api = ctx;
    struct exchange *x = *state;
    (void)version;
    if (!x) {
        *state = x = calloc(1, sizeof *x);
        if (!x)
            return MHD_NO;
        buffer_init(&x->body, BODY_MOST);
        return MHD_YES;
    }
    if (*size) {
        enum MHD_Result rc = buffer_append(&x->body, data, *size) ? MHD_NO : MHD_YES;
        *size = 0;
        return rc;
    }
    pthread_mutex_lock(&api->lock);
    enum MHD_Result rc = route(api, connection, method, url, &x->body);
    pthread_mutex_unlock(&api->lock);
    return rc;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)ctx, (void)connection, (void)why;
    struct exchange *x = *state;
    if (x)
        buffer_free(&x->body);
    free(x);
}

struct runtime_api *runtime_api_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct runtime_api *api = calloc(1, sizeof *api);
    if (!api)
        die("calloc");
    pthread_mutex_init(&api->lock, NULL);
    pthread_cond_init(&api->changed, NULL);
    /* A caller of `next` may go away; nothing is answered to it then. */
    api->daemon =
        MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL,
                         NULL, on_request, api, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        api->daemon ? MHD_get_daemon_info(api->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info)
        die("the Lambda runtime API does not start");
    snprintf(api->endpoint, sizeof api->endpoint, "127.0.0.1:%d", info->port);
    return api;
}

void runtime_api_stop(struct runtime_api *api)
{
    pthread_mutex_lock(&api->lock);
    kill_process(api);
    api->stopping = true;
    pthread_cond_broadcast(&api->changed);
    pthread_mutex_unlock(&api->lock);
    MHD_stop_daemon(api->daemon);
    pthread_cond_destroy(&api->changed);
    pthread_mutex_destroy(&api->lock);
    free(api->payload);
    free(api->init_error);
    free(api);
}

const char *runtime_api_endpoint(const struct runtime_api *api)
{
    return api->endpoint;
}

/* ---- the test's side ---------------------------------------------------------------------------
 */

void runtime_api_send(struct runtime_api *api, const char *payload, int64_t timeout_ms)
{
    pthread_mutex_lock(&api->lock);
    free(api->payload);
    api->payload = strdup(payload);
    api->number++;
    snprintf(api->request_id, sizeof api->request_id, "8476a536-e9f4-11e8-9739-%012d", api->number);
    snprintf(api->trace, sizeof api->trace,
             "Root=1-5bef4de7-%024d;Parent=9a9197af755a6419;Sampled=1", api->number);
    api->deadline_unix_ms = clock_now(clock_system()) + timeout_ms;
    api->deadline_ms = clock_monotonic_ms() + timeout_ms;
    api->phase = OFFERED;
    thaw(api);
    pthread_cond_broadcast(&api->changed);
    pthread_mutex_unlock(&api->lock);
}

/* The deadline counts from the moment the process is let go on, as on Lambda. */
void runtime_api_wait(struct runtime_api *api, struct runtime_result *out)
{
    enum { LOOK_MS = 10 };
    pthread_mutex_lock(&api->lock);
    while (api->phase != ANSWERED) {
        condition_wait_for(&api->changed, &api->lock, LOOK_MS);
        look_at_process(api);
        if (api->phase == ANSWERED)
            break;
        if (api->ended) {
            finish(api, RUNTIME_EXITED, "", "");
        } else if (clock_monotonic_ms() >= api->deadline_ms) {
            kill_process(api);
            finish(api, RUNTIME_TIMED_OUT, "", "");
        }
    }
    *out = api->result;
    api->result.body = NULL;
    api->phase = IDLE;
    pthread_mutex_unlock(&api->lock);
}

const char *runtime_api_request_id(const struct runtime_api *api)
{
    return api->request_id;
}

bool runtime_api_wait_next(struct runtime_api *api)
{
    int64_t deadline = clock_monotonic_ms() + WAIT_MS;
    pthread_mutex_lock(&api->lock);
    for (look_at_process(api); !api->waiting && !api->ended && clock_monotonic_ms() < deadline;
         look_at_process(api))
        condition_wait_for(&api->changed, &api->lock, 10);
    bool waits = api->waiting > 0;
    pthread_mutex_unlock(&api->lock);
    return waits;
}

static bool is_stopped(const struct runtime_api *api)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)api->pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *state = strrchr(text, ')');
    return state && state[1] && state[2] == 'T';
}

/* The signal is sent; its threads stop when each has its turn. */
bool runtime_api_is_frozen(const struct runtime_api *api)
{
    enum { STOP_MS = 5000 };
    int64_t deadline = clock_monotonic_ms() + STOP_MS;
    while (api->frozen && !is_stopped(api) && clock_monotonic_ms() < deadline)
        sched_yield();
    return is_stopped(api);
}

int runtime_api_refused(const struct runtime_api *api)
{
    return api->refused;
}

const char *runtime_api_init_error(const struct runtime_api *api)
{
    return api->init_error ? api->init_error : "";
}
