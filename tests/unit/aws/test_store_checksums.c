/*
 * The checksums that go with what is put into S3, and what is read against them, before a server
 * that keeps what the test says.
 */
#include "store_place.h"

#include <openssl/evp.h>
#include <stdatomic.h>

#include "shared/crc.h"
#include "support/store_conformance.h"

enum { SMALL = 5, SPOOLED = 300000, SEVERAL = S3_PART_BYTES + 100000 };

static struct {
    char header[120]; /* of a GET without a range */
    size_t size;
    bool spoil; /* the last byte */
    atomic_int ranges_with_mode, gets_without_mode;
    /* of what was put */
    pthread_mutex_t lock;
    char seen[8][4096];
    int count;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char content[SEVERAL];

static void say_bytes(int fd, size_t from, size_t count)
{
    char *bytes = malloc(count + 1);
    memcpy(bytes, content + from, count);
    bytes[count] = '\0';
    if (server.spoil && from + count == server.size)
        bytes[count - 1] ^= 1;
    wire_say(fd, bytes);
    free(bytes);
}

static bool say_object(int fd, const char *request)
{
    char head[400];
    unsigned long from, to;
    const char *range = strcasestr(request, "\r\nrange: bytes=");
    bool mode = strcasestr(request, "\r\nx-amz-checksum-mode: ENABLED\r\n");
    if (range && sscanf(range, "\r\n%*[^=]=%lu-%lu", &from, &to) == 2) {
        atomic_fetch_add(&server.ranges_with_mode, mode);
        snprintf(head, sizeof head,
                 "HTTP/1.1 206 Partial Content\r\nContent-Length: %lu\r\n"
                 "Content-Range: bytes %lu-%lu/%zu\r\nETag: \"e\"\r\n\r\n",
                 to - from + 1, from, to, server.size);
        wire_say(fd, head);
        say_bytes(fd, from, to - from + 1);
        return false; /* another part may wait for its connection */
    }
    atomic_fetch_add(&server.gets_without_mode, !mode);
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nETag: \"e\"\r\n%s\r\n\r\n", server.size,
             server.header);
    wire_say(fd, head);
    bool all = server.size <= S3_FIRST_BYTES;
    say_bytes(fd, 0, all ? server.size : 1);
    return all;
}

static void say_document(int fd, const char *document)
{
    char head[80];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(document));
    wire_say(fd, head);
    wire_say(fd, document);
}

static bool serve(int fd, const char *request, size_t length, int nth)
{
    (void)length, (void)nth;
    if (!strncmp(request, "GET ", 4))
        return say_object(fd, request);
    pthread_mutex_lock(&server.lock);
    snprintf(server.seen[server.count++ % 8], sizeof server.seen[0], "%s", request);
    pthread_mutex_unlock(&server.lock);
    if (!strncmp(request, "POST /home/talk?uploads", 23))
        say_document(fd, "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                         "</InitiateMultipartUploadResult>");
    else if (!strncmp(request, "POST ", 5))
        say_document(fd, "<CompleteMultipartUploadResult><ETag>e</ETag>"
                         "</CompleteMultipartUploadResult>");
    else
        wire_say(fd, "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n");
    return true;
}

static void set_header(const char *name, const char *value)
{
    snprintf(server.header, sizeof server.header, "x-amz-checksum-%s: %s", name, value);
}

static void encode(uint64_t value, size_t bytes, char out[16])
{
    unsigned char big_endian[8];
    for (size_t i = 0; i < bytes; i++)
        big_endian[i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
    EVP_EncodeBlock((unsigned char *)out, big_endian, (int)bytes);
}

/* The server keeps the checksum of the first `size` bytes. */
static void keep(size_t size, const char *kind)
{
    char text[64];
    struct digest digest = digest_of(content, size);
    server.size = size;
    if (!strcmp(kind, "sha256"))
        EVP_EncodeBlock((unsigned char *)text, digest.bytes, DIGEST_BYTES);
    else if (!strcmp(kind, "crc64nvme"))
        encode(crc_of(CRC_64_NVME, content, size), 8, text);
    else
        encode(crc_of(!strcmp(kind, "crc32") ? CRC_32 : CRC_32C, content, size), 4, text);
    set_header(kind, text);
}

static int begin(void **state)
{
    static struct place p;
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)('a' + (i * 7919 >> 5) % 26);
    server.spoil = false;
    server.count = 0;
    server.header[0] = '\0';
    atomic_store(&server.ranges_with_mode, 0);
    atomic_store(&server.gets_without_mode, 0);
    place_begin(&p, serve);
    *state = &p;
    return 0;
}

static int end(void **state)
{
    place_end(*state);
    return 0;
}

/* ---- reading ---- */

static const char *const known[] = {"crc64nvme", "crc32c", "crc32", "sha256"};

static void what_comes_as_it_was_put_is_read(void **state)
{
    struct object object;
    static const size_t sizes[] = {SMALL, SPOOLED, SEVERAL};
    for (size_t size = 0; size < 3; size++)
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            keep(sizes[size], known[i]);
            if (place_open(*state, "home", "a", "", &object))
                fail_msg("%s of %zu: %s", known[i], sizes[size], error_last()->message);
            object_close(&object);
        }
    assert_int_equal(atomic_load(&server.gets_without_mode), 0);
    assert_int_equal(atomic_load(&server.ranges_with_mode), 0);
}

