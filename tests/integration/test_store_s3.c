/*
 * The S3 store with what the suite of its port has not: objects of several parts, buckets without
 * versions. Against moto and radosgw.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/buffer.h"
#include "shared/error.h"
#include "support/aws_fixture.h"
#include "support/s3_place.h"
#include "support/store_conformance.h"

enum { LARGE = 2 * S3_PART_BYTES + 17 };

static struct s3_place place;
static char bucket[64];

static struct object_store open_store(bool versioned)
{
    struct object_store store;
    aws_fixture_name(bucket, sizeof bucket);
    s3_place_bucket(&place, bucket, versioned);
    assert_int_equal(s3_place_store(&place, &store), OK);
    return store;
}

static char *many_bytes(void)
{
    char *bytes = malloc(LARGE);
    assert_non_null(bytes);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return bytes;
}

static int put(struct object_store *s, const char *key, const char *bytes, size_t length,
               int fail_with, struct object_info *out)
{
    struct memory_source memory = {.bytes = bytes, .length = length, .fail_with = fail_with};
    struct object_source source = memory_source_of(&memory);
    return s->ops->put(s->ctx, bucket, key, "audio/mpeg", &source, out);
}

static void large_objects_come_back_as_they_were(void **state)
{
    struct object_store s = open_store(true);
    char *bytes = many_bytes();
    struct object_info info, head;
    struct object object;
    struct buffer got;
    struct digest digest = digest_of(bytes, LARGE);
    (void)state;
    if (put(&s, "long.mp3", bytes, LARGE, 0, &info))
        fail_msg("%s", error_last()->message);
    assert_int_equal(info.size, LARGE);
    assert_true(digest_equal(&info.content, &digest));
    if (!strstr(info.etag, "-3")) /* of three parts */
        fail_msg("an ETag of three parts: %s", info.etag);
    assert_int_equal(s.ops->head(s.ctx, bucket, "long.mp3", &head), OK);
    assert_string_equal(head.sequencer, info.sequencer);
    assert_string_equal(head.version_id, info.version_id);
    assert_string_equal(head.etag, info.etag);
    assert_int_equal(
        s.ops->open(s.ctx, bucket, "long.mp3", info.version_id, info.etag, NULL, &object), OK);
    buffer_init(&got, LARGE + 1);
    assert_int_equal(file_read_fd(object.fd, "object", &got), OK);
    assert_int_equal(got.length, LARGE);
    assert_memory_equal(got.data, bytes, LARGE);
    assert_false(digest_known(&object.info.content));
    buffer_free(&got);
    object_close(&object);
    s.ops->close(s.ctx);
    free(bytes);
}

static void a_failing_source_leaves_no_upload(void **state)
{
    struct object_store s = open_store(true);
    char *bytes = many_bytes();
    struct object_info info;
    (void)state;
    assert_int_equal(put(&s, "a", bytes, LARGE, ERR_CANCELLED, &info), ERR_CANCELLED);
    assert_string_equal(error_last()->reason, "told_to");
    assert_int_equal(s.ops->head(s.ctx, bucket, "a", &info), ERR_NOT_FOUND);
    assert_int_equal(s3_place_uploads(&place, bucket), 0);
    s.ops->close(s.ctx);
    free(bytes);
}

static void without_versions_the_etag_tells(void **state)
{
    struct object_store s = open_store(false);
    struct object_info first, second;
    struct object object;
    (void)state;
    assert_int_equal(put(&s, "a", "one", 3, 0, &first), OK);
    assert_string_equal(first.version_id, "");
    assert_int_equal(put(&s, "a", "two", 3, 0, &second), OK);
    assert_int_equal(s.ops->open(s.ctx, bucket, "a", "", first.etag, NULL, &object), ERR_CONFLICT);
    assert_int_equal(s.ops->open(s.ctx, bucket, "a", "", second.etag, NULL, &object), OK);
    assert_memory_equal(object.bytes, "two", 3);
    object_close(&object);
    assert_int_equal(s.ops->remove(s.ctx, bucket, "a", NULL), OK);
    assert_int_equal(s.ops->open(s.ctx, bucket, "a", "", "", NULL, &object), ERR_NOT_FOUND);
    s.ops->close(s.ctx);
}

static void a_bucket_that_is_not_there_takes_nothing(void **state)
{
    struct object_store s = open_store(false);
    struct object_info info;
    (void)state;
    assert_int_equal(s3_store_check(&s, bucket), OK);
    aws_fixture_name(bucket, sizeof bucket);
    assert_int_equal(s3_store_check(&s, bucket), ERR_SYSTEMIC);
    assert_int_equal(put(&s, "a", "one", 3, 0, &info), ERR_SYSTEMIC);
    assert_string_equal(error_last()->reason, "aws_no_such_resource");
    s.ops->close(s.ctx);
}

static int run_on(const struct aws_fixture *server, const char *name)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_objects_come_back_as_they_were),
        cmocka_unit_test(a_failing_source_leaves_no_upload),
        cmocka_unit_test(without_versions_the_etag_tells),
        cmocka_unit_test(a_bucket_that_is_not_there_takes_nothing),
    };
    s3_place_open(&place, server);
    int failed = cmocka_run_group_tests_name(name, tests, NULL, NULL);
    s3_place_close(&place);
    return failed;
}

int main(void)
{
    struct aws_fixture moto, radosgw;
    int skip = aws_fixture_moto(&moto);
    if (!skip)
        skip = aws_fixture_radosgw(&radosgw);
    return skip ? skip : run_on(&moto, "S3, moto") + run_on(&radosgw, "S3, radosgw");
}
