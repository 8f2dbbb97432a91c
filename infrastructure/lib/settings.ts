// Every setting of the deployment, from the context: `cdk deploy -c natGateways=2`, or "context" in
// cdk.json. The table of docs/aws.md lists them; a test keeps it complete.
import type { App } from "aws-cdk-lib";

export interface Settings {
  /** First word of every stack's name, so that one account can hold several deployments. */
  name: string;
  /** Instruction set of functions and workers; the zip and the image must be built for it. */
  architecture: "x86_64" | "arm64";
  /** Release of the program, relative to the repository. */
  program: string;
  /** FFmpeg's libraries, which only the function that reads recordings is given. */
  layer: string;
  dockerfile: string;

  /**
   * Ways out to the internet, which calls of OpenAI's API need. One costs about $33 a month and
   * $0.045 per GB (us-east-1) and is down while its availability zone is; 2 has one in each zone.
   * 0 is for the offline models or a provider inside the network: then nothing can reach OpenAI.
   */
  natGateways: number;
  /**
   * Services reached by an interface endpoint rather than through the NAT gateway, at about $15 a
   * month each (two zones). The default keeps secrets and messages off the internet path; logs and
   * images are cheaper through the NAT gateway until they reach some 300 GB a month. Without a NAT
   * gateway all of them are made whatever this says.
   */
  endpoints: Endpoint[];

  databaseClass: string;
  /** A standby in a second zone, with failover in about a minute; doubles the price. */
  databaseMultiAz: boolean;
  databaseGiB: number;
  /** Storage grows by itself up to this. */
  databaseMaxGiB: number;
  /** RDS Proxy: for hundreds of functions at a time, where connections run out before the CPU does. */
  databaseProxy: boolean;

  /** Name in Secrets Manager of the secret that holds the key for OpenAI. */
  openaiSecret: string;

  processorMemoryMiB: number;
  processorDiskMiB: number;
  /** Processor functions at a time: bounds the load on the database and on OpenAI's rate limit. */
  processorConcurrency: number;
  /**
   * Sets that many aside for the processor, so that nothing else in the account can take them. An
   * account whose quota is still 10 cannot reserve any (100 have to stay): false there.
   */
  reserveConcurrency: boolean;

  /** Long-job workers at most; there are none while the long queue is empty. */
  maxWorkers: number;
  /** Fargate's units: 1024 are one CPU. */
  workerCpu: number;
  workerMemoryMiB: number;
  workerDiskGiB: number;

  logDays: number;
  /** Superseded and removed versions of media stay for so many days. */
  oldVersionDays: number;
  /** Who is told of alarms; "": nobody, the topic alone is made. The address has to confirm. */
  alarmEmail: string;
}

/** A setting that cannot be used: the message says which and what to give. */
export class SettingError extends Error {}

export const ENDPOINTS = ["sqs", "secretsmanager", "logs", "ecr"] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

// What CloudWatch Logs accepts, of which nobody needs the rest.
const LOG_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 180, 365];

export function readSettings(app: App): Settings {
  const from = new Reader(app);
  const settings: Settings = {
    name: from.text("name", "aegis", /^[A-Za-z][A-Za-z0-9-]{0,30}$/),
    architecture: from.choice("architecture", "x86_64", ["x86_64", "arm64"]),
    program: from.text("program", "dist/aegis-lambda.zip"),
    layer: from.text("layer", "dist/aegis-lambda-av-layer.zip"),
    dockerfile: from.text("dockerfile", "Dockerfile"),
    natGateways: from.count("natGateways", 1, 0, 2),
    endpoints: from.list("endpoints", ["sqs", "secretsmanager"], ENDPOINTS),
    databaseClass: from.text("databaseClass", "t4g.medium", /^[a-z0-9]+\.[a-z0-9]+$/),
    databaseMultiAz: from.flag("databaseMultiAz", false),
    databaseGiB: from.count("databaseGiB", 50, 20, 65536),
    databaseMaxGiB: from.count("databaseMaxGiB", 500, 22, 65536),
    databaseProxy: from.flag("databaseProxy", false),
    openaiSecret: from.text("openaiSecret", "aegis-ai/openai-api-key", /^[\w/+=.@-]{1,500}$/),
    processorMemoryMiB: from.count("processorMemoryMiB", 2048, 512, 10240),
    processorDiskMiB: from.count("processorDiskMiB", 2048, 512, 10240),
    processorConcurrency: from.count("processorConcurrency", 20, 2, 1000),
    reserveConcurrency: from.flag("reserveConcurrency", true),
    maxWorkers: from.count("maxWorkers", 4, 1, 100),
    workerCpu: from.count("workerCpu", 2048, 256, 16384),
    workerMemoryMiB: from.count("workerMemoryMiB", 4096, 512, 122880),
    workerDiskGiB: from.count("workerDiskGiB", 50, 21, 200),
    logDays: Number(from.choice("logDays", "30", LOG_DAYS.map(String))),
    oldVersionDays: from.count("oldVersionDays", 30, 1, 3650),
    alarmEmail: from.text("alarmEmail", "", /^$|^[^@\s]+@[^@\s]+$/),
  };
  from.refuseUnknown();
  if (settings.databaseMaxGiB < settings.databaseGiB * 1.1)
    throw new SettingError(`"databaseMaxGiB" is ${settings.databaseMaxGiB}: RDS wants at least a tenth more than "databaseGiB", ${settings.databaseGiB}`);
  return settings;
}

/** Values from the command line are strings, those of cdk.json may be numbers and booleans. */
class Reader {
  private readonly known = new Set<string>();
  constructor(private readonly app: App) {}

  private value(key: string): string | undefined {
    this.known.add(key);
    const given = this.app.node.tryGetContext(key);
    return given === undefined ? undefined : String(given);
  }

  text(key: string, standard: string, pattern = /./): string {
    const given = this.value(key) ?? standard;
    if (!pattern.test(given)) throw new SettingError(`"${key}" is "${given}", which is not of the form ${pattern}`);
    return given;
  }

  choice<T extends string>(key: string, standard: T, of: readonly T[]): T {
    const given = this.value(key) ?? standard;
    const found = of.find((one) => one === given);
    if (found === undefined) throw new SettingError(`"${key}" is "${given}": give one of ${of.join(", ")}`);
    return found;
  }

  flag(key: string, standard: boolean): boolean {
    return this.choice(key, standard ? "true" : "false", ["true", "false"]) === "true";
  }

  count(key: string, standard: number, least: number, most: number): number {
    const given = this.value(key) ?? String(standard);
    const number = Number(given);
    if (given.trim() === "" || !Number.isInteger(number) || number < least || number > most)
      throw new SettingError(`"${key}" is "${given}": give a whole number from ${least} to ${most}`);
    return number;
  }

  list<T extends string>(key: string, standard: readonly T[], of: readonly T[]): T[] {
    const given = this.value(key) ?? standard.join(",");
    const words = given.split(",").filter((word) => word !== "");
    const wrong = words.find((word) => !(of as readonly string[]).includes(word));
    if (wrong !== undefined) throw new SettingError(`"${key}" has "${wrong}": give some of ${of.join(",")}`);
    return words as T[];
  }

  /** A mistyped setting would otherwise be one that silently keeps its default. CDK's own have a colon or @. */
  refuseUnknown(): void {
    const keys = Object.keys(this.app.node.getAllContext());
    const unknown = keys.find((key) => !this.known.has(key) && !/[@:]/.test(key) && !/^(tree|cli)/.test(key));
    if (unknown !== undefined) throw new SettingError(`there is no setting "${unknown}"; docs/aws.md lists them`);
  }
}
