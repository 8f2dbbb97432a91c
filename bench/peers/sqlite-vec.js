// sqlite-vec, in node:sqlite: brute force over a vec0 table, top 10 by cosine distance.
//   sqlite-vec.js --vectors random|clustered --count N --dimension D --queries Q
import { DatabaseSync } from "node:sqlite";
import * as sqliteVec from "sqlite-vec";
import { options } from "./work.js";

const o = options(process.argv.slice(2));
const [count, dimension, queries] = [o.count, o.dimension, o.queries].map(Number);
const CLUSTERS = 100;
const TOP = 10;

// Nearly Gaussian: twelve uniforms.
let seed = 42;
function uniform() {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 4294967296;
}
const normal = () => uniform() + uniform() + uniform() + uniform() - 2;

function vector(centre) {
  const x = new Float32Array(dimension);
  let square = 0;
  for (let i = 0; i < dimension; i++) {
    x[i] = centre ? centre[i] + 0.5 * normal() : normal();
    square += x[i] * x[i];
  }
  const norm = Math.sqrt(square);
  return x.map((v) => v / norm);
}
const bytes = (x) => new Uint8Array(x.buffer);

const centres = Array.from({ length: CLUSTERS }, () => Float32Array.from({ length: dimension }, normal));
const next = () => vector(o.vectors === "clustered" ? centres[Math.floor(uniform() * CLUSTERS)] : null);

const db = new DatabaseSync(":memory:", { allowExtension: true });
sqliteVec.load(db);
db.exec(`CREATE VIRTUAL TABLE v USING vec0(embedding float[${dimension}] distance_metric=cosine)`);
const insert = db.prepare("INSERT INTO v (rowid, embedding) VALUES (?, ?)");
db.exec("BEGIN");
for (let i = 1; i <= count; i++) insert.run(BigInt(i), bytes(next()));
db.exec("COMMIT");

const search = db.prepare(`SELECT rowid, distance FROM v WHERE embedding MATCH ? AND k = ${TOP}`);
const ms = [];
for (let q = -2; q < queries; q++) {
  const query = bytes(next());
  const start = performance.now();
  const rows = search.all(query);
  if (q >= 0) ms.push(performance.now() - start);
  if (rows.length !== Math.min(TOP, count)) throw new Error("too few rows");
}
ms.sort((a, b) => a - b);
const version = db.prepare("SELECT vec_version() AS v, sqlite_version() AS s").get();
console.log(
  JSON.stringify({ name: "search p50", vectors: o.vectors, count, value: ms[ms.length >> 1], unit: "ms", sqlite_vec: version.v, sqlite: version.s }),
);
