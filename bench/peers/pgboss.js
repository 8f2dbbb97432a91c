// pg-boss on PostgreSQL.
//   pgboss.js enqueue --database URL --texts DIRECTORY --jobs N
//   pgboss.js work --database URL --openai URL --jobs N --concurrency C --connections P
//
// Jobs are fetched and completed in batches by hand: pg-boss's own work() polls at most twice a
// second and finishes a batch before it fetches the next.
import { setTimeout as sleep } from "node:timers/promises";
import { PgBoss } from "pg-boss";
import { meter, openWork, options, paths } from "./work.js";

const QUEUE = "media";
const BATCH = 100;
const [command, ...rest] = process.argv.slice(2);
const o = options(rest);
const boss = new PgBoss({ connectionString: o.database, max: 4, supervise: false, schedule: false });
boss.on("error", (error) => {
  throw error;
});
await boss.start();

async function enqueue() {
  await boss.createQueue(QUEUE, { retryLimit: 5, retryDelay: 1, retryBackoff: true, expireInSeconds: 600 });
  const all = (await paths(o.texts)).slice(0, Number(o.jobs));
  for (let i = 0; i < all.length; i += 1000) {
    await boss.insert(QUEUE, all.slice(i, i + 1000).map((path) => ({ data: { path } })));
  }
}

// Finished jobs are completed together: while one batch is on its way the next one gathers.
function completer() {
  let waiting = [];
  let busy = Promise.resolve();
  let scheduled = false;
  async function flush() {
    scheduled = false;
    const batch = waiting;
    waiting = [];
    await boss.complete(QUEUE, batch.map((w) => w.id));
    for (const w of batch) w.resolve();
  }
  return (id) =>
    new Promise((resolve) => {
      waiting.push({ id, resolve });
      if (scheduled) return;
      scheduled = true;
      busy = busy.then(flush);
    });
}

async function work() {
  const job = openWork({ databaseUrl: o.database, openaiUrl: o.openai, connections: Number(o.connections) });
  const complete = completer();
  const concurrency = Number(o.concurrency);
  let running = 0;
  let wake = () => {};
  let over = false;
  const report = new Promise((resolve) => {
    const m = meter(Number(o.jobs), concurrency, (r) => {
      over = true;
      resolve(r);
    });
    async function run({ id, data }) {
      m.picked();
      await job.handle(data.path);
      await complete(id);
      running--;
      m.done();
      wake();
    }
    async function pump() {
      while (!over) {
        const room = concurrency - running;
        if (room < Math.min(BATCH, concurrency) / 2) {
          await new Promise((r) => (wake = r));
          continue;
        }
        const jobs = await boss.fetch(QUEUE, { batchSize: Math.min(room, BATCH) });
        running += jobs.length;
        for (const one of jobs) run(one);
        if (!jobs.length) await sleep(500);
      }
    }
    pump();
  });
  console.log(JSON.stringify(await report));
  process.exit(0);
}

await { enqueue, work }[command]();
await boss.stop({ graceful: false });
