// Long jobs: containers on Fargate, as many as the long queue asks for, none when it is empty.
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import * as scaling from "aws-cdk-lib/aws-applicationautoscaling";
import { MathExpression } from "aws-cdk-lib/aws-cloudwatch";
import { Platform } from "aws-cdk-lib/aws-ecr-assets";
import * as ecs from "aws-cdk-lib/aws-ecs";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import { accept } from "./findings.ts";
import type { Parts } from "./functions.ts";
import { PROGRAM_SUBNETS } from "./network.ts";
import { programEnvironment } from "./program.ts";
import { built, refuseDeployment, REPOSITORY } from "./refuse.ts";
import { consume, readMedia, readSecrets, send } from "./rights.ts";
import type { Settings } from "./settings.ts";

/**
 * The only place it can write to. Fargate gives a volume to root unless the image declares the path with
 * VOLUME and gives it to its user: the Dockerfile does.
 */
const DATA = "/var/lib/aegis";

/** As in the image; said again here so that an image that forgets it does not run as root. */
const USER = "10001:10001";

/** Asked from inside the container only. */
const HEALTH = "127.0.0.1:9464";

/** Not sent to the image by Docker, and not part of what decides whether it changed. */
const NOT_IN_IMAGE = [".git", "build", "build-*", "dist", "demo-data", "bench/results", "**/node_modules", "**/cdk.out"];

export class WorkerStack extends Stack {
  readonly cluster: ecs.Cluster;
  readonly service: ecs.FargateService;

  constructor(scope: Construct, id: string, private readonly settings: Settings, private readonly parts: Parts, props?: StackProps) {
    super(scope, id, props);
    this.cluster = new ecs.Cluster(this, "Cluster", {
      vpc: parts.network.vpc,
      containerInsightsV2: ecs.ContainerInsights.ENABLED,
    });
    const task = this.makeTask();
    this.addContainer(task);
    this.addRights(task);
    this.service = this.makeService(task);
    this.scale();
    new CfnOutput(this, "ClusterName", { value: this.cluster.clusterName });
    new CfnOutput(this, "ServiceName", { value: this.service.serviceName });
  }

  private makeTask(): ecs.FargateTaskDefinition {
    return new ecs.FargateTaskDefinition(this, "Task", {
      cpu: this.settings.workerCpu,
      memoryLimitMiB: this.settings.workerMemoryMiB,
      ephemeralStorageGiB: this.settings.workerDiskGiB,
      runtimePlatform: {
        operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
        cpuArchitecture: this.arm() ? ecs.CpuArchitecture.ARM64 : ecs.CpuArchitecture.X86_64,
      },
      volumes: [{ name: "data" }],
    });
  }

  private addContainer(task: ecs.FargateTaskDefinition): void {
    const logGroup = new LogGroup(this, "Log", { retention: this.settings.logDays, removalPolicy: RemovalPolicy.DESTROY });
    new CfnOutput(this, "WorkerLog", { value: logGroup.logGroupName });
    const linuxParameters = new ecs.LinuxParameters(this, "Linux", { initProcessEnabled: true });
    linuxParameters.dropCapabilities(ecs.Capability.ALL);
    const container = task.addContainer("Worker", {
      image: this.image(),
      command: ["worker"],
      environment: this.variables(),
      readonlyRootFilesystem: true,
      user: USER,
      privileged: false,
      linuxParameters,
      stopTimeout: Duration.seconds(120), // Fargate's longest; AEGIS_DRAIN is below it
      healthCheck: {
        command: ["CMD", "aegis", "health"],
        startPeriod: Duration.seconds(60),
        timeout: Duration.seconds(10),
      },
      logging: ecs.LogDrivers.awsLogs({ logGroup, streamPrefix: "worker", mode: ecs.AwsLogDriverMode.NON_BLOCKING }),
    });
    container.addMountPoints({ sourceVolume: "data", containerPath: DATA, readOnly: false });
    accept(task, "ECS2", "Names and addresses only: the program reads secrets itself, by name");
  }

