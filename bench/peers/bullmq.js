// BullMQ on Redis.
//   bullmq.js enqueue --redis URL --texts DIRECTORY --jobs N
//   bullmq.js work --redis URL --database URL --openai URL --jobs N --concurrency C --connections P
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { meter, openWork, options, paths } from "./work.js";

const QUEUE = "media";
const [command, ...rest] = process.argv.slice(2);
const o = options(rest);
const connection = new Redis(o.redis, { maxRetriesPerRequest: null });

async function enqueue() {
  const queue = new Queue(QUEUE, { connection });
  const all = (await paths(o.texts)).slice(0, Number(o.jobs));
  const opts = { attempts: 5, backoff: { type: "exponential", delay: 1000 }, removeOnComplete: true };
  for (let i = 0; i < all.length; i += 1000) {
    await queue.addBulk(all.slice(i, i + 1000).map((path) => ({ name: "media", data: { path }, opts })));
  }
  await queue.close();
}

async function work() {
  const job = openWork({ databaseUrl: o.database, openaiUrl: o.openai, connections: Number(o.connections) });
  const report = await new Promise((resolve, reject) => {
    const m = meter(Number(o.jobs), Number(o.concurrency), resolve);
    const worker = new Worker(
      QUEUE,
      async ({ data }) => {
        m.picked();
        await job.handle(data.path);
      },
      { connection, concurrency: Number(o.concurrency), lockDuration: 120_000, stalledInterval: 120_000 },
    );
    worker.on("completed", () => m.done());
    worker.on("failed", (_, error) => reject(error));
    worker.on("error", reject);
  });
  console.log(JSON.stringify(report));
  process.exit(0); // jobs are done and acknowledged; nothing to wait for
}

await { enqueue, work }[command]();
await connection.quit();
