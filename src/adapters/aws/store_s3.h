/*
 * store_s3.h - the object store in Amazon S3, or a server that speaks its API.
 *
 * Buckets are the port's buckets; they must exist. With versioning on, versions are S3's; without,
 * a key has its newest version alone, version_id is "", and a version is told by its ETag.
 *
 * What Aegis puts carries two lines of user metadata: x-amz-meta-aegis-sequencer, the sequencer
 * (and the time of the put in microseconds), and, of objects of one part, x-amz-meta-aegis-sha256.
 * What others put has neither: its sequencer is then made from Last-Modified. The form is that of
 * S3's own, 18 hexadecimal digits that begin with the Unix time in seconds, so that they compare
 * with those of S3's events as times do. Puts of one key by one process have rising sequencers; of
 * several processes as their clocks say.
 *
 * An upload of up to S3_PART_BYTES is one request, a larger one a multipart upload, one part in
 * memory at a time; it is aborted when the source fails. What a crash leaves is removed by the
 * bucket's lifecycle rule for incomplete uploads. Bytes are checked by the service against the
 * signed digest of each request. With `send_checksums` it keeps a checksum of the whole object
 * besides (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html):
 * the SHA-256 of an object of one request, which the signature needs anyway, and the CRC-64/NVME of
 * one of several parts, for which S3 puts no SHA-256 of the whole together. A body that was changed
 * on its way is sent again.
 *
 * open() asks for an object and reads on if it has at most S3_FIRST_BYTES, as most have. Of a
 * larger one that answer ends with its head, and the object comes in ranges, several at a time,
 * into an unlinked file of the spool directory; a range whose connection is cut is asked for again.
 * All ranges name the ETag of the first answer. At most S3_PARTS_IN_MEMORY parts of all objects
 * together are in memory. (A first answer for a range would save a connection; but S3 tells no
 * checksum with ranges.)
 *
 * What is read is checked by its length, always, and with `ask_checksums` by the checksum of the
 * whole object, where the service keeps one (S3 does of all that was put since 2025) of the kinds
 * CRC-64/NVME, CRC-32C, CRC-32 and SHA-256. A wrong one is ERR_TRANSIENT "checksum_mismatch". Not
 * checked are checksums of checksums of parts, SHA-1, and the ETag, which is an MD5 of the bytes
 * for some objects only. Without, it is TLS that stands for the bytes.
 *
 * list() gives key, ETag, size and time; content type, digest, version and S3's own sequencers are
 * not in a listing. remove() deletes all versions and needs the right to list and delete them.
 *
 * A bucket that does not exist is ERR_NOT_FOUND for open, head and an empty list, ERR_SYSTEMIC for
 * put. Where reading is denied, it is ERR_SYSTEMIC "aws_access_denied" for the bucket named `home`
 * and those that could be read before, and ERR_PERMANENT "bucket_denied" for any other: an event
 * about a stranger's bucket does not stop the pipeline. (S3 also denies what does not exist to who
 * may not list the bucket: grant s3:ListBucket.) Nor does one object that is denied where another,
 * which is asked for once more then, can be read (ERR_PERMANENT "object_denied"), or one in an
 * archive of S3 Glacier, which S3 refuses with 403 too (ERR_PERMANENT "object_archived"). Reading
 * from a server to which no connection can be made is ERR_SYSTEMIC "store_unreachable" for the
 * buckets that are ERR_SYSTEMIC above.
 */
#ifndef AEGIS_ADAPTERS_AWS_STORE_S3_H
#define AEGIS_ADAPTERS_AWS_STORE_S3_H

#include <stdbool.h>

#include "adapters/aws/client.h"
#include "ports/object_store.h"

enum {
    S3_FIRST_BYTES = 256 << 10,
    S3_PART_BYTES = 8 << 20,
    S3_PARTS_AT_ONCE = 4, /* of one object */
    S3_PARTS_IN_MEMORY = 8,
};

struct s3_store_options {
    struct aws_client *client; /* of service "s3"; borrowed */
    const struct clock *clock;
    bool send_checksums;         /* with what is put */
    bool ask_checksums;          /* of what is read */
    bool path_style;             /* http://host/bucket/key instead of http://bucket.host/key */
    const char *home;            /* the bucket this installation is about; NULL or "": none */
    const char *bucket_owner;    /* account that must own the buckets; NULL or "": any */
    const char *spool_directory; /* must exist */
    int64_t reserve;             /* bytes that spooling leaves free on its disk, about */
};

/* Asks nothing of the service. ERR_NO_MEMORY. Close it with out->ops->close(out->ctx). */
int s3_store_open(const struct s3_store_options *options, struct object_store *out);

/* Is the bucket there, and may it be listed? ERR_SYSTEMIC if not, and what aws_perform returns. */
int s3_store_check(const struct object_store *store, const char *bucket);

#endif
