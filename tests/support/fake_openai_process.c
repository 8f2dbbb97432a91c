#include "support/fake_openai_process.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 32 };

static void fail(const char *what)
{
    perror(what);
    exit(99);
}

static void become(const char *const *arguments, int out)
{
    const char *argv[ARGUMENTS + 3] = {TEST_BINARY_DIR "/tests/fake_openai/fake_openai",
                                       "--die-with-parent"};
    for (size_t i = 0; i < ARGUMENTS && arguments && arguments[i]; i++)
        argv[i + 2] = arguments[i];
    dup2(out, 1);
    execv(argv[0], (char *const *)argv);
    fail(argv[0]);
}

void fake_openai_start(struct fake_openai *fake, const char *const *arguments)
{
    int out[2];
    if (pipe(out))
        fail("pipe");
    fake->pid = fork();
    if (fake->pid < 0)
        fail("fork");
    if (fake->pid == 0) {
        close(out[0]);
        become(arguments, out[1]);
    }
    close(out[1]);
    FILE *line = fdopen(out[0], "r");
    if (!line || fscanf(line, "listening on %d", &fake->port) != 1)
        fail("the fake OpenAI server did not start");
    fclose(line);
    snprintf(fake->base_url, sizeof fake->base_url, "http://127.0.0.1:%d/v1", fake->port);
}

void fake_openai_stop(struct fake_openai *fake)
{
    if (fake->pid <= 0)
        return;
    kill(fake->pid, SIGTERM);
    waitpid(fake->pid, NULL, 0);
    fake->pid = 0;
}

static int dial(const struct fake_openai *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((unsigned short)fake->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("connecting to the fake OpenAI server");
    return fd;
}

/* One request on a connection of its own; the body of the reply. */
static char *talk(const struct fake_openai *fake, const char *request, size_t length)
{
    int fd = dial(fake);
    if (send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
        fail("sending to the fake OpenAI server");
    size_t capacity = 1 << 20, got = 0;
    char *reply = malloc(capacity);
    ssize_t n;
    while (reply && got < capacity - 1 && (n = recv(fd, reply + got, capacity - 1 - got, 0)) > 0)
        got += (size_t)n;
    close(fd);
    if (!reply)
        fail("malloc");
    reply[got] = '\0';
    char *body = strstr(reply, "\r\n\r\n");
    if (!body)
        fail("the fake OpenAI server gave no reply");
    memmove(reply, body + 4, strlen(body + 4) + 1);
    return reply;
}

void fake_openai_control(const struct fake_openai *fake, const char *json)
{
    size_t capacity = strlen(json) + 200;
    char *request = malloc(capacity);
    if (!request)
        fail("malloc");
    int n = snprintf(request, capacity,
                     "POST /__control HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     strlen(json), json);
    char *reply = talk(fake, request, (size_t)n);
    if (strcmp(reply, "{}") != 0) {
        fprintf(stderr, "the fake OpenAI server refused '%s': %s\n", json, reply);
        exit(99);
    }
    free(reply);
    free(request);
}

char *fake_openai_get(const struct fake_openai *fake, const char *path)
{
    char request[256];
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n\r\n", path);
    return talk(fake, request, (size_t)n);
}
