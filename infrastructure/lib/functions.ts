// Ingestion: S3 tells of an object, a job is recorded and sent. Processor: takes jobs from the queue.
import { Duration, Stack, type StackProps } from "aws-cdk-lib";
import { Rule, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import * as lambda from "aws-cdk-lib/aws-lambda";
import * as s3 from "aws-cdk-lib/aws-s3";
import { LambdaDestination } from "aws-cdk-lib/aws-s3-notifications";
import type { Construct } from "constructs";
import type { DatabaseStack } from "./database.ts";
import { accept } from "./findings.ts";
import type { NetworkStack } from "./network.ts";
import { programEnvironment, programFunction, queueEnvironment } from "./program.ts";
import { PROCESSOR_TIMEOUT, type QueuesStack } from "./queues.ts";
import { bury, consume, look, readMedia, readSecrets, send } from "./rights.ts";
import type { SecretsStack } from "./secrets.ts";
import type { Settings } from "./settings.ts";
import type { StorageStack } from "./storage.ts";

export interface Parts {
  network: NetworkStack;
  storage: StorageStack;
  queues: QueuesStack;
  secrets: SecretsStack;
  database: DatabaseStack;
}

/** Jobs a processor is handed at once; SQS's most without a waiting window. */
const BATCH = 10;

/** Calls at a time that do not come from the queue: the upkeep. */
const UPKEEP = 1;

export class FunctionsStack extends Stack {
  readonly ingestion: lambda.Function;
  readonly processor: lambda.Function;
  private readonly common: Record<string, string>;

  constructor(scope: Construct, id: string, private readonly settings: Settings, private readonly parts: Parts, props?: StackProps) {
    super(scope, id, props);
    this.common = {
      ...queueEnvironment(parts.queues),
      ...programEnvironment(parts.database),
      AEGIS_OPENAI_SECRET: parts.secrets.openai.secretArn,
    };
    this.ingestion = this.makeIngestion();
    this.keepLostEvents();
    this.listenToBucket();
    this.processor = this.makeProcessor();
    this.takeJobs();
    this.keepUp();
  }

  /** It is told where the key for OpenAI is, as the processor, but may not read it. */
  private makeIngestion(): lambda.Function {
    const { storage, queues, database } = this.parts;
    return this.program({
      handler: "ingestion",
      description: "Aegis: objects of the bucket become jobs",
      rights: [
        ...readMedia(storage.media),
        ...send(queues.jobs.queue, queues.lostEvents),
        ...look(queues.jobs.queue, queues.jobs.dead),
        ...readSecrets(database.secret),
      ],
      environment: this.common,
      memoryMiB: 512,
      timeout: Duration.minutes(1),
    });
  }

  private makeProcessor(): lambda.Function {
    const { storage, queues, database, secrets } = this.parts;
    return this.program({
      handler: "processor",
      description: "Aegis: jobs become transcripts, summaries and embeddings",
      rights: [
        ...readMedia(storage.media),
        ...consume(queues.jobs.queue),
        ...send(queues.jobs.queue, queues.long.queue), // its own: upkeep sends lost messages again
        ...bury(queues.jobs.dead),
        ...readSecrets(database.secret, secrets.openai),
      ],
      environment: {
        ...this.common,
        AEGIS_WORKERS: String(BATCH),
        AEGIS_LONG_QUEUE_URL: queues.long.queue.queueUrl,
      },
      recordings: true,
      memoryMiB: this.settings.processorMemoryMiB,
      diskMiB: this.settings.processorDiskMiB,
      timeout: PROCESSOR_TIMEOUT,
      concurrency: this.settings.reserveConcurrency ? this.settings.processorConcurrency + UPKEEP : undefined,
    });
  }

  private program(part: Parameters<typeof programFunction>[3]): lambda.Function {
    const made = programFunction(this, this.settings, this.parts.network, part);
    accept(made.role!, `IAM5[Resource::${this.parts.storage.exportedArn}/*]`, "Every object of the one bucket of media");
    return made;
  }

  /** S3 calls asynchronously: after two more attempts an event would be gone. */
  private keepLostEvents(): void {
    this.ingestion.configureAsyncInvoke({
      retryAttempts: 2,
      maxEventAge: Duration.hours(6),
      onFailure: { bind: () => ({ destination: this.parts.queues.lostEvents.queueArn }) },
    });
  }

  /**
   * The bucket is imported, so that its notifications are set from this stack: the storage stack cannot
   * name a function that in turn is told of the bucket.
   */
  private listenToBucket(): void {
    const { media } = this.parts.storage;
    const role = new Role(this, "NotificationsRole", { assumedBy: new ServicePrincipal("lambda.amazonaws.com") });
    role.addToPolicy(
      new PolicyStatement({
        actions: ["s3:GetBucketNotification", "s3:PutBucketNotification"],
        resources: [media.bucketArn],
      }),
    );
    const bucket = s3.Bucket.fromBucketAttributes(this, "Media", {
      bucketArn: media.bucketArn,
      // CDK would add the same rights on every bucket.
      notificationsHandlerRole: role.withoutPolicyUpdates(),
    });
    const target = new LambdaDestination(this.ingestion);
    bucket.addEventNotification(s3.EventType.OBJECT_CREATED, target);
    bucket.addEventNotification(s3.EventType.OBJECT_REMOVED, target);
  }

  private takeJobs(): void {
    new lambda.EventSourceMapping(this, "Jobs", {
      target: this.processor,
      eventSourceArn: this.parts.queues.jobs.queue.queueArn,
      batchSize: BATCH,
      reportBatchItemFailures: true, // one bad job does not send nine good ones round again
      // Together with the reservation: what would be throttled is not received, which would count as an attempt.
      maxConcurrency: this.settings.processorConcurrency,
    });
  }

  /**
   * What a process that always runs does in the background: jobs that lost their message get another, what
   * nothing points to is removed. One that fails is made up for by the next.
   */
  private keepUp(): void {
    this.processor.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(5) });
    new Rule(this, "Upkeep", {
      description: "Aegis: upkeep of jobs and indexes",
      schedule: Schedule.rate(Duration.minutes(5)),
      targets: [new LambdaFunction(this.processor, { retryAttempts: 0 })],
    });
  }
}
