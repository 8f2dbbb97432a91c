// One job: read a text, cut it into three chunks, summarise, embed, store everything in one
// transaction. Shared by the peers; they differ in the queue only.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import OpenAI from "openai";
import pg from "pg";
import { Agent, fetch } from "undici";

const CHUNKS = 3;
const SUMMARY_MODEL = "gpt-5.4-mini";
const EMBEDDING_MODEL = "text-embedding-3-small";

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

// One statement is one transaction and one round trip.
const STORE = {
  name: "store",
  text: `
    WITH m AS (
      INSERT INTO media (path, digest, size) VALUES ($1, $2, $3)
      ON CONFLICT (path) DO UPDATE SET digest = excluded.digest, size = excluded.size
      RETURNING id
    ), s AS (
      INSERT INTO summary (media_id, model, body) SELECT id, $4, $5::jsonb FROM m
      ON CONFLICT (media_id) DO UPDATE SET model = excluded.model, body = excluded.body
    )
    INSERT INTO chunk (media_id, ordinal, text, embedding)
    SELECT m.id, c.ordinal, c.text, c.embedding FROM m, (VALUES
      (0, $6::text, $7::halfvec), (1, $8::text, $9::halfvec), (2, $10::text, $11::halfvec)
    ) AS c (ordinal, text, embedding)
    ON CONFLICT (media_id, ordinal) DO UPDATE SET text = excluded.text, embedding = excluded.embedding`,
};

function cut(text) {
  const size = Math.ceil(text.length / CHUNKS);
  return Array.from({ length: CHUNKS }, (_, i) => text.slice(i * size, (i + 1) * size));
}

// base64 of float32 becomes halfvec's binary form (int16 dimension, int16 zero, big-endian float16),
// without an array of numbers or decimal text in between.
function halfvec(base64) {
  const bytes = Buffer.from(base64, "base64");
  const floats = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const halves = Buffer.from(new Uint8Array(Float16Array.from(floats).buffer)).swap16();
  const header = Buffer.alloc(4);
  header.writeInt16BE(floats.length);
  return Buffer.concat([header, halves]);
}

export function openWork({ databaseUrl, openaiUrl, connections }) {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: connections });
  const dispatcher = new Agent({ keepAliveTimeout: 60_000, connections: null });
  const openai = new OpenAI({
    apiKey: "key",
    baseURL: openaiUrl,
    fetch: (url, init) => fetch(url, { ...init, dispatcher }),
  });

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
    const reply = await openai.embeddings.create({ model: EMBEDDING_MODEL, input: chunks, encoding_format: "base64" });
    return reply.data.map((item) => halfvec(item.embedding));
  }

  async function handle(path) {
    const bytes = await readFile(path);
    const text = bytes.toString("utf8");
    const chunks = cut(text);
    const summary = await summarise(text);
    const vectors = await embed(chunks);
    const digest = createHash("sha256").update(bytes).digest();
    const rows = chunks.flatMap((chunk, i) => [chunk, vectors[i]]);
    await pool.query({
      ...STORE,
      values: [path, digest, bytes.length, SUMMARY_MODEL, JSON.stringify(summary), ...rows],
    });
  }

  async function close() {
    await pool.end();
    await dispatcher.close();
  }
  return { handle, close };
}

// Counts jobs; says when the first was picked and how fast all were done. The steady rate leaves out
// the first and the last `skip` jobs to finish; null if there are not so many.
export function meter(wanted, skip, finished) {
  let first = 0;
  let done = 0;
  let from = 0;
  let to = 0;
  return {
    picked() {
      first ||= performance.now();
    },
    done() {
      done++;
      if (done === skip) from = performance.now();
      if (done === wanted - skip) to = performance.now();
      if (done < wanted) return;
      const seconds = (performance.now() - first) / 1000;
      finished({
        jobs: done,
        seconds,
        jobs_per_second: done / seconds,
        steady_jobs_per_second: wanted > 2 * skip ? ((wanted - 2 * skip) * 1000) / (to - from) : null,
        first_job_at_ms: performance.timeOrigin + first,
        peak_rss_mib: process.resourceUsage().maxRSS / 1024,
      });
    },
  };
}

// --name value ...
export function options(argv) {
  const out = {};
  for (let i = 0; i < argv.length; i += 2) out[argv[i].slice(2)] = argv[i + 1];
  return out;
}

export async function paths(directory) {
  const { readdir } = await import("node:fs/promises");
  return (await readdir(directory)).sort().map((name) => `${directory}/${name}`);
}
