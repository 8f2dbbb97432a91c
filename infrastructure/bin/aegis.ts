// Entry point of the CDK command line (cdk.json).
import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { deployment } from "../lib/deployment.ts";

const app = new App();
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
deployment(app);