static void a_changed_byte_is_told_and_worth_another_try(void **state)
{
    struct object object;
    static const size_t sizes[] = {SMALL, SPOOLED, SEVERAL};
    server.spoil = true;
    for (size_t size = 0; size < 3; size++)
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            keep(sizes[size], known[i]);
            assert_int_equal(place_open(*state, "home", "talk", "", &object), ERR_TRANSIENT);
            assert_string_equal(error_last()->reason, "checksum_mismatch");
            assert_non_null(strstr(error_last()->message, "'talk'"));
            assert_int_equal(object.fd, -1);
            assert_null(object.bytes);
        }
}

static void a_digest_of_the_service_spares_the_readers(void **state)
{
    struct object object;
    struct digest digest = digest_of(content, SPOOLED);
    keep(SPOOLED, "sha256");
    assert_int_equal(place_open(*state, "home", "a", "", &object), OK);
    assert_true(digest_equal(&object.info.content, &digest));
    object_close(&object);
    keep(SPOOLED, "crc32");
    assert_int_equal(place_open(*state, "home", "a", "", &object), OK);
    assert_false(digest_known(&object.info.content));
    object_close(&object);
}

/* Of parts that are not known, or of a kind that is not; or none. */
static void other_checksums_are_left_alone(void **state)
{
    struct object object;
    static const char *const others[][2] = {{"sha256", "AAAA-3"}, {"sha1", "AAAA"}, {"x", "y"}};
    for (size_t i = 0; i < 3; i++) {
        server.size = SMALL;
        set_header(others[i][0], others[i][1]);
        assert_int_equal(place_open(*state, "home", "a", "", &object), OK);
        object_close(&object);
    }
}

static void reopen(struct place *p, bool checksums)
{
    struct s3_store_options options = {.client = p->client,
                                       .clock = clock_system(),
                                       .send_checksums = checksums,
                                       .ask_checksums = checksums,
                                       .path_style = true,
                                       .home = "home",
                                       .spool_directory = p->spool};
    p->store.ops->close(p->store.ctx);
    assert_int_equal(s3_store_open(&options, &p->store), OK);
}

static void nothing_is_asked_where_it_is_not_wanted(void **state)
{
    struct object object;
    reopen(*state, false);
    keep(SMALL, "crc32");
    server.spoil = true;
    assert_int_equal(place_open(*state, "home", "a", "", &object), OK);
    assert_int_equal(atomic_load(&server.gets_without_mode), 1);
    object_close(&object);
}

/* ---- putting ---- */

static void put(struct place *p, size_t size)
{
    struct memory_source memory = {.bytes = content, .length = size};
    struct object_source source = memory_source_of(&memory);
    struct object_info info;
    if (p->store.ops->put(p->store.ctx, "home", "talk", NULL, &source, &info))
        fail_msg("%s", error_last()->message);
}

static void must_hold(int i, const char *name, const char *value)
{
    char line[200];
    snprintf(line, sizeof line, "\r\n%s: %s\r\n", name, value);
    if (!strcasestr(server.seen[i], line))
        fail_msg("request %d without '%s: %s': %s", i, name, value, server.seen[i]);
}

static void one_request_carries_the_digest(void **state)
{
    char text[64];
    struct digest digest = digest_of(content, SMALL);
    EVP_EncodeBlock((unsigned char *)text, digest.bytes, DIGEST_BYTES);
    put(*state, SMALL);
    assert_int_equal(server.count, 1);
    must_hold(0, "x-amz-checksum-sha256", text);
}

static void parts_carry_theirs_and_the_end_that_of_all(void **state)
{
    char first[16], second[16], all[16], element[80];
    encode(crc_of(CRC_64_NVME, content, S3_PART_BYTES), 8, first);
    encode(crc_of(CRC_64_NVME, content + S3_PART_BYTES, SEVERAL - S3_PART_BYTES), 8, second);
    encode(crc_of(CRC_64_NVME, content, SEVERAL), 8, all);
    put(*state, SEVERAL);
    assert_int_equal(server.count, 4);
    must_hold(0, "x-amz-checksum-algorithm", "CRC64NVME");
    must_hold(0, "x-amz-checksum-type", "FULL_OBJECT");
    must_hold(1, "x-amz-checksum-crc64nvme", first);
    must_hold(2, "x-amz-checksum-crc64nvme", second);
    must_hold(3, "x-amz-checksum-crc64nvme", all);
    must_hold(3, "x-amz-checksum-type", "FULL_OBJECT");
    snprintf(element, sizeof element, "<ChecksumCRC64NVME>%s</ChecksumCRC64NVME></Part>", second);
    assert_non_null(strstr(server.seen[3], element));
}

static void none_are_sent_where_they_are_not_wanted(void **state)
{
    reopen(*state, false);
    put(*state, SMALL);
    put(*state, SEVERAL);
    assert_int_equal(server.count, 5);
    for (int i = 0; i < server.count; i++)
        assert_null(strcasestr(server.seen[i], "checksum"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_comes_as_it_was_put_is_read),
        TEST(a_changed_byte_is_told_and_worth_another_try),
        TEST(a_digest_of_the_service_spares_the_readers),
        TEST(other_checksums_are_left_alone),
        TEST(nothing_is_asked_where_it_is_not_wanted),
        TEST(one_request_carries_the_digest),
        TEST(parts_carry_theirs_and_the_end_that_of_all),
        TEST(none_are_sent_where_they_are_not_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
