// What anything may do is written down in allowed-actions.json: a change of rights is a change of that
// file, which somebody reads. After a change that is meant: UPDATE_ACTIONS=1 scripts/infrastructure.sh test
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { actionsOf } from "./actions.ts";
import { full, standard } from "./synthesize.ts";

const FILE = join(import.meta.dirname, "allowed-actions.json");

test("roles and policies have the actions of allowed-actions.json and no others", () => {
  const found = actionsOf(full());
  if (process.env.UPDATE_ACTIONS) writeFileSync(FILE, JSON.stringify(found, null, 2) + "\n");
  assert.deepEqual(found, JSON.parse(readFileSync(FILE, "utf8")));
});

test("no role has an action with a star", () => {
  const stars = Object.entries(actionsOf(standard())).flatMap(([who, what]) =>
    what.filter((one) => /^allow \S*\*/.test(one)).map((one) => `${who}: ${one}`),
  );
  // A key without it could never be changed or removed again.
  assert.deepEqual(stars, ["monitoring/Key: allow kms:* to this account"]);
});

test("what may be done to anything has no resource to name", () => {
  const anywhere = new Set(
    Object.values(actionsOf(standard())).flat().filter((one) => one.startsWith("allow") && one.endsWith(" on *")).map((one) => one.split(" ")[1]),
  );
  for (const action of anywhere) assert.match(action, /^(ec2:|xray:|ecr:GetAuthorizationToken$)/);
});

test("only the processor and the workers can read the key for OpenAI", () => {
  const readers = Object.entries(actionsOf(standard())).filter(([, what]) => what.includes("allow secretsmanager:GetSecretValue on OpenAi"));
  assert.deepEqual(readers.map(([who]) => who), ["functions/ProcessorRole", "worker/Task/TaskRole"]);
});

test("nobody but AWS's rotation can change a secret", () => {
  for (const [who, what] of Object.entries(actionsOf(standard())))
    for (const one of what.filter((line) => line.startsWith("allow secretsmanager:")))
      assert.match(one, /^allow secretsmanager:(GetSecretValue|DescribeSecret) on /, who);
});
