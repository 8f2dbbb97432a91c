-- A few rows: one.mp3 is done, two.mp3 is dead, three.mp3 was removed.
SET search_path = aegis, public;
INSERT INTO media (media_id, version_id, job_id, result_id, uploaded_ms, published_ms, event_ms, cost_nanousd, removed, bucket, key, collection, kind, language) VALUES
    (1, 1, 1, 1, 1767323045678, 1767323050000, 1767323045678, 5000000000, false, 'in', 'one.mp3', 'talks', 'audio', 'en'),
    (2, 2, 2, NULL, 1767323046000, 0, 1767323046000, 0, false, 'in', 'two.mp3', 'talks', '', ''),
    (3, 3, 0, NULL, 1767323047000, 0, 1767323048000, 0, true, 'in', 'three.mp3', 'talks', '', '');
INSERT INTO version (version_id, media_id, event_ms, size, content) VALUES
    (1, 1, 1767323045678, 12345678901, decode(repeat('ab', 32), 'hex')), (2, 2, 1767323046000, 7, NULL),
    (3, 3, 1767323047000, 7, NULL);
INSERT INTO job (job_id, media_id, version_id, queued_ms, wake_ms, attempt, ordinal, state, trace, stage, reason, message) VALUES
    (1, 1, 1, 1767323045700, 0, 1, 1, 4, '\x00112233445566778899aabbccddeeff', '', '', ''),
    (2, 2, 2, 1767323046100, 0, 3, 2, 5, '\x00112233445566778899aabbccddee00', 'extract', 'unreadable', 'no');
INSERT INTO attempt (job_id, ordinal, attempt, started_ms, ended_ms, outcome) VALUES
    (1, 1, 1, 1767323045800, 1767323050000, 1), (2, 1, 1, 1767323046200, 1767323046300, 2), (2, 2, 3, 1767323046400, 1767323046500, 3);
INSERT INTO embedding_space (space_id, provider, model, revision, dimension) VALUES (4, 'test', 'test', '1', 3);
SELECT open_embedding_space(4);
INSERT INTO result (result_id, space_id, chunk_count, segment_count, duration_ms, state, content, settings, text_settings) VALUES
    (1, 4, 3, 2, 6000, 1, decode(repeat('ab', 32), 'hex'), '\x01', '\x02');
INSERT INTO segment (result_id, ordinal, start_ms, end_ms, text) VALUES (1, 0, 0, 1500, 'Good morning.'), (1, 1, 1500, 4000, 'Bees dance.');
INSERT INTO chunk (chunk_id, result_id, ordinal, start_ms, end_ms, byte_offset, text, words) VALUES
    (1, 1, 0, 0, 1500, 0, 'Good morning.', to_tsvector('simple', 'good morning')),
    (2, 1, 1, 1500, 4000, 14, 'Bees dance.', to_tsvector('simple', 'bees dance')),
    (3, 1, 2, 4000, 6000, 26, 'Bees sleep.', to_tsvector('simple', 'bees sleep'));
INSERT INTO embedding_4 VALUES (1, 1, '[1,0,0]'), (2, 1, '[0,1,0]'), (3, 1, '[0,0,1]');
INSERT INTO usage_day (day, slot, operation, collection, provider, model, calls, cost_nanousd) VALUES
    (20455, 0, 0, 'talks', 'test', 'test', 3, 200000000), (20455, 9, 0, 'talks', 'test', 'test', 4, 300000000);
