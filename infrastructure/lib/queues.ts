// Jobs wait in two queues: those that fit into a function's 15 minutes, and long ones for the workers. What
// was received five times without success goes to the dead letters of its queue.
import { CfnOutput, Duration, Stack, type StackProps } from "aws-cdk-lib";
import * as sqs from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { accept } from "./findings.ts";

/** Lambda's longest. */
export const PROCESSOR_TIMEOUT = Duration.minutes(15);
/** The program gives up by itself at the last of them, so that the dead letter has a reason with it. */
export const MAX_RECEIVES = 5;

/**
 * Six times the function's timeout, as
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html asks: Lambda's pollers hold
 * messages while the function is throttled. A failed job does not wait for it, since the processor shortens
 * it (ChangeMessageVisibility); only one that was killed does.
 */
const JOBS_VISIBILITY = Duration.minutes(6 * PROCESSOR_TIMEOUT.toMinutes());

/** Workers extend it by heartbeats, so it is only how long the job of a worker that died stays away. */
const LONG_VISIBILITY = Duration.minutes(5);

/** The clock of a message goes on in the dead letters: these have to keep it for longer than the queue. */
const RETENTION = Duration.days(4);
const DEAD_RETENTION = Duration.days(14);

export interface QueuePair {
  queue: sqs.Queue;
  dead: sqs.Queue;
}

export class QueuesStack extends Stack {
  readonly jobs: QueuePair;
  readonly long: QueuePair;
  /** Events for which the ingestion function failed three times. */
  readonly lostEvents: sqs.Queue;

  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, props);
    this.jobs = this.pair("Jobs", JOBS_VISIBILITY);
    this.long = this.pair("LongJobs", LONG_VISIBILITY);
    this.lostEvents = this.deadLetters("LostEvents");
    new CfnOutput(this, "JobsUrl", { value: this.jobs.queue.queueUrl });
    new CfnOutput(this, "JobsDeadUrl", { value: this.jobs.dead.queueUrl });
    new CfnOutput(this, "LongJobsUrl", { value: this.long.queue.queueUrl });
    new CfnOutput(this, "LongJobsDeadUrl", { value: this.long.dead.queueUrl });
    new CfnOutput(this, "LostEventsUrl", { value: this.lostEvents.queueUrl });
  }

  private pair(id: string, visibilityTimeout: Duration): QueuePair {
    const dead = this.deadLetters(`${id}Dead`);
    const queue = new sqs.Queue(this, id, {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: RETENTION,
      receiveMessageWaitTime: Duration.seconds(20), // long polling: an idle queue costs little
      visibilityTimeout,
      deadLetterQueue: { queue: dead, maxReceiveCount: MAX_RECEIVES },
    });
    return { queue, dead };
  }

  private deadLetters(id: string): sqs.Queue {
    const queue = new sqs.Queue(this, id, {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: DEAD_RETENTION,
    });
    accept(queue, "SQS3", "It is where dead letters go");
    return queue;
  }
}
