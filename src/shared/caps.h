/*
 * caps.h - every cap of every growable thing, in one place.
 *
 * Nothing in Aegis grows without one of these. A cap that a person may want to move is also a
 * setting (config.h); the number here is then its ceiling.
 */
#ifndef AEGIS_SHARED_CAPS_H
#define AEGIS_SHARED_CAPS_H

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)
#define GIB(n) ((size_t)(n) << 30)

/* names; S3: keys are at most 1,024 bytes of UTF-8, bucket names 63, version ids 1,024 */
#define CAP_KEY        1024
#define CAP_BUCKET     63
#define CAP_VERSION_ID 1024
#define CAP_ETAG       128
#define CAP_SEQUENCER  64
#define CAP_COLLECTION 128

/* inputs */
#define CAP_EVENT_DOCUMENT MIB(16) /* one event document, all records together */
#define CAP_EVENT_RECORDS  10000   /* records in one event document */
#define CAP_CONFIG_FILE    MIB(1)
#define CAP_MEDIA_BYTES    GIB(64) /* one object */
#define CAP_SUBTITLES      MIB(32) /* an SRT or VTT file */
#define CAP_STDIN          CAP_MEDIA_BYTES
#define CAP_RECORDING_MS   (INT64_C(1000) * 3600 * 1000) /* a thousand hours of sound */

/* disk space that uploads leave free, for work on what is there; the queue's own reserve lies below
 */
#define CAP_DISK_RESERVE MIB(40)

/* what a sandboxed child may send back */
#define CAP_CHILD_FRAME    MIB(1)   /* one frame on its pipe */
#define CAP_TEXT_BYTES     GIB(8)   /* text of one medium; media.max_text is 1 GiB unless set */
#define CAP_ARCHIVE_MEMBER MIB(512) /* one unpacked member of a DOCX */
#define CAP_MARKUP_DEPTH   256      /* nested elements in HTML or XML */
#define CAP_CHILD_MEMORY   GIB(1)   /* RLIMIT_AS of a parsing child */

/* jobs */
#define CAP_JOB_ARENA      MIB(96)  /* everything one job allocates */
#define CAP_TEXT_IN_MEMORY MIB(2)   /* longer texts go to an unlinked spool file */
#define CAP_CHUNKS         16000000 /* chunks of one medium */
#define CAP_SEGMENTS       500000   /* segments of one transcript */
#define CAP_TITLE          512
#define CAP_SUMMARY_JSON   KIB(256)
#define CAP_CHECKPOINT     MIB(16) /* one stage output kept for resuming */

/* JSON */
#define CAP_JSON_DEPTH 256 /* arrays and objects inside each other */

/* queue */
#define CAP_MESSAGE_BODY KIB(256) /* SQS's limit */

/* traces: X-Ray's header as Lambda gives it, with its lineage */
#define CAP_TRACE_HEADER ((size_t)1024)

/* HTTP */
#define CAP_HTTP_RESPONSE MIB(64) /* 2,048 embeddings of 3,072 floats in base64, with framing */
#define CAP_HTTP_HEADERS  KIB(64)
#define CAP_HTTP_URL      KIB(8)
/* What AWS signs: headers as they are, path and query up to three times as long once encoded. */
#define CAP_SIGNED_REQUEST KIB(256)

/* AWS */
#define CAP_AWS_TOKEN       KIB(32)  /* a file with a token; STS takes 20,000 characters */
#define CAP_AWS_REQUEST     KIB(128) /* a request for a role: a token percent-encoded */
#define CAP_AWS_ANSWER      KIB(64)  /* of an endpoint that gives credentials */
#define CAP_RDS_AUTHORITIES MIB(1)   /* 600 certificates */
#define CAP_AWS_SECRET      KIB(512) /* an answer with a secret of 64 KiB, each byte escaped */

/* AWS Lambda: 6 MB of a synchronous request or response, 1 MB of an asynchronous one
 * (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html) */
#define CAP_LAMBDA_PAYLOAD  ((size_t)6291556)
#define CAP_LAMBDA_RESPONSE ((size_t)6291556)

/* monitoring (src/server) */
#define CAP_METRIC_SERIES 512    /* counters told apart by their labels */
#define CAP_METRICS_TEXT  MIB(1) /* one reply of /metrics */
#define CAP_EMF_LINES     64     /* of metrics in a function's log, for one invocation */
#define CAP_OTLP_PAIRS    64     /* headers, or attributes of the resource */
#define CAP_OTLP_SPANS    2048   /* jobs' spans that wait for a collector */
#define CAP_OTLP_REQUEST  MIB(4) /* one request to it */
#define CAP_OTLP_REPLY    KIB(64)

/* search */
#define CAP_QUERY   KIB(8)
#define CAP_RESULTS 1000

#endif
