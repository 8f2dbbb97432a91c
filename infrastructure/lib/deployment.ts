// All stacks of one deployment. An arrow is "is told of", and none points back:
//   network <- database <- migration <- functions, worker <- monitoring
//   storage, queues, secrets <- functions, worker
import { Tags, type App } from "aws-cdk-lib";
import flags from "aws-cdk-lib/recommended-feature-flags.json" with { type: "json" };
import { DatabaseStack } from "./database.ts";
import { FunctionsStack, type Parts } from "./functions.ts";
import { MigrationStack } from "./migration.ts";
import { MonitoringStack } from "./monitoring.ts";
import { NetworkStack } from "./network.ts";
import { QueuesStack } from "./queues.ts";
import { SecretsStack } from "./secrets.ts";
import { readSettings, type Settings } from "./settings.ts";
import { StorageStack } from "./storage.ts";
import { WorkerStack } from "./worker.ts";

export interface Deployment extends Parts {
  settings: Settings;
  migration: MigrationStack;
  functions: FunctionsStack;
  worker: WorkerStack;
  monitoring: MonitoringStack;
}

/** By Fn::ImportValue: then CloudFormation refuses to remove what another stack still uses. */
const FLAGS = { "@aws-cdk/core:defaultCrossStackReferences": "strong" };

export function deployment(app: App): Deployment {
  for (const [flag, value] of Object.entries({ ...flags, ...FLAGS })) app.node.setContext(flag, value);
  const settings = readSettings(app);
  const id = (stack: string) => `${settings.name}-${stack}`;
  const network = new NetworkStack(app, id("network"), settings);
  const parts: Parts = {
    network,
    storage: new StorageStack(app, id("storage"), settings),
    queues: new QueuesStack(app, id("queues")),
    secrets: new SecretsStack(app, id("secrets"), settings),
    database: new DatabaseStack(app, id("database"), settings, network),
  };
  const migration = new MigrationStack(app, id("migration"), settings, network, parts.database);
  const functions = new FunctionsStack(app, id("functions"), settings, parts);
  const worker = new WorkerStack(app, id("worker"), settings, parts);
  functions.addStackDependency(migration);
  worker.addStackDependency(migration);
  const monitoring = new MonitoringStack(app, id("monitoring"), settings, { ...parts, functions, worker });
  Tags.of(app).add("application", settings.name);
  return { ...parts, settings, migration, functions, worker, monitoring };
}
