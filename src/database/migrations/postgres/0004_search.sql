-- lowest-program: 1
--
-- Ranking reads a passage's words: up to two passages a page they stand in their row, without the detour of
-- TOAST and its compression.
ALTER TABLE chunk SET (toast_tuple_target = 4080);

-- New words wait in the index's pending list, which costs a writer an append instead of some hundred
-- places in the tree. Every search reads the list, so it is kept short.
ALTER INDEX chunk_by_words SET (fastupdate = on, gin_pending_list_limit = 512);
COMMENT ON COLUMN chunk.words IS 'What the lexical arm searches: the stems of its words by Porter''s algorithm, and de/... by that of its language where it has one; weight A the heading, D the text';

-- Which languages there are is found by jumping along it; lists by language use it too.
CREATE INDEX media_by_language ON media (language, media_id) WHERE result_id IS NOT NULL;
