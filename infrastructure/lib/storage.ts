// The bucket of media, and one for its access logs.
//
// Encryption is SSE-S3, not SSE-KMS: media are read by roles of this one account, which the bucket's own
// policy and theirs decide; a key of ours would add a second set of rights to every reader and uploader
// (kms:GenerateDataKey for whoever uploads) and a call to KMS, and guard against nobody else. Choose
// SSE-KMS if other accounts upload, or if keys have to be revocable apart from the bucket.
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import * as s3 from "aws-cdk-lib/aws-s3";
import type { Construct } from "constructs";
import { accept } from "./findings.ts";
import type { Settings } from "./settings.ts";

const PRIVATE: s3.BucketProps = {
  encryption: s3.BucketEncryption.S3_MANAGED,
  blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
  objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
  enforceSSL: true,
  minimumTLSVersion: 1.2,
  // What people uploaded is not deleted with a stack.
  removalPolicy: RemovalPolicy.RETAIN,
};

export class StorageStack extends Stack {
  readonly media: s3.Bucket;
  /** The name under which the bucket's ARN is exported: cdk-nag calls it by that in its findings. */
  readonly exportedArn: string;

  constructor(scope: Construct, id: string, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    const logs = new s3.Bucket(this, "AccessLogs", {
      ...PRIVATE,
      lifecycleRules: [{ expiration: Duration.days(90), abortIncompleteMultipartUploadAfter: Duration.days(7) }],
    });
    accept(logs, "S1", "The bucket that receives access logs: logging its own deliveries would never end");
    this.media = new s3.Bucket(this, "Media", {
      ...PRIVATE,
      versioned: true, // a job reads the version that its event named, even when a newer one has come
      serverAccessLogsBucket: logs,
      serverAccessLogsPrefix: "media/",
      lifecycleRules: [
        {
          id: "what-is-over",
          abortIncompleteMultipartUploadAfter: Duration.days(7),
          noncurrentVersionExpiration: Duration.days(settings.oldVersionDays),
          expiredObjectDeleteMarker: true,
        },
      ],
    });
    new CfnOutput(this, "MediaBucket", { value: this.media.bucketName, description: "Where to upload to" });
    this.exportedArn = this.resolve(this.exportValue(this.media.bucketArn))["Fn::ImportValue"];
  }
}
