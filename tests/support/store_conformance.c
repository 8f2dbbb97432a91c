#include "support/store_conformance.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/buffer.h"
#include "shared/error.h"
#include "shared/file.h"

#define BUCKET_64 "a23456789012345678901234567890123456789012345678901234567890123z"

enum { LARGE = 3 * 1024 * 1024 + 17, THREADS = 4, PUTS = 20 };

static const struct store_conformance *adapter; /* cmocka's setup takes no argument of ours */

struct suite {
    struct object_store store;
    struct arena arena;
};

static int open_suite(void **state)
{
    struct suite *t = calloc(1, sizeof *t);
    assert_non_null(t);
    arena_init(&t->arena, MIB(64));
    if (adapter->open(adapter->ctx, &t->store))
        fail_msg("%s", error_last()->message);
    *state = t;
    return 0;
}

static int close_suite(void **state)
{
    struct suite *t = *state;
    t->store.ops->close(t->store.ctx);
    arena_free(&t->arena);
    free(t);
    if (adapter->discard)
        adapter->discard(adapter->ctx);
    return 0;
}

static int read_memory(void *ctx, void *bytes, size_t capacity, size_t *got)
{
    struct memory_source *s = ctx;
    size_t n = s->step && s->step < capacity ? s->step : capacity;
    n = n < s->length ? n : s->length;
    if (n == 0 && s->fail_with)
        return error_set(s->fail_with, "told_to", "the source was told to fail");
    if (n)
        memcpy(bytes, s->bytes, n);
    s->bytes += n;
    s->length -= n;
    *got = n;
    return OK;
}

struct object_source memory_source_of(struct memory_source *source)
{
    return (struct object_source){.read = read_memory, .ctx = source};
}

/* ---- steps ---- */

static int put_bytes(struct suite *t, const char *key, const char *bytes, size_t length,
                     struct object_info *info)
{
    struct memory_source memory = {.bytes = bytes, .length = length, .step = 1000};
    struct object_source source = memory_source_of(&memory);
    return t->store.ops->put(t->store.ctx, "media", key, "text/plain", &source, info);
}

static struct object_info put(struct suite *t, const char *key, const char *text)
{
    struct object_info info;
    if (put_bytes(t, key, text, strlen(text), &info))
        fail_msg("put '%s': %s", key, error_last()->message);
    return info;
}

static int open_object(struct suite *t, const char *key, const char *version, const char *etag,
                       struct object *out)
{
    return t->store.ops->open(t->store.ctx, "media", key, version, etag, NULL, out);
}

/* Takes the object. */
static void assert_content(struct object *object, const char *bytes, size_t length)
{
    struct buffer b;
    buffer_init(&b, length + 1);
    assert_int_equal(object->info.size, length);
    assert_true((object->fd < 0) == (object->bytes != NULL));
    if (object->bytes)
        assert_memory_equal(object->bytes, bytes, length);
    assert_int_equal(object_descriptor(object), OK);
    assert_int_equal(file_read_fd(object->fd, "object", &b), OK);
    assert_int_equal(b.length, length);
    assert_memory_equal(buffer_string(&b), bytes, length);
    buffer_free(&b);
    object_close(object);
}

static void assert_reads(struct suite *t, const char *key, const char *version, const char *text)
{
    struct object object;
    if (open_object(t, key, version, "", &object))
        fail_msg("open '%s': %s", key, error_last()->message);
    assert_content(&object, text, strlen(text));
}

static void assert_gone(struct suite *t, const char *key, const char *version)
{
    struct object object;
    assert_int_equal(open_object(t, key, version, "", &object), ERR_NOT_FOUND);
}

static void assert_same_info(const struct object_info *a, const struct object_info *b)
{
    assert_string_equal(a->bucket, b->bucket);
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->version_id, b->version_id);
    assert_string_equal(a->etag, b->etag);
    assert_string_equal(a->sequencer, b->sequencer);
    assert_string_equal(a->content_type, b->content_type);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->modified_ms, b->modified_ms);
    assert_true(digest_equal(&a->content, &b->content));
}

/* ---- tests ---- */

