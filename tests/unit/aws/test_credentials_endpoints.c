/*
 * The endpoints that give credentials: STS, a container's, the metadata service of an instance.
 */
#include <pthread.h>

#include "unit/aws/aws_place.h"

#define ROLE    "arn:aws:iam::123456789012:role/media worker"
#define EXPIRES "2026-03-01T13:00:00Z"

/* The form is that of STS's documentation (AssumeRoleWithWebIdentity). */
#define STS_ANSWER                                                                                 \
    "<?xml version=\"1.0\"?><AssumeRoleWithWebIdentityResponse "                                   \
    "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>"        \
    "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/R/app1</Arn></AssumedRoleUser>\n"           \
    "<Credentials>\n<SessionToken>AQoDYXdzEE0a8ANXX&#88;=</SessionToken>\n"                        \
    "<SecretAccessKey>wJalrXUtnFEMI/K7MDENG</SecretAccessKey>"                                     \
    "<Expiration>" EXPIRES "</Expiration><AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId>"        \
    "</Credentials><Provider>www.amazon.com</Provider></AssumeRoleWithWebIdentityResult>"          \
    "</AssumeRoleWithWebIdentityResponse>"
#define STS_ERROR(code)                                                                            \
    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>"                   \
    "<Type>Sender</Type><Code>" code "</Code><Message>Not you</Message></Error>"                   \
    "<RequestId>r</RequestId></ErrorResponse>"

#define ENDPOINT_ANSWER                                                                            \
    "{\"RoleArn\":\"arn\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"secret\","                \
    "\"Token\":\"token\",\"Expiration\":\"" EXPIRES "\"}"

static void answer(void *ctx, const char *request, struct http_stub_reply *reply)
{
    struct place *p = ctx;
    snprintf(p->asked, sizeof p->asked, "%.*s", (int)sizeof p->asked - 1, request);
    snprintf(reply->body, sizeof reply->body, "%s", p->body);
    reply->status = p->status;
}

static int begin(void **state)
{
    return place_open(state, answer);
}

static void say(struct place *p, int status, const char *body)
{
    p->status = status;
    snprintf(p->body, sizeof p->body, "%s", body);
}

static void expect_asked(struct place *p, const char *part)
{
    if (!strstr(p->asked, part))
        fail_msg("'%s' is not in '%s'", part, p->asked);
}

static int64_t at(const char *text)
{
    int64_t ms;
    assert_int_equal(clock_parse(text, &ms), OK);
    return ms;
}

/* ---- web identity -----------------------------------------------------------------------------
 */

static void use_web_identity(struct place *p)
{
    char path[128];
    place_write(p, "token", "head.pay+load.signature\n", path);
    place_set("AWS_WEB_IDENTITY_TOKEN_FILE", path);
    place_set("AWS_ROLE_ARN", ROLE);
    place_set_url(p, "AWS_ENDPOINT_URL_STS", "");
}

static void assumes_a_role_with_a_web_identity(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    use_web_identity(p);
    say(p, 200, STS_ANSWER);
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, "ASgeIAIOSFODNN7EXAMPLE");
    assert_string_equal(got.secret_access_key, "wJalrXUtnFEMI/K7MDENG");
    assert_string_equal(got.session_token, "AQoDYXdzEE0a8ANXXX=");
    assert_int_equal(got.expires_ms, at(EXPIRES));
    place_expect_source(p, "web identity of role '" ROLE "'");
    expect_asked(p, "POST / HTTP/1.1\r\n");
    expect_asked(p, "application/x-www-form-urlencoded\r\n");
    expect_asked(p, "\r\n\r\nAction=AssumeRoleWithWebIdentity&Version=2011-06-15"
                    "&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fmedia%20worker"
                    "&RoleSessionName=aegis-1772366400000&WebIdentityToken=head.pay%2Bload"
                    ".signature");
    assert_null(strcasestr(p->asked, "\r\nAuthorization:"));
    place_set("AWS_ROLE_SESSION_NAME", "mine");
    assert_int_equal(place_get_anew(p, &got), OK);
    expect_asked(p, "&RoleSessionName=mine&");
}

