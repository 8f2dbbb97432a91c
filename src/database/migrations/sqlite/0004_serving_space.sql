-- Several embedding spaces side by side: one serves searches, others are filled meanwhile or wait to be
-- switched back to.

-- One row: where searches look; space_id 0: nothing was ever embedded. Until held_until_ms nothing with
-- embeddings is published.
CREATE TABLE serving_space (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    space_id INTEGER NOT NULL,
    held_until_ms INTEGER NOT NULL
) STRICT;
INSERT INTO serving_space SELECT 1, coalesce((SELECT space_id FROM embedding_space WHERE chunks > 0
    ORDER BY chunks DESC, space_id LIMIT 1), 0), 0;

-- For the vector index, which is filled in order of chunk ids. filled: how often embeddings were added
-- behind a publication's back. tail: an index may hold chunks up to here; what is added below it makes the
-- index a thing of the past, and that is a new generation.
ALTER TABLE embedding_space ADD COLUMN dropping INTEGER NOT NULL DEFAULT 0;
ALTER TABLE embedding_space ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE embedding_space ADD COLUMN filled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE embedding_space ADD COLUMN tail INTEGER NOT NULL DEFAULT 0;
UPDATE embedding_space SET tail = (SELECT next_chunk - 1 FROM ledger);

-- Embeddings beyond those in chunk_run: of `count` chunks from first_chunk on, all of one chunk_run.
CREATE TABLE space_run (
    run_id INTEGER PRIMARY KEY,
    first_chunk INTEGER NOT NULL,
    count INTEGER NOT NULL,
    space_id INTEGER NOT NULL,
    vectors BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX space_run_by_chunk ON space_run (first_chunk, space_id);

-- How many chunks of a ready result have embeddings in space_run, by space.
CREATE TABLE result_space (
    result_id INTEGER NOT NULL,
    space_id INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    PRIMARY KEY (result_id, space_id)
) STRICT, WITHOUT ROWID;
