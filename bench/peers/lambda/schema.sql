-- The tables of the peer's two functions.
CREATE EXTENSION IF NOT EXISTS vector;
DROP SCHEMA IF EXISTS peer CASCADE;
CREATE SCHEMA peer;

CREATE TABLE peer.media (
    media_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket text NOT NULL,
    key text NOT NULL,
    etag text NOT NULL,
    size bigint NOT NULL,
    sequencer text NOT NULL,
    UNIQUE (bucket, key)
);
CREATE TABLE peer.job (
    job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    media_id bigint NOT NULL REFERENCES peer.media,
    state text NOT NULL DEFAULT 'queued',
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE TABLE peer.summary (
    media_id bigint PRIMARY KEY REFERENCES peer.media,
    digest bytea NOT NULL,
    model text NOT NULL,
    body jsonb NOT NULL
);
CREATE TABLE peer.chunk (
    media_id bigint NOT NULL REFERENCES peer.media,
    ordinal integer NOT NULL,
    text text NOT NULL,
    embedding halfvec(1536) NOT NULL,
    words tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    PRIMARY KEY (media_id, ordinal)
);
ALTER TABLE peer.chunk ALTER COLUMN embedding SET STORAGE EXTERNAL; -- floats do not compress
CREATE INDEX ON peer.chunk USING gin (words);
