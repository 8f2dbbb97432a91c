#include "adapters/aws/credentials.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/condition.h"
#include "shared/error.h"

enum {
    REFRESH_AHEAD_MS = 5 * 60 * 1000,
    /* After a refresh that failed, or that brought what there was. */
    REFRESH_PAUSE_MS = 30 * 1000,
    FILES = 2, /* among the places */
};

struct aws_credentials {
    struct http_engine *http;
    const struct clock *clock;
    char *profile, *region, *sts_endpoint; /* NULL: not given */
    pthread_mutex_t lock;                  /* of all below */
    pthread_cond_t changed;                /* a fetch has ended */
    bool fetching;
    uint64_t ended;       /* fetches */
    struct error failure; /* of the newest; code OK if it brought something */
    bool have, refused;
    aws_place *place;
    int64_t refresh_ms; /* the next fetch of one that expires */
    int64_t deaf_ms;    /* until then refusals of the present one change nothing */
    char source[AWS_SOURCE_TEXT];
    struct aws_credential current;
};

/* ---- looking ----------------------------------------------------------------------------------
 */

static int none_found(const struct aws_lookup *l)
{
    struct error last = *error_last();
    return aws_broken("no AWS credentials: none in the environment, none of profile '%.64s' in the "
                      "shared files, no container endpoint, and %.160s; set AWS_ACCESS_KEY_ID and "
                      "AWS_SECRET_ACCESS_KEY, or run 'aws configure'",
                      aws_profile_name(l->profile), last.message);
}

static int find(const struct aws_lookup *l, struct aws_credential *out, char *source,
                aws_place **found)
{
    /* cppcheck-suppress [ctuArrayIndex, ctuuninitvar] ; takes the table for a call */
    static aws_place *const places[] = {aws_from_environment, aws_from_web_identity, aws_from_files,
                                        aws_from_container, aws_from_instance};
    size_t first = l->profile ? FILES : 0; /* as the SDKs do: who names one does not mean others */
    for (size_t i = first; i < sizeof places / sizeof places[0]; i++) {
        if (cancel_requested(l->cancel))
            return error_set(ERR_CANCELLED, NULL, "cancelled while looking for AWS credentials");
        int rc = places[i](l, out, source);
        *found = places[i];
        if (rc != ERR_NOT_FOUND)
            return rc;
    }
    return none_found(l);
}

static int check_fresh(const struct aws_credential *found, const char *source, int64_t now)
{
    char text[CLOCK_TEXT];
    if (found->expires_ms == 0 || found->expires_ms > now)
        return OK;
    return error_set(ERR_TRANSIENT, "aws_credentials",
                     "the credentials from %s expired at %s; is this machine's clock right?",
                     source, clock_format(found->expires_ms, text));
}

/* ---- the present one; all under the lock ------------------------------------------------------
 */

static bool is_usable(const struct aws_credentials *c, int64_t now)
{
    return c->have && !c->refused && (c->current.expires_ms == 0 || now < c->current.expires_ms);
}

static bool is_due(const struct aws_credentials *c, int64_t now)
{
    return !is_usable(c, now) || (c->current.expires_ms != 0 && now >= c->refresh_ms);
}

static bool is_same(const struct aws_credential *a, const struct aws_credential *b)
{
    return !strcmp(a->access_key_id, b->access_key_id) &&
           !strcmp(a->secret_access_key, b->secret_access_key) &&
           !strcmp(a->session_token, b->session_token);
}

static void keep(struct aws_credentials *c, const struct aws_credential *found, const char *source,
                 int64_t now)
{
    bool nothing_new = c->have && is_same(&c->current, found);
    if (c->refused && nothing_new)
        c->deaf_ms = now + REFRESH_PAUSE_MS;
    c->current = *found;
    c->have = true;
    c->refused = false;
    c->refresh_ms = found->expires_ms - REFRESH_AHEAD_MS;
    if (c->refresh_ms < now + REFRESH_PAUSE_MS)
        c->refresh_ms = now + REFRESH_PAUSE_MS;
    memcpy(c->source, source, sizeof c->source);
}

