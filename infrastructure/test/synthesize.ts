// Templates for the tests: one deployment is synthesized for each set of settings that a test asks for.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, Validations, type Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { AwsSolutionsChecks } from "cdk-nag";
import { deployment, type Deployment } from "../lib/deployment.ts";

/** Stand for what `make` builds, so that a test finds the same whether it was built or not. */
const BUILT = {
  program: "infrastructure/missing-program",
  layer: "infrastructure/missing-program",
  dockerfile: "infrastructure/test/Dockerfile",
  "aws:cdk:enable-path-metadata": true, // as the command line does; tests find resources by it
};

const outputs = mkdtempSync(join(tmpdir(), "aegis-cdk-"));
process.on("exit", () => rmSync(outputs, { recursive: true, force: true }));
const newOutput = (): string => mkdtempSync(join(outputs, "out-"));

export interface Resource {
  Type: string;
  Properties: Record<string, any>;
  Metadata?: Record<string, string>;
  DependsOn?: string[];
}

export class Synthesized {
  readonly deployed: Deployment;
  private readonly app: App;

  constructor(context: Record<string, unknown> = {}) {
    this.app = new App({ outdir: newOutput(), context: { ...BUILT, ...context } });
    this.deployed = deployment(this.app);
  }

  template(stack: Stack): Template {
    return Template.fromStack(stack);
  }

  stacks(): Stack[] {
    return Object.values(this.deployed).filter((part): part is Stack => typeof part === "object" && "stackName" in part);
  }

  json(stack: Stack): { Resources: Record<string, Resource>; Parameters?: Record<string, any> } {
    return this.template(stack).toJSON() as any;
  }

  /** [stack, logical id, resource] of every resource of a type. */
  all(type: string): [Stack, string, Resource][] {
    return this.stacks().flatMap((stack) =>
      Object.entries(this.json(stack).Resources)
        .filter(([, resource]) => resource.Type === type)
        .map(([id, resource]): [Stack, string, Resource] => [stack, id, resource]),
    );
  }

  /** The one resource of a type whose construct path has `part`. */
  one(type: string, part = ""): Resource {
    const found = this.all(type).filter(([, , resource]) => pathOf(resource).includes(part));
    if (found.length !== 1) throw new Error(`${found.length} resources of type "${type}" have "${part}" in their path`);
    return found[0][2];
  }
}

export const pathOf = (resource: Resource): string => resource.Metadata?.["aws:cdk:path"] ?? "";

const made = new Map<string, Synthesized>();

/** One for each set of settings, since making one takes a second. */
export function synthesized(context: Record<string, unknown> = {}): Synthesized {
  const key = JSON.stringify(context);
  const found = made.get(key) ?? new Synthesized(context);
  made.set(key, found);
  return found;
}

/** With every setting at its default. */
export const standard = (): Synthesized => synthesized();

/** With everything that is off by default. */
export const full = (): Synthesized => synthesized({ databaseProxy: true, alarmEmail: "ops@example.com", architecture: "arm64" });

/** With nothing that leads out. */
export const closed = (): Synthesized => synthesized({ natGateways: 0, reserveConcurrency: "false" });

/** "rule: construct" of every finding of cdk-nag that is not accepted; CDK writes them to a report. */
export function findings(build: (app: App) => void, context: Record<string, unknown> = {}): string[] {
  const outdir = newOutput();
  const app = new App({ outdir, context: { ...BUILT, ...context } });
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  build(app);
  try {
    app.synth();
  } catch (error) {
    if ((error as Error).name !== "ValidationFailed") throw error;
  }
  return readFindings(join(outdir, "validation-report.json"));
}

function readFindings(path: string): string[] {
  const { pluginReports } = JSON.parse(readFileSync(path, "utf8"));
  return pluginReports.flatMap((report: any) =>
    report.violations.flatMap((one: any) =>
      one.violatingConstructs.map((construct: any) => `${one.ruleName}: ${construct.constructPath}`),
    ),
  );
}
