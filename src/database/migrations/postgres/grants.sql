-- What each role may do: exactly this. It is run again after every migration and takes away what an
-- earlier version gave. All roles exist, the schema too.
REVOKE ALL ON ALL TABLES IN SCHEMA aegis FROM aegis_ingest, aegis_process, aegis_read;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA aegis FROM aegis_ingest, aegis_process, aegis_read;
REVOKE ALL ON ALL ROUTINES IN SCHEMA aegis FROM aegis_ingest, aegis_process, aegis_read;
REVOKE ALL ON SCHEMA aegis FROM PUBLIC, aegis_ingest, aegis_process, aegis_read;
GRANT USAGE ON SCHEMA aegis TO aegis_ingest, aegis_process, aegis_read;

-- Everyone sees everything but contents: those are for process and read.
GRANT SELECT ON ALL TABLES IN SCHEMA aegis TO aegis_process, aegis_read;
GRANT SELECT ON aegis.schema_migration, aegis.media, aegis.version, aegis.job, aegis.attempt, aegis.life_event,
    aegis.result, aegis.total, aegis.pipeline, aegis.garbage, aegis.result_space, aegis.serving_space
    TO aegis_ingest;

-- ingest: an upload becomes a medium, a version and a job; a removal takes the result out of sight.
GRANT INSERT, UPDATE ON aegis.media, aegis.version, aegis.job, aegis.total TO aegis_ingest;
GRANT SELECT, INSERT, UPDATE ON aegis.space_total TO aegis_ingest;
GRANT INSERT ON aegis.attempt, aegis.life_event, aegis.garbage TO aegis_ingest;
GRANT UPDATE ON aegis.result TO aegis_ingest;

-- process: all rows, but not the record of the schema.
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA aegis TO aegis_process;
REVOKE INSERT, UPDATE, DELETE ON aegis.schema_migration FROM aegis_process;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA aegis TO aegis_process, aegis_ingest;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA aegis TO aegis_process;

-- read: what its own questions cost is recorded, for no medium.
GRANT INSERT ON aegis.model_call, aegis.usage_day TO aegis_read;
GRANT UPDATE (calls, input_tokens, cached_tokens, output_tokens, audio_ms, cost_nanousd, unpriced_calls)
    ON aegis.usage_day TO aegis_read;
GRANT UPDATE (cost_nanousd, unpriced_calls) ON aegis.total TO aegis_read;
GRANT USAGE ON SEQUENCE aegis.model_call_call_id_seq TO aegis_read;

-- The queue is used through functions that run with its owner's rights: ingest sends, process may call
-- all of them, read sees how long it is. Where claims begin is the functions' to say.
REVOKE ALL ON SEQUENCE aegis.queue_head, aegis.queue_due, aegis.queue_front, aegis.queue_waiting
    FROM aegis_ingest, aegis_process;
GRANT EXECUTE ON FUNCTION aegis.queue_send(text[], text[], bigint[], bigint) TO aegis_ingest;
GRANT EXECUTE ON FUNCTION aegis.queue_stats(bigint) TO aegis_read, aegis_ingest;
