/*
 * config_table.c - every setting, once.
 *
 * To add one: add a row here, read it in src/commands/app_settings.c (the only reader of most of
 * them), and run `make docs`; --help, `aegis config`, the man page and docs/configuration.md
 * follow.
 */
#include "shared/caps.h"
#include "shared/config_internal.h"

#define SECONDS INT64_C(1000)
#define MINUTES (60 * SECONDS)
#define HOURS   (60 * MINUTES)

/* designated initialisers by type, so that each row says only what matters */
#define STRING(k, d, e, h)                                                                         \
    {                                                                                              \
        .key = (k), .type = SETTING_STRING, .fallback = (d), .env = (e), .help = (h)               \
    }
#define SECRET(k, e, h)                                                                            \
    {                                                                                              \
        .key = (k), .type = SETTING_SECRET, .fallback = "", .env = (e), .help = (h)                \
    }
#define CHOICE(k, d, e, c, h)                                                                      \
    {                                                                                              \
        .key = (k), .type = SETTING_CHOICE, .fallback = (d), .env = (e), .choices = (c),           \
        .help = (h)                                                                                \
    }
#define BOOL(k, d, e, h)                                                                           \
    {                                                                                              \
        .key = (k), .type = SETTING_BOOL, .fallback = (d), .env = (e), .help = (h)                 \
    }
#define RANGE(t, k, d, e, lo, hi, h)                                                               \
    {                                                                                              \
        .key = (k), .type = (t), .fallback = (d), .env = (e), .min = (lo), .max = (hi),            \
        .help = (h)                                                                                \
    }
#define INT(k, d, e, lo, hi, h)      RANGE(SETTING_INT, k, d, e, lo, hi, h)
#define NUMBER(k, d, e, lo, hi, h)   RANGE(SETTING_NUMBER, k, d, e, lo, hi, h)
#define DURATION(k, d, e, lo, hi, h) RANGE(SETTING_DURATION_MS, k, d, e, lo, hi, h)
#define BYTES(k, d, e, lo, hi, h)    RANGE(SETTING_BYTES, k, d, e, lo, hi, h)

#define PROVIDERS "auto|offline|openai"
#define CHECKSUMS "when_supported|when_required|WHEN_SUPPORTED|WHEN_REQUIRED"

