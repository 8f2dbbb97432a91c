// Messages of SQS become results: fetch, summarise, embed, store in one transaction. What fails is reported.
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import OpenAI from "openai";
import pg from "pg";

const CHUNKS = 3;
const SUMMARY_MODEL = "gpt-5.4-mini";
const EMBEDDING_MODEL = "text-embedding-3-small";

const s3 = new S3Client({ forcePathStyle: true });
const openai = new OpenAI(); // OPENAI_API_KEY, OPENAI_BASE_URL
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });

const strings = { type: "array", items: { type: "string" } };
const properties = {
  title: { type: "string" },
  abstract: { type: "string" },
  key_points: strings,
  topics: strings,
  entities: strings,
  action_items: strings,
  language: { type: "string" },
};
const response_format = {
  type: "json_schema",
  json_schema: {
    name: "summary",
    strict: true,
    schema: { type: "object", properties, required: Object.keys(properties), additionalProperties: false },
  },
};

const CLAIM = {
  name: "claim",
  text: `
    UPDATE peer.job j SET state = 'running', attempts = attempts + 1 FROM peer.media m
    WHERE j.job_id = $1 AND j.state <> 'done' AND m.media_id = j.media_id RETURNING m.media_id, m.bucket, m.key`,
};

// One statement is one transaction and one round trip.
const STORE = {
  name: "store",
  text: `
    WITH s AS (
      INSERT INTO peer.summary (media_id, digest, model, body) VALUES ($1, $2, $3, $4::jsonb)
      ON CONFLICT (media_id) DO UPDATE SET digest = excluded.digest, model = excluded.model, body = excluded.body
    ), c AS (
      INSERT INTO peer.chunk (media_id, ordinal, text, embedding)
      SELECT $1, ordinal - 1, text, embedding::halfvec
      FROM unnest($5::text[], $6::text[]) WITH ORDINALITY AS c (text, embedding, ordinal)
      ON CONFLICT (media_id, ordinal) DO UPDATE SET text = excluded.text, embedding = excluded.embedding
    )
    UPDATE peer.job SET state = 'done', finished_at = now() WHERE job_id = $7`,
};

function cut(text) {
  const size = Math.ceil(text.length / CHUNKS);
  return Array.from({ length: CHUNKS }, (_, i) => text.slice(i * size, (i + 1) * size));
}

async function summarise(text) {
  const reply = await openai.chat.completions.create({
    model: SUMMARY_MODEL,
    response_format,
    messages: [
      { role: "system", content: "Summarise the text." },
      { role: "user", content: text },
    ],
  });
  return JSON.parse(reply.choices[0].message.content);
}

async function embed(chunks) {
  const reply = await openai.embeddings.create({ model: EMBEDDING_MODEL, input: chunks });
  return reply.data.map((item) => JSON.stringify(item.embedding));
}

async function work(record) {
  const { job_id } = JSON.parse(record.body);
  const { rows } = await pool.query({ ...CLAIM, values: [job_id] });
  if (rows.length === 0) return; // done already
  const { media_id, bucket, key } = rows[0];
  const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  const text = await object.Body.transformToString();
  const chunks = cut(text);
  const summary = await summarise(text);
  const vectors = await embed(chunks);
  const digest = createHash("sha256").update(text).digest();
  await pool.query({
    ...STORE,
    values: [media_id, digest, SUMMARY_MODEL, JSON.stringify(summary), chunks, vectors, job_id],
  });
}

// A pool connects when it is first used; Aegis does so before it asks for the first event.
export const ready = process.env.PEER_CONNECTS ? pool.query("SELECT 1") : Promise.resolve();

export async function handler(event) {
  const outcomes = await Promise.allSettled(event.Records.map(work));
  const batchItemFailures = [];
  outcomes.forEach((outcome, i) => {
    if (outcome.status === "fulfilled") return;
    console.error(JSON.stringify({ level: "error", message: String(outcome.reason) }));
    batchItemFailures.push({ itemIdentifier: event.Records[i].messageId });
  });
  return { batchItemFailures };
}
