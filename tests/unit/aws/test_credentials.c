/*
 * Where credentials come from: the environment and the shared files; when they are fetched anew.
 */
#include <pthread.h>

#include "adapters/aws/credentials_internal.h"
#include "shared/config.h"
#include "unit/aws/aws_place.h"

#define MINUTE_MS INT64_C(60000)

/* A container's endpoint; each answer has the next number. */
static void answer(void *ctx, const char *request, struct http_stub_reply *reply)
{
    struct place *p = ctx;
    char expires[CLOCK_TEXT];
    snprintf(p->asked, sizeof p->asked, "%.*s", (int)sizeof p->asked - 1, request);
    if (p->before)
        p->before(p);
    reply->status = p->status;
    if (*p->body)
        snprintf(reply->body, sizeof reply->body, "%s", p->body);
    else
        snprintf(reply->body, sizeof reply->body,
                 "{\"AccessKeyId\":\"ASIA%d\",\"SecretAccessKey\":\"secret\",\"Token\":\"token\","
                 "\"Expiration\":\"%s\"}",
                 http_stub_requests(p->stub), clock_format(p->expires_ms, expires));
}

static int begin(void **state)
{
    return place_open(state, answer);
}

/* ---- environment ------------------------------------------------------------------------------
 */

static void takes_the_environment_first(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    place_write(p, ".aws/credentials",
                "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n", NULL);
    place_set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    place_set("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, "AKIDEXAMPLE");
    assert_string_equal(got.secret_access_key, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert_string_equal(got.session_token, "");
    assert_int_equal(got.expires_ms, 0);
    place_expect_source(p, "environment");
    place_set("AWS_SESSION_TOKEN", "session");
    assert_int_equal(place_get_anew(p, &got), OK);
    assert_string_equal(got.session_token, "session");
    place_set("AWS_ACCESS_KEY_ID", ""); /* as if it were not there */
    place_set("AWS_SECRET_ACCESS_KEY", "");
    assert_int_equal(place_get_anew(p, &got), OK);
    assert_string_equal(got.access_key_id, "FILE");
}

static void refuses_half_an_environment(void **state)
{
    struct place *p = *state;
    char long_key[AWS_KEY_TEXT + 1];
    place_set("AWS_ACCESS_KEY_ID", "AKID");
    place_refused(p, ERR_SYSTEMIC, "'AWS_SECRET_ACCESS_KEY' is not");
    place_set("AWS_SECRET_ACCESS_KEY", "sec ret\n");
    place_refused(p, ERR_SYSTEMIC, "blank or a control character");
    assert_null(strstr(error_last()->message, "sec ret"));
    memset(long_key, 'k', sizeof long_key);
    long_key[AWS_KEY_TEXT] = '\0';
    place_set("AWS_SECRET_ACCESS_KEY", long_key);
    place_refused(p, ERR_SYSTEMIC, "'AWS_SECRET_ACCESS_KEY' is longer than 255 characters");
    assert_int_equal(unsetenv("AWS_ACCESS_KEY_ID"), 0);
    place_refused(p, ERR_SYSTEMIC, "'AWS_ACCESS_KEY_ID' is not");
}

static void says_when_the_environment_has_expired(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    int64_t expires;
    place_set("AWS_ACCESS_KEY_ID", "AKID");
    place_set("AWS_SECRET_ACCESS_KEY", "secret");
    place_set("AWS_SESSION_TOKEN", "token");
    place_set("AWS_CREDENTIAL_EXPIRATION", "2026-03-01T13:00:00+00:00");
    assert_int_equal(clock_parse("2026-03-01T13:00:00Z", &expires), OK);
    assert_int_equal(place_get(p, &got), OK);
    assert_true(got.expires_ms == expires);
    atomic_store(&p->now, expires - 1);
    assert_int_equal(place_get(p, &got), OK);
    atomic_store(&p->now, expires + 40000);
    place_refused(p, ERR_SYSTEMIC, "expired at 2026-03-01T13:00:00");
    place_set("AWS_CREDENTIAL_EXPIRATION", "soon");
    place_refused(p, ERR_SYSTEMIC, "'soon', which is no time");
    place_set("AWS_CREDENTIAL_EXPIRATION", "");
    assert_int_equal(place_get_anew(p, &got), OK);
    assert_int_equal(got.expires_ms, 0);
}

static void says_where_it_looked(void **state)
{
    struct place *p = *state;
    place_refused(p, ERR_SYSTEMIC,
                  "no AWS credentials: none in the environment, none of profile "
                  "'default' in the shared files, no container endpoint, and the "
                  "instance metadata is switched off; set AWS_ACCESS_KEY_ID");
    char source[8];
    aws_credentials_source(p->credentials, source, sizeof source);
    assert_string_equal(source, "");
    assert_int_equal(unsetenv("HOME"), 0);
    place_refused(p, ERR_SYSTEMIC, "no AWS credentials");
}

/* ---- shared files -----------------------------------------------------------------------------
 */

static const char credentials_file[] =
    "\xef\xbb\xbf# keys\n"
    "[default]\n"
    "aws_access_key_id=DEFAULT\n"
    "AWS_SECRET_ACCESS_KEY = default+/secret= # of somebody\n"
    "[ both ]\r\n"
    "  aws_access_key_id = BOTH ; a comment\r\n"
    "  aws_secret_access_key = both\r\n"
    "; another\n"
    "[half]\n"
    "aws_access_key_id = HALF\n"
    "[profile config-only]\n"
    "aws_access_key_id = WRONG\n"
    "aws_secret_access_key = wrong\n"
    "[a-name-that-is-longer-than-what-the-library-keeps-of-it-1]\n"
    "aws_access_key_id = ONE\n"
    "aws_secret_access_key = one\n"
    "[a-name-that-is-longer-than-what-the-library-keeps-of-it-2]\n"
    "aws_access_key_id = TWO\n"
    "aws_secret_access_key = two\n"
    "aws_session_token = token2\n";

static const char config_lines[] = "[default]\n"
                                   "region = eu-central-1\n"
                                   "s3 =\n"
                                   "  aws_access_key_id = NESTED\n"
                                   "  region = nested\n"
                                   "output = json\n"
                                   "[profile both]\n"
                                   "aws_access_key_id = CONFIG\n"
                                   "aws_secret_access_key = config\n"
                                   "aws_session_token = config\n"
                                   "region = eu-west-1\n"
                                   "[profile config-only]\n"
                                   "aws_access_key_id = CONFIGONLY\n"
                                   "aws_secret_access_key = c\n"
                                   "[profile 'two words']\n"
                                   "aws_access_key_id = WORDS\n"
                                   "aws_secret_access_key = w\n"
                                   "[plain]\n"
                                   "aws_access_key_id = PLAIN\n"
                                   "aws_secret_access_key = p\n"
                                   "[services half]\n"
                                   "aws_secret_access_key = s\n"
                                   "[profile only-region]\n"
                                   "region = eu-south-1\n"
                                   "[profile sso]\n"
                                   "sso_session = corp\n"
                                   "[profile process]\n"
                                   "credential_process = /bin/keys --secret hunter2\n"
                                   "[profile bad-region]\n"
                                   "region = eu/evil.example\n";

static void write_files(struct place *p)
{
    place_write(p, ".aws/credentials", credentials_file, NULL);
    place_write(p, ".aws/config", config_lines, NULL);
}

static void expect_profile(struct place *p, const char *name, const char *key, const char *secret,
                           const char *token)
{
    struct aws_credential got;
    place_set("AWS_PROFILE", name);
    assert_int_equal(place_get_anew(p, &got), OK);
    assert_string_equal(got.access_key_id, key);
    assert_string_equal(got.secret_access_key, secret);
    assert_string_equal(got.session_token, token);
    assert_int_equal(got.expires_ms, 0);
}

static void reads_profiles_of_both_files(void **state)
{
    struct place *p = *state;
    char expected[128];
    write_files(p);
    expect_profile(p, "", "DEFAULT", "default+/secret=", "");
    snprintf(expected, sizeof expected, "profile 'default' in '%s/.aws/credentials'", p->home);
    place_expect_source(p, expected);
    expect_profile(p, "both", "BOTH", "both", ""); /* never one key of each file */
    expect_profile(p, "config-only", "CONFIGONLY", "c", "");
    snprintf(expected, sizeof expected, "profile 'config-only' in '%s/.aws/config'", p->home);
    place_expect_source(p, expected);
    expect_profile(p, "two words", "WORDS", "w", "");
    expect_profile(p, "a-name-that-is-longer-than-what-the-library-keeps-of-it-1", "ONE", "one",
                   "");
    expect_profile(p, "a-name-that-is-longer-than-what-the-library-keeps-of-it-2", "TWO", "two",
                   "token2");
}

static void takes_the_profile_that_is_asked_for(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    write_files(p);
    place_set("AWS_PROFILE", "config-only");
    assert_int_equal(aws_credentials_open(&(struct aws_credentials_options){.http = p->http,
                                                                            .clock = &p->clock,
                                                                            .profile = "both"},
                                          &p->credentials),
                     OK);
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, "BOTH");
}

static void reads_files_that_are_elsewhere(void **state)
{
    struct place *p = *state;
    char path[128];
    place_write(p, "keys", credentials_file, path);
    place_write(p, "settings", config_lines, NULL);
    place_set("AWS_SHARED_CREDENTIALS_FILE", path);
    place_set("AWS_CONFIG_FILE", "~/settings");
    expect_profile(p, "both", "BOTH", "both", "");
    expect_profile(p, "two words", "WORDS", "w", "");
}

/* As the SDKs do: a profile that is named is meant, whatever else is set. */
static void a_profile_by_name_goes_before_the_environment(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    write_files(p);
    place_set("AWS_ACCESS_KEY_ID", "ENVIRONMENT");
    place_set("AWS_SECRET_ACCESS_KEY", "e");
    place_set("AWS_PROFILE", "both"); /* does not */
    assert_int_equal(place_get_anew(p, &got), OK);
    assert_string_equal(got.access_key_id, "ENVIRONMENT");
    aws_credentials_close(p->credentials);
    assert_int_equal(aws_credentials_open(
                         &(struct aws_credentials_options){
                             .http = p->http, .clock = &p->clock, .profile = "config-only"},
                         &p->credentials),
                     OK);
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, "CONFIGONLY");
}

