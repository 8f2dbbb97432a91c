-- lowest-program: 5
--
-- A longer pending list makes it cheaper to publish by a third; what a search then reads of it is a few
-- milliseconds' worth, and it is emptied when it is quiet.
ALTER INDEX chunk_by_words SET (gin_pending_list_limit = 4096);
CREATE FUNCTION settle_words() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = aegis, pg_temp
    AS $$ SELECT gin_clean_pending_list('chunk_by_words'::regclass) $$;
COMMENT ON FUNCTION settle_words() IS 'Moves new words from the pending list of chunk_by_words into the index';
REVOKE EXECUTE ON FUNCTION settle_words() FROM PUBLIC;
