// The stacks can be synthesized and tested before the program is built, but must not be deployed then.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CfnParameter, Validations, type Stack } from "aws-cdk-lib";

export const REPOSITORY = join(import.meta.dirname, "..", "..");

/** The absolute path of a file that `make` builds, or undefined if it has not been built. */
export function built(path: string): string | undefined {
  const absolute = join(REPOSITORY, path);
  return existsSync(absolute) ? absolute : undefined;
}

/**
 * A parameter without a default, which `cdk deploy` refuses before it changes anything, and whose pattern
 * no value matches, so that CloudFormation itself refuses too. The name is what both of them print.
 */
export function refuseDeployment(stack: Stack, name: string, reason: string): void {
  new CfnParameter(stack, name, { allowedPattern: "(?!)", constraintDescription: reason, description: reason });
  Validations.of(stack).acknowledge({ id: "CloudFormation-Validate::W2001", reason: `${name} is only there to be refused` });
}
