-- The roles of Aegis: groups without login. Roles belong to the whole server, not to one database.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['aegis_migrate', 'aegis_ingest', 'aegis_process', 'aegis_read'] LOOP
        IF to_regrole(name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- made from another database at the same moment
            END;
        END IF;
    END LOOP;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO aegis_migrate, aegis_ingest, aegis_process, aegis_read',
                   current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO aegis_migrate', current_database());
END $$;

-- What was made before the roles were becomes aegis_migrate's: the schema and everything in it.
DO $$
DECLARE
    item record;
BEGIN
    IF to_regnamespace('aegis') IS NULL THEN
        RETURN;
    END IF;
    FOR item IN
        SELECT c.relname AS name,
               CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                              ELSE 'TABLE' END AS kind
        FROM pg_class c
        WHERE c.relnamespace = to_regnamespace('aegis') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
          AND c.relowner <> to_regrole('aegis_migrate')
          -- the sequence of an identity column follows its table
          AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid
                   AND d.classid = 'pg_class'::regclass AND d.deptype IN ('i', 'a')))
    LOOP
        EXECUTE format('ALTER %s aegis.%I OWNER TO aegis_migrate', item.kind, item.name);
    END LOOP;
    FOR item IN
        SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = to_regnamespace('aegis') AND p.proowner <> to_regrole('aegis_migrate')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO aegis_migrate', item.name);
    END LOOP;
    ALTER SCHEMA aegis OWNER TO aegis_migrate;
END $$;