static void *read_settings(void *path)
{
    for (int i = 0; i < 50; i++) {
        struct config *config;
        assert_int_equal(config_open("/tmp", path, &config), OK);
        config_close(config);
    }
    return NULL;
}

/* A key that was refused has the settings read anew while others ask for credentials. */
static void reads_profiles_beside_the_settings(void **state)
{
    struct place *p = *state;
    struct aws_profile *profile = calloc(1, sizeof *profile);
    char path[128];
    pthread_t thread;
    assert_non_null(profile);
    place_write(p, "aegis.conf", "workers = 4\n", path);
    assert_int_equal(pthread_create(&thread, NULL, read_settings, path), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(
            aws_profile_parse("[x]\nregion = eu-west-1\n", 23, "file", false, "x", profile), OK);
    pthread_join(thread, NULL);
    assert_string_equal(profile->region, "eu-west-1");
    free(profile);
}

static void refuses_profiles_it_cannot_use(void **state)
{
    struct place *p = *state;
    write_files(p);
    place_set("AWS_PROFILE", "plain"); /* not "[profile plain]" */
    place_refused(p, ERR_SYSTEMIC, "profile 'plain' is neither in ~/.aws/credentials nor in");
    place_set("AWS_PROFILE", "half");
    place_refused(p, ERR_SYSTEMIC, "profile 'half' in '");
    assert_non_null(strstr(error_last()->message, "the secret access key is missing"));
    place_set("AWS_PROFILE", "sso");
    place_refused(p, ERR_SYSTEMIC, "aws configure export-credentials --profile sso");
    place_set("AWS_PROFILE", "process");
    place_refused(p, ERR_SYSTEMIC, "a credential_process, which Aegis does not run");
    assert_null(strstr(error_last()->message, "hunter2"));
    place_set("AWS_PROFILE", "only-region"); /* the next place is asked */
    place_refused(p, ERR_SYSTEMIC, "none of profile 'only-region'");
}

static void refuses_files_it_does_not_understand(void **state)
{
    struct place *p = *state;
    char text[AWS_REGION_TEXT + 32] = "[default]\nregion = ";
    place_write(p, ".aws/credentials", "[default]\n\nnonsense\n", NULL);
    place_refused(p, ERR_SYSTEMIC, ".aws/credentials', line 3: not understood");
    place_write(p, ".aws/credentials", "[default\n", NULL);
    place_refused(p, ERR_SYSTEMIC, ".aws/credentials', line 1: not understood");
    place_write(p, ".aws/credentials", "", NULL);
    memset(text + strlen(text), 'r', AWS_REGION_TEXT);
    place_write(p, ".aws/config", text, NULL);
    place_refused(p, ERR_SYSTEMIC, ".aws/config', line 2: 'region' is longer than 63 characters");
    snprintf(text, sizeof text, "%s/.aws", p->home); /* a folder */
    place_set("AWS_CONFIG_FILE", text);
    place_refused(p, ERR_SYSTEMIC, text);
}

/* ---- region -----------------------------------------------------------------------------------
 */

static void expect_region(const char *profile, const char *expected)
{
    char region[AWS_REGION_TEXT];
    assert_int_equal(aws_region(profile, region), OK);
    assert_string_equal(region, expected);
}

static void finds_the_region(void **state)
{
    struct place *p = *state;
    char region[AWS_REGION_TEXT];
    assert_int_equal(aws_region(NULL, region), ERR_NOT_FOUND);
    assert_non_null(strstr(error_last()->message, "set AWS_REGION"));
    write_files(p);
    expect_region(NULL, "eu-central-1");
    expect_region("", "eu-central-1");
    expect_region("both", "eu-west-1");
    assert_int_equal(aws_region("bad-region", region), ERR_INVALID);
    assert_int_equal(aws_region("config-only", region), ERR_NOT_FOUND);
    place_set("AWS_PROFILE", "both");
    expect_region(NULL, "eu-west-1");
    place_set("AWS_DEFAULT_REGION", "ap-south-1");
    expect_region("both", "ap-south-1");
    place_set("AWS_REGION", "us-west-2");
    expect_region("both", "us-west-2");
    place_set("AWS_REGION", "us west");
    assert_int_equal(aws_region(NULL, region), ERR_INVALID);
}

/* ---- again ------------------------------------------------------------------------------------
 */

static void use_container(struct place *p)
{
    place_set_url(p, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/get");
    p->expires_ms = atomic_load(&p->now) + 60 * MINUTE_MS;
}

static void expect_key(struct place *p, const char *key)
{
    struct aws_credential got;
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, key);
}

static void pass(struct place *p, int64_t ms)
{
    atomic_fetch_add(&p->now, ms);
}

static void fetches_anew_before_the_end(void **state)
{
    struct place *p = *state;
    use_container(p);
    expect_key(p, "ASIA1");
    pass(p, 55 * MINUTE_MS - 1);
    expect_key(p, "ASIA1");
    assert_int_equal(http_stub_requests(p->stub), 1);
    p->expires_ms += 60 * MINUTE_MS;
    pass(p, 1);
    expect_key(p, "ASIA2");
    expect_key(p, "ASIA2");
    assert_int_equal(http_stub_requests(p->stub), 2);
}

static void keeps_the_old_one_until_its_end(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    use_container(p);
    expect_key(p, "ASIA1");
    p->status = 503;
    pass(p, 56 * MINUTE_MS);
    expect_key(p, "ASIA1");
    expect_key(p, "ASIA1"); /* asks no more for a while */
    assert_int_equal(http_stub_requests(p->stub), 2);
    pass(p, MINUTE_MS);
    expect_key(p, "ASIA1");
    assert_int_equal(http_stub_requests(p->stub), 3);
    pass(p, 3 * MINUTE_MS);
    assert_int_equal(place_get(p, &got), ERR_TRANSIENT);
    p->status = 200;
    p->expires_ms += 60 * MINUTE_MS;
    expect_key(p, "ASIA5");
}

static void does_not_ask_all_the_time_near_the_end(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    use_container(p);
    p->expires_ms = atomic_load(&p->now) + MINUTE_MS;
    expect_key(p, "ASIA1");
    expect_key(p, "ASIA1");
    assert_int_equal(http_stub_requests(p->stub), 1);
    pass(p, MINUTE_MS / 2);
    expect_key(p, "ASIA2");
    pass(p, MINUTE_MS / 2); /* what comes has ended already */
    assert_int_equal(place_get(p, &got), ERR_TRANSIENT);
    assert_non_null(strstr(error_last()->message, "is this machine's clock right?"));
}

static void a_refused_one_is_fetched_anew_once(void **state)
{
    struct place *p = *state;
    struct aws_credential first, got;
    use_container(p);
    assert_int_equal(place_get(p, &first), OK);
    aws_credentials_refused(p->credentials, &first);
    expect_key(p, "ASIA2");
    aws_credentials_refused(p->credentials, &first); /* a second thread that had it */
    expect_key(p, "ASIA2");
    assert_int_equal(http_stub_requests(p->stub), 2);
    assert_int_equal(place_get(p, &got), OK);
    aws_credentials_refused(p->credentials, &got);
    p->status = 500;
    assert_int_equal(place_get(p, &got), ERR_TRANSIENT); /* it is no use any more */
}

static void a_refused_one_that_stays_is_not_fetched_all_the_time(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    use_container(p);
    snprintf(p->body, sizeof p->body,
             "{\"AccessKeyId\":\"SAME\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":"
             "\"2026-03-01T18:00:00Z\"}");
    assert_int_equal(place_get(p, &got), OK);
    for (int i = 0; i < 5; i++) {
        aws_credentials_refused(p->credentials, &got);
        expect_key(p, "SAME");
    }
    assert_int_equal(http_stub_requests(p->stub), 2);
    pass(p, MINUTE_MS);
    aws_credentials_refused(p->credentials, &got);
    expect_key(p, "SAME");
    assert_int_equal(http_stub_requests(p->stub), 3);
}

static void refused_keys_of_a_file_are_read_again(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    place_write(p, ".aws/credentials",
                "[default]\naws_access_key_id = OLD\naws_secret_access_key = s\n", NULL);
    assert_int_equal(place_get(p, &got), OK);
    place_write(p, ".aws/credentials",
                "[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n", NULL);
    expect_key(p, "OLD");
    aws_credentials_refused(p->credentials, &got);
    expect_key(p, "NEW");
}

static void refused_keys_of_the_environment_stay(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    place_set("AWS_ACCESS_KEY_ID", "AKID");
    place_set("AWS_SECRET_ACCESS_KEY", "secret");
    assert_int_equal(place_get(p, &got), OK);
    place_set("AWS_ACCESS_KEY_ID", "OTHER");
    aws_credentials_refused(p->credentials, &got);
    expect_key(p, "AKID");
}

/* ---- many -------------------------------------------------------------------------------------
 */

enum { THREADS = 8 };

struct crowd {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int arrived;
    bool open;
};

static void crowd_arrive(struct crowd *crowd)
{
    pthread_mutex_lock(&crowd->lock);
    crowd->arrived++;
    pthread_cond_broadcast(&crowd->changed);
    pthread_mutex_unlock(&crowd->lock);
}

static void answer_when_all_are_there(struct place *p)
{
    struct crowd *crowd = p->before_ctx;
    pthread_mutex_lock(&crowd->lock);
    while (crowd->arrived < THREADS)
        pthread_cond_wait(&crowd->changed, &crowd->lock);
    pthread_mutex_unlock(&crowd->lock);
}

static void answer_when_open(struct place *p)
{
    struct crowd *crowd = p->before_ctx;
    pthread_mutex_lock(&crowd->lock);
    while (!crowd->open)
        pthread_cond_wait(&crowd->changed, &crowd->lock);
    pthread_mutex_unlock(&crowd->lock);
}

struct getter {
    struct place *p;
    pthread_t thread;
    int rc;
    struct aws_credential got;
};

static void *run_getter(void *ctx)
{
    struct getter *g = ctx;
    crowd_arrive(g->p->before_ctx);
    g->rc = aws_credentials_get(g->p->credentials, NULL, &g->got);
    return NULL;
}

static void open_credentials(struct place *p)
{
    assert_int_equal(
        aws_credentials_open(&(struct aws_credentials_options){.http = p->http, .clock = &p->clock},
                             &p->credentials),
        OK);
}

static void one_fetches_for_all(void **state)
{
    struct place *p = *state;
    struct crowd crowd = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};
    static struct getter getters[THREADS];
    p->before = answer_when_all_are_there;
    p->before_ctx = &crowd;
    use_container(p);
    open_credentials(p);
    for (int i = 0; i < THREADS; i++) {
        getters[i] = (struct getter){.p = p};
        assert_int_equal(pthread_create(&getters[i].thread, NULL, run_getter, &getters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(getters[i].thread, NULL);
        assert_int_equal(getters[i].rc, OK);
        assert_string_equal(getters[i].got.access_key_id, "ASIA1");
    }
    assert_int_equal(http_stub_requests(p->stub), 1);
}

/* While one thread fetches, another that has nothing to wait with is cancelled, and one that has an
 * old credential gets it at once. */
static void others_need_not_wait(void **state)
{
    struct place *p = *state;
    struct crowd crowd = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};
    struct getter getter = {.p = p};
    struct aws_credential got;
    struct cancel cancel = {0};
    p->before = answer_when_open;
    p->before_ctx = &crowd;
    use_container(p);
    open_credentials(p);
    assert_int_equal(pthread_create(&getter.thread, NULL, run_getter, &getter), 0);
    http_stub_await(p->stub, 1);
    cancel_request(&cancel);
    assert_int_equal(aws_credentials_get(p->credentials, &cancel, &got), ERR_CANCELLED);
    pthread_mutex_lock(&crowd.lock);
    crowd.open = true;
    pthread_cond_broadcast(&crowd.changed);
    pthread_mutex_unlock(&crowd.lock);
    pthread_join(getter.thread, NULL);
    assert_int_equal(getter.rc, OK);

    crowd.open = false;
    pass(p, 56 * MINUTE_MS);
    assert_int_equal(pthread_create(&getter.thread, NULL, run_getter, &getter), 0);
    http_stub_await(p->stub, 2);
    expect_key(p, "ASIA1");
    pthread_mutex_lock(&crowd.lock);
    crowd.open = true;
    p->expires_ms += 60 * MINUTE_MS;
    pthread_cond_broadcast(&crowd.changed);
    pthread_mutex_unlock(&crowd.lock);
    pthread_join(getter.thread, NULL);
    assert_string_equal(getter.got.access_key_id, "ASIA2");
}

static void can_be_cancelled(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    struct cancel cancel = {0};
    cancel_request(&cancel);
    use_container(p);
    open_credentials(p);
    assert_int_equal(aws_credentials_get(p->credentials, &cancel, &got), ERR_CANCELLED);
    expect_key(p, "ASIA1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, place_close)
    const struct CMUnitTest tests[] = {
        TEST(takes_the_environment_first),
        TEST(refuses_half_an_environment),
        TEST(says_when_the_environment_has_expired),
        TEST(says_where_it_looked),
        TEST(reads_profiles_of_both_files),
        TEST(takes_the_profile_that_is_asked_for),
        TEST(reads_files_that_are_elsewhere),
        TEST(a_profile_by_name_goes_before_the_environment),
        TEST(reads_profiles_beside_the_settings),
        TEST(refuses_profiles_it_cannot_use),
        TEST(refuses_files_it_does_not_understand),
        TEST(finds_the_region),
        TEST(fetches_anew_before_the_end),
        TEST(keeps_the_old_one_until_its_end),
        TEST(does_not_ask_all_the_time_near_the_end),
        TEST(a_refused_one_is_fetched_anew_once),
        TEST(a_refused_one_that_stays_is_not_fetched_all_the_time),
        TEST(refused_keys_of_a_file_are_read_again),
        TEST(refused_keys_of_the_environment_stay),
        TEST(one_fetches_for_all),
        TEST(others_need_not_wait),
        TEST(can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