/* Lets go of the lock while it looks. */
static int fetch(struct aws_credentials *c, const struct cancel *cancel)
{
    struct aws_lookup l = {.http = c->http,
                           .clock = c->clock,
                           .profile = c->profile,
                           .region = c->region,
                           .sts_endpoint = c->sts_endpoint,
                           .cancel = cancel,
                           .on_instance = c->place == aws_from_instance};
    struct aws_credential found;
    char source[AWS_SOURCE_TEXT] = "";
    aws_place *place = NULL;
    c->fetching = true;
    pthread_mutex_unlock(&c->lock);
    int rc = find(&l, &found, source, &place);
    int64_t now = clock_now(c->clock);
    rc = rc ? rc : check_fresh(&found, source, now);
    pthread_mutex_lock(&c->lock);
    c->fetching = false;
    c->ended++;
    c->failure = rc ? *error_last() : (struct error){.code = OK};
    if (rc) {
        c->refresh_ms = now + REFRESH_PAUSE_MS;
    } else {
        c->place = place;
        keep(c, &found, source, now);
    }
    pthread_cond_broadcast(&c->changed);
    explicit_bzero(&found, sizeof found);
    return rc;
}

/* Waits for the fetch of another. Its failure is everybody's, unless it was only cancelled. */
static int await(struct aws_credentials *c, const struct cancel *cancel)
{
    uint64_t before = c->ended;
    while (c->ended == before) {
        if (cancel_requested(cancel))
            return error_set(ERR_CANCELLED, NULL, "cancelled while waiting for AWS credentials");
        condition_wait_for(&c->changed, &c->lock, CANCEL_POLL_MS);
    }
    return c->failure.code == OK || c->failure.code == ERR_CANCELLED ? OK
                                                                     : error_restore(&c->failure);
}

static int make_usable(struct aws_credentials *c, const struct cancel *cancel)
{
    int rc = OK;
    while (!rc) {
        int64_t now = clock_now(c->clock);
        if (!is_due(c, now) || (c->fetching && is_usable(c, now)))
            return OK;
        rc = c->fetching ? await(c, cancel) : fetch(c, cancel);
        if (rc && is_usable(c, clock_now(c->clock)))
            return OK;
    }
    return rc;
}

/* ---- what callers see -------------------------------------------------------------------------
 */

int aws_credentials_get(struct aws_credentials *c, const struct cancel *cancel,
                        struct aws_credential *out)
{
    pthread_mutex_lock(&c->lock);
    int rc = make_usable(c, cancel);
    if (!rc)
        *out = c->current;
    pthread_mutex_unlock(&c->lock);
    return rc;
}

void aws_credentials_refused(struct aws_credentials *c, const struct aws_credential *refused)
{
    pthread_mutex_lock(&c->lock);
    bool fixed = c->place == aws_from_environment;
    if (c->have && !fixed && is_same(&c->current, refused) && clock_now(c->clock) >= c->deaf_ms)
        c->refused = true;
    pthread_mutex_unlock(&c->lock);
}

void aws_credentials_source(struct aws_credentials *c, char *out, size_t capacity)
{
    if (capacity == 0)
        return;
    pthread_mutex_lock(&c->lock);
    size_t n = strnlen(c->source, capacity - 1);
    memcpy(out, c->source, n);
    out[n] = '\0';
    pthread_mutex_unlock(&c->lock);
}

/* "" and NULL are one; false if out of memory. */
static bool copy_option(char **out, const char *text)
{
    *out = text && *text ? strdup(text) : NULL;
    return *out || !text || !*text;
}

int aws_credentials_open(const struct aws_credentials_options *options,
                         struct aws_credentials **out)
{
    struct aws_credentials *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    c->http = options->http;
    c->clock = options->clock;
    c->deaf_ms = INT64_MIN;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (!copy_option(&c->profile, options->profile) || !copy_option(&c->region, options->region) ||
        !copy_option(&c->sts_endpoint, options->sts_endpoint)) {
        aws_credentials_close(c);
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    }
    *out = c;
    return OK;
}

void aws_credentials_close(struct aws_credentials *c)
{
    if (!c)
        return;
    free(c->profile);
    free(c->region);
    free(c->sts_endpoint);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    explicit_bzero(c, sizeof *c);
    free(c);
}
