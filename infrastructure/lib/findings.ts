// Why a finding of cdk-nag's AwsSolutions rules is accepted. Each one names its construct and the exact
// finding, so that a new resource with the same fault is still found.
import { Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

export function accept(construct: IConstruct, rule: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions-${rule}`, reason });
}
