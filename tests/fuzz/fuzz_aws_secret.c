/*
 * Secrets of any bytes: what is taken for a key is one word, what is taken for a database's secret
 * becomes a URL that libpq can read and that leads nowhere else.
 */
#include <libpq-fe.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/secret_value.h"
#include "ports/secret_source.h"
#include "shared/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void check_error(int rc)
{
    REQUIRE(rc == ERR_INVALID || rc == ERR_TOO_LARGE || rc == ERR_NO_MEMORY);
    for (const char *p = error_last()->message; *p; p++)
        REQUIRE((unsigned char)*p >= 0x20);
}

static void check_url(const char *url)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);
    REQUIRE(options);
    for (PQconninfoOption *o = options; o->keyword; o++)
        if (o->val && !strcmp(o->keyword, "host"))
            REQUIRE(!strcmp(o->val, "proxy.example"));
        else if (o->val && !strcmp(o->keyword, "sslmode"))
            REQUIRE(!strcmp(o->val, "require"));
    PQconninfoFree(options);
    PQfreemem(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct secret_database set = {.host = "proxy.example", .name = "d"};
    const char *text = (const char *)data;
    char out[SECRET_TEXT];
    int rc = secret_key_read(text, size, out, sizeof out);
    if (rc)
        check_error(rc);
    else
        REQUIRE(*out && !strpbrk(out, " \t\r\n"));
    rc = secret_url_read(text, size, &set, out, sizeof out);
    if (rc)
        check_error(rc);
    else if (!memmem(text, size, "://", 3)) /* not a URL itself */
        check_url(out);
    rc = secret_url_read(text, size, &(struct secret_database){0}, out, sizeof out);
    if (rc)
        check_error(rc);
    return 0;
}