static void stores_and_describes(void **state)
{
    struct suite *t = *state;
    struct object_info info = put(t, "talks/first.txt", "hello"), head;
    struct object object;
    struct digest digest = digest_of("hello", 5);
    assert_string_equal(info.bucket, "media");
    assert_string_equal(info.key, "talks/first.txt");
    assert_string_equal(info.etag, "5d41402abc4b2a76b9719d911017c592"); /* MD5, as S3's */
    assert_string_equal(info.content_type, "text/plain");
    assert_int_equal(info.size, 5);
    assert_true(info.modified_ms > 0);
    assert_true(digest_equal(&info.content, &digest));
    assert_int_equal(t->store.ops->head(t->store.ctx, "media", "talks/first.txt", &head), OK);
    assert_same_info(&info, &head);
    assert_int_equal(open_object(t, "talks/first.txt", info.version_id, info.etag, &object), OK);
    assert_same_info(&info, &object.info);
    assert_content(&object, "hello", 5);
}

static void descriptor_is_read_only_seekable_private(void **state)
{
    struct suite *t = *state;
    struct object object;
    char c = 'x';
    put(t, "a", "0123456789");
    assert_int_equal(open_object(t, "a", "", "", &object), OK);
    assert_int_equal(object_descriptor(&object), OK);
    assert_int_equal(lseek(object.fd, 0, SEEK_CUR), 0);
    assert_int_equal(write(object.fd, &c, 1), -1);
    assert_int_equal(pread(object.fd, &c, 1, 7), 1);
    assert_int_equal(c, '7');
    assert_true(fcntl(object.fd, F_GETFD) & FD_CLOEXEC);
    object_close(&object);
}

static void stores_any_size(void **state)
{
    static const size_t sizes[] = {0, 1, 1000, 32767, 32768, 32769, 131072, 131073, LARGE};
    struct suite *t = *state;
    char *bytes = malloc(LARGE);
    assert_non_null(bytes);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct object_info info;
        struct object object;
        assert_int_equal(put_bytes(t, "sized", bytes, sizes[i], &info), OK);
        assert_int_equal(info.size, sizes[i]);
        struct digest digest = digest_of(bytes, sizes[i]);
        assert_true(digest_equal(&info.content, &digest));
        assert_int_equal(open_object(t, "sized", "", "", &object), OK);
        assert_content(&object, bytes, sizes[i]);
    }
    free(bytes);
}

static void newer_version_replaces_older(void **state)
{
    struct suite *t = *state;
    struct object_info first = put(t, "a", "one"), second = put(t, "a", "two");
    assert_string_not_equal(first.version_id, second.version_id);
    assert_true(strcmp(first.sequencer, second.sequencer) < 0);
    assert_reads(t, "a", "", "two");
    assert_reads(t, "a", second.version_id, "two");
    assert_reads(t, "a", first.version_id, "one"); /* a job may still want it */
}

static void sequencers_have_at_least_16_digits_and_rise(void **state)
{
    struct suite *t = *state;
    char last[CAP_SEQUENCER + 1] = "";
    for (int i = 0; i < 20; i++) {
        struct object_info info;
        if (i % 5 == 4)
            assert_int_equal(t->store.ops->remove(t->store.ctx, "media", "a", &info), OK);
        else
            info = put(t, "a", "same");
        assert_true(strlen(info.sequencer) >= 16);
        assert_int_equal(strspn(info.sequencer, "0123456789ABCDEF"), strlen(info.sequencer));
        assert_true(strcmp(last, info.sequencer) < 0);
        strcpy(last, info.sequencer);
    }
}

static void other_etag_is_a_conflict(void **state)
{
    struct suite *t = *state;
    struct object object;
    struct object_info first = put(t, "a", "one");
    put(t, "a", "two");
    assert_int_equal(open_object(t, "a", "", first.etag, &object), ERR_CONFLICT);
    assert_int_equal(open_object(t, "a", first.version_id, first.etag, &object), OK);
    assert_content(&object, "one", 3);
}

static void missing_things_are_not_found(void **state)
{
    struct suite *t = *state;
    struct object_info info;
    struct object object;
    put(t, "a", "one");
    assert_gone(t, "b", "");
    assert_gone(t, "a", "no-such-version");
    assert_int_equal(t->store.ops->head(t->store.ctx, "media", "b", &info), ERR_NOT_FOUND);
    assert_int_equal(t->store.ops->head(t->store.ctx, "other", "a", &info), ERR_NOT_FOUND);
    assert_int_equal(t->store.ops->open(t->store.ctx, "other", "a", "", "", NULL, &object),
                     ERR_NOT_FOUND);
}

