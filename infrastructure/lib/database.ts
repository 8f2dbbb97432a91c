// PostgreSQL 17 with pgvector, which RDS brings; the migrations create the extension.
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import * as rds from "aws-cdk-lib/aws-rds";
import type { ISecret } from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";
import { accept } from "./findings.ts";
import { DATABASE_SUBNETS, PROGRAM_SUBNETS, type NetworkStack } from "./network.ts";
import type { Settings } from "./settings.ts";

export class DatabaseStack extends Stack {
  readonly instance: rds.DatabaseInstance;
  /** JSON with host, port, dbname, username and password, as RDS and the rotation write it. */
  readonly secret: ISecret;
  /** Of the proxy; undefined: the secret's host is the one to use. */
  readonly host?: string;

  constructor(scope: Construct, id: string, settings: Settings, network: NetworkStack, props?: StackProps) {
    super(scope, id, props);
    this.instance = this.makeInstance(settings, network);
    this.secret = this.instance.secret!;
    this.rotate(network);
    new CfnOutput(this, "InstanceId", { value: this.instance.instanceIdentifier });
    new CfnOutput(this, "SecretArn", { value: this.secret.secretArn });
    if (settings.databaseProxy) this.host = this.makeProxy(network).endpoint;
  }

  private makeInstance(settings: Settings, network: NetworkStack): rds.DatabaseInstance {
    const engine = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_17 });
    const instance = new rds.DatabaseInstance(this, "Postgres", {
      engine,
      autoMinorVersionUpgrade: true,
      instanceType: new ec2.InstanceType(settings.databaseClass),
      multiAz: settings.databaseMultiAz,
      vpc: network.vpc,
      vpcSubnets: DATABASE_SUBNETS,
      securityGroups: [this.makeGroup(network)],
      publiclyAccessible: false,
      databaseName: "aegis",
      credentials: rds.Credentials.fromGeneratedSecret("aegis"),
      parameterGroup: new rds.ParameterGroup(this, "Parameters", {
        engine,
        parameters: { "rds.force_ssl": "1" },
      }),
      storageType: rds.StorageType.GP3,
      storageEncrypted: true,
      allocatedStorage: settings.databaseGiB,
      maxAllocatedStorage: settings.databaseMaxGiB,
      backupRetention: Duration.days(14),
      copyTagsToSnapshot: true,
      deletionProtection: true,
      removalPolicy: RemovalPolicy.SNAPSHOT,
    });
    accept(instance, "RDS11", "PostgreSQL's own port: who may connect is decided by security groups, not by a port that is hard to guess");
    if (!settings.databaseMultiAz) accept(instance, "RDS3", "One zone is the default because it halves the price; databaseMultiAz=true adds the standby");
    return instance;
  }

  private makeGroup(network: NetworkStack): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, "DatabaseGroup", {
      vpc: network.vpc,
      description: "PostgreSQL of Aegis",
      allowAllOutbound: false,
    });
    group.addIngressRule(network.callers, ec2.Port.tcp(5432), "Functions and workers");
    return group;
  }

  /**
   * By AWS's own rotation function, every 30 days. It changes the password in place: a connection that is
   * open stays; a function that starts one with the old password reads the secret again.
   */
  private rotate(network: NetworkStack): void {
    const group = new ec2.SecurityGroup(this, "RotationGroup", {
      vpc: network.vpc,
      description: "Rotation of the database password",
      allowAllOutbound: false,
    });
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), "Secrets Manager");
    group.addEgressRule(ec2.Peer.ipv4(network.vpc.vpcCidrBlock), ec2.Port.tcp(5432), "PostgreSQL");
    this.instance.addRotationSingleUser({
      automaticallyAfter: Duration.days(30),
      vpcSubnets: PROGRAM_SUBNETS,
      securityGroup: group,
      excludeCharacters: " %+~`#$&*()|[]{}:;<>?!'/@\"\\",
    });
  }

  private makeProxy(network: NetworkStack): rds.DatabaseProxy {
    const group = new ec2.SecurityGroup(this, "ProxyGroup", {
      vpc: network.vpc,
      description: "RDS Proxy of Aegis",
      allowAllOutbound: false,
    });
    group.addIngressRule(network.callers, ec2.Port.tcp(5432), "Functions and workers");
    group.addEgressRule(ec2.Peer.ipv4(network.vpc.vpcCidrBlock), ec2.Port.tcp(5432), "PostgreSQL");
    return this.instance.addProxy("Proxy", {
      vpc: network.vpc,
      vpcSubnets: DATABASE_SUBNETS,
      secrets: [this.secret],
      securityGroups: [group],
      requireTLS: true,
    });
  }
}
