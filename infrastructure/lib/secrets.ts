// The key for OpenAI. The template never has its value: Secrets Manager makes up a random one, which OpenAI
// refuses, until somebody puts the real one (docs/aws.md). A deployment does not overwrite it.
import { RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";
import { accept } from "./findings.ts";
import type { Settings } from "./settings.ts";

export class SecretsStack extends Stack {
  readonly openai: Secret;

  constructor(scope: Construct, id: string, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    this.openai = new Secret(this, "OpenAi", {
      secretName: settings.openaiSecret,
      description: "Key for OpenAI's API; a random placeholder until it is put",
      generateSecretString: { passwordLength: 40, excludePunctuation: true },
      removalPolicy: RemovalPolicy.DESTROY,
    });
    accept(this.openai, "SMG4", "Only OpenAI can make a new key; putting one is described in docs/aws.md");
  }
}
