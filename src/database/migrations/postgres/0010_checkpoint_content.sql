-- lowest-program: 9
--
-- Where a content has no checkpoint none of its jobs has to look for one. It is filled in here, so that earlier
-- programs that go on, and imports, need not know of it.
ALTER TABLE checkpoint ADD COLUMN content bytea;
COMMENT ON COLUMN checkpoint.content IS 'SHA-256 of the content it was made from';

CREATE FUNCTION set_checkpoint_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.content := (SELECT v.content FROM aegis.version v WHERE v.version_id = NEW.version_id);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION set_checkpoint_content() IS 'Fills in checkpoint.content';
REVOKE EXECUTE ON FUNCTION set_checkpoint_content() FROM PUBLIC;
CREATE TRIGGER set_content BEFORE INSERT ON checkpoint FOR EACH ROW EXECUTE FUNCTION set_checkpoint_content();

UPDATE checkpoint c SET content = v.content FROM version v WHERE v.version_id = c.version_id;
CREATE INDEX checkpoint_by_content ON checkpoint (content);
