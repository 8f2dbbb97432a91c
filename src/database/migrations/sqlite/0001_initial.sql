-- Everything Aegis remembers. Times are Unix milliseconds, states and outcomes are the numbers of the
-- enums in ports/database.h, digests are 32-byte blobs. Ids come from the ledger and are never reused.

-- One row: the next ids, and totals kept so that nobody counts millions of rows.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    database_id BLOB NOT NULL,
    next_media INTEGER NOT NULL,
    next_version INTEGER NOT NULL,
    next_job INTEGER NOT NULL,
    next_result INTEGER NOT NULL,
    next_chunk INTEGER NOT NULL,
    next_call INTEGER NOT NULL,
    media INTEGER NOT NULL,
    published INTEGER NOT NULL,
    results INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    segments INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    jobs_queued INTEGER NOT NULL,
    jobs_running INTEGER NOT NULL,
    jobs_retrying INTEGER NOT NULL,
    jobs_paused INTEGER NOT NULL,
    jobs_succeeded INTEGER NOT NULL,
    jobs_dead INTEGER NOT NULL,
    jobs_cancelled INTEGER NOT NULL
) STRICT;
INSERT INTO ledger
VALUES (1, randomblob(16), 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- Texts that occur in very many rows: buckets, collections, kinds, languages, providers, models.
CREATE TABLE name (
    name_id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- What lists are filtered by. A medium has exactly one, so one index serves every combination.
CREATE TABLE facet (
    facet_id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL,
    kind_id INTEGER NOT NULL,
    language_id INTEGER NOT NULL,
    UNIQUE (collection_id, kind_id, language_id)
) STRICT;

-- sequencer and event_ms are those of the newest event, a removal included: what is older is stale.
-- version_id and job_id are the newest ones, result_id is the current result (NULL: none).
CREATE TABLE media (
    media_id INTEGER PRIMARY KEY,
    bucket_id INTEGER NOT NULL,
    facet_id INTEGER NOT NULL,
    version_id INTEGER NOT NULL,
    job_id INTEGER NOT NULL,
    result_id INTEGER,
    removed INTEGER NOT NULL,
    uploaded_ms INTEGER NOT NULL,
    published_ms INTEGER NOT NULL,
    event_ms INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    sequencer TEXT NOT NULL,
    key TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX media_by_key ON media (bucket_id, key);
CREATE INDEX media_by_result ON media (result_id) WHERE result_id IS NOT NULL;
CREATE INDEX media_by_facet ON media (facet_id) WHERE removed = 0;

CREATE TABLE version (
    version_id INTEGER PRIMARY KEY,
    media_id INTEGER NOT NULL,
    event_ms INTEGER NOT NULL,
    size INTEGER NOT NULL,
    content BLOB,
    object_version TEXT NOT NULL,
    etag TEXT NOT NULL,
    content_type TEXT NOT NULL
) STRICT;

-- The open attempt of a running or paused job is here (ordinal, attempt, started_ms, worker, lease_ms);
-- a closed one is a row of attempt. wake_ms: from then on the job is stranded without a new message.
-- content_key: first 8 bytes of the content's digest while the job runs, to keep two jobs from paying for
-- the same content.
CREATE TABLE job (
    job_id INTEGER PRIMARY KEY,
    media_id INTEGER NOT NULL,
    version_id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    receive_count INTEGER NOT NULL,
    queued_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    wake_ms INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL,
    content_key INTEGER,
    trace BLOB NOT NULL,
    worker TEXT NOT NULL,
    stage TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX job_unfinished ON job (state, wake_ms) WHERE state < 4;
CREATE INDEX job_unhappy ON job (state, job_id) WHERE state IN (2, 3, 5, 6);
CREATE INDEX job_running_content ON job (content_key) WHERE content_key IS NOT NULL;

-- attempt: the counted number that people see; ordinal counts every start.
CREATE TABLE attempt (
    job_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    worker TEXT NOT NULL,
    stage TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    stage_times TEXT NOT NULL,
    PRIMARY KEY (job_id, ordinal)
) STRICT, WITHOUT ROWID;

-- The outbox. trace only where there is no job to take it from, detail only where there is one to tell.
CREATE TABLE life_event (
    event_id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    type INTEGER NOT NULL,
    job_id INTEGER NOT NULL,
    media_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    trace BLOB,
    detail TEXT
) STRICT;

-- checkpoint_id: 63 bits of the digest of (stage, input, settings), so that one tree is enough.
CREATE TABLE checkpoint (
    checkpoint_id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    media_id INTEGER NOT NULL,
    version_id INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE INDEX checkpoint_by_media ON checkpoint (media_id, version_id);

CREATE TABLE embedding_space (
    space_id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    UNIQUE (provider, model, revision, dimension)
) STRICT;

-- state 0: in the making (of job_id), 1: ready, 2: garbage, deleted piece by piece.
-- text_key: 63 bits of the digest of the settings that decide the chunks' texts.
-- heading: what the lexical arm indexes beside the first chunk's text.
CREATE TABLE result (
    result_id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    content_key INTEGER NOT NULL,
    settings_id INTEGER NOT NULL,
    job_id INTEGER NOT NULL,
    space_id INTEGER NOT NULL,
    chunk_count INTEGER NOT NULL,
    segment_count INTEGER NOT NULL,
    kind_id INTEGER NOT NULL,
    language_id INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    draft INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL,
    summary_coverage INTEGER NOT NULL,
    content BLOB NOT NULL,
    format TEXT NOT NULL,
    title TEXT NOT NULL,
    heading TEXT NOT NULL,
    stages TEXT NOT NULL,
    summary TEXT,
    text_key INTEGER NOT NULL
) STRICT;
CREATE INDEX result_by_content ON result (content_key) WHERE state = 1;
CREATE INDEX result_by_job ON result (job_id) WHERE state = 0;

-- Chunk ids rise in the order of commits and are never reused: the search files follow them.
CREATE TABLE chunk (
    chunk_id INTEGER PRIMARY KEY,
    result_id INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    byte_offset INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;

-- Chunks first_chunk .. first_chunk + count - 1 are ordinals first_ordinal .. of the result; their
-- embeddings stand one behind the other, float16, little endian.
CREATE TABLE chunk_run (
    first_chunk INTEGER PRIMARY KEY,
    result_id INTEGER NOT NULL,
    first_ordinal INTEGER NOT NULL,
    count INTEGER NOT NULL,
    space_id INTEGER NOT NULL,
    vectors BLOB
) STRICT;
CREATE INDEX chunk_run_by_result ON chunk_run (result_id, first_ordinal);

CREATE TABLE segment (
    result_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    speaker TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (result_id, ordinal)
) STRICT, WITHOUT ROWID;

-- Work for the collector. kind 1: result `id`; kind 2: checkpoints of medium `id` made for versions
-- before `arg`.
CREATE TABLE garbage (
    garbage_id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    id INTEGER NOT NULL,
    arg INTEGER NOT NULL
) STRICT;

-- Every paid call, beside its medium; and the same by day. cost -1: no known price.
CREATE TABLE model_call (
    media_id INTEGER NOT NULL,
    call_id INTEGER NOT NULL,
    job_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    collection_id INTEGER NOT NULL,
    provider_id INTEGER NOT NULL,
    model_id INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    audio_ms INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    http_status INTEGER NOT NULL,
    PRIMARY KEY (media_id, call_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_day (
    day INTEGER NOT NULL,
    collection_id INTEGER NOT NULL,
    provider_id INTEGER NOT NULL,
    model_id INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    audio_ms INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    PRIMARY KEY (day, collection_id, provider_id, model_id, operation)
) STRICT, WITHOUT ROWID;

-- One row: why the pipeline is paused; reason '' means it runs.
CREATE TABLE pipeline (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT;
INSERT INTO pipeline VALUES (1, '', '', 0);