static void the_endpoint_of_sts_may_be_given(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    use_web_identity(p);
    say(p, 200, STS_ANSWER);
    assert_int_equal(unsetenv("AWS_ENDPOINT_URL_STS"), 0);
    place_set_url(p, "AWS_ENDPOINT_URL", "/sts");
    assert_int_equal(place_get(p, &got), OK);
    expect_asked(p, "POST /sts HTTP/1.1\r\n");
    place_set("AWS_ENDPOINT_URL", "ftp://example.com");
    place_refused(p, ERR_SYSTEMIC, "'ftp://example.com' of STS is no http or https URL");
    aws_credentials_close(p->credentials);
    assert_int_equal(aws_credentials_open(
                         &(struct aws_credentials_options){.http = p->http,
                                                           .clock = &p->clock,
                                                           .sts_endpoint = http_stub_url(p->stub)},
                         &p->credentials),
                     OK);
    assert_int_equal(place_get(p, &got), OK);
}

static void tells_why_sts_refuses(void **state)
{
    struct place *p = *state;
    use_web_identity(p);
    say(p, 403, STS_ERROR("AccessDenied"));
    place_refused(p, ERR_SYSTEMIC, "refused role '" ROLE "' (AccessDenied: Not you)");
    assert_null(strstr(error_last()->message, "head.pay"));
    say(p, 400, "no XML");
    place_refused(p, ERR_SYSTEMIC, "no reason given");
    say(p, 400, STS_ERROR("IDPCommunicationError"));
    place_refused(p, ERR_TRANSIENT, "cannot give role");
    say(p, 400, STS_ERROR("Throttling"));
    place_refused(p, ERR_TRANSIENT, "Throttling");
    say(p, 503, "");
    place_refused(p, ERR_TRANSIENT, "status 503");
    say(p, 0, "");
    place_refused(p, ERR_TRANSIENT, "while STS was asked for role '" ROLE "'");
}

static void refuses_what_sts_never_says(void **state)
{
    static const char *const answers[] = {
        "",
        "{}",
        "<a/>",
        "<a><Credentials>",
        "<AccessKeyId>outside</AccessKeyId>",
        "<a><Credentials><AccessKeyId>k</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<SessionToken>t</SessionToken></Credentials></a>",
        "<a><Credentials><AccessKeyId>k</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<Expiration>tomorrow</Expiration></Credentials></a>",
        "<a><Credentials><AccessKeyId>k</AccessKeyId><SecretAccessKey></SecretAccessKey>"
        "<Expiration>" EXPIRES "</Expiration></Credentials></a>",
        "<a><Credentials><AccessKeyId>k</AccessKeyId><SecretAccessKey>s\ns</SecretAccessKey>"
        "<Expiration>" EXPIRES "</Expiration></Credentials></a>",
        "<!DOCTYPE a [<!ENTITY k \"kkkk\">]><a><Credentials><AccessKeyId>k</AccessKeyId>"
        "<SecretAccessKey>&k;</SecretAccessKey><Expiration>" EXPIRES
        "</Expiration></Credentials></a>",
    };
    struct place *p = *state;
    use_web_identity(p);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        say(p, 200, answers[i]);
        place_refused(p, ERR_SYSTEMIC, "STS");
    }
}

static void refuses_tokens_that_are_none(void **state)
{
    struct place *p = *state;
    char path[128];
    use_web_identity(p);
    assert_int_equal(unsetenv("AWS_ROLE_ARN"), 0);
    place_refused(p, ERR_SYSTEMIC, "'AWS_ROLE_ARN' is not");
    place_set("AWS_ROLE_ARN", ROLE);
    place_write(p, "token", " \n", path);
    place_refused(p, ERR_SYSTEMIC, "is empty; it should hold a token");
    place_write(p, "token", "one\ntwo", path);
    place_refused(p, ERR_SYSTEMIC, "holds no token but something of several lines");
    place_set("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token");
    place_refused(p, ERR_SYSTEMIC, "/nowhere/token");
    assert_int_equal(http_stub_requests(p->stub), 0);
}

