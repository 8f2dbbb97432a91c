// One program, three functions: the zip is the same, and the handler's name (_HANDLER) says which role it
// plays.
import { join } from "node:path";
import { Aws, CfnOutput, Duration, RemovalPolicy, Size, type Stack } from "aws-cdk-lib";
import { Effect, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import * as lambda from "aws-cdk-lib/aws-lambda";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { DatabaseStack } from "./database.ts";
import { accept } from "./findings.ts";
import { PROGRAM_SUBNETS, type NetworkStack } from "./network.ts";
import { MAX_RECEIVES, type QueuesStack } from "./queues.ts";
import { built, refuseDeployment, REPOSITORY } from "./refuse.ts";
import type { Settings } from "./settings.ts";

export interface Part {
  handler: "ingestion" | "processor" | "migrate";
  description: string;
  rights: PolicyStatement[];
  environment: Record<string, string>;
  /** Does it read audio and video? */
  recordings?: boolean;
  memoryMiB: number;
  diskMiB?: number;
  timeout: Duration;
  concurrency?: number;
}

/** A function of the program in the network, with a role that has `rights` and what being a function takes. */
export function programFunction(stack: Stack, settings: Settings, network: NetworkStack, of: Part): lambda.Function {
  const id = of.handler[0].toUpperCase() + of.handler.slice(1);
  const logGroup = new LogGroup(stack, `${id}Log`, { retention: settings.logDays, removalPolicy: RemovalPolicy.DESTROY });
  new CfnOutput(stack, `${id}LogName`, { value: logGroup.logGroupName });
  return new lambda.Function(stack, id, {
    description: of.description,
    runtime: lambda.Runtime.PROVIDED_AL2023,
    architecture: architecture(settings),
    handler: of.handler,
    code: builtCode(stack, settings.program),
    layers: of.recordings ? [recordingsLayer(stack, settings)] : undefined,
    role: functionRole(stack, `${id}Role`, logGroup, of.rights),
    environment: { AEGIS_DATA: "/tmp/aegis", ...of.environment }, // the one place a function can write to
    memorySize: of.memoryMiB,
    ephemeralStorageSize: of.diskMiB === undefined ? undefined : Size.mebibytes(of.diskMiB),
    timeout: of.timeout,
    reservedConcurrentExecutions: of.concurrency,
    tracing: lambda.Tracing.ACTIVE,
    vpc: network.vpc,
    vpcSubnets: PROGRAM_SUBNETS,
    securityGroups: [network.callers],
    logGroup,
  });
}

/** What every process of the program is told; the rest depends on its role. */
export function programEnvironment(database: DatabaseStack): Record<string, string> {
  return {
    AEGIS_SECRETS: "secrets_manager",
    AEGIS_DATABASE_SECRET: database.secret.secretArn,
    ...(database.host === undefined ? {} : { AEGIS_DATABASE_HOST: database.host }),
    AEGIS_LOG_FORMAT: "json",
    AEGIS_RETRY_MAX_ATTEMPTS: String(MAX_RECEIVES),
  };
}

export function queueEnvironment(queues: QueuesStack): Record<string, string> {
  return {
    AEGIS_STORE: "s3",
    AEGIS_QUEUE_URL: queues.jobs.queue.queueUrl,
    AEGIS_DEAD_LETTER_URL: queues.jobs.dead.queueUrl,
  };
}

function architecture(settings: Settings): lambda.Architecture {
  return settings.architecture === "arm64" ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64;
}

function recordingsLayer(stack: Stack, settings: Settings): lambda.LayerVersion {
  return new lambda.LayerVersion(stack, "Recordings", {
    description: "Aegis: FFmpeg's libraries, for recordings",
    code: builtCode(stack, settings.layer),
    compatibleRuntimes: [lambda.Runtime.PROVIDED_AL2023],
    compatibleArchitectures: [architecture(settings)],
  });
}

function builtCode(stack: Stack, path: string): lambda.Code {
  const zip = built(path);
  if (zip !== undefined) return lambda.Code.fromAsset(zip);
  const name = "ProgramNotBuiltRunMakeLambda";
  if (stack.node.tryFindChild(name) === undefined)
    refuseDeployment(stack, name, `there was no ${path} when this was synthesized`);
  return lambda.Code.fromAsset(join(REPOSITORY, "infrastructure", "missing-program"));
}

/**
 * Instead of AWS's managed policies, which allow logs in any group. The rights on network interfaces are
 * Lambda's, who has no narrower form of them, and are taken away again from the code that runs in the
 * function (https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html).
 */
function functionRole(stack: Stack, id: string, log: LogGroup, rights: PolicyStatement[]): Role {
  const role = new Role(stack, id, { assumedBy: new ServicePrincipal("lambda.amazonaws.com") });
  const interfaces = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
  ];
  role.addToPolicy(new PolicyStatement({ actions: interfaces, resources: ["*"] }));
  role.addToPolicy(
    new PolicyStatement({
      effect: Effect.DENY,
      actions: interfaces,
      resources: ["*"],
      conditions: {
        ArnLike: { "lambda:SourceFunctionArn": `arn:${Aws.PARTITION}:lambda:${Aws.REGION}:${Aws.ACCOUNT_ID}:function:*` },
      },
    }),
  );
  role.addToPolicy(
    new PolicyStatement({ actions: ["logs:CreateLogStream", "logs:PutLogEvents"], resources: [log.logGroupArn] }),
  );
  for (const statement of rights) role.addToPolicy(statement);
  accept(role, "IAM5[Resource::*]", "Lambda's network interfaces and X-Ray have no resources to name");
  return role;
}
