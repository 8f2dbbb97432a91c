#include "support/aws_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SKIPPED = 77 };

static bool required(void)
{
    const char *wanted = getenv("AEGIS_REQUIRE_AWS"), *ci = getenv("CI");
    return (wanted && *wanted && strcmp(wanted, "0") != 0) ||
           (ci && *ci && strcmp(ci, "0") != 0 && strcmp(ci, "false") != 0);
}

static int without(const char *kind, const char *why)
{
    fprintf(stderr, "%s: no %s to test with: %s\n", required() ? "failed" : "skipped", kind, why);
    return required() ? 1 : SKIPPED;
}

static void take(const char *line, const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    if (strncmp(line, name, length) == 0 && line[length] == '=')
        snprintf(out, size, "%s", line + length + 1);
}

static bool load(const char *path, struct aws_fixture *f)
{
    char line[256];
    FILE *file = fopen(path, "r");
    memset(f, 0, sizeof *f);
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        take(line, "AWS_ENDPOINT_URL", f->endpoint, sizeof f->endpoint);
        take(line, "AWS_ENDPOINT_URL_S3", f->endpoint, sizeof f->endpoint);
        take(line, "AWS_ACCESS_KEY_ID", f->key_id, sizeof f->key_id);
        take(line, "AWS_SECRET_ACCESS_KEY", f->secret, sizeof f->secret);
        take(line, "AWS_REGION", f->region, sizeof f->region);
    }
    if (file)
        fclose(file);
    return *f->endpoint && *f->key_id && *f->secret && *f->region;
}

/* A file may be left of a server that was killed. */
static bool answers(const struct aws_fixture *f)
{
    const char *colon = strrchr(f->endpoint, ':');
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* The script itself ends the server when this process is no more. */
static bool start_by_hand(const char *kind, struct aws_fixture *f)
{
    const char *base = getenv("TMPDIR");
    char directory[256], command[1024], path[300] = "";
    snprintf(directory, sizeof directory, "%s/aegis-%s-XXXXXX", base && *base ? base : "/tmp",
             kind);
    if (!mkdtemp(directory))
        return false;
    snprintf(command, sizeof command, "AEGIS_AWS_FOR=%ld '%s/tests/support/%s.sh' start '%s'",
             (long)getpid(), TEST_SOURCE_DIR, kind, directory);
    FILE *pipe = popen(command, "r");
    if (pipe && fgets(path, sizeof path, pipe))
        path[strcspn(path, "\n")] = '\0';
    return pipe && pclose(pipe) == 0 && load(path, f);
}

static bool read_why(const char *kind, char *out, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, TEST_BINARY_DIR "/%s/why", kind);
    FILE *file = fopen(path, "r");
    bool got = file && fgets(out, (int)size, file);
    if (file)
        fclose(file);
    if (got)
        out[strcspn(out, "\n")] = '\0';
    return got;
}

static int find(const char *kind, struct aws_fixture *f)
{
    char path[512], why[512];
    snprintf(path, sizeof path, TEST_BINARY_DIR "/%s/env", kind);
    if (load(path, f) && answers(f))
        return 0;
    if (read_why(kind, why, sizeof why))
        return without(kind, why);
    return start_by_hand(kind, f) ? 0 : without(kind, "its script could not start one");
}

int aws_fixture_moto(struct aws_fixture *f)
{
    return find("moto", f);
}

int aws_fixture_radosgw(struct aws_fixture *f)
{
    return find("radosgw", f);
}

void aws_fixture_setenv(const struct aws_fixture *f)
{
    static const char *const unwanted[] = {"AWS_SESSION_TOKEN",
                                           "AWS_PROFILE",
                                           "AWS_DEFAULT_REGION",
                                           "AWS_ENDPOINT_URL_S3",
                                           "AWS_ENDPOINT_URL_SQS",
                                           "AWS_ENDPOINT_URL_SECRETS_MANAGER",
                                           "AWS_WEB_IDENTITY_TOKEN_FILE",
                                           "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                           "AWS_CONTAINER_CREDENTIALS_FULL_URI"};
    for (size_t i = 0; i < sizeof unwanted / sizeof *unwanted; i++)
        unsetenv(unwanted[i]);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_ENDPOINT_URL", f->endpoint, 1);
    setenv("AWS_ACCESS_KEY_ID", f->key_id, 1);
    setenv("AWS_SECRET_ACCESS_KEY", f->secret, 1);
    setenv("AWS_REGION", f->region, 1);
}

void aws_fixture_name(char *out, size_t size)
{
    static int number;
    snprintf(out, size, "aegis-%ld-%d", (long)getpid(), ++number);
}