  /** Its queue is the long one: to the worker that is simply the queue. */
  private variables(): Record<string, string> {
    const { long } = this.parts.queues;
    return {
      AEGIS_STORE: "s3",
      AEGIS_QUEUE_URL: long.queue.queueUrl,
      AEGIS_DEAD_LETTER_URL: long.dead.queueUrl,
      ...programEnvironment(this.parts.database),
      AEGIS_OPENAI_SECRET: this.parts.secrets.openai.secretArn,
      AEGIS_DATA: DATA,
      AEGIS_METRICS_LISTEN: HEALTH,
      AEGIS_DRAIN: "100s",
      AWS_REGION: this.region,
    };
  }

  private addRights(task: ecs.FargateTaskDefinition): void {
    const { storage, queues, database, secrets } = this.parts;
    const rights = [
      ...readMedia(storage.media),
      ...consume(queues.long.queue),
      ...consume(queues.long.dead), // `aegis dead` run as a task
      ...send(queues.long.queue, queues.long.dead), // to its own queue: the keeper sends lost messages again
      ...readSecrets(database.secret, secrets.openai),
    ];
    for (const statement of rights) task.addToTaskRolePolicy(statement);
    accept(task.taskRole, `IAM5[Resource::${storage.exportedArn}/*]`, "Every object of the one bucket of media");
    accept(task.obtainExecutionRole(), "IAM5[Resource::*]", "ecr:GetAuthorizationToken has no resource to name");
  }

  private image(): ecs.ContainerImage {
    if (built(this.settings.dockerfile) === undefined) {
      refuseDeployment(this, "DockerfileMissing", `there was no ${this.settings.dockerfile} when this was synthesized`);
      return ecs.ContainerImage.fromRegistry("aegis-image-missing");
    }
    return ecs.ContainerImage.fromAsset(REPOSITORY, {
      file: this.settings.dockerfile,
      exclude: NOT_IN_IMAGE,
      platform: this.arm() ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
    });
  }

  /** Without a number of tasks: one in the template would undo the scaling with every deployment. */
  private makeService(taskDefinition: ecs.FargateTaskDefinition): ecs.FargateService {
    return new ecs.FargateService(this, "Service", {
      cluster: this.cluster,
      taskDefinition,
      vpcSubnets: PROGRAM_SUBNETS,
      securityGroups: [this.parts.network.callers],
      assignPublicIp: false,
      minHealthyPercent: 0, // a long queue can wait for a minute
      maxHealthyPercent: 200,
      circuitBreaker: { rollback: true },
    });
  }

  /**
   * Messages being worked on count too, or the last job would lose its worker when the queue is empty. A
   * worker that is taken away while it works costs what its current call cost: the rest is checkpointed.
   */
  private scale(): void {
    const { queue } = this.parts.queues.long;
    const period = Duration.minutes(1);
    const metric = new MathExpression({
      expression: "waiting + working",
      label: "long jobs",
      period,
      usingMetrics: {
        waiting: queue.metricApproximateNumberOfMessagesVisible({ period, statistic: "Maximum" }),
        working: queue.metricApproximateNumberOfMessagesNotVisible({ period, statistic: "Maximum" }),
      },
    });
    this.service.autoScaleTaskCount({ minCapacity: 0, maxCapacity: this.settings.maxWorkers }).scaleOnMetric("Depth", {
      metric,
      adjustmentType: scaling.AdjustmentType.EXACT_CAPACITY,
      scalingSteps: this.steps(),
      cooldown: Duration.minutes(2),
    });
  }

  /** None for nothing, half of them from one job on, all from ten times as many jobs as workers. */
  private steps(): scaling.ScalingInterval[] {
    const most = this.settings.maxWorkers;
    const some = Math.ceil(most / 2);
    return [
      { upper: 0, change: 0 },
      { lower: 1, upper: 10 * most, change: some },
      { lower: 10 * most, change: most },
    ];
  }

  private arm(): boolean {
    return this.settings.architecture === "arm64";
  }
}