static void removal_takes_all_versions(void **state)
{
    struct suite *t = *state;
    struct object object;
    struct object_info removal, first = put(t, "a", "one"), second = put(t, "a", "two");
    assert_int_equal(open_object(t, "a", "", "", &object), OK);
    assert_int_equal(t->store.ops->remove(t->store.ctx, "media", "a", &removal), OK);
    assert_string_equal(removal.bucket, "media");
    assert_string_equal(removal.key, "a");
    assert_true(strcmp(second.sequencer, removal.sequencer) < 0);
    assert_gone(t, "a", "");
    assert_gone(t, "a", first.version_id);
    assert_gone(t, "a", second.version_id);
    assert_content(&object, "two", 3); /* whoever has it open goes on reading */
}

static void removed_key_can_come_back(void **state)
{
    struct suite *t = *state;
    struct object_info removal;
    put(t, "a", "one");
    assert_int_equal(t->store.ops->remove(t->store.ctx, "media", "a", &removal), OK);
    struct object_info again = put(t, "a", "one");
    assert_true(strcmp(removal.sequencer, again.sequencer) < 0);
    assert_reads(t, "a", "", "one");
}

static void removing_nothing_is_success(void **state)
{
    struct suite *t = *state;
    assert_int_equal(t->store.ops->remove(t->store.ctx, "media", "never", NULL), OK);
}

static void identical_content_is_independent(void **state)
{
    struct suite *t = *state;
    char *bytes = malloc(LARGE);
    struct object_info info;
    struct object object;
    assert_non_null(bytes);
    memset(bytes, 'z', LARGE);
    const size_t sizes[] = {5, LARGE};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(put_bytes(t, "a", bytes, sizes[i], &info), OK);
        assert_int_equal(put_bytes(t, "b", bytes, sizes[i], &info), OK);
        assert_int_equal(t->store.ops->remove(t->store.ctx, "media", "a", NULL), OK);
        assert_int_equal(open_object(t, "b", "", "", &object), OK);
        assert_content(&object, bytes, sizes[i]);
    }
    free(bytes);
}

static void failing_source_stores_nothing(void **state)
{
    struct suite *t = *state;
    char bytes[200000];
    memset(bytes, 'x', sizeof bytes);
    const size_t lengths[] = {10, sizeof bytes};
    put(t, "kept", "old");
    for (int i = 0; i < 2; i++) {
        struct memory_source memory = {
            .bytes = bytes, .length = lengths[i], .fail_with = ERR_CANCELLED};
        struct object_source source = memory_source_of(&memory);
        struct object_info info;
        assert_int_equal(t->store.ops->put(t->store.ctx, "media", "kept", NULL, &source, &info),
                         ERR_CANCELLED);
        assert_string_equal(error_last()->reason, "told_to");
        assert_reads(t, "kept", "", "old");
    }
}

static void bad_names_are_refused(void **state)
{
    static const char *const buckets[] = {"",    "Upper", "-a",     "a-",       "a..b",
                                          "a_b", "a/b",   "sp ace", "10.0.0.1", BUCKET_64};
    struct suite *t = *state;
    struct object_info info;
    char long_key[CAP_KEY + 2];
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = '\0';
    const char *const keys[] = {"", long_key, "\xff\xfe", "cut \xe2\x82"};
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        struct memory_source memory = {.bytes = "", .length = 0};
        struct object_source source = memory_source_of(&memory);
        if (t->store.ops->put(t->store.ctx, buckets[i], "a", NULL, &source, &info) != ERR_INVALID)
            fail_msg("bucket '%s' was accepted", buckets[i]);
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(put_bytes(t, keys[i], "x", 1, &info), ERR_INVALID);
    long_key[CAP_KEY] = '\0';
    put(t, long_key, "as long as can be");
    assert_reads(t, long_key, "", "as long as can be");
    put(t, "../../etc/passwd", "only a name");
    assert_reads(t, "../../etc/passwd", "", "only a name");
}

static void assert_list(struct suite *t, const char *prefix, const char *after, size_t limit,
                        const char *expected)
{
    struct object_info *items;
    size_t count;
    char got[512] = "";
    assert_int_equal(
        t->store.ops->list(t->store.ctx, "media", prefix, after, limit, &t->arena, &items, &count),
        OK);
    for (size_t i = 0; i < count; i++) {
        strcat(got, items[i].key);
        strcat(got, " ");
    }
    assert_string_equal(got, expected);
}