/* ---- roles of profiles ------------------------------------------------------------------------
 */

static const char role_files[] = "[base]\n"
                                 "aws_access_key_id = AKIDEXAMPLE\n"
                                 "aws_secret_access_key = base-secret\n"
                                 "aws_session_token = base-token\n";

static const char role_config[] = "[profile role]\n"
                                  "role_arn = " ROLE "\n"
                                  "source_profile = base\n"
                                  "role_session_name = here\n"
                                  "external_id = id/1\n"
                                  "duration_seconds = 900\n"
                                  "[profile self]\n"
                                  "role_arn = " ROLE "\n"
                                  "source_profile = self\n"
                                  "aws_access_key_id = SELF\n"
                                  "aws_secret_access_key = s\n"
                                  "[profile environment]\n"
                                  "role_arn = " ROLE "\n"
                                  "credential_source = Environment\n"
                                  "[profile strange]\n"
                                  "role_arn = " ROLE "\n"
                                  "credential_source = Strange\n"
                                  "[profile alone]\n"
                                  "role_arn = " ROLE "\n"
                                  "[profile mfa]\n"
                                  "role_arn = " ROLE "\n"
                                  "source_profile = base\n"
                                  "mfa_serial = arn:aws:iam::1:mfa/me\n"
                                  "[profile loop]\n"
                                  "role_arn = " ROLE "\n"
                                  "source_profile = loop2\n"
                                  "[profile loop2]\n"
                                  "role_arn = " ROLE "\n"
                                  "source_profile = loop\n"
                                  "[profile empty]\n"
                                  "region = eu-west-1\n"
                                  "[profile of-empty]\n"
                                  "role_arn = " ROLE "\n"
                                  "source_profile = empty\n";

static void use_profile(struct place *p, const char *name)
{
    place_write(p, ".aws/credentials", role_files, NULL);
    place_write(p, ".aws/config", role_config, NULL);
    place_set("AWS_PROFILE", name);
    place_set("AWS_REGION", "eu-central-1");
    place_set_url(p, "AWS_ENDPOINT_URL_STS", "");
    say(p, 200, STS_ANSWER);
}

/* What a service does: signs the request as it came, and compares. */
static void expect_signed(struct place *p, const char *key, const char *secret, const char *token)
{
    char hash[SIGV4_HASH_TEXT], expected[SIGV4_AUTHORIZATION];
    const char *body = strstr(p->asked, "\r\n\r\n") + 4;
    sigv4_hash(body, strlen(body), hash);
    const struct http_header headers[] = {{"content-type", "application/x-www-form-urlencoded"},
                                          {"host", http_stub_url(p->stub) + strlen("http://")},
                                          {"x-amz-date", "20260301T120000Z"},
                                          {"x-amz-security-token", token}};
    assert_int_equal(
        sigv4_sign(&(struct sigv4_scope){key, secret, "eu-central-1", "sts", at(time_of_tests)},
                   &(struct sigv4_request){.method = "POST",
                                           .path = "/",
                                           .query = "",
                                           .headers = headers,
                                           .header_count = token ? 4 : 3,
                                           .payload_hash = hash},
                   expected),
        OK);
    expect_asked(p, expected);
    expect_asked(p, "x-amz-date: 20260301T120000Z\r\n");
    expect_asked(p, headers[1].value);
}

static void assumes_the_role_of_a_profile(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    use_profile(p, "role");
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, "ASgeIAIOSFODNN7EXAMPLE");
    assert_int_equal(got.expires_ms, at(EXPIRES));
    place_expect_source(p, "role '" ROLE "' of profile 'role'");
    expect_asked(p, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3A");
    expect_asked(p, "&RoleSessionName=here&ExternalId=id%2F1&DurationSeconds=900");
    expect_asked(p, "x-amz-security-token: base-token\r\n");
    expect_signed(p, "AKIDEXAMPLE", "base-secret", "base-token");
    use_profile(p, "self");
    assert_int_equal(place_get_anew(p, &got), OK);
    expect_signed(p, "SELF", "s", NULL);
}

