// Where everything runs: two availability zones with three kinds of subnets.
//   database  no route out of the network at all
//   program   functions and workers; out through the NAT gateway, if there is one
//   public    nothing but the NAT gateway
// Functions are inside the network because the database is. What they call outside it, OpenAI, has no
// private endpoint: hence the NAT gateway, the one way out. Nothing can be reached from the internet.
import { RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import { accept } from "./findings.ts";
import { ENDPOINTS, type Endpoint, type Settings } from "./settings.ts";

export const DATABASE_SUBNETS: ec2.SubnetSelection = { subnetGroupName: "database" };
export const PROGRAM_SUBNETS: ec2.SubnetSelection = { subnetGroupName: "program" };

const SERVICES: Record<Endpoint, ec2.InterfaceVpcEndpointAwsService[]> = {
  sqs: [ec2.InterfaceVpcEndpointAwsService.SQS],
  secretsmanager: [ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER],
  logs: [ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS],
  ecr: [ec2.InterfaceVpcEndpointAwsService.ECR, ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER],
};

export class NetworkStack extends Stack {
  readonly vpc: ec2.Vpc;
  /** Of every function and worker: it may call HTTPS anywhere and PostgreSQL in the network. */
  readonly callers: ec2.SecurityGroup;

  constructor(scope: Construct, id: string, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    this.vpc = this.makeVpc(settings);
    this.makeFlowLog(settings);
    this.makeEndpoints(settings);
    this.callers = this.makeCallers();
  }

  private makeVpc(settings: Settings): ec2.Vpc {
    const out = settings.natGateways > 0;
    return new ec2.Vpc(this, "Vpc", {
      maxAzs: 2,
      natGateways: settings.natGateways,
      // Emptying the default group needs a function that may change security groups; nothing uses that group.
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: "database", subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 24 },
        {
          name: "program", // wide: a function takes an address for each of its network interfaces
          subnetType: out ? ec2.SubnetType.PRIVATE_WITH_EGRESS : ec2.SubnetType.PRIVATE_ISOLATED,
          cidrMask: 20,
        },
        ...(out ? [{ name: "public", subnetType: ec2.SubnetType.PUBLIC, cidrMask: 28, mapPublicIpOnLaunch: false }] : []),
      ],
    });
  }

  /** Refused connections only: they tell of a wrong rule or of an intruder, and cost next to nothing. */
  private makeFlowLog(settings: Settings): void {
    const logGroup = new LogGroup(this, "Flows", { retention: settings.logDays, removalPolicy: RemovalPolicy.DESTROY });
    this.vpc.addFlowLog("Refused", {
      destination: ec2.FlowLogDestination.toCloudWatchLogs(logGroup),
      trafficType: ec2.FlowLogTrafficType.REJECT,
    });
  }

  /** STS is not among them: functions and tasks are handed their credentials. */
  private makeEndpoints(settings: Settings): void {
    this.vpc.addGatewayEndpoint("S3", { service: ec2.GatewayVpcEndpointAwsService.S3 }); // costs nothing
    const group = new ec2.SecurityGroup(this, "Endpoints", {
      vpc: this.vpc,
      description: "Interface endpoints of AWS services",
      allowAllOutbound: false,
    });
    group.addIngressRule(ec2.Peer.ipv4(this.vpc.vpcCidrBlock), ec2.Port.tcp(443), "HTTPS from the network");
    accept(group, "EC23", "Open to the network's own address range, which the rule cannot see behind a reference");
    const wanted = settings.natGateways > 0 ? settings.endpoints : ENDPOINTS;
    for (const service of wanted.flatMap((name) => SERVICES[name]))
      this.vpc.addInterfaceEndpoint(service.shortName, {
        service,
        subnets: PROGRAM_SUBNETS,
        securityGroups: [group],
        open: false,
      });
  }

  private makeCallers(): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, "Callers", {
      vpc: this.vpc,
      description: "Functions and workers of Aegis",
      allowAllOutbound: false,
    });
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), "OpenAI and AWS services");
    group.addEgressRule(ec2.Peer.ipv4(this.vpc.vpcCidrBlock), ec2.Port.tcp(5432), "PostgreSQL");
    return group;
  }
}
