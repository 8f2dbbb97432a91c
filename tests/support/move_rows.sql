-- Random rows in every table of the embedded schema, for test_move_postgres, which makes these functions:
-- r(n) is 0 to n - 1, big() a number as large as both engines take, words(n) a text of up to n pieces with
-- all that is awkward in them, half(d) d numbers in half precision, bytes(n) n bytes.
-- Ids have gaps, and NULL is wherever it may be.
INSERT INTO name (text) VALUES ('b'), ('ä/ö'), ('talks'), ('audio'), ('en'), ('de'), ('p'), ('m'), ('Z'), ('a');
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
    INSERT INTO name (text) SELECT lower(hex(bytes(32))) FROM n;
INSERT INTO facet VALUES (1, 3, 0, 0), (2, 3, 4, 5), (3, 2, 4, 0);
INSERT INTO embedding_space (space_id, provider, model, revision, dimension, chunks) VALUES (2, 'p', 'm', '', 3, 0), (7, 'p', 'm', '1', 1536, 0), (8, 'p', 'm', '2', 5, 0);
CREATE TABLE n AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n;

INSERT INTO media SELECT 3 * i, 1 + r(2), 1 + r(3), big(), big(), CASE r(2) WHEN 1 THEN 1 + r(60) END, r(2), big(), big(),
    big(), r(1000000000), r(5), words(3), 'k' || i || words(9) FROM n WHERE i <= 2500;
INSERT INTO version SELECT i, r(4000), big(), r(100) - 1, CASE r(2) WHEN 1 THEN bytes(32) END, words(3), words(3), words(3)
    FROM n WHERE i <= 1000;
INSERT INTO job SELECT i * 2, i, i, 4 + r(3), r(9), r(9), r(9), big(), big(), big(), 0, 0, 0, NULL, bytes(16), words(4),
    words(4), words(4), words(9) FROM n WHERE i <= 1000;
INSERT INTO attempt SELECT i / 3, i % 3, r(9), 1 + r(6), big(), big(), words(4), words(4), words(4), words(4), words(4)
    FROM n WHERE i <= 900;
INSERT INTO life_event SELECT i * 3 + r(2), big(), 1 + r(10), big(), big(), r(9), CASE r(2) WHEN 1 THEN bytes(16) END,
    CASE r(2) WHEN 1 THEN words(9) END FROM n;
INSERT INTO checkpoint SELECT i, bytes(32), r(20), r(3), big(), bytes(r(3000)) FROM n WHERE i <= 200;
-- the number before a checkpoint is that of its digest
UPDATE checkpoint SET checkpoint_id = key(digest) & 9223372036854775807;
INSERT INTO result SELECT i, r(3), 0, 11 + r(12), r(9), CASE r(4) WHEN 0 THEN 0 ELSE 2 END, r(50), r(50), 4 * r(2), 5 * r(2),
    r(4), r(2), big(), big(), r(1001), bytes(32), words(2), words(9), words(9), words(9),
    CASE r(2) WHEN 1 THEN words(9) END, big(), r(1000) - 1, CASE r(2) WHEN 1 THEN big() ELSE 0 END FROM n WHERE i <= 60;
UPDATE result SET content_key = key(content);
UPDATE result SET space_id = CASE result_id % 4 WHEN 1 THEN 2 WHEN 2 THEN 7 WHEN 3 THEN 8 ELSE 0 END;
-- runs of 1 to 9 chunks, of no space or one of three, which is their result's
INSERT INTO chunk_run SELECT 10 * i, i % 4 + 4 * r(14), r(100000), 1 + i % 9, CASE i % 4 WHEN 1 THEN 2 WHEN 2 THEN 7 WHEN 3 THEN 8 ELSE 0 END,
    CASE i % 4 WHEN 1 THEN half((1 + i % 9) * 3) WHEN 2 THEN half((1 + i % 9) * 1536) WHEN 3 THEN half((1 + i % 9) * 5) END
    FROM n WHERE i <= 120;
-- and further spaces of all chunks of a run, or of some
INSERT INTO space_run (first_chunk, count, space_id, vectors) SELECT first_chunk, count, 7, half(count * 1536) FROM chunk_run
    WHERE space_id = 2;
INSERT INTO space_run (first_chunk, count, space_id, vectors) SELECT first_chunk + 1, count - 1, 8, half((count - 1) * 5)
    FROM chunk_run WHERE space_id = 2 AND count > 1;
INSERT INTO space_run (first_chunk, count, space_id, vectors) SELECT first_chunk, 1, 2, half(3) FROM chunk_run WHERE space_id = 7;
INSERT INTO result_space SELECT i, 7, 1 + r(9) FROM n WHERE i <= 20;
UPDATE serving_space SET space_id = 7;
INSERT INTO chunk SELECT first_chunk + i - 1, result_id, r(5) - 1, r(5) - 1, big(), words(30) FROM chunk_run JOIN n ON i <= count;
INSERT INTO segment SELECT i % 50, i / 50, big(), big(), words(2), words(12) FROM n WHERE i <= 2000;
INSERT INTO garbage SELECT i * 7, 1 + r(2), big(), big() FROM n WHERE i <= 9;
INSERT INTO model_call SELECT r(300), i, r(9), big(), 3 * r(2), 7, 8 + r(3), r(4), r(1000), r(1000), r(1000), big(),
    r(1000000) - 1, big(), r(600) FROM n;
INSERT OR IGNORE INTO usage_day SELECT r(20), 3 * r(2), 7 + r(4), 7 + r(4), r(4), r(9000), r(9000), r(9000), r(9000), r(9000),
    r(1000000), r(9) FROM n WHERE i <= 500;
UPDATE pipeline SET reason = 'budget', message = words(9), since_ms = big();
UPDATE ledger SET next_media = 90001, next_version = 90002, next_job = 90003, next_result = 90004, next_chunk = 90005, next_call = 90006;
DROP TABLE n;