static const struct setting table[] = {
    STRING("bucket", "media", "AEGIS_BUCKET", "bucket that `add` and `watch` put media into"),
    STRING("collection", "", "AEGIS_COLLECTION",
           "collection of new media; empty: the bucket's name"),

    SECRET("database.url", "DATABASE_URL",
           "PostgreSQL for database and queue, as postgresql://user:password@host/database; empty: "
           "SQLite in the data directory"),
    INT("database.connections", "0", "AEGIS_DATABASE_CONNECTIONS", 0, 1000,
        "connections to PostgreSQL at a time, the queue's four not counted; 0: by the workers"),

    CHOICE("store", "folder", "AEGIS_STORE", "folder|s3",
           "where objects are: in a folder, or in S3 (the buckets must exist)"),
    STRING("store.directory", "", "AEGIS_STORE_DIRECTORY",
           "folder for objects that several machines share; empty: in the data directory, for one "
           "machine"),

    CHOICE("s3.addressing", "auto", "AEGIS_S3_ADDRESSING", "auto|path|virtual",
           "path: https://host/bucket/key, virtual: https://bucket.host/key; auto: path where an "
           "endpoint is set"),
    STRING("s3.bucket_owner", "", "AEGIS_S3_BUCKET_OWNER",
           "number of the account that the buckets must belong to; empty: any"),
    CHOICE("s3.request_checksums", "when_supported", "AWS_REQUEST_CHECKSUM_CALCULATION", CHECKSUMS,
           "when_required: uploads carry no checksum, for a server that does not take them"),
    CHOICE("s3.response_checksums", "when_supported", "AWS_RESPONSE_CHECKSUM_VALIDATION", CHECKSUMS,
           "when_required: what is read is not compared with the checksum that the server has"),

    STRING("aws.region", "", "AWS_REGION",
           "region of AWS services; empty: AWS_DEFAULT_REGION, else that of the profile"),
    STRING(
        "aws.profile", "", "AWS_PROFILE",
        "profile in ~/.aws/config and ~/.aws/credentials; it goes before keys in the environment, "
        "unless it is named there too; empty: default"),
    STRING("aws.endpoint_url", "", "AWS_ENDPOINT_URL",
           "address of a server that speaks AWS's APIs; empty: AWS's own"),
    STRING("aws.endpoint_url_s3", "", "AWS_ENDPOINT_URL_S3", "of S3; empty: aws.endpoint_url"),
    STRING("aws.endpoint_url_sqs", "", "AWS_ENDPOINT_URL_SQS",
           "of SQS; empty: aws.endpoint_url, else as in queue.url"),
    STRING("aws.endpoint_url_secrets_manager", "", "AWS_ENDPOINT_URL_SECRETS_MANAGER",
           "of Secrets Manager; empty: aws.endpoint_url"),

    CHOICE("secrets", "file", "AEGIS_SECRETS", "file|secrets_manager",
           "where keys and database URL come from that are not set: `secrets` in the data "
           "directory, or AWS Secrets Manager"),
    STRING("secrets.openai", "aegis-ai/openai-api-key", "AEGIS_OPENAI_SECRET",
           "name or ARN of the secret with the key for OpenAI; empty: none"),
    STRING("secrets.database", "", "AEGIS_DATABASE_SECRET",
           "name or ARN of the secret of the database, in RDS's format; empty: none"),
    STRING("secrets.database_host", "", "AEGIS_DATABASE_HOST",
           "HOST or HOST:PORT of the database; empty: as in its secret"),
    STRING("secrets.database_name", "", "AEGIS_DATABASE_NAME",
           "name of the database; empty: as in its secret"),
    CHOICE("secrets.database_sslmode", "auto", "AEGIS_DATABASE_SSLMODE",
           "auto|disable|prefer|require|verify-ca|verify-full",
           "sslmode for the database of a secret; auto: verify-full where it is known who signs "
           "for it (Amazon RDS, or secrets.database_sslrootcert), else require, but none on the "
           "loopback"),
    STRING("secrets.database_sslrootcert", "", "AEGIS_DATABASE_SSLROOTCERT",
           "file with the certificates of who signs for the database of a secret; empty: those of "
           "Amazon RDS that come with the program, for hosts of RDS"),
    STRING("secrets.stage", "AWSCURRENT", "AEGIS_SECRETS_STAGE",
           "label of the secrets' versions that are read"),
    DURATION("secrets.cache", "5m", "AEGIS_SECRETS_CACHE", 0, 24 * HOURS,
             "how long a secret is used before it is read anew; one that is refused is at once"),

    CHOICE("provider", "auto", "AEGIS_PROVIDER", PROVIDERS,
           "who does the model work; auto: openai where a key or base URL is set, else offline"),
    CHOICE("provider.transcribe", "auto", "AEGIS_PROVIDER_TRANSCRIBE", PROVIDERS,
           "who transcribes; auto: as `provider` says"),
    CHOICE("provider.summarise", "auto", "AEGIS_PROVIDER_SUMMARISE", PROVIDERS,
           "who summarises; auto: as `provider` says"),
    CHOICE("provider.embed", "auto", "AEGIS_PROVIDER_EMBED", PROVIDERS,
           "who makes embeddings; auto: as `provider` says"),
    CHOICE("provider.answer", "auto", "AEGIS_PROVIDER_ANSWER", PROVIDERS,
           "who answers questions; auto: as `provider` says"),

    STRING("offline.speech_model", "", "AEGIS_SPEECH_MODEL",
           "directory of the PocketSphinx model; empty: where Debian puts it"),

    SECRET("openai.api_key", "OPENAI_API_KEY", "key for OpenAI or a server that speaks its API"),
    STRING("openai.base_url", "", "OPENAI_BASE_URL",
           "address of the API; empty: OpenAI's own, https://api.openai.com/v1"),
    STRING("openai.organization", "", "OPENAI_ORG_ID", "sent as OpenAI-Organization if not empty"),
    STRING("openai.project", "", "OPENAI_PROJECT_ID", "sent as OpenAI-Project if not empty"),
    STRING("openai.transcribe_model", "gpt-transcribe", "AEGIS_TRANSCRIBE_MODEL",
           "model that transcribes"),
    STRING("openai.transcribe_base_url", "", "AEGIS_TRANSCRIBE_BASE_URL",
           "its own address; empty: openai.base_url"),
    SECRET("openai.transcribe_api_key", "AEGIS_TRANSCRIBE_API_KEY",
           "its own key; empty: openai.api_key, unless it has its own address"),
    STRING("openai.summarise_model", "gpt-5.4-mini", "AEGIS_SUMMARISE_MODEL",
           "model that summarises"),
    STRING("openai.summarise_base_url", "", "AEGIS_SUMMARISE_BASE_URL",
           "its own address; empty: openai.base_url"),
    SECRET("openai.summarise_api_key", "AEGIS_SUMMARISE_API_KEY",
           "its own key; empty: openai.api_key, unless it has its own address"),
    STRING("openai.embed_model", "text-embedding-3-small", "AEGIS_EMBED_MODEL",
           "model that makes embeddings"),
    STRING("openai.embed_base_url", "", "AEGIS_EMBED_BASE_URL",
           "its own address; empty: openai.base_url"),
    SECRET("openai.embed_api_key", "AEGIS_EMBED_API_KEY",
           "its own key; empty: openai.api_key, unless it has its own address"),
    INT("openai.embed_dimensions", "1536", "AEGIS_EMBED_DIMENSIONS", 1, 4096,
        "numbers in one embedding; must be what the model gives or can be asked for"),
    STRING("openai.answer_model", "", "AEGIS_ANSWER_MODEL",
           "model that answers questions; empty: openai.summarise_model"),
    STRING("openai.answer_base_url", "", "AEGIS_ANSWER_BASE_URL",
           "its own address; empty: as for summaries"),
    SECRET("openai.answer_api_key", "AEGIS_ANSWER_API_KEY", "its own key; empty: as for summaries"),
    STRING("openai.reasoning_effort", "low", "AEGIS_REASONING_EFFORT",
           "reasoning_effort of summaries and answers, for reasoning models; empty: not sent"),
    CHOICE("openai.summary_api", "chat", "AEGIS_SUMMARY_API", "chat|responses",
           "endpoint of summaries and answers: /chat/completions or /responses"),
    BYTES("openai.max_input", "0", "AEGIS_MAX_INPUT", 0, 64 << 20,
          "text of one summary call; 0: by the model's name"),
    DURATION("openai.timeout", "10m", "AEGIS_OPENAI_TIMEOUT", 1 * SECONDS, 2 * HOURS,
             "longest one request may take"),
    INT("openai.max_connections", "0", "AEGIS_OPENAI_MAX_CONNECTIONS", 0, 65536,
        "connections to one host at a time; 0: as many as there are requests"),

    INT("workers", "16", "AEGIS_WORKERS", 1, 4096, "jobs in flight at a time"),
    INT("cpu_slots", "0", "AEGIS_CPU_SLOTS", 0, 1024,
        "CPU-heavy stages (decoding, offline models) at a time; 0: number of processors"),
    DURATION("drain", "30s", "AEGIS_DRAIN", 0, 1 * HOURS,
             "on a stop: jobs that finish within this finish, the rest go back to the queue"),
    NUMBER("budget", "0", "AEGIS_BUDGET", 0, 1000000000,
           "US dollars in all at which the pipeline pauses; 0: none"),

    INT("queue.max_receives", "50", "AEGIS_QUEUE_MAX_RECEIVES", 1, 1000,
        "receives of one message after which it becomes a dead letter"),
    DURATION("queue.visibility", "30s", "AEGIS_QUEUE_VISIBILITY", 1 * SECONDS, 12 * HOURS,
             "how long a received message stays hidden without a heartbeat"),
    STRING("queue.url", "", "AEGIS_QUEUE_URL",
           "URL of an Amazon SQS queue; empty: the queue is where the database is"),
    STRING("queue.dead_letter_url", "", "AEGIS_DEAD_LETTER_URL",
           "URL of its dead-letter queue; empty: that of the queue's redrive policy"),
    STRING("queue.long_url", "", "AEGIS_LONG_QUEUE_URL",
           "URL of the SQS queue that a function on Lambda hands jobs to which it had no time for, "
           "twice; empty: they stay where they are"),
    BOOL("queue.fair", "false", "AEGIS_QUEUE_FAIR",
         "on a standard queue of SQS, collections take turns (fair queues: the collection goes "
         "along as MessageGroupId, which other servers may refuse)"),
    DURATION("retry.base", "1s", "AEGIS_RETRY_BASE", 1, 1 * HOURS,
             "ceiling of the delay before the first retry; doubled for each further one"),
    DURATION("retry.cap", "5m", "AEGIS_RETRY_CAP", 1, 24 * HOURS,
             "ceiling of the delay before any retry"),
    INT("retry.max_attempts", "6", "AEGIS_RETRY_MAX_ATTEMPTS", 1, 1000,
        "attempts in all; the last failure makes a dead letter"),

    BYTES("media.max_text", "1GiB", "AEGIS_MAX_TEXT", 1024, (int64_t)CAP_TEXT_BYTES,
          "longest text of one medium; a longer one is a dead letter before anything is paid for"),
    BOOL("media.accept_truncated", "false", "AEGIS_ACCEPT_TRUNCATED",
         "keep what there is of a recording that ends early, labelled incomplete, rather than "
         "making it a dead letter"),
    DURATION("media.parser_timeout", "2m", "AEGIS_PARSER_TIMEOUT", 1 * SECONDS, 1 * HOURS,
             "a sandboxed parser that says nothing for so long hangs and is killed"),

    BYTES("chunk.bytes", "1400", "AEGIS_CHUNK_BYTES", 200, 16384,
          "target size of one passage of text"),
    DURATION("transcribe.piece", "10m", "AEGIS_TRANSCRIBE_PIECE", 10 * SECONDS, 1 * HOURS,
             "longest piece of audio of one transcription call"),
    INT("transcribe.window", "4", "AEGIS_TRANSCRIBE_WINDOW", 1, 64,
        "transcription calls of one recording at a time"),
    BYTES("summary.max_bytes", "2MiB", "AEGIS_SUMMARY_MAX_BYTES", 1024, 1 << 30,
          "text read for one summary; of longer texts evenly spread excerpts are read"),

    STRING("metrics.listen", "", "AEGIS_METRICS_LISTEN",
           "where services answer /healthz, /readyz and /metrics: 127.0.0.1:9464, :9464 for the "
           "same, 0.0.0.0:9464 for everybody; empty: nowhere"),

    BOOL("metrics.cloudwatch", "true", "AEGIS_METRICS_CLOUDWATCH",
         "functions on Lambda print metrics of each invocation for CloudWatch, which bills them"),

    STRING("otlp.endpoint", "", "OTEL_EXPORTER_OTLP_ENDPOINT",
           "address of an OpenTelemetry collector that speaks OTLP/HTTP, such as "
           "http://localhost:4318; empty: nothing is exported"),
    STRING("otlp.traces_endpoint", "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
           "whole URL for traces; empty: otlp.endpoint with /v1/traces"),
    STRING("otlp.metrics_endpoint", "", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
           "whole URL for metrics; empty: otlp.endpoint with /v1/metrics"),
    SECRET("otlp.headers", "OTEL_EXPORTER_OTLP_HEADERS",
           "headers of each request, as name=value,name=value with percent-encoded values"),
    STRING("otlp.protocol", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL",
           "only http/json is spoken, also where http/protobuf is set; nothing with grpc"),
    INT("otlp.timeout", "10000", "OTEL_EXPORTER_OTLP_TIMEOUT", 1, 600000,
        "longest one request may take, in milliseconds"),
    STRING("otlp.service_name", "", "OTEL_SERVICE_NAME",
           "attribute service.name; empty: by otlp.resource_attributes, else aegis"),
    STRING("otlp.resource_attributes", "", "OTEL_RESOURCE_ATTRIBUTES",
           "more attributes of this process, as name=value,name=value"),
    INT("otlp.metric_interval", "60000", "OTEL_METRIC_EXPORT_INTERVAL", 100, 86400000,
        "time between two exports of metrics, in milliseconds"),
    BOOL("otlp.disabled", "false", "OTEL_SDK_DISABLED", "true: nothing is exported"),

    CHOICE("log.level", "info", "AEGIS_LOG_LEVEL", "debug|info|warn|error", "least level logged"),
    CHOICE("log.format", "auto", "AEGIS_LOG_FORMAT", "auto|text|json",
           "how log lines look; auto: text on a terminal, else JSON"),
};

_Static_assert(sizeof table / sizeof table[0] <= CONFIG_SETTINGS_CAP, "raise CONFIG_SETTINGS_CAP");

const struct setting *config_settings(size_t *count)
{
    if (count)
        *count = sizeof table / sizeof table[0];
    return table;
}
