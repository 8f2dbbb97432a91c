// Who should be woken, and one page that shows why.
import { Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import * as cw from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import type * as lambda from "aws-cdk-lib/aws-lambda";
import { FilterPattern, MetricFilter } from "aws-cdk-lib/aws-logs";
import * as sns from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import type * as sqs from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import type { DatabaseStack } from "./database.ts";
import type { FunctionsStack } from "./functions.ts";
import type { QueuesStack } from "./queues.ts";
import type { Settings } from "./settings.ts";
import type { WorkerStack } from "./worker.ts";

export interface Watched {
  queues: QueuesStack;
  functions: FunctionsStack;
  database: DatabaseStack;
  worker: WorkerStack;
}

const FIVE = Duration.minutes(5);

export class MonitoringStack extends Stack {
  private readonly action: SnsAction;
  private readonly dashboard: cw.Dashboard;

  constructor(scope: Construct, id: string, private readonly settings: Settings, watched: Watched, props?: StackProps) {
    super(scope, id, props);
    this.action = new SnsAction(this.makeTopic());
    this.dashboard = new cw.Dashboard(this, "Dashboard", { defaultInterval: Duration.days(1) });
    this.watchQueues(watched.queues);
    this.showJobs(watched.functions);
    this.watchFunction("Ingestion", watched.functions.ingestion);
    this.watchUnreadable(watched.functions.ingestion);
    this.watchFunction("Processor", watched.functions.processor);
    this.watchDatabase(watched.database);
    this.showWorkers(watched.worker);
  }

  /** A key of our own: CloudWatch cannot publish to a topic that is encrypted with AWS's key for SNS. */
  private makeTopic(): sns.Topic {
    const cloudwatch = new ServicePrincipal("cloudwatch.amazonaws.com", {
      conditions: { StringEquals: { "aws:SourceAccount": this.account } },
    });
    const masterKey = new Key(this, "Key", {
      enableKeyRotation: true,
      description: "Alarms of Aegis",
      alias: `${this.stackName}-alarms`,
      removalPolicy: RemovalPolicy.DESTROY, // nothing is kept under it
    });
    masterKey.addToResourcePolicy(
      new PolicyStatement({ principals: [cloudwatch], actions: ["kms:Decrypt", "kms:GenerateDataKey"], resources: ["*"] }),
    );
    const topic = new sns.Topic(this, "Alarms", { masterKey, enforceSSL: true });
    topic.addToResourcePolicy(new PolicyStatement({ principals: [cloudwatch], actions: ["sns:Publish"], resources: [topic.topicArn] }));
    if (this.settings.alarmEmail !== "") topic.addSubscription(new EmailSubscription(this.settings.alarmEmail));
    return topic;
  }

  /** Above `threshold` for `periods` times five minutes. Nothing measured is nothing wrong: an idle queue has no age. */
  private alarm(id: string, metric: cw.IMetric, threshold: number, alarmDescription: string, periods = 1): void {
    const alarm = new cw.Alarm(this, id, {
      metric,
      threshold,
      evaluationPeriods: periods,
      comparisonOperator: cw.ComparisonOperator.GREATER_THAN_THRESHOLD,
      treatMissingData: cw.TreatMissingData.NOT_BREACHING,
      alarmDescription,
    });
    alarm.addAlarmAction(this.action);
    alarm.addOkAction(this.action);
  }

  private watchQueues(queues: QueuesStack): void {
    const dead: [string, sqs.Queue][] = [["Jobs", queues.jobs.dead], ["LongJobs", queues.long.dead], ["LostEvents", queues.lostEvents]];
    const depth = (queue: sqs.Queue) => queue.metricApproximateNumberOfMessagesVisible({ period: FIVE, statistic: "Maximum" });
    for (const [name, queue] of dead)
      this.alarm(`${name}Dead`, depth(queue), 0, `${name}: dead letters; see them with "aegis dead", docs/aws.md`);
    const age = (queue: sqs.Queue) => queue.metricApproximateAgeOfOldestMessage({ period: FIVE, statistic: "Maximum" });
    this.alarm("JobsAge", age(queues.jobs.queue), 3600, "Jobs: the oldest has waited for an hour; is the processor throttled, or the pipeline paused?");
    this.alarm("LongJobsAge", age(queues.long.queue), 6 * 3600, "Long jobs: the oldest has waited for six hours; are there workers?");
    const live = [queues.jobs.queue, queues.long.queue];
    this.row(
      this.graph("Waiting", live.map(depth)),
      this.graph("Age of the oldest (s)", live.map(age)),
      this.graph("Dead letters", dead.map(([, queue]) => depth(queue))),
    );
  }

  /** What the functions print themselves, in CloudWatch's embedded metric format: docs/lambda.md. */
  private showJobs({ ingestion, processor }: FunctionsStack): void {
    const sums = (made: lambda.Function, ...names: string[]) =>
      names.map((metricName) => new cw.Metric({
        namespace: "Aegis",
        metricName,
        dimensionsMap: { FunctionName: made.functionName },
        statistic: "Sum",
        period: FIVE,
      }));
    this.row(
      this.graph("Events", sums(ingestion, "EventsQueued", "EventsDuplicate", "EventsUnreadable")),
      this.graph("Jobs", sums(processor, "JobsSucceeded", "JobsRetried", "JobsDead")),
      this.graph("Messages, and those that come again", sums(processor, "Messages", "MessagesReturned")),
    );
    this.row(
      this.graph("Cost of models ($)", [...sums(processor, "CostUSD"), this.byModel(processor, "CostUSD")]),
      this.graph("Calls of models, and those that failed", sums(processor, "ProviderCalls", "ProviderFailures")),
      this.graph("Failed calls by model", [this.byModel(processor, "ProviderFailures")]),
    );
  }

  /** Which models there are, only the metrics tell. */
  private byModel(made: lambda.Function, metric: string): cw.IMetric {
    const search = `{Aegis,FunctionName,Model,Operation} MetricName="${metric}" FunctionName="${made.functionName}"`;
    return new cw.MathExpression({ expression: `SEARCH('${search}', 'Sum', ${FIVE.toSeconds()})`, label: "", period: FIVE });
  }

  private watchFunction(name: string, made: lambda.Function): void {
    const errors = made.metricErrors({ period: FIVE });
    const throttles = made.metricThrottles({ period: FIVE });
    const duration = made.metricDuration({ period: FIVE, statistic: "p99" });
    this.alarm(`${name}Errors`, errors, 0, `${name}: calls failed; its log says why`);
    this.alarm(`${name}Throttles`, throttles, 0, `${name}: throttled; raise processorConcurrency or the account's quota`, 3);
    const most = made.timeout!.toMilliseconds() * 0.8;
    this.alarm(`${name}Duration`, duration, most, `${name}: the slowest calls are within a fifth of the timeout`);
    this.row(
      this.graph(`${name}: calls, errors, throttles`, [made.metricInvocations({ period: FIVE }), errors, throttles]),
      this.graph(`${name}: duration (ms)`, [made.metricDuration({ period: FIVE, statistic: "p50" }), duration]),
      this.graph(`${name}: at a time`, [made.metric("ConcurrentExecutions", { period: FIVE, statistic: "Maximum" })]),
    );
  }

  /** Events that are no better when they come again: ingestion logs them and succeeds, so nothing else tells. */
  private watchUnreadable(ingestion: lambda.Function): void {
    const filter = new MetricFilter(this, "Unreadable", {
      logGroup: ingestion.logGroup,
      filterPattern: FilterPattern.stringValue("$.event", "=", "ingest.unreadable"),
      metricNamespace: this.stackName,
      metricName: "UnreadableEvents",
    });
    const unreadable = filter.metric({ period: FIVE, statistic: "Sum" });
    this.alarm("UnreadableEvents", unreadable, 0, "Ingestion: events that cannot be read; its log has them as ingest.unreadable");
  }

  private watchDatabase({ instance }: DatabaseStack): void {
    const cpu = instance.metricCPUUtilization({ period: FIVE });
    const free = instance.metricFreeStorageSpace({ period: FIVE, statistic: "Minimum" });
    const connections = instance.metricDatabaseConnections({ period: FIVE, statistic: "Maximum" });
    this.alarm("DatabaseCpu", cpu, 80, "Database: CPU above 80% for half an hour", 6);
    this.storageAlarm(free);
    // PostgreSQL on RDS allows memory / 9,531,392 bytes: some 400 with the 4 GiB of a t4g.medium.
    this.alarm("DatabaseConnections", connections, 300, "Database: 300 connections; set databaseProxy=true or a larger databaseClass");
    this.row(this.graph("Database: CPU (%)", [cpu]), this.graph("Database: free bytes", [free]), this.graph("Database: connections", [connections]));
  }

  /** RDS enlarges storage below a tenth by itself, once in six hours: below a twentieth it did not keep up. */
  private storageAlarm(free: cw.IMetric): void {
    const alarm = new cw.Alarm(this, "DatabaseStorage", {
      metric: free,
      threshold: (this.settings.databaseGiB * 1024 ** 3) / 20,
      evaluationPeriods: 1,
      comparisonOperator: cw.ComparisonOperator.LESS_THAN_THRESHOLD,
      alarmDescription: "Database: storage is nearly full; raise databaseMaxGiB",
    });
    alarm.addAlarmAction(this.action);
    alarm.addOkAction(this.action);
  }

  private showWorkers({ service }: WorkerStack): void {
    this.row(this.graph("Workers: CPU and memory (%)", [service.metricCpuUtilization(), service.metricMemoryUtilization()]));
  }

  private graph(title: string, left: cw.IMetric[]): cw.GraphWidget {
    return new cw.GraphWidget({ title, left, width: 8, height: 6 });
  }

  private row(...widgets: cw.IWidget[]): void {
    this.dashboard.addWidgets(...widgets);
  }
}
