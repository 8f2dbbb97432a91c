// Entry point of the CDK command line (cdk.json).
import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { deployment } from "../lib/deployment.ts";
import { SettingError } from "../lib/settings.ts";

const app = new App();
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
try {
  deployment(app);
} catch (error) {
  if (!(error instanceof SettingError)) throw error;
  console.error(`aegis: ${error.message}`);
  process.exitCode = 1;
}
