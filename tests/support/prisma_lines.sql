-- The lines that src/database/schema.prisma must have for the schema "aegis" of this database, read from
-- the catalogue: block, kind of block, line, what the column is for. test_postgres_prisma compares.
WITH relation AS (
    SELECT oid, relname::text AS name, CASE relkind WHEN 'v' THEN 'view' ELSE 'model' END AS kind
    FROM pg_class
    WHERE relnamespace = 'aegis'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
), key AS (
    SELECT i.indrelid AS oid, i.indisprimary AS first, i.indexrelid::regclass::text AS name,
           (SELECT array_agg(a.attname::text ORDER BY k.at)
            FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k(number, at)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number) AS columns
    FROM pg_index i
    JOIN relation r ON r.oid = i.indrelid
    WHERE i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
), type (sql, prisma, native) AS (VALUES
    ('bigint', 'BigInt', ''), ('integer', 'Int', ''), ('smallint', 'Int', ' @db.SmallInt'),
    ('boolean', 'Boolean', ''), ('text', 'String', ''), ('bytea', 'Bytes', ''),
    ('numeric', 'Decimal', ' @db.Decimal'), ('date', 'DateTime', ' @db.Date'),
    ('timestamp with time zone', 'DateTime', ' @db.Timestamptz(6)')
), line AS (
    SELECT r.name AS block, r.kind, a.attnum AS at,
           a.attname || ' ' || coalesce(t.prisma, 'Unsupported("' || format_type(a.atttypid, a.atttypmod) || '")')
           || CASE WHEN a.attnotnull THEN '' ELSE '?' END
           || CASE WHEN EXISTS (SELECT FROM key k WHERE k.oid = r.oid AND k.first AND k.columns = ARRAY[a.attname::text])
              THEN ' @id' ELSE '' END
           || CASE
              WHEN a.attidentity <> '' THEN ' @default(autoincrement())'
              WHEN d.value IS NULL THEN ''
              WHEN d.value ~ '^(-?\d+|true|false)$' THEN ' @default(' || d.value || ')'
              WHEN d.value ~ '^''-?\d+''::(big|small)?int(eger)?$' THEN ' @default(' || split_part(d.value, '''', 2) || ')'
              WHEN d.value IN ('''''::text', '''\x''::bytea') THEN ' @default("")'
              WHEN d.value = 'now()' THEN ' @default(now())'
              ELSE ' @default(dbgenerated(' || to_json(d.value) || '))' END
           || CASE WHEN EXISTS (SELECT FROM key k WHERE k.oid = r.oid AND NOT k.first
                                AND k.columns = ARRAY[a.attname::text]) THEN ' @unique' ELSE '' END
           || coalesce(t.native, '') AS line,
           col_description(r.oid, a.attnum) AS comment
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN type t ON t.sql = format_type(a.atttypid, NULL)
    LEFT JOIN LATERAL (SELECT pg_get_expr(adbin, adrelid) AS value FROM pg_attrdef
                       WHERE adrelid = r.oid AND adnum = a.attnum) d ON true
    UNION ALL
    SELECT r.name, r.kind, 10000, '@@id([' || array_to_string(k.columns, ', ') || '])', NULL
    FROM relation r JOIN key k USING (oid) WHERE k.first AND cardinality(k.columns) > 1
    UNION ALL
    SELECT r.name, r.kind, 10001, '@@unique([' || array_to_string(k.columns, ', ') || '], map: "'
           || regexp_replace(k.name, '^.*\.', '') || '")', NULL
    FROM relation r JOIN key k USING (oid) WHERE NOT k.first AND cardinality(k.columns) > 1
    UNION ALL
    SELECT r.name, r.kind, 0, r.kind || ' ' || r.name, obj_description(r.oid, 'pg_class') FROM relation r
    UNION ALL
    SELECT r.name, r.kind, 10002, '@@schema("aegis")', NULL FROM relation r
)
SELECT block, kind, line, coalesce(comment, '') AS comment FROM line ORDER BY kind, block, at
