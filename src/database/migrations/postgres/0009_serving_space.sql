-- lowest-program: 9
--
-- Several embedding spaces side by side: one serves searches, others are filled meanwhile or wait to be
-- switched back to. Earlier programs would publish what the serving space lacks.
CREATE TABLE serving_space (
    id smallint PRIMARY KEY CHECK (id = 1),
    space_id bigint NOT NULL DEFAULT 0,
    held_until_ms bigint NOT NULL DEFAULT 0
);
INSERT INTO serving_space (id, space_id) SELECT 1, coalesce((SELECT space_id FROM space_total
    GROUP BY space_id HAVING sum(chunks) > 0 ORDER BY sum(chunks) DESC, space_id LIMIT 1), 0);
COMMENT ON TABLE serving_space IS 'One row: the embedding space that searches look in; who publishes holds the advisory lock aegis.serving shared, who changes it exclusively';
COMMENT ON COLUMN serving_space.id IS '1';
COMMENT ON COLUMN serving_space.space_id IS 'The space; 0: nothing was ever embedded';
COMMENT ON COLUMN serving_space.held_until_ms IS 'Until then nothing with embeddings is published, Unix milliseconds';

CREATE TABLE result_space (
    result_id bigint NOT NULL,
    space_id bigint NOT NULL,
    chunks bigint NOT NULL,
    PRIMARY KEY (result_id, space_id)
);
COMMENT ON TABLE result_space IS 'Spaces beyond result.space_id that a result has embeddings in';
COMMENT ON COLUMN result_space.result_id IS 'The result';
COMMENT ON COLUMN result_space.space_id IS 'The space';
COMMENT ON COLUMN result_space.chunks IS 'How many of its chunks are embedded in it';

ALTER TABLE embedding_space ADD COLUMN dropping boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN embedding_space.dropping IS 'Its embeddings are being deleted, or that was begun and stopped';

-- Only an owner truncates.
CREATE FUNCTION clear_embedding_space(space bigint) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = aegis, pg_temp AS $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM serving_space s WHERE s.space_id = space) THEN
        RAISE EXCEPTION 'embedding space % serves', space;
    END IF;
    FOREACH name IN ARRAY ARRAY['embedding_' || space, 'embedding_' || space || '_fresh'] LOOP
        IF to_regclass('aegis.' || name) IS NOT NULL THEN
            EXECUTE format('TRUNCATE aegis.%I', name);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION clear_embedding_space(bigint) IS 'Deletes all embeddings of a space that does not serve';
REVOKE EXECUTE ON FUNCTION clear_embedding_space(bigint) FROM PUBLIC;
