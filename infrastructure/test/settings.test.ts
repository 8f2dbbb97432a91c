import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { App } from "aws-cdk-lib";
import { REPOSITORY } from "../lib/refuse.ts";
import { readSettings } from "../lib/settings.ts";
import { standard, Synthesized } from "./synthesize.ts";

const read = (context: Record<string, unknown>) => readSettings(new App({ context }));

test("strings of the command line and values of cdk.json are the same", () => {
  assert.deepEqual(read({ natGateways: "2", databaseProxy: "true" }), read({ natGateways: 2, databaseProxy: true }));
  assert.deepEqual(read({ endpoints: "sqs,logs" }).endpoints, ["sqs", "logs"]);
  assert.deepEqual(read({ endpoints: "" }).endpoints, []);
});

test("what is wrong is refused by name", () => {
  assert.throws(() => read({ natGateways: "many" }), /"natGateways" is "many": give a whole number from 0 to 2/);
  assert.throws(() => read({ natGateways: "" }), /"natGateways"/);
  assert.throws(() => read({ architecture: "mips" }), /"architecture" is "mips": give one of x86_64, arm64/);
  assert.throws(() => read({ endpoints: "sqs,smtp" }), /"endpoints" has "smtp"/);
  assert.throws(() => read({ alarmEmail: "nobody" }), /"alarmEmail"/);
  assert.throws(() => read({ databaseGiB: 500 }), /"databaseMaxGiB" is 500/);
  assert.throws(() => read({ natGateway: 2 }), /there is no setting "natGateway"/);
});

test("docs/aws.md lists every setting with its default", () => {
  const page = readFileSync(join(REPOSITORY, "docs", "aws.md"), "utf8");
  for (const [key, value] of Object.entries(readSettings(new App())))
    assert.ok(page.includes(`| \`${key}\` | ${value === "" ? "" : `\`${value}\``}`), `| \`${key}\` | \`${value}\` |`);
});

test("two deployments of one account share no name", () => {
  const other = new Synthesized({ name: "trial", openaiSecret: "trial/openai" });
  const names = (made: Synthesized) => made.stacks().map((stack) => stack.stackName);
  assert.equal(new Set([...names(standard()), ...names(other)]).size, 2 * names(other).length);
});

test("without program and image there is a template, but nothing can deploy it", () => {
  const missing = new Synthesized({ program: "dist/never.zip", dockerfile: "never/Dockerfile" });
  const { functions, migration, worker } = missing.deployed;
  for (const stack of [functions, migration]) {
    const parameter = missing.json(stack).Parameters!.ProgramNotBuiltRunMakeLambda;
    assert.equal(parameter.Default, undefined);
    assert.ok(!new RegExp(parameter.AllowedPattern).test("anything") && !new RegExp(parameter.AllowedPattern).test(""));
    assert.match(parameter.Description, /dist\/never\.zip/);
  }
  assert.ok(missing.json(worker).Parameters!.DockerfileMissing);
  const layer = new Synthesized({ layer: "dist/never.zip" });
  assert.ok(layer.json(layer.deployed.functions).Parameters!.ProgramNotBuiltRunMakeLambda);
  for (const stack of [standard().deployed.functions, standard().deployed.worker])
    assert.deepEqual(Object.keys(standard().json(stack).Parameters ?? {}), ["BootstrapVersion"]);
});
