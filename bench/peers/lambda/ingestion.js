// S3's events become rows, each once and in their order, and messages that name the jobs.
import { SendMessageBatchCommand, SQSClient } from "@aws-sdk/client-sqs";
import pg from "pg";

const BATCH = 10;
const sqs = new SQSClient({});
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 2 });

// A sequencer that is not newer than the one that is there is a duplicate, or came late.
const RECORD = {
  name: "record",
  text: `
    WITH taken AS (
      INSERT INTO peer.media (bucket, key, etag, size, sequencer)
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
      ON CONFLICT (bucket, key) DO UPDATE
        SET etag = excluded.etag, size = excluded.size, sequencer = excluded.sequencer
        WHERE media.sequencer < excluded.sequencer
      RETURNING media_id
    )
    INSERT INTO peer.job (media_id) SELECT media_id FROM taken RETURNING job_id`,
};

async function send(jobs) {
  const Entries = jobs.map(({ job_id }, i) => ({ Id: String(i), MessageBody: JSON.stringify({ job_id }) }));
  const reply = await sqs.send(new SendMessageBatchCommand({ QueueUrl: process.env.PEER_QUEUE_URL, Entries }));
  if (reply.Failed?.length) throw new Error(`${reply.Failed.length} messages were not sent`);
}

// A pool connects when it is first used; Aegis does so before it asks for the first event.
export const ready = process.env.PEER_CONNECTS ? pool.query("SELECT 1") : Promise.resolve();

export async function handler(event) {
  const created = (event.Records ?? []).filter((r) => r.eventName?.startsWith("ObjectCreated:"));
  if (created.length === 0) return { batchItemFailures: [], queued: 0 };
  const { rows } = await pool.query({
    ...RECORD,
    values: [
      created.map((r) => r.s3.bucket.name),
      created.map((r) => decodeURIComponent(r.s3.object.key.replaceAll("+", " "))),
      created.map((r) => r.s3.object.eTag),
      created.map((r) => r.s3.object.size),
      created.map((r) => r.s3.object.sequencer.padStart(32, "0")),
    ],
  });
  for (let at = 0; at < rows.length; at += BATCH) await send(rows.slice(at, at + BATCH));
  return { batchItemFailures: [], queued: rows.length };
}
