// The queues of pg-boss and graphile-worker alone: jobs that do nothing.
//   queues.js graphile|pgboss --database URL --jobs N --batch N --body BYTES [--backlog N] [--hold yes]
//
// --backlog: so many jobs lie on the queue that are not worked on. --hold: another session holds a
// snapshot that is older than all of it. One process; graphile-worker in its batched mode with the
// settings of its own benchmark, pg-boss fetched and completed in batches by four loops at once.
import pg from "pg";
import { PgBoss } from "pg-boss";
import { makeWorkerUtils, runMigrations, run, Logger } from "graphile-worker";
import { options } from "./work.js";

const NAME = "nothing";
const LOOPS = 4;
const [peer, ...rest] = process.argv.slice(2);
const o = options(rest);
const jobs = Number(o.jobs);
const batch = Number(o.batch);
const backlog = Number(o.backlog ?? 0);
const body = "x".repeat(Number(o.body));

function batches(total, one) {
  return Array.from({ length: Math.ceil(total / batch) }, (_, i) =>
    Array.from({ length: Math.min(batch, total - i * batch) }, () => one),
  );
}

async function hold() {
  const client = new pg.Client({ connectionString: o.database });
  await client.connect();
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  await client.query("SELECT count(*) FROM pg_class");
}

async function timed(n, f) {
  const start = performance.now();
  await f();
  return (n * 1000) / (performance.now() - start);
}

const silent = new Logger(() => () => {});

const graphile = {
  async open() {
    await runMigrations({ connectionString: o.database, logger: silent });
    this.utils = await makeWorkerUtils({ connectionString: o.database, logger: silent });
  },
  async add(n) {
    for (const some of batches(n, { identifier: NAME, payload: { body } })) await this.utils.addJobs(some);
  },
  // The official benchmark's preset: a local queue of 500, completions gathered, 24 at a time.
  async work() {
    let left = jobs;
    let over;
    const done = new Promise((resolve) => (over = resolve));
    const runner = await run({
      logger: silent,
      noHandleSignals: true,
      taskList: {
        [NAME]: async () => {
          if (--left === 0) over();
        },
      },
      preset: {
        worker: {
          connectionString: o.database,
          concurrentJobs: 24,
          maxPoolSize: 25,
          pollInterval: 2000,
          localQueue: { size: batch },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
    await done;
    if (!backlog) await runner.stop(); // completions are written
  },
};

const pgboss = {
  async open() {
    this.boss = new PgBoss({ connectionString: o.database, max: LOOPS + 1, supervise: false, schedule: false });
    await this.boss.start();
    await this.boss.createQueue(NAME, { retryLimit: 5, expireInSeconds: 600 });
  },
  async add(n) {
    for (const some of batches(n, { data: { body } })) await this.boss.insert(NAME, some);
  },
  async work() {
    let left = jobs;
    const loop = async () => {
      while (left > 0) {
        const want = Math.min(left, batch);
        left -= want;
        for (let got = 0; got < want; ) {
          const some = await this.boss.fetch(NAME, { batchSize: want - got });
          if (some.length) await this.boss.complete(NAME, some.map((job) => job.id));
          got += some.length;
        }
      }
    };
    await Promise.all(Array.from({ length: LOOPS }, loop));
  },
};

const queue = { graphile, pgboss }[peer];
await queue.open();
if (o.hold) await hold();
if (backlog) await queue.add(backlog);
const enqueued = await timed(jobs, () => queue.add(jobs));
const processed = await timed(jobs, () => queue.work());
console.log(JSON.stringify({ enqueued, processed }));
process.exit(0);
