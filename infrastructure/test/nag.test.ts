import assert from "node:assert/strict";
import { test } from "node:test";
import { Stack, Validations } from "aws-cdk-lib";
import { Bucket } from "aws-cdk-lib/aws-s3";
import { deployment } from "../lib/deployment.ts";
import { findings, standard } from "./synthesize.ts";

test("AwsSolutions has no finding that is not accepted", () => {
  assert.deepEqual(findings((app) => void deployment(app)), []);
});

test("nor with the other settings", () => {
  const other = { natGateways: 0, databaseProxy: true, databaseMultiAz: true, architecture: "arm64", alarmEmail: "ops@example.com" };
  assert.deepEqual(findings((app) => void deployment(app), other), []);
});

test("what is accepted is exact and has a reason", () => {
  const accepted = standard()
    .stacks()
    .flatMap((stack) => stack.node.findAll())
    .flatMap((one) => one.node.metadata.filter((entry) => entry.type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY))
    .flatMap((entry) => Object.entries(entry.data as Record<string, string>));
  assert.ok(accepted.length > 5);
  for (const [rule, reason] of accepted) assert.ok(reason.length > 20, `${rule}: "${reason}"`);
});

test("a fault is found", () => {
  const found = findings((app) => void new Bucket(new Stack(app, "faulty"), "Open"));
  assert.ok(found.some((one) => /S10: faulty/.test(one)), found.join("\n"));
});
