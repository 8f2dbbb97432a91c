#include "support/sqs_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/error.h"
#include "shared/http.h"
#include "shared/json.h"
#include "shared/random.h"

char *sqs_place_call(struct sqs_place *p, const char *action, const char *body)
{
    struct http_response response;
    char target[64];
    snprintf(target, sizeof target, "AmazonSQS.%s", action);
    if (aws_call_json(p->client, "1.0", target, body, strlen(body), NULL, &response, NULL))
        fail_msg("%s", error_last()->message);
    char *reply = strdup(buffer_string(&response.body));
    assert_non_null(reply);
    http_response_free(&response);
    return reply;
}

static void make_queue(struct sqs_place *p, const char *name, const char *attributes, char *url,
                       size_t capacity)
{
    char body[640];
    yyjson_doc *doc;
    snprintf(body, sizeof body, "{\"QueueName\":\"%s\",\"Attributes\":{%s}}", name, attributes);
    char *reply = sqs_place_call(p, "CreateQueue", body);
    assert_int_equal(json_parse(reply, strlen(reply), "a reply", &doc), OK);
    snprintf(url, capacity, "%s", json_string_at(yyjson_doc_get_root(doc), "QueueUrl", ""));
    assert_true(*url);
    yyjson_doc_free(doc);
    free(reply);
}

static void open_client(struct sqs_place *p)
{
    struct http_options http = {.user_agent = "aegis-test"};
    assert_int_equal(http_engine_open(&http, &p->http), OK);
    struct aws_credentials_options credentials = {.http = p->http, .clock = clock_system()};
    assert_int_equal(aws_credentials_open(&credentials, &p->credentials), OK);
    struct aws_client_options client = {.http = p->http,
                                        .credentials = p->credentials,
                                        .clock = clock_system(),
                                        .service = "sqs",
                                        .region = getenv("AWS_REGION"),
                                        .endpoint = getenv("AWS_ENDPOINT_URL")};
    if (aws_client_open(&client, &p->client))
        fail_msg("%s", error_last()->message);
}

/* The ARN of the dead letters in the policy is what SQS says it is. */
static void set_policy(struct sqs_place *p, int max_receives)
{
    char body[1024];
    yyjson_doc *doc;
    snprintf(body, sizeof body, "{\"QueueUrl\":\"%s\",\"AttributeNames\":[\"QueueArn\"]}",
             p->dead_url);
    char *reply = sqs_place_call(p, "GetQueueAttributes", body);
    assert_int_equal(json_parse(reply, strlen(reply), "a reply", &doc), OK);
    snprintf(body, sizeof body,
             "{\"QueueUrl\":\"%s\",\"Attributes\":{\"RedrivePolicy\":"
             "\"{\\\"deadLetterTargetArn\\\":\\\"%s\\\",\\\"maxReceiveCount\\\":\\\"%d\\\"}\"}}",
             p->url, json_string_at(yyjson_doc_get_root(doc), "Attributes.QueueArn", ""),
             max_receives);
    yyjson_doc_free(doc);
    free(reply);
    free(sqs_place_call(p, "SetQueueAttributes", body));
}

void sqs_place_make(struct sqs_place *p, const char *suffix, int max_receives)
{
    char name[TRACE_ID_TEXT], full[96];
    const char *attributes = *suffix ? "\"FifoQueue\":\"true\"" : "";
    *p = (struct sqs_place){0};
    open_client(p);
    random_trace_id(name);
    snprintf(p->name, sizeof p->name, "t-%s", name);
    snprintf(full, sizeof full, "%s-dead%s", p->name, suffix);
    make_queue(p, full, attributes, p->dead_url, sizeof p->dead_url);
    snprintf(full, sizeof full, "%s%s", p->name, suffix);
    make_queue(p, full, attributes, p->url, sizeof p->url);
    if (max_receives)
        set_policy(p, max_receives);
}

static void remove_queue(struct sqs_place *p, const char *url)
{
    char body[320];
    snprintf(body, sizeof body, "{\"QueueUrl\":\"%s\"}", url);
    free(sqs_place_call(p, "DeleteQueue", body));
}

void sqs_place_remove(struct sqs_place *p)
{
    remove_queue(p, p->url);
    remove_queue(p, p->dead_url);
    aws_client_close(p->client);
    aws_credentials_close(p->credentials);
    http_engine_close(p->http);
}
