// Every action that the templates allow or deny, by role or by the resource whose policy it is.
import type { Stack } from "aws-cdk-lib";
import { pathOf, type Resource, type Synthesized } from "./synthesize.ts";

type Statement = { Effect: string; Action: string | string[]; Resource?: unknown; Principal?: any };
type Actions = Record<string, string[]>;

const list = <T>(one: T | T[] | undefined): T[] => (one === undefined ? [] : Array.isArray(one) ? one : [one]);

export function actionsOf(made: Synthesized): Actions {
  const found: Actions = {};
  for (const stack of made.stacks())
    for (const resource of Object.values(made.json(stack).Resources)) collect(made, stack, resource, found);
  return Object.fromEntries(Object.entries(found).sort().map(([who, what]) => [who, [...new Set(what)].sort()]));
}

function collect(made: Synthesized, stack: Stack, resource: Resource, found: Actions): void {
  const p = resource.Properties ?? {};
  const add = (who: string, what: string[]) => what.length && (found[who] = [...(found[who] ?? []), ...what]);
  const named = (r: Resource) => name(made, stack, r);
  switch (resource.Type) {
    case "AWS::IAM::Role":
      add(named(resource), list<any>(p.ManagedPolicyArns).map((arn) => `managed ${JSON.stringify(arn).match(/[\w-]+(?="?}?\]?\]?}?$)/)?.[0]}`));
      return void list<any>(p.Policies).forEach((policy) => add(named(resource), lines(policy.PolicyDocument)));
    case "AWS::IAM::Policy":
    case "AWS::IAM::ManagedPolicy":
      for (const role of list<any>(p.Roles)) add(named(made.json(stack).Resources[role.Ref]), lines(p.PolicyDocument));
      return;
    case "AWS::Lambda::Permission":
      return void add(named(resource), [`allow ${p.Action} to ${p.Principal}`]);
    default:
      return void add(named(resource), lines(p.PolicyDocument ?? p.KeyPolicy ?? p.ResourcePolicy));
  }
}

/** The construct's path below the deployment: "functions/IngestionRole". */
function name(made: Synthesized, stack: Stack, resource: Resource): string {
  const path = pathOf(resource) || `${stack.stackName}/${resource.Type}`;
  return path.slice(made.deployed.settings.name.length + 1).replace(/\/(Resource|Default)$/, "");
}

/** "allow s3:GetObject on Media/*" of a role; "allow sns:Publish to whom" of a resource's own policy. */
function lines(document: { Statement: Statement[] } | undefined): string[] {
  return list(document?.Statement).flatMap((statement) =>
    list(statement.Action).flatMap((action) => {
      const what = `${statement.Effect.toLowerCase()} ${action}`;
      if (statement.Principal !== undefined) return [`${what} to ${principal(statement.Principal)}`];
      return list(statement.Resource).map((resource) => `${what} on ${target(resource)}`);
    }),
  );
}

/** The logical id that a reference leads to, of this stack or another, without its hash. */
function target(resource: unknown): string {
  if (resource === "*") return "*";
  const text = JSON.stringify(resource);
  if (text.includes("-container-assets-")) return "the images that CDK pushed";
  const id = text.match(/ExportsOutput(?:FnGetAtt|Ref)(\w+?)[0-9A-F]{8}/) ?? text.match(/"(?:Fn::GetAtt":\["|Ref":")(?!AWS::)(\w+?)(?:[0-9A-F]{8})?"/);
  if (id === null) throw new Error(`nothing is referred to by ${text}`);
  return id[1] + (text.match(/[:/]\*/)?.[0] ?? "");
}

function principal(of: any): string {
  if (of === "*" || of.AWS === "*") return "everybody";
  return `${of.Service ?? (JSON.stringify(of).includes(":root") ? "this account" : JSON.stringify(of))}`;
}
