import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import { Queue, QueueEncryption, RedrivePermission } from 'aws-cdk-lib/aws-sqs'
import { Construct } from 'constructs'
import { LANES, type Lane } from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { Deployment } from './deployment.ts'

/**
 * Receives before a message is put aside. More than a worker's own limit of attempts (PARM_MAX_ATTEMPTS, 5): a job that can
 * be read is failed by a worker, with a reason for its caller; only what no worker can read or finish ends here.
 */
const MAX_RECEIVES = 8

export interface LaneQueue {
  readonly lane: Lane
  readonly queue: Queue
  readonly deadLetters: Queue
}

/** One standard queue a lane, each with its dead-letter queue. Standard, because fair queues by tenant need no order. */
export class JobQueues extends Construct {
  readonly lanes: readonly LaneQueue[]

  constructor(scope: Construct, id: string, deployment: Deployment) {
    super(scope, id)
    this.lanes = LANES.map((lane) => this.#laneQueue(lane, deployment))
  }

  get all(): readonly Queue[] {
    return this.lanes.flatMap(({ queue, deadLetters }) => [queue, deadLetters])
  }

  #laneQueue(lane: Lane, { name, keepsData }: Deployment): LaneQueue {
    const removalPolicy = keepsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY
    const common = { encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true, removalPolicy }
    const queueName = `parm-edge-${name}-${lane}`
    const deadLetters = new Queue(this, `${lane}-dead-letters`, {
      ...common,
      queueName: `${queueName}-dead-letters`,
      // The longest there is: whoever looks after a weekend must still find them.
      retentionPeriod: Duration.days(14),
    })
    const queue = new Queue(this, lane, {
      ...common,
      queueName,
      // No job may live longer than its deadline; what is older has been given up by its caller, and by the edge.
      retentionPeriod: Duration.millis(LIMITS.deadlineMs.max).plus(Duration.hours(1)),
      // Workers ask for their own visibility at each receive; this is for whoever looks by hand.
      visibilityTimeout: Duration.seconds(60),
      receiveMessageWaitTime: Duration.seconds(20),
      redriveAllowPolicy: { redrivePermission: RedrivePermission.DENY_ALL },
      deadLetterQueue: { queue: deadLetters, maxReceiveCount: MAX_RECEIVES },
    })
    return { lane, queue, deadLetters }
  }
}
