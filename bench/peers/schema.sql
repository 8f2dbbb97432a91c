-- What the peers store: the same results as Aegis, in PostgreSQL, searchable by word and by meaning
-- (exact, as Aegis's index is: no HNSW graph to keep up while writing).
CREATE EXTENSION IF NOT EXISTS vector;
DROP TABLE IF EXISTS chunk, summary, media;
CREATE TABLE media (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path text NOT NULL UNIQUE,
    digest bytea NOT NULL,
    size bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE summary (
    media_id bigint PRIMARY KEY REFERENCES media ON DELETE CASCADE,
    model text NOT NULL,
    body jsonb NOT NULL
);
CREATE TABLE chunk (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    media_id bigint NOT NULL REFERENCES media ON DELETE CASCADE,
    ordinal int NOT NULL,
    text text NOT NULL,
    words tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    embedding halfvec(1536) NOT NULL,
    UNIQUE (media_id, ordinal)
);
ALTER TABLE chunk ALTER COLUMN embedding SET STORAGE EXTERNAL; -- floats do not compress
CREATE INDEX chunk_words ON chunk USING gin (words);