static void a_profile_may_have_a_web_identity(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    char path[128], config[512];
    use_profile(p, "web");
    place_write(p, "token", "a.b.c", path);
    snprintf(config, sizeof config,
             "[profile web]\nrole_arn = " ROLE "\nweb_identity_token_file = %s\n", path);
    place_write(p, ".aws/config", config, NULL);
    assert_int_equal(place_get(p, &got), OK);
    expect_asked(p, "&WebIdentityToken=a.b.c");
}

static void refuses_roles_it_cannot_assume(void **state)
{
    struct place *p = *state;
    use_profile(p, "alone");
    place_refused(p, ERR_SYSTEMIC, "neither source_profile nor credential_source");
    use_profile(p, "mfa");
    place_refused(p, ERR_SYSTEMIC, "MFA device");
    use_profile(p, "loop");
    place_refused(p, ERR_SYSTEMIC, "do they lead back to the first?");
    use_profile(p, "of-empty");
    place_refused(p, ERR_SYSTEMIC, "its source_profile 'empty' is not there or has no credentials");
    use_profile(p, "strange");
    place_refused(p, ERR_SYSTEMIC, "credential_source 'Strange' is not known");
    use_profile(p, "environment");
    place_refused(p, ERR_SYSTEMIC, "its credential_source 'Environment' has no credentials");
    assert_int_equal(http_stub_requests(p->stub), 0);
    use_profile(p, "role");
    say(p, 403, STS_ERROR("AccessDenied"));
    place_refused(p, ERR_SYSTEMIC, "(AccessDenied: Not you)");
    assert_null(strstr(error_last()->message, "base-secret"));
}

/* ---- container --------------------------------------------------------------------------------
 */

static void asks_the_endpoint_of_a_container(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    char path[128];
    place_set_url(p, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/v1/credentials?id=1");
    say(p, 200, ENDPOINT_ANSWER);
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, "ASIA");
    assert_string_equal(got.secret_access_key, "secret");
    assert_string_equal(got.session_token, "token");
    assert_int_equal(got.expires_ms, at(EXPIRES));
    place_expect_source(p, "container endpoint");
    expect_asked(p, "GET /v1/credentials?id=1 HTTP/1.1\r\n");
    assert_null(strcasestr(p->asked, "\r\nAuthorization:"));
    place_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc");
    assert_int_equal(place_get_anew(p, &got), OK);
    expect_asked(p, "\r\nauthorization: Basic abc\r\n");
    place_write(p, "token", "of-the-file\n", path); /* goes before the other */
    place_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path);
    assert_int_equal(place_get_anew(p, &got), OK);
    expect_asked(p, "\r\nauthorization: of-the-file\r\n");
}

/* It would be told the token and the keys. */
static void no_proxy_is_asked_for_credentials(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    place_set("http_proxy", "http://127.0.0.1:1");
    place_set("no_proxy", "example.com");
    http_engine_close(p->http);
    assert_int_equal(http_engine_open(&(struct http_options){0}, &p->http), OK);
    place_set_url(p, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    say(p, 200, ENDPOINT_ANSWER);
    int rc = place_get(p, &got);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    assert_int_equal(rc, OK);
}

static void a_token_goes_to_trusted_hosts_only(void **state)
{
    static const char *const refused[] = {
        "http://example.com/",
        "http://169.254.169.254/",
        "http://127.0.0.1.nip.io/",
        "http://localhost@example.com/",
        "http://localhost.example.com",
        "http://10.0.0.1/",
        "http://[fd00:ec2::24]/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "127.0.0.1/x",
        "http://",
        "nonsense://",
    };
    static const char *const tried[] = {"https://127.0.0.1:1/", "http://127.9.9.9:1/",
                                        "http://localhost:1/", "HTTP://[::1]:1/"};
    struct place *p = *state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        place_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", refused[i]);
        place_refused(p, ERR_SYSTEMIC, "it may be an https URL, or an http one of this machine");
    }
    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++) {
        place_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", tried[i]); /* nobody listens there */
        place_refused(p, ERR_TRANSIENT, "while the container endpoint was asked");
    }
    place_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "v2/credentials"); /* goes first */
    place_refused(p, ERR_SYSTEMIC, "does not begin with '/'");
    place_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/");
    place_refused(p, ERR_SYSTEMIC, "does not begin with '/'");
}