static void lists_in_key_order(void **state)
{
    static const char *const keys[] = {"b/2", "a", "b/10", "b", "c", "b/1", "\xc3\xa9", "B", "b0"};
    struct suite *t = *state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put(t, keys[i], "x");
    put(t, "b", "newer");
    assert_int_equal(t->store.ops->remove(t->store.ctx, "media", "c", NULL), OK);
    assert_list(t, "", "", 100, "B a b b/1 b/10 b/2 b0 \xc3\xa9 ");
    assert_list(t, "b/", "", 100, "b/1 b/10 b/2 ");
    assert_list(t, "b/", "b/1", 100, "b/10 b/2 ");
    assert_list(t, "b/", "a", 100, "b/1 b/10 b/2 ");
    assert_list(t, "b/", "c", 100, "");
    assert_list(t, "b", "b/15", 2, "b/2 b0 ");
    assert_list(t, "", "", 3, "B a b ");
    assert_list(t, "", "\xc3\xa9", 3, "");
    assert_list(t, "nothing", "", 3, "");
    assert_list(t, "", "", 0, "");
}

static void lists_what_head_says(void **state)
{
    struct suite *t = *state;
    struct object_info *items;
    size_t count;
    put(t, "a", "one");
    struct object_info info = put(t, "a", "two");
    assert_int_equal(
        t->store.ops->list(t->store.ctx, "media", "", "", 10, &t->arena, &items, &count), OK);
    assert_int_equal(count, 1);
    assert_string_equal(items[0].bucket, info.bucket);
    assert_string_equal(items[0].key, info.key);
    assert_string_equal(items[0].etag, info.etag);
    assert_int_equal(items[0].size, info.size);
    if (!adapter->lists_less)
        assert_same_info(&items[0], &info);
    assert_int_equal(
        t->store.ops->list(t->store.ctx, "other", "", "", 10, &t->arena, &items, &count), OK);
    assert_int_equal(count, 0);
}

struct putter {
    struct suite *suite;
    int number;
    char sequencers[PUTS][CAP_SEQUENCER + 1];
    int failed;
};

/* No assertions here: cmocka's belong to the main thread. */
static void *put_many(void *arg)
{
    struct putter *p = arg;
    struct suite *t = p->suite;
    for (int i = 0; i < PUTS; i++) {
        struct object_info info;
        struct object object;
        char text[32];
        snprintf(text, sizeof text, "%d.%d", p->number, i);
        p->failed += put_bytes(t, "shared", text, strlen(text), &info) != OK;
        strcpy(p->sequencers[i], info.sequencer);
        snprintf(text, sizeof text, "own/%d.%d", p->number, i);
        p->failed += put_bytes(t, text, text, strlen(text), &info) != OK;
        bool opened = open_object(t, text, info.version_id, info.etag, &object) == OK;
        p->failed += !opened;
        if (opened)
            object_close(&object);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    struct suite *t = *state;
    struct putter putters[THREADS];
    pthread_t threads[THREADS];
    struct object_info head, *items;
    char greatest[CAP_SEQUENCER + 1] = "";
    size_t count;
    for (int i = 0; i < THREADS; i++) {
        putters[i] = (struct putter){.suite = t, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, &putters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(putters[i].failed, 0);
        for (int k = 0; k < PUTS; k++) {
            assert_true(k == 0 ||
                        strcmp(putters[i].sequencers[k - 1], putters[i].sequencers[k]) < 0);
            if (strcmp(putters[i].sequencers[k], greatest) > 0)
                strcpy(greatest, putters[i].sequencers[k]);
        }
    }
    assert_int_equal(t->store.ops->head(t->store.ctx, "media", "shared", &head), OK);
    assert_string_equal(head.sequencer, greatest);
    assert_int_equal(
        t->store.ops->list(t->store.ctx, "media", "own/", "", 1000, &t->arena, &items, &count), OK);
    assert_int_equal(count, THREADS * PUTS);
}

int store_conformance_run(const struct store_conformance *of)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_suite, close_suite)
        CASE(stores_and_describes),
        CASE(descriptor_is_read_only_seekable_private),
        CASE(stores_any_size),
        CASE(newer_version_replaces_older),
        CASE(sequencers_have_at_least_16_digits_and_rise),
        CASE(other_etag_is_a_conflict),
        CASE(missing_things_are_not_found),
        CASE(removal_takes_all_versions),
        CASE(removed_key_can_come_back),
        CASE(removing_nothing_is_success),
        CASE(identical_content_is_independent),
        CASE(failing_source_stores_nothing),
        CASE(bad_names_are_refused),
        CASE(lists_in_key_order),
        CASE(lists_what_head_says),
        CASE(threads_share_it),
#undef CASE
    };
    adapter = of;
    return cmocka_run_group_tests_name(of->name, tests, NULL, NULL);
}
