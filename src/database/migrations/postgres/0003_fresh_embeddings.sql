-- Adding to an HNSW index costs milliseconds a vector. What is published therefore goes to a table without
-- one, embedding_<space>_fresh, and moves to embedding_<space> when it is quiet. A search unites both.
CREATE OR REPLACE FUNCTION open_embedding_space(space bigint) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = aegis, pg_temp AS $$
DECLARE
    d integer := (SELECT dimension FROM embedding_space WHERE space_id = space);
    home text := (SELECT quote_ident(n.nspname) FROM pg_extension e
                  JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector');
    half boolean := to_regtype(home || '.halfvec') IS NOT NULL;
    form text := CASE WHEN half THEN 'halfvec' ELSE 'vector' END;
    base text := 'embedding_' || space;
    name text;
BEGIN
    IF d IS NULL THEN
        RAISE EXCEPTION 'there is no embedding space %', space;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('aegis.embedding'), space::integer);
    FOREACH name IN ARRAY ARRAY[base, base || '_fresh'] LOOP
        CONTINUE WHEN to_regclass('aegis.' || name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (chunk_id bigint PRIMARY KEY, result_id bigint NOT NULL, '
                       'embedding %s.%s(%s) NOT NULL)', name, home, form, d);
        IF d * (CASE WHEN half THEN 2 ELSE 4 END) <= 8000 THEN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN embedding SET STORAGE PLAIN', name);
        END IF;
        IF name = base AND d <= (CASE WHEN half THEN 4000 ELSE 2000 END) THEN
            EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding %s.%s_cosine_ops)',
                           name || '_hnsw', name, home, form);
        END IF;
        EXECUTE format('COMMENT ON TABLE %I IS %L', name,
                       CASE WHEN name = base THEN 'Embeddings of embedding_space ' || space
                            ELSE 'Embeddings of embedding_space ' || space || ' that are not in its index yet' END);
        EXECUTE format('COMMENT ON COLUMN %I.chunk_id IS %L', name, 'The chunk');
        EXECUTE format('COMMENT ON COLUMN %I.result_id IS %L', name, 'The chunk''s result');
        EXECUTE format('COMMENT ON COLUMN %I.embedding IS %L', name, 'L2-normalised');
        PERFORM grant_embedding_table(name);
    END LOOP;
END $$;
SELECT open_embedding_space(space_id) FROM embedding_space;