static void refuses_answers_that_are_no_credentials(void **state)
{
    static const char *const answers[] = {
        "",
        "[]",
        "{}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"" EXPIRES "\"}",
        "{\"AccessKeyId\":1,\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"" EXPIRES
        "\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"x\"}",
        "{\"AccessKeyId\":\"A\\r\\nB\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":"
        "\"" EXPIRES "\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"\",\"Token\":\"t\",\"Expiration\":\"" EXPIRES
        "\"}",
    };
    struct place *p = *state;
    place_set_url(p, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        say(p, 200, answers[i]);
        place_refused(p, ERR_SYSTEMIC, "the container endpoint");
    }
    say(p, 403, "{\"code\":\"AccessDenied\"}");
    place_refused(p, ERR_SYSTEMIC, "answers with status 403; has the task or pod a role");
    say(p, 500, "");
    place_refused(p, ERR_TRANSIENT, "answers with status 500");
    place_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nX: y");
    place_refused(p, ERR_SYSTEMIC, "has a line end in it");
    place_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere/token");
    place_refused(p, ERR_SYSTEMIC, "/nowhere/token");
}

static void an_answer_has_a_cap(void **state)
{
    struct place *p = *state;
    char body[HTTP_STUB_BODY];
    int n = snprintf(body, sizeof body,
                     "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":"
                     "\"");
    memset(body + n, 't', AWS_TOKEN_TEXT);
    snprintf(body + n + AWS_TOKEN_TEXT, 64, "\",\"Expiration\":\"" EXPIRES "\"}");
    place_set_url(p, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    say(p, 200, body);
    place_refused(p, ERR_SYSTEMIC, "'Token' is longer than 8191 characters");
}

/* ---- instance ---------------------------------------------------------------------------------
 */

struct metadata {
    int token_status, role_status, credential_status;
    const char *role, *credential;
};

/* Written by the test while the server's thread may still be at the request before. */
static struct metadata metadata;
static pthread_mutex_t metadata_lock = PTHREAD_MUTEX_INITIALIZER;

static struct metadata metadata_now(void)
{
    pthread_mutex_lock(&metadata_lock);
    struct metadata now = metadata;
    pthread_mutex_unlock(&metadata_lock);
    return now;
}

#define TELL(member, value)                                                                        \
    do {                                                                                           \
        pthread_mutex_lock(&metadata_lock);                                                        \
        metadata.member = (value);                                                                 \
        pthread_mutex_unlock(&metadata_lock);                                                      \
    } while (0)

/* Version 2: nothing without the token that a PUT gave. */
static void answer_metadata(void *ctx, const char *request, struct http_stub_reply *reply)
{
    struct place *p = ctx;
    struct metadata now = metadata_now();
    bool known = strcasestr(request, "\r\nx-aws-ec2-metadata-token: the-token\r\n");
    snprintf(p->asked, sizeof p->asked, "%.*s", (int)sizeof p->asked - 1, request);
    if (!strncmp(request, "PUT /latest/api/token HTTP", 26) &&
        strcasestr(request, "\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n")) {
        reply->status = now.token_status;
        snprintf(reply->body, sizeof reply->body, "the-token");
    } else if (!known) {
        reply->status = 401;
    } else if (strstr(request, "GET /latest/meta-data/iam/security-credentials/ HTTP")) {
        reply->status = now.role_status;
        snprintf(reply->body, sizeof reply->body, "%s", now.role);
    } else {
        reply->status = now.credential_status;
        snprintf(reply->body, sizeof reply->body, "%s", now.credential);
    }
}

static int begin_instance(void **state)
{
    place_open(state, answer_metadata);
    place_set("AWS_EC2_METADATA_DISABLED", "false");
    place_set_url(*state, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "/");
    pthread_mutex_lock(&metadata_lock);
    metadata = (struct metadata){200, 200, 200, "media+worker\n", ENDPOINT_ANSWER};
    pthread_mutex_unlock(&metadata_lock);
    return 0;
}

static void asks_the_metadata_of_an_instance(void **state)
{
    struct place *p = *state;
    struct aws_credential got;
    TELL(credential, "{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"ASIA\","
                     "\"SecretAccessKey\":\"secret\",\"Token\":\"token\",\"Expiration\":"
                     "\"" EXPIRES "\"}");
    assert_int_equal(place_get(p, &got), OK);
    assert_string_equal(got.access_key_id, "ASIA");
    assert_string_equal(got.session_token, "token");
    assert_int_equal(got.expires_ms, at(EXPIRES));
    place_expect_source(p, "instance metadata");
    expect_asked(p, "GET /latest/meta-data/iam/security-credentials/media%2Bworker HTTP");
    assert_int_equal(http_stub_requests(p->stub), 3);
}

static void an_instance_without_a_role_has_none(void **state)
{
    struct place *p = *state;
    TELL(role_status, 404);
    place_refused(p, ERR_SYSTEMIC, "no container endpoint, and the instance has no role");
    TELL(token_status, 404);
    place_refused(p, ERR_SYSTEMIC, "the instance metadata has no version 2");
    place_set("AWS_EC2_METADATA_DISABLED", "TRUE");
    int before = http_stub_requests(p->stub);
    place_refused(p, ERR_SYSTEMIC, "the instance metadata is switched off");
    assert_int_equal(http_stub_requests(p->stub), before);
}

static void tells_why_the_metadata_gives_none(void **state)
{
    struct place *p = *state;
    TELL(token_status, 403);
    place_refused(p, ERR_SYSTEMIC, "answers with status 403; is it switched on");
    TELL(token_status, 503);
    place_refused(p, ERR_TRANSIENT, "answers with status 503");
    TELL(token_status, 0);
    place_refused(p, ERR_TRANSIENT, "while the instance metadata was asked");
    TELL(token_status, 200);
    TELL(role, "");
    place_refused(p, ERR_SYSTEMIC, "gives no name of a role");
    TELL(role, "r");
    TELL(credential, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"not now\"}");
    place_refused(p, ERR_SYSTEMIC, "it says 'AssumeRoleUnauthorizedAccess': not now");
    TELL(credential, "no JSON");
    place_refused(p, ERR_SYSTEMIC, "the instance metadata gives no credentials");
    TELL(credential_status, 500);
    place_refused(p, ERR_TRANSIENT, "answers with status 500");
    place_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    place_refused(p, ERR_TRANSIENT, "while the instance metadata was asked");
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, begin, place_close)
#define INSTANCE(name) cmocka_unit_test_setup_teardown(name, begin_instance, place_close)
    const struct CMUnitTest tests[] = {
        TEST(assumes_a_role_with_a_web_identity),
        TEST(the_endpoint_of_sts_may_be_given),
        TEST(tells_why_sts_refuses),
        TEST(refuses_what_sts_never_says),
        TEST(refuses_tokens_that_are_none),
        TEST(assumes_the_role_of_a_profile),
        TEST(a_profile_may_have_a_web_identity),
        TEST(refuses_roles_it_cannot_assume),
        TEST(asks_the_endpoint_of_a_container),
        TEST(no_proxy_is_asked_for_credentials),
        TEST(a_token_goes_to_trusted_hosts_only),
        TEST(refuses_answers_that_are_no_credentials),
        TEST(an_answer_has_a_cap),
        INSTANCE(asks_the_metadata_of_an_instance),
        INSTANCE(an_instance_without_a_role_has_none),
        INSTANCE(tells_why_the_metadata_gives_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
