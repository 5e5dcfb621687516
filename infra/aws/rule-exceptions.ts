import { type Stack, Validations } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

interface Exception {
  /** Path of the construct below the stack; a path that does not exist is an error, so that no exception outlives its reason. */
  readonly at: string
  readonly id: string
  readonly reason: string
}

const CLUSTER = 'FleetClusterE89F8D7D'

/** Rules of AWS Solutions that do not fit, each where it does not and why. */
const EXCEPTIONS: readonly Exception[] = [
  {
    at: 'Fleet/InstanceRole/DefaultPolicy/Resource',
    id: 'AwsSolutions-IAM5[Action::ecs:Submit*]',
    reason:
      'What the ECS agent reports of tasks, on this cluster only; the actions of this prefix are the agent’s protocol.',
  },
  {
    at: 'Fleet/InstanceRole/DefaultPolicy/Resource',
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'Finding an endpoint and logging in to the registry know no resource.',
  },
  {
    at: 'Fleet/Task/ExecutionRole/DefaultPolicy/Resource',
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'Only ecr:GetAuthorizationToken, which knows no resource.',
  },
  {
    at: 'Fleet/Task/TaskRole/DefaultPolicy/Resource',
    id: `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/<${CLUSTER}>/*]`,
    reason: 'A task protects itself, and the ids of tasks are made when they start. Limited to this cluster.',
  },
  {
    at: 'Fleet/Task/Resource',
    id: 'AwsSolutions-ECS2',
    reason:
      'The variables are queue URLs and limits. A worker has no secret: each job brings its own key in its message.',
  },
  {
    at: 'Fleet/Instances/ASG',
    id: 'AwsSolutions-EC26',
    reason: 'The rule cannot read launch templates. The volume is encrypted; a template test says so.',
  },
  {
    at: 'Fleet/Instances/ASG',
    id: 'AwsSolutions-AS3',
    reason: 'Instances come and go with the work; what matters of it is the alarm no-capacity.',
  },
  {
    at: 'EdgeAccess/CallbackSecret/Resource',
    id: 'AwsSolutions-SMG4',
    reason:
      'The edge keeps its copy at Cloudflare, where nothing here can rotate it; infra/guides/first-deploy.md has the commands.',
  },
]

/** @throws Error  when an exception names a construct that there is no more */
export function acknowledgeExceptions(stack: Stack): void {
  for (const { at, id, reason } of EXCEPTIONS) {
    const construct = at.split('/').reduce<IConstruct>((parent, name) => parent.node.findChild(name), stack)
    Validations.of(construct).acknowledge({ id: `AwsSolutions::${id}`, reason })
  }
}
