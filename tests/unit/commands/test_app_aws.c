#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "commands/app_aws.h"

static void expect(const char *url, const char *endpoint, const char *region)
{
    struct app_aws_place place;
    app_aws_queue_place(url, &place);
    assert_string_equal(place.endpoint, endpoint);
    assert_string_equal(place.region, region);
}

static void test_place_of_a_queue(void **state)
{
    (void)state;
    expect("https://sqs.eu-central-1.amazonaws.com/123456789012/q",
           "https://sqs.eu-central-1.amazonaws.com", "eu-central-1");
    expect("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "https://sqs.cn-north-1.amazonaws.com.cn",
           "cn-north-1");
    expect("https://eu-west-1.queue.amazonaws.com/1/q", "https://eu-west-1.queue.amazonaws.com",
           "eu-west-1");
    expect("http://127.0.0.1:9324/000000000000/q", "http://127.0.0.1:9324", "");
    expect("https://sqs.example.com/1/q", "https://sqs.example.com", "");
    expect("https://sqs.eu-central-1.amazonaws.com.example.net", /* not AWS's */
           "https://sqs.eu-central-1.amazonaws.com.example.net", "");
    expect("https://sqs", "https://sqs", "");
    expect("https://", "", "");
    expect("jobs", "", "");
    expect("", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_place_of_a_queue)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
