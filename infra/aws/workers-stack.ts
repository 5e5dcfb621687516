import { CfnOutput, CfnParameter, Stack, type StackProps } from 'aws-cdk-lib'
import type { Repository } from 'aws-cdk-lib/aws-ecr'
import type { Construct } from 'constructs'
import { Alarms } from './alarms.ts'
import type { Deployment } from './deployment.ts'
import { EdgeAccess } from './edge-access.ts'
import { FleetDashboard } from './fleet-dashboard.ts'
import { FleetMetrics } from './fleet-metrics.ts'
import { FleetScaling } from './fleet-scaling.ts'
import { GpuFleet } from './gpu-fleet.ts'
import { JobQueues } from './job-queues.ts'

export interface WorkersStackProps extends StackProps {
  readonly deployment: Deployment
  readonly repository: Repository
}

/** The AWS half of one deployment. */
export class WorkersStack extends Stack {
  constructor(scope: Construct, id: string, props: WorkersStackProps) {
    super(scope, id, props)
    const { deployment, repository } = props
    // A parameter and no context value: rolling back is deploying with the tag of before, and CloudFormation remembers it.
    const imageTag = new CfnParameter(this, 'ImageTag', {
      description: 'Tag of the worker image in the repository parm-edge-worker',
      allowedPattern: '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}',
      constraintDescription: 'expected an image tag, such as 0.1.0-1a2b3c4',
    })
    const queues = new JobQueues(this, 'Queues', deployment)
    const fleet = new GpuFleet(this, 'Fleet', { deployment, queues, repository, imageTag: imageTag.valueAsString })
    const metrics = new FleetMetrics(deployment, queues, fleet)
    new FleetScaling(this, 'Scaling', { deployment, fleet, queues, metrics })
    new Alarms(this, 'Alarms', deployment, metrics)
    new FleetDashboard(this, 'Dashboard', deployment, metrics)
    new EdgeAccess(this, 'EdgeAccess', queues, deployment)
    for (const { lane, queue } of queues.lanes) {
      new CfnOutput(this, `QueueUrl${lane}`, { key: `QueueUrl${capitalised(lane)}`, value: queue.queueUrl })
    }
  }
}

const capitalised = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)
