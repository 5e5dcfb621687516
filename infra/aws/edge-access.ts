import { CfnOutput, RemovalPolicy } from 'aws-cdk-lib'
import { ManagedPolicy, PolicyStatement, User } from 'aws-cdk-lib/aws-iam'
import { Secret } from 'aws-cdk-lib/aws-secretsmanager'
import { Construct } from 'constructs'
import type { Deployment } from './deployment.ts'
import type { JobQueues } from './job-queues.ts'

/**
 * What the edge, which runs at Cloudflare, needs of AWS: it may send to the two queues, ask how long they are, and nothing else. The user's access key is not
 * made here, because it would lie in the stack's state; infra/guides/first-deploy.md makes it and hands it over in one go.
 */
export class EdgeAccess extends Construct {
  constructor(scope: Construct, id: string, queues: JobQueues, { name, keepsData }: Deployment) {
    super(scope, id)
    const policy = new ManagedPolicy(this, 'SendJobs', {
      managedPolicyName: `parm-edge-${name}-send-jobs`,
      statements: [
        new PolicyStatement({
          actions: ['sqs:SendMessage', 'sqs:GetQueueAttributes'],
          resources: queues.lanes.map(({ queue }) => queue.queueArn),
        }),
      ],
    })
    const user = new User(this, 'User', { userName: `parm-edge-${name}-edge`, managedPolicies: [policy] })
    // The root of every job's callback key. Kept here so that it can be given to the edge again; no worker ever reads it.
    const callbackSecret = new Secret(this, 'CallbackSecret', {
      secretName: `parm-edge/${name}/callback-secret`,
      description: 'CALLBACK_SECRET of the edge: per-job keys are derived from it',
      generateSecretString: { passwordLength: 48, excludePunctuation: true },
      removalPolicy: keepsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    })
    new CfnOutput(this, 'EdgeUserName', { value: user.userName })
    new CfnOutput(this, 'CallbackSecretId', { value: callbackSecret.secretName })
  }
}
