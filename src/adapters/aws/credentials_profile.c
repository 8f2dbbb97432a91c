/*
 * credentials_profile.c - one profile of AWS's shared files, parsed by libinih.
 *
 * The library's line reader is replaced (compare shared/config_file.c), for AWS's files have rules
 * of their own: a line that is indented deeper than the key before it continues that key's value
 * ("s3 =" and its settings below), a section's name may be longer than the library keeps, and a
 * comment may begin with "#" behind a blank.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/ini_lines.h"

struct reader {
    const char *path, *name; /* the profile's */
    bool config;
    const char *at, *end;
    int line;
    bool in_line;   /* the last piece handed out did not end its line */
    long indent;    /* of the key before; -1: none in this section yet */
    bool continues; /* this line */
    bool wanted;    /* this section */
    struct aws_profile *out;
    bool failed;
    struct error error;
};

/* ---- lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void trim(const char **from, const char **to)
{
    while (*from < *to && isspace((unsigned char)**from))
        (*from)++;
    while (*to > *from && isspace((unsigned char)(*to)[-1]))
        (*to)--;
}

static bool equals(const char *from, const char *to, const char *text)
{
    return (size_t)(to - from) == strlen(text) && !memcmp(from, text, (size_t)(to - from));
}

/* Of what is between the brackets. */
static bool is_wanted(const struct reader *r, const char *from, const char *to)
{
    static const char prefix[] = "profile";
    size_t n = sizeof prefix - 1;
    trim(&from, &to);
    if (!r->config || equals(from, to, "default"))
        return equals(from, to, r->name);
    if ((size_t)(to - from) <= n || memcmp(from, prefix, n) || !is_blank(from[n]))
        return false;
    from += n;
    trim(&from, &to);
    if (to - from >= 2 && (*from == '"' || *from == '\'') && to[-1] == *from) {
        from++;
        to--;
    }
    return equals(from, to, r->name);
}

static void begin_section(struct reader *r, const char *at)
{
    const char *line_end = memchr(at, '\n', (size_t)(r->end - at));
    const char *close = memchr(at, ']', (size_t)((line_end ? line_end : r->end) - at));
    r->indent = -1;
    r->wanted = close && is_wanted(r, at + 1, close);
    r->out->found |= r->wanted;
}

/* Decides what the line is, and leaves `at` behind its indent. */
static void begin_line(struct reader *r)
{
    const char *start = r->at;
    r->line++;
    r->continues = false;
    if (r->line == 1 && r->end - start >= 3 && !memcmp(start, "\xef\xbb\xbf", 3))
        start = r->at += 3;
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
    if (r->at == r->end || strchr("\r\n#;", *r->at))
        return;
    if (*r->at == '[' && (r->indent < 0 || r->at - start <= r->indent))
        begin_section(r, r->at);
    else if (r->indent < 0 || r->at - start <= r->indent)
        r->indent = r->at - start;
    else
        r->continues = true;
}

static char *read_line(char *out, int capacity, void *stream)
{
    struct reader *r = stream;
    if (r->at == r->end || capacity < 3)
        return NULL;
    int n = 0;
    if (!r->in_line) {
        begin_line(r);
        if (r->continues)
            out[n++] = ' ';
    }
    bool ended = false;
    while (n < capacity - 1 && r->at < r->end && !ended) {
        ended = *r->at == '\n';
        out[n++] = *r->at++;
    }
    out[n] = '\0';
    r->in_line = !ended;
    return out;
}

/* ---- keys ---- */

#define TEXT(key, member)                                                                          \
    {                                                                                              \
        key, offsetof(struct aws_profile, member), sizeof((struct aws_profile *)0)->member         \
    }
#define FLAG(key, member)                                                                          \
    {                                                                                              \
        key, offsetof(struct aws_profile, member), 0                                               \
    }

static const struct key {
    const char *name;
    size_t offset, size; /* 0: a bool, true if the key is there */
} keys[] = {
    TEXT("aws_access_key_id", access_key_id),
    TEXT("aws_secret_access_key", secret_access_key),
    TEXT("aws_session_token", session_token),
    TEXT("region", region),
    TEXT("role_arn", role_arn),
    TEXT("source_profile", source_profile),
    TEXT("credential_source", credential_source),
    TEXT("web_identity_token_file", web_identity_token_file),
    TEXT("role_session_name", role_session_name),
    TEXT("external_id", external_id),
    TEXT("duration_seconds", duration_seconds),
    FLAG("mfa_serial", mfa),
    FLAG("sso_session", sso),
    FLAG("sso_start_url", sso),
    FLAG("credential_process", process),
};

/* Cut at a "#" behind a blank; libinih has done so for ";". */
static size_t value_length(const char *value)
{
    size_t n = 0;
    while (value[n] && !(value[n] == '#' && (n == 0 || is_blank(value[n - 1]))))
        n++;
    while (n > 0 && is_blank(value[n - 1]))
        n--;
    return n;
}

static int set_key(struct reader *r, const struct key *key, const char *value)
{
    char *member = (char *)r->out + key->offset;
    size_t length = value_length(value);
    if (key->size == 0) {
        *(bool *)member = length > 0;
        return OK;
    }
    if (length >= key->size)
        return error_set(ERR_INVALID, NULL, "'%s' is longer than %zu characters", key->name,
                         key->size - 1);
    memcpy(member, value, length);
    member[length] = '\0';
    return OK;
}

static int on_line(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    (void)section; /* cut at 49 characters */
    if (!r->wanted || r->failed || r->continues)
        return 1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!strcasecmp(keys[i].name, name) && set_key(r, &keys[i], value)) {
            r->failed = true;
            r->error = *error_last();
            return 0;
        }
    return 1;
}

static int parse(struct reader *r)
{
    int bad = ini_lines_parse(read_line, r, on_line, r);
    if (bad == 0)
        return OK;
    if (bad == -2)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory while reading '%s'", r->path);
    if (r->failed) {
        error_restore(&r->error);
        return error_prefix("'%s', line %d", r->path, bad);
    }
    return error_set(ERR_INVALID, NULL,
                     "'%s', line %d: not understood: expected '[profile]', 'key = value' or a "
                     "comment",
                     r->path, bad);
}

int aws_profile_parse(const char *text, size_t length, const char *path, bool config,
                      const char *name, struct aws_profile *out)
{
    if (length > CAP_CONFIG_FILE || (length > 0 && memchr(text, '\0', length)))
        return error_set(ERR_INVALID, NULL, "'%s' is not a text file", path);
    struct reader r = {.path = path,
                       .name = name,
                       .config = config,
                       .at = text,
                       .end = text + length,
                       .indent = -1,
                       .out = out};
    return parse(&r);
}
