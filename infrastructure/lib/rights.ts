// What functions and workers may do, one statement for each need. Actions are spelled out rather than granted
// by CDK's helpers, which add more (DescribeSecret, GetQueueUrl, s3:List*); test/allowed-actions.json
// has all of them by role, and a test compares.
import type { IQueue } from "aws-cdk-lib/aws-sqs";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import type { ISecret } from "aws-cdk-lib/aws-secretsmanager";

function may(actions: string[], resources: string[]): PolicyStatement {
  return new PolicyStatement({ actions, resources });
}

/**
 * ListBucket lets S3 answer 404 for an object that is gone; without it the answer is 403, which looks like
 * rights that are missing and would pause the pipeline.
 */
export function readMedia(bucket: IBucket): PolicyStatement[] {
  return [
    may(["s3:GetObject", "s3:GetObjectVersion"], [bucket.arnForObjects("*")]),
    may(["s3:ListBucket"], [bucket.bucketArn]),
  ];
}

export function send(...queues: IQueue[]): PolicyStatement[] {
  return [may(["sqs:SendMessage"], queues.map((queue) => queue.queueArn))];
}

/** What opening a queue asks for. */
export function look(...queues: IQueue[]): PolicyStatement[] {
  return [may(["sqs:GetQueueAttributes"], queues.map((queue) => queue.queueArn))];
}

/** Making dead letters, and listing them: SQS lists nothing that is not received and shown again. */
export function bury(queue: IQueue): PolicyStatement[] {
  return [
    may(
      ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
      [queue.queueArn],
    ),
  ];
}

export function consume(queue: IQueue): PolicyStatement[] {
  return [
    may(
      ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
      [queue.queueArn],
    ),
  ];
}

export function readSecrets(...secrets: ISecret[]): PolicyStatement[] {
  return [may(["secretsmanager:GetSecretValue"], secrets.map((secret) => secret.secretArn))];
}
