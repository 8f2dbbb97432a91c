// A program of somebody else on Aegis's PostgreSQL, as docs/prisma.md shows it; test_prisma_postgres.sh has
// filled the database.
import assert from "node:assert/strict";
import { test, after } from "node:test";
import { PrismaPg } from "@prisma/adapter-pg";
import { Prisma, PrismaClient } from "./generated/aegis/client.ts";

const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL });
const prisma = new PrismaClient({ adapter });
after(() => prisma.$disconnect());

test("media with what belongs to them", async () => {
  const media = await prisma.media.findMany({
    where: { removed: false, collection: "talks" },
    orderBy: { key: "asc" },
    include: { result: { include: { segments: { orderBy: { ordinal: "asc" } } } }, versions: true },
  });
  assert.deepEqual(media.map((m) => m.key), ["one.mp3", "two.mp3"]);
  assert.equal(media[0].media_id, 1n);
  assert.equal(media[0].cost_nanousd, 5_000_000_000n);
  assert.deepEqual(media[0].result?.segments.map((s) => [s.start_ms, s.text]), [[0n, "Good morning."], [1500n, "Bees dance."]]);
  assert.equal(Buffer.from(media[0].result!.content).toString("hex"), "ab".repeat(32));
  assert.equal(media[0].versions[0].size, 12345678901n);
  assert.equal(media[1].result, null);
});

test("the unique key of a medium", async () => {
  const m = await prisma.media.findUnique({ where: { bucket_key: { bucket: "in", key: "two.mp3" } } });
  assert.equal(m?.media_id, 2n);
  assert.equal(await prisma.media.count({ where: { removed: true } }), 1);
});

test("views", async () => {
  const shown = await prisma.media_view.findMany({ orderBy: { media_id: "asc" } });
  assert.deepEqual(shown.map((m) => [m.key, m.state]), [["one.mp3", "succeeded"], ["two.mp3", "dead"]]);
  assert.equal(shown[0].cost_usd?.toString(), "5");
  assert.equal(shown[0].uploaded_at?.toISOString(), "2026-01-02T03:04:05.678Z");
  const dead = await prisma.dead_letters.findFirst();
  assert.deepEqual([dead?.reason, dead?.attempts], ["unreadable", 3]);
  const history = await prisma.job_history.findMany({ where: { key: "two.mp3" }, orderBy: { ordinal: "asc" } });
  assert.deepEqual(history.map((h) => h.outcome), ["retry", "dead"]);
  const cost = await prisma.daily_cost.findMany({ where: { collection: "talks" } });
  assert.deepEqual(cost.map((c) => [c.day?.toISOString().slice(0, 10), c.calls, c.cost_usd?.toString()]),
    [["2026-01-02", 7n, "0.5"]]); // two slots of one day are one row
});

test("search by meaning", async () => {
  const space = await prisma.embedding_space.findFirstOrThrow({ where: { model: "test", dimension: 3 } });
  const table = Prisma.raw(`aegis.embedding_${space.space_id}`);
  const near = "[0,0.8,0.6]";
  type Hit = { key: string; text: string; start_ms: bigint; distance: number };
  const hits = await prisma.$queryRaw<Hit[]>`
    SELECT m.key, c.text, c.start_ms, e.embedding <=> ${near}::halfvec AS distance
    FROM ${table} e
    JOIN aegis.chunk c ON c.chunk_id = e.chunk_id
    JOIN aegis.media m ON m.result_id = e.result_id
    WHERE NOT m.removed
    ORDER BY e.embedding <=> ${near}::halfvec
    LIMIT 2`;
  assert.deepEqual(hits.map((h) => [h.key, h.text, h.start_ms]),
    [["one.mp3", "Bees dance.", 1500n], ["one.mp3", "Bees sleep.", 4000n]]);
  assert.ok(Math.abs(hits[0].distance - 0.2) < 1e-3, `${hits[0].distance}`);
  assert.ok(Math.abs(hits[1].distance - 0.4) < 1e-3, `${hits[1].distance}`);
});

test("a transaction is rolled back", async () => {
  const failed = prisma.$transaction(async (tx) => {
    await tx.life_event.create({ data: { at_ms: 1n, type: 1, detail: "{}" } });
    assert.equal(await tx.life_event.count(), 1);
    throw new Error("no");
  });
  await assert.rejects(failed, /no/);
  assert.equal(await prisma.life_event.count(), 0);
});
