// The properties that matter, stack by stack, with every setting at its default unless a test says otherwise.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Match } from "aws-cdk-lib/assertions";
import { closed, full, pathOf, standard, Synthesized } from "./synthesize.ts";

const made = standard();
const { network, storage, queues, secrets, database, functions, worker, monitoring, migration } = made.deployed;

test("network: nothing but the NAT gateway has a public address", () => {
  const template = made.template(network);
  template.resourceCountIs("AWS::EC2::NatGateway", 1);
  template.allResourcesProperties("AWS::EC2::Subnet", { MapPublicIpOnLaunch: false });
  const open = made.all("AWS::EC2::SecurityGroup").flatMap(([, , group]) => group.Properties.SecurityGroupIngress ?? []);
  assert.ok(open.every((rule: any) => rule.CidrIp !== "0.0.0.0/0"));
  assert.ok(made.all("AWS::EC2::SecurityGroupIngress").every(([, , rule]) => rule.Properties.CidrIp === undefined));
});

test("network: the subnets of the database have no way out", () => {
  const routes = made.all("AWS::EC2::Route").map(([, , route]) => pathOf(route));
  assert.ok(routes.some((path) => path.includes("programSubnet")));
  assert.deepEqual(routes.filter((path) => path.includes("databaseSubnet")), []);
});

