-- lowest-program: 1
--
-- Adding a passage's words to chunk_by_words costs as much as all else about it. What is published
-- therefore goes to a table without that index, chunk_fresh, and moves to chunk when there is time
-- (database/postgres_collect.c). It inherits from chunk: whoever reads, changes or deletes rows of chunk
-- has those of chunk_fresh too, so that nobody has to know of it, older workers among them. Both take
-- their ids from chunk's sequence.
CREATE TABLE chunk_fresh (PRIMARY KEY (chunk_id)) INHERITS (chunk)
    WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX chunk_fresh_by_result ON chunk_fresh (result_id, ordinal);
COMMENT ON TABLE chunk_fresh IS 'Rows of chunk that are not in its index of words yet; who reads chunk has them too';
COMMENT ON COLUMN chunk_fresh.chunk_id IS 'As in chunk';
COMMENT ON COLUMN chunk_fresh.result_id IS 'As in chunk';
COMMENT ON COLUMN chunk_fresh.start_ms IS 'As in chunk';
COMMENT ON COLUMN chunk_fresh.end_ms IS 'As in chunk';
COMMENT ON COLUMN chunk_fresh.byte_offset IS 'As in chunk';
COMMENT ON COLUMN chunk_fresh.ordinal IS 'As in chunk';
COMMENT ON COLUMN chunk_fresh.text IS 'As in chunk';
COMMENT ON COLUMN chunk_fresh.words IS 'As in chunk';

-- A result of some kilobytes stands in its row: compressing its summary took longer than writing it.
ALTER TABLE result SET (toast_tuple_target = 4080);
