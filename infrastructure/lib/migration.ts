// Brings the schema up to date, once for each new program, before any function or worker of that program
// runs: the functions and workers stacks depend on this one. If a migration fails, the deployment stops
// here and what runs keeps running (migrations say which older program they allow).
import { Duration, Stack, type StackProps } from "aws-cdk-lib";
import { Trigger } from "aws-cdk-lib/triggers";
import type { IConstruct, Construct } from "constructs";
import type { DatabaseStack } from "./database.ts";
import { accept } from "./findings.ts";
import type { NetworkStack } from "./network.ts";
import { programEnvironment, programFunction } from "./program.ts";
import { readSecrets } from "./rights.ts";
import type { Settings } from "./settings.ts";

export class MigrationStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings, network: NetworkStack, database: DatabaseStack, props?: StackProps) {
    super(scope, id, props);
    const timeout = Duration.minutes(14); // below Lambda's 15, so that the trigger hears the end
    const migrate = programFunction(this, settings, network, {
      handler: "migrate",
      description: "Aegis: brings the database's schema up to date",
      rights: readSecrets(database.secret),
      environment: programEnvironment(database),
      memoryMiB: 512,
      timeout,
    });
    new Trigger(this, "Migration", { handler: migrate, timeout: Duration.minutes(15) });
    this.acceptTrigger();
  }

  /** The trigger is called by a function of CDK's, whose role is not ours to write. */
  private acceptTrigger(): void {
    const provider = this.node.findAll().find((one: IConstruct) => one.node.id === "AWSCDK.TriggerCustomResourceProviderCustomResourceProvider");
    if (provider === undefined) throw new Error("CDK's trigger provider has another name now");
    accept(provider, "IAM4", "CDK's provider writes its log by AWS's managed policy");
    accept(provider, "IAM5", "Any version of the one migration function: a deployment makes a new one");
    accept(provider, "L1", "CDK chooses the runtime of its provider");
  }
}