test("network: secrets and messages do not need the NAT gateway", () => {
  const services = made.all("AWS::EC2::VPCEndpoint").map(([, , one]) => JSON.stringify(one.Properties.ServiceName).match(/\.(s3|sqs|secretsmanager)"/)?.[1]);
  assert.deepEqual(services.sort(), ["s3", "secretsmanager", "sqs"]);
});

test("network: without a NAT gateway there is an endpoint for everything, and no public subnet", () => {
  const template = closed().template(closed().deployed.network);
  template.resourceCountIs("AWS::EC2::NatGateway", 0);
  template.resourceCountIs("AWS::EC2::InternetGateway", 0);
  template.resourceCountIs("AWS::EC2::VPCEndpoint", 6);
});

test("storage: every bucket is private, encrypted, and speaks TLS only", () => {
  const template = made.template(storage);
  template.resourceCountIs("AWS::S3::Bucket", 2);
  template.allResources("AWS::S3::Bucket", {
    DeletionPolicy: "Retain",
    Properties: Match.objectLike({
      PublicAccessBlockConfiguration: { BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true },
      BucketEncryption: Match.anyValue(),
    }),
  });
  template.resourcePropertiesCountIs(
    "AWS::S3::BucketPolicy",
    { PolicyDocument: { Statement: Match.arrayWith([Match.objectLike({ Effect: "Deny", Condition: { Bool: { "aws:SecureTransport": "false" } } })]) } },
    2,
  );
});

test("storage: media are versioned, logged and tidied", () => {
  made.template(storage).hasResourceProperties("AWS::S3::Bucket", {
    VersioningConfiguration: { Status: "Enabled" },
    LoggingConfiguration: Match.objectLike({ LogFilePrefix: "media/" }),
    LifecycleConfiguration: {
      Rules: [
        Match.objectLike({
          AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
          NoncurrentVersionExpiration: { NoncurrentDays: 30 },
          Status: "Enabled",
        }),
      ],
    },
  });
});

test("queues: encrypted, TLS only, five receives, and dead letters that outlive the queue", () => {
  const all = made.all("AWS::SQS::Queue").map(([, , queue]) => queue);
  assert.equal(all.length, 5);
  for (const queue of all) assert.equal(queue.Properties.SqsManagedSseEnabled, true);
  const live = all.filter((queue) => queue.Properties.RedrivePolicy);
  assert.deepEqual(live.map((queue) => queue.Properties.RedrivePolicy.maxReceiveCount), [5, 5]);
  const dead = all.filter((queue) => !queue.Properties.RedrivePolicy);
  for (const queue of live)
    for (const other of dead) assert.ok(other.Properties.MessageRetentionPeriod > queue.Properties.MessageRetentionPeriod);
  made.template(queues).resourcePropertiesCountIs(
    "AWS::SQS::QueuePolicy",
    { PolicyDocument: { Statement: Match.arrayWith([Match.objectLike({ Action: "sqs:*", Effect: "Deny" })]) } },
    5,
  );
});

test("queues: a message stays hidden for six times what the processor may take", () => {
  const { Timeout } = made.one("AWS::Lambda::Function", "/Processor/").Properties;
  const { VisibilityTimeout } = made.one("AWS::SQS::Queue", "queues/Jobs/").Properties;
  assert.equal(Timeout, 900);
  assert.ok(VisibilityTimeout >= 6 * Timeout, `${VisibilityTimeout}`);
  assert.ok(VisibilityTimeout <= 43200, "SQS's longest");
});

test("queues: the program gives up, with a reason, before the queue does without one", () => {
  const { RedrivePolicy } = made.one("AWS::SQS::Queue", "queues/Jobs/").Properties;
  const { AEGIS_RETRY_MAX_ATTEMPTS } = made.one("AWS::Lambda::Function", "/Processor/").Properties.Environment.Variables;
  assert.ok(Number(AEGIS_RETRY_MAX_ATTEMPTS) <= RedrivePolicy.maxReceiveCount);
});

test("functions: the upkeep runs on a schedule", () => {
  made.template(functions).hasResourceProperties("AWS::Events::Rule", {
    ScheduleExpression: "rate(5 minutes)",
    Targets: [Match.objectLike({ Arn: { "Fn::GetAtt": [Match.stringLikeRegexp("^Processor"), "Arn"] } })],
  });
});

test("functions: the processor reports which messages of a batch failed", () => {
  made.template(functions).resourceCountIs("AWS::Lambda::EventSourceMapping", 1);
  made.template(functions).hasResourceProperties("AWS::Lambda::EventSourceMapping", {
    BatchSize: 10,
    FunctionResponseTypes: ["ReportBatchItemFailures"],
    ScalingConfig: { MaximumConcurrency: 20 },
  });
});

test("functions: what is reserved is enough for the queue and the upkeep", () => {
  const { ReservedConcurrentExecutions } = made.one("AWS::Lambda::Function", "/Processor/").Properties;
  const { ScalingConfig } = made.one("AWS::Lambda::EventSourceMapping").Properties;
  assert.equal(ReservedConcurrentExecutions, ScalingConfig.MaximumConcurrency + 1);
  assert.equal(closed().one("AWS::Lambda::Function", "/Processor/").Properties.ReservedConcurrentExecutions, undefined);
});

test("functions: the handler's name is the role of the program, on Amazon Linux 2023, traced, in the network", () => {
  const ours = made.all("AWS::Lambda::Function").map(([, , one]) => one.Properties).filter((p) => p.Runtime === "provided.al2023");
  assert.deepEqual(ours.map((p) => p.Handler).sort(), ["ingestion", "migrate", "processor"]);
  for (const p of ours) {
    assert.deepEqual(p.Architectures, ["x86_64"]);
    assert.equal(p.TracingConfig.Mode, "Active");
    assert.equal(p.VpcConfig.SubnetIds.length, 2);
    assert.ok(p.LoggingConfig.LogGroup);
  }
  for (const [, id, group] of made.all("AWS::Logs::LogGroup")) assert.equal(group.Properties.RetentionInDays, 30, id);
});

test("functions: the one that reads recordings has the layer for it, the others start without", () => {
  const layers = (of: string) => made.one("AWS::Lambda::Function", `/${of}/`).Properties.Layers;
  const [, id, layer] = made.all("AWS::Lambda::LayerVersion")[0];
  assert.equal(made.all("AWS::Lambda::LayerVersion").length, 1);
  assert.deepEqual(layer.Properties.CompatibleArchitectures, ["x86_64"]);
  assert.deepEqual(layers("Processor"), [{ Ref: id }]);
  assert.equal(layers("Ingestion"), undefined);
  assert.equal(layers("Migrate"), undefined);
});

test("functions: the environment says where things are, and has no secret in it", () => {
  const expected = ["AEGIS_DATABASE_SECRET", "AEGIS_DATA", "AEGIS_DEAD_LETTER_URL", "AEGIS_LOG_FORMAT",
    "AEGIS_OPENAI_SECRET", "AEGIS_QUEUE_URL", "AEGIS_RETRY_MAX_ATTEMPTS", "AEGIS_SECRETS", "AEGIS_STORE"].sort();
  const ingestion = made.one("AWS::Lambda::Function", "/Ingestion/").Properties.Environment.Variables;
  const processor = made.one("AWS::Lambda::Function", "/Processor/").Properties.Environment.Variables;
  assert.deepEqual(Object.keys(ingestion).sort(), expected);
  assert.deepEqual(Object.keys(processor).sort(), [...expected, "AEGIS_WORKERS", "AEGIS_LONG_QUEUE_URL"].sort());
  assert.equal(processor.AEGIS_STORE, "s3");
  assert.equal(processor.AEGIS_SECRETS, "secrets_manager");
  assert.equal(processor.AEGIS_LOG_FORMAT, "json");
});

test("functions: the bucket tells ingestion of what comes and goes; what it cannot take is kept", () => {
  const { NotificationConfiguration } = made.one("Custom::S3BucketNotifications").Properties;
  const told = NotificationConfiguration.LambdaFunctionConfigurations;
  assert.deepEqual(told.flatMap((one: any) => one.Events), ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]);
  made.template(functions).hasResourceProperties("AWS::Lambda::Permission", {
    Principal: "s3.amazonaws.com",
    SourceAccount: { Ref: "AWS::AccountId" },
  });
  made.template(functions).hasResourceProperties("AWS::Lambda::EventInvokeConfig", {
    DestinationConfig: { OnFailure: { Destination: Match.anyValue() } },
  });
});

test("arm64 is arm64 everywhere", () => {
  for (const [, , one] of full().all("AWS::Lambda::Function").filter(([, , f]) => f.Properties.Runtime === "provided.al2023"))
    assert.deepEqual(one.Properties.Architectures, ["arm64"]);
  assert.equal(full().one("AWS::ECS::TaskDefinition").Properties.RuntimePlatform.CpuArchitecture, "ARM64");
});

test("database: private, encrypted, backed up, protected, TLS only, password rotated", () => {
  made.template(database).hasResource("AWS::RDS::DBInstance", {
    DeletionPolicy: "Snapshot",
    Properties: {
      Engine: "postgres",
      EngineVersion: "17",
      DBInstanceClass: "db.t4g.medium",
      PubliclyAccessible: false,
      StorageEncrypted: true,
      BackupRetentionPeriod: 14,
      DeletionProtection: true,
    },
  });
  made.template(database).hasResourceProperties("AWS::RDS::DBParameterGroup", { Parameters: { "rds.force_ssl": "1" } });
  made.template(database).resourceCountIs("AWS::SecretsManager::RotationSchedule", 1);
  const subnets = made.one("AWS::RDS::DBSubnetGroup").Properties.SubnetIds.map((one: any) => one["Fn::ImportValue"]);
  assert.ok(subnets.every((name: string) => name.includes("databaseSubnet")));
});

test("database: only functions, workers and the rotation can connect", () => {
  const from = made.all("AWS::EC2::SecurityGroupIngress").map(([, , rule]) => JSON.stringify(rule.Properties.SourceSecurityGroupId));
  assert.deepEqual(from.map((one) => one.match(/Callers|Rotation/)?.[0]).sort(), ["Callers", "Rotation"]);
});

test("database: with the proxy, programs connect to it, by TLS", () => {
  assert.equal(full().one("AWS::RDS::DBProxy").Properties.RequireTLS, true);
  assert.ok(full().one("AWS::Lambda::Function", "/Processor/").Properties.Environment.Variables.AEGIS_DATABASE_HOST);
});

test("migration: runs for each new program, before anything else of it", () => {
  const { Handler } = made.one("AWS::Lambda::Function", "/Migrate/").Properties;
  assert.equal(Handler, "migrate");
  const { HandlerArn, ExecuteOnHandlerChange } = made.one("Custom::Trigger").Properties;
  assert.match(HandlerArn.Ref, /^MigrateCurrentVersion/);
  assert.equal(ExecuteOnHandlerChange, true);
  for (const later of [functions, worker]) assert.ok(later.dependencies.includes(migration), later.stackName);
});

test("worker: no root, no writable system, no capabilities", () => {
  const [container] = made.one("AWS::ECS::TaskDefinition").Properties.ContainerDefinitions;
  assert.match(container.User, /^[1-9]\d*:[1-9]\d*$/);
  assert.equal(container.ReadonlyRootFilesystem, true);
  assert.deepEqual(container.LinuxParameters.Capabilities.Drop, ["ALL"]);
  assert.deepEqual(container.HealthCheck.Command, ["CMD", "aegis", "health"]);
  assert.deepEqual(container.Command, ["worker"]);
  const value = (name: string) => container.Environment.find((one: any) => one.Name === name)?.Value;
  assert.match(value("AEGIS_QUEUE_URL")["Fn::ImportValue"], /LongJobs/);
  assert.match(value("AEGIS_DEAD_LETTER_URL")["Fn::ImportValue"], /LongJobsDead/);
  assert.ok(parseInt(value("AEGIS_DRAIN")) < container.StopTimeout);
  assert.equal(value("AEGIS_DATA"), container.MountPoints[0].ContainerPath);
});

test("worker: between none and maxWorkers, by what is in the long queue", () => {
  const template = made.template(worker);
  template.hasResourceProperties("AWS::ApplicationAutoScaling::ScalableTarget", { MinCapacity: 0, MaxCapacity: 4 });
  const steps = made.all("AWS::ApplicationAutoScaling::ScalingPolicy").flatMap(([, , one]) => one.Properties.StepScalingPolicyConfiguration.StepAdjustments);
  assert.deepEqual(steps.map((one) => one.ScalingAdjustment).sort(), [0, 2, 4]);
  assert.equal(made.one("AWS::ECS::Service").Properties.DesiredCount, undefined);
  const alarms = made.all("AWS::CloudWatch::Alarm").filter(([stack]) => stack === worker);
  for (const [, , alarm] of alarms) assert.match(JSON.stringify(alarm.Properties.Metrics), /LongJobs/);
});

test("secrets: the template has neither a value nor a form of one", () => {
  for (const [, id, secret] of made.all("AWS::SecretsManager::Secret")) {
    assert.equal(secret.Properties.SecretString, undefined, id);
    assert.ok(secret.Properties.GenerateSecretString, id);
  }
  assert.equal(made.one("AWS::SecretsManager::Secret", "secrets/OpenAi").Properties.Name, "aegis-ai/openai-api-key");
  assert.ok(made.template(secrets));
});

test("secrets: a key in the environment of the synthesis gets into no template", () => {
  process.env.OPENAI_API_KEY = "sk-must-not-be-seen";
  const leaky = new Synthesized();
  delete process.env.OPENAI_API_KEY;
  for (const stack of leaky.stacks()) {
    const text = JSON.stringify(leaky.json(stack));
    assert.ok(!/sk-|OPENAI_API_KEY|DATABASE_URL/.test(text), stack.stackName);
  }
});

test("monitoring: every alarm tells the topic, which is encrypted", () => {
  const alarms = made.all("AWS::CloudWatch::Alarm").filter(([stack]) => stack === monitoring);
  const ids = alarms.map(([, id]) => id.replace(/[0-9A-F]{8}$/, "")).sort();
  assert.deepEqual(ids, ["DatabaseConnections", "DatabaseCpu", "DatabaseStorage", "IngestionDuration", "IngestionErrors", "IngestionThrottles",
    "JobsAge", "JobsDead", "LongJobsAge", "LongJobsDead", "LostEventsDead", "ProcessorDuration", "ProcessorErrors", "ProcessorThrottles",
    "UnreadableEvents"]);
  for (const [, id, alarm] of alarms) assert.equal(alarm.Properties.AlarmActions.length, 1, id);
  assert.ok(made.one("AWS::SNS::Topic").Properties.KmsMasterKeyId);
  made.template(monitoring).resourceCountIs("AWS::SNS::Subscription", 0);
  made.template(monitoring).resourceCountIs("AWS::CloudWatch::Dashboard", 1);
});

test("monitoring: the dashboard shows jobs, cost and failures by what the functions print", () => {
  const body = made.one("AWS::CloudWatch::Dashboard").Properties.DashboardBody["Fn::Join"][1]
    .map((part: any) => (typeof part === "string" ? part : /Processor/.test(JSON.stringify(part)) ? "PROCESSOR" : "OTHER"))
    .join("");
  for (const name of ["JobsSucceeded", "JobsRetried", "JobsDead", "MessagesReturned", "CostUSD", "ProviderCalls", "ProviderFailures"])
    assert.match(body, new RegExp(`\\["Aegis","${name}","FunctionName","PROCESSOR",`), name);
  assert.match(body, /\["Aegis","EventsQueued","FunctionName","OTHER",/);
  for (const name of ["CostUSD", "ProviderFailures"])
    assert.match(body, new RegExp(`SEARCH\\('\\{Aegis,FunctionName,Model,Operation\\} MetricName=.{1,2}${name}.{1,2} FunctionName=.{1,2}PROCESSOR.{1,2}', 'Sum', 300\\)`), name);
});

test("monitoring: CloudWatch can use the topic and its key", () => {
  const { KeyPolicy } = made.one("AWS::KMS::Key").Properties;
  const { PolicyDocument } = made.one("AWS::SNS::TopicPolicy").Properties;
  for (const document of [KeyPolicy, PolicyDocument])
    assert.ok(document.Statement.some((one: any) => one.Effect === "Allow" && one.Principal.Service === "cloudwatch.amazonaws.com"));
});

test("monitoring: one dead letter is enough", () => {
  for (const name of ["JobsDead", "LongJobsDead", "LostEventsDead"]) {
    const { Threshold, ComparisonOperator, MetricName, EvaluationPeriods } = made.one("AWS::CloudWatch::Alarm", `monitoring/${name}/`).Properties;
    assert.deepEqual([Threshold, ComparisonOperator, MetricName, EvaluationPeriods], [0, "GreaterThanThreshold", "ApproximateNumberOfMessagesVisible", 1]);
  }
});

test("monitoring: an address is subscribed", () => {
  full().template(full().deployed.monitoring).hasResourceProperties("AWS::SNS::Subscription", { Protocol: "email", Endpoint: "ops@example.com" });
});
