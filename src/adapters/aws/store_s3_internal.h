/* store_s3_internal.h - what the files of the S3 store share. */
#ifndef AEGIS_ADAPTERS_AWS_STORE_S3_INTERNAL_H
#define AEGIS_ADAPTERS_AWS_STORE_S3_INTERNAL_H

#include <pthread.h>

#include "adapters/aws/store_s3.h"
#include "shared/crc.h"
#include "shared/slots.h"

enum { S3_STRIPES = 64, S3_BUCKETS = 16, S3_QUERY_TEXT = 4 * CAP_KEY + 512 };

/* What is known of a bucket. */
struct s3_bucket {
    char name[CAP_BUCKET + 1];
    char region[AWS_REGION_TEXT]; /* "": the client's */
    bool readable;                /* something was read from it */
    char witness[CAP_KEY + 1];    /* the newest of that; "": nothing by this process */
};

struct s3_store {
    struct aws_client *client;
    const struct clock *clock;
    bool path_style, send_checksums, ask_checksums;
    char home[CAP_BUCKET + 1], owner[16];
    char *spool;
    int64_t reserve;
    struct slots parts;
    pthread_mutex_t stripes[S3_STRIPES]; /* puts of one key, one after the other */
    pthread_mutex_t lock;                /* of what follows */
    int64_t last_us;
    struct s3_bucket buckets[S3_BUCKETS];
    size_t bucket_count, next_bucket;
};

/* A request about a bucket ("" for key) or an object. */
struct s3_request {
    const char *method, *bucket, *key;
    const char *query; /* NULL: none */
    const struct http_header *headers;
    size_t header_count;
    const void *body;
    size_t length;
    const char *hash;    /* as of struct aws_request */
    size_t max_response; /* 0: that of documents */
    bool cut_long;       /* as of struct http_request */
};

/* aws_perform at the right address, once more where the bucket turns out to be in another region.
 * Refuses bad names with ERR_INVALID. */
int s3_perform(struct s3_store *s, const struct s3_request *request, const struct cancel *cancel,
               struct http_response *out, struct aws_fault *fault);

/* After an error of reading: what it is to the port (store_s3.h). Returns the error's code. */
int s3_read_error(struct s3_store *s, const char *bucket, const char *key,
                  const struct aws_fault *fault);
void s3_was_read(struct s3_store *s, const char *bucket, const char *key);

/* ---- sequencers ---- */

/* Microseconds since the epoch, each greater than the last. */
int64_t s3_next_us(struct s3_store *s);
void s3_sequencer(int64_t us, char out[CAP_SEQUENCER + 1]);

/* ---- objects ---- */

/* Fills *out from the headers of a response; size from Content-Range or Content-Length. */
int s3_describe(const struct http_response *response, const char *bucket, const char *key,
                struct object_info *out);

int s3_put(void *ctx, const char *bucket, const char *key, const char *content_type,
           const struct object_source *source, struct object_info *out);
int s3_open(void *ctx, const char *bucket, const char *key, const char *version_id,
            const char *etag, const struct cancel *cancel, struct object *out);
int s3_head(void *ctx, const char *bucket, const char *key, struct object_info *out);
int s3_remove(void *ctx, const char *bucket, const char *key, struct object_info *out);
int s3_list(void *ctx, const char *bucket, const char *prefix, const char *after, size_t limit,
            struct arena *arena, struct object_info **out, size_t *count);

/* ---- checksums ---- */

#define S3_HEADER_CRC64NVME "x-amz-checksum-crc64nvme"
#define S3_HEADER_SHA256    "x-amz-checksum-sha256"

enum { S3_CHECKSUM_TEXT = 48 };

enum s3_checksum_kind {
    S3_CHECKSUM_NONE,
    S3_CHECKSUM_CRC64NVME,
    S3_CHECKSUM_CRC32C,
    S3_CHECKSUM_CRC32,
    S3_CHECKSUM_SHA256,
};

/* What the service keeps of a whole object; text: base64, as in the header. */
struct s3_checksum {
    enum s3_checksum_kind kind;
    char text[S3_CHECKSUM_TEXT];
};

/* Of the headers of an answer that is about the whole. None if it has none, or one of the
 * checksums of its parts ("...-3"), of which nothing follows without knowing the parts. */
void s3_checksum_read(const struct http_response *response, struct s3_checksum *out);
/* False: it is none. */
bool s3_checksum_crc_kind(const struct s3_checksum *expected, enum crc_kind *out);

void s3_checksum_crc(enum crc_kind kind, uint64_t crc, char out[S3_CHECKSUM_TEXT]);
void s3_checksum_digest(const struct digest *digest, char out[S3_CHECKSUM_TEXT]);

/* ERR_TRANSIENT "checksum_mismatch" where they differ. */
int s3_checksum_compare(const struct s3_checksum *expected, const char *found, const char *key);
/* The same for an object in memory; `digest` is that of the bytes. */
int s3_checksum_check(const struct s3_checksum *expected, const void *bytes, size_t length,
                      const struct digest *digest, const char *key);

/* The part of open() that follows the first answer of an object that is larger than that: the whole
 * of it into a new file, compared with what is expected of it. info->content is set where that was
 * a digest. */
int s3_spool(struct s3_store *s, struct object_info *info, const struct s3_checksum *expected,
             const struct cancel *cancel, int *fd);

/* ---- documents ---- */

/* Reads an XML document: `at` is called for every element that holds text alone, with the name of
 * the element around it ("" at the top); `end` for every element that holds others, when it ends.
 * Texts are borrowed. Either may be NULL, and stops the reading with an error. ERR_TRANSIENT
 * "malformed_reply" if it is not XML. */
struct s3_document {
    int (*at)(void *ctx, const char *parent, const char *name, const char *text);
    int (*end)(void *ctx, const char *name);
    void *ctx;
};
int s3_document_read(const struct http_response *response, const struct s3_document *document);

#endif
