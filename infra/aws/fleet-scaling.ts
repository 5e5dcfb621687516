import { Aws, Duration } from 'aws-cdk-lib'
import {
  type AdjustmentTier,
  AdjustmentType,
  CfnScalingPolicy,
  MetricAggregationType,
  ScalableTarget,
  ServiceNamespace,
  StepScalingAction,
  type StepScalingActionProps,
} from 'aws-cdk-lib/aws-applicationautoscaling'
import {
  Alarm,
  type AlarmProps,
  ComparisonOperator,
  type IMetric,
  MathExpression,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch'
import { ApplicationScalingAction } from 'aws-cdk-lib/aws-cloudwatch-actions'
import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { CfnSchedule } from 'aws-cdk-lib/aws-scheduler'
import { Construct } from 'constructs'
import { FROM_ZERO, SCALE_IN, TARGET_TRACKING, TO_ZERO } from '../scaling-policy.ts'
import type { Deployment } from './deployment.ts'
import type { FleetMetrics } from './fleet-metrics.ts'
import type { GpuFleet } from './gpu-fleet.ts'
import type { JobQueues } from './job-queues.ts'

export interface FleetScalingProps {
  readonly deployment: Deployment
  readonly fleet: GpuFleet
  readonly queues: JobQueues
  readonly metrics: FleetMetrics
}

/** Ids are those of the constructs: another id would replace what is deployed. */
interface StepRule {
  readonly policy: { readonly id: string } & Omit<StepScalingActionProps, 'scalingTarget'>
  readonly steps: readonly AdjustmentTier[]
  readonly alarm: {
    readonly id: string
    /** Of `desired` and `wanted`. */
    readonly expression: string
    readonly label: string
  } & Pick<AlarmProps, 'alarmDescription' | 'threshold' | 'comparisonOperator' | 'evaluationPeriods'>
}

/**
 * How many tasks there are: up by target tracking of wanted tasks per desired task, down by a rule that is quicker than tracking's own,
 * and a rule each from and to zero, where a ratio means nothing. What they do to waiting times and to the bill: `npm run simulate`.
 */
export class FleetScaling extends Construct {
  constructor(scope: Construct, id: string, { deployment, fleet, queues, metrics }: FleetScalingProps) {
    super(scope, id)
    const { min, max } = deployment.scaling.tasks
    const target = new ScalableTarget(this, 'Tasks', {
      serviceNamespace: ServiceNamespace.ECS,
      resourceId: `service/${fleet.cluster.clusterName}/${fleet.service.serviceName}`,
      scalableDimension: 'ecs:service:DesiredCount',
      minCapacity: min,
      maxCapacity: max,
      // The service-linked role, which Application Auto Scaling makes for itself.
      role: Role.fromRoleArn(
        this,
        'Role',
        `arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService`,
      ),
    })
    this.#track(target, metrics)
    this.#shrink(target, metrics)
    this.#leaveZero(target, metrics)
    if (min === 0) this.#returnToZero(target, metrics)
    this.#keepMetricsComing(queues)
  }

  #track(target: ScalableTarget, metrics: FleetMetrics): void {
    // By desired tasks, which tracking multiplies by the ratio again: by running ones, a fleet whose instances are still
    // starting would be asked for over and over.
    const load = new MathExpression({
      expression: 'IF(FILL(desired, 0) > 0, wanted / desired, wanted)',
      usingMetrics: { desired: metrics.desiredTasks, wanted: metrics.wantedTasks },
      label: 'wanted tasks per desired task',
    })
    new CfnScalingPolicy(this, 'Track', {
      policyName: 'wanted-per-desired-task',
      policyType: 'TargetTrackingScaling',
      scalingTargetId: target.scalableTargetId,
      targetTrackingScalingPolicyConfiguration: {
        targetValue: TARGET_TRACKING.target,
        scaleOutCooldown: TARGET_TRACKING.periodSeconds,
        disableScaleIn: true,
        customizedMetricSpecification: { metrics: queriesOf('load', load) },
      },
    })
  }

  #shrink(target: ScalableTarget, metrics: FleetMetrics): void {
    // Bounds count from the alarm's threshold; in tenths, where they are whole numbers.
    const tenths = (share: number): number => Math.round(10 * (share - SCALE_IN.below)) / 10
    this.#stepWhile(target, metrics, {
      policy: {
        id: 'Shrink',
        policyName: 'shrink',
        adjustmentType: AdjustmentType.PERCENT_CHANGE_IN_CAPACITY,
        metricAggregationType: MetricAggregationType.AVERAGE,
        minAdjustmentMagnitude: 1,
        cooldown: Duration.seconds(SCALE_IN.cooldownSeconds),
      },
      steps: SCALE_IN.steps.map(({ from, below, percent }) => ({
        adjustment: -percent,
        upperBound: tenths(below),
        ...(from > 0 && { lowerBound: tenths(from) }),
      })),
      alarm: {
        id: 'TooMany',
        alarmDescription: 'Scaling: there are more tasks than are wanted. No action needed.',
        // shareWanted of scaling-policy.ts.
        expression: 'IF(FILL(desired, 0) > 1 AND CEIL(wanted) < desired, wanted / desired, 1)',
        label: 'share of the tasks that is wanted',
        threshold: SCALE_IN.below,
        comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
        evaluationPeriods: SCALE_IN.datapoints,
      },
    })
  }

  #leaveZero(target: ScalableTarget, metrics: FleetMetrics): void {
    this.#stepWhile(target, metrics, {
      policy: {
        id: 'Start',
        policyName: 'from-zero',
        adjustmentType: AdjustmentType.CHANGE_IN_CAPACITY,
        metricAggregationType: MetricAggregationType.MAXIMUM,
        cooldown: Duration.seconds(FROM_ZERO.cooldownSeconds),
      },
      steps: FROM_ZERO.steps.map(({ above, tasks }, index) => {
        const next = FROM_ZERO.steps[index + 1]
        return { adjustment: tasks, lowerBound: above, ...(next !== undefined && { upperBound: next.above }) }
      }),
      alarm: {
        id: 'NobodyThere',
        alarmDescription: 'Scaling: work is waiting and there is no task. No action needed.',
        expression: 'IF(FILL(desired, 0) < 1, wanted, 0)',
        label: 'wanted tasks while there are none',
        threshold: 0,
        comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluationPeriods: FROM_ZERO.datapoints,
      },
    })
  }

  #returnToZero(target: ScalableTarget, metrics: FleetMetrics): void {
    this.#stepWhile(target, metrics, {
      policy: { id: 'Stop', policyName: 'to-zero', adjustmentType: AdjustmentType.EXACT_CAPACITY },
      steps: [{ adjustment: 0, upperBound: 0 }],
      alarm: {
        id: 'NothingToDo',
        alarmDescription: 'Scaling: nothing waits and nothing runs. No action needed.',
        expression: 'IF(FILL(desired, 0) > 0, wanted, 1)',
        label: 'wanted tasks while there are some',
        threshold: 0,
        comparisonOperator: ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluationPeriods: TO_ZERO.datapoints,
      },
    })
  }

  /** An alarm about desired and wanted tasks that changes the number of tasks as long as it is on. */
  #stepWhile(target: ScalableTarget, metrics: FleetMetrics, { policy, steps, alarm }: StepRule): void {
    const { id: policyId, ...stepping } = policy
    const action = new StepScalingAction(this, policyId, { scalingTarget: target, ...stepping })
    for (const step of steps) action.addAdjustment(step)
    const { id: alarmId, expression, label, ...when } = alarm
    const metric = new MathExpression({
      expression,
      usingMetrics: { desired: metrics.desiredTasks, wanted: metrics.wantedTasks },
      label,
      period: Duration.seconds(TARGET_TRACKING.periodSeconds),
    })
    const whenOn = new Alarm(this, alarmId, { metric, ...when, treatMissingData: TreatMissingData.NOT_BREACHING })
    whenOn.addAlarmAction(new ApplicationScalingAction(action))
  }

  /**
   * SQS stops its metrics for a queue that nobody has called for six hours, and takes up to fifteen minutes to resume: the first
   * job after a quiet night would wait that long for the fleet to notice it. A call an hour, whatever it does, keeps them coming;
   * the schedule may not make reading calls, so it writes a tag that is there already.
   * Source: Amazon SQS developer guide, "Monitoring Amazon SQS queues using CloudWatch".
   */
  #keepMetricsComing(queues: JobQueues): void {
    const role = new Role(this, 'WakeRole', { assumedBy: new ServicePrincipal('scheduler.amazonaws.com') })
    role.addToPolicy(
      new PolicyStatement({
        effect: Effect.ALLOW,
        actions: ['sqs:TagQueue'],
        resources: queues.lanes.map(({ queue }) => queue.queueArn),
      }),
    )
    for (const { lane, queue } of queues.lanes) {
      new CfnSchedule(this, `Wake-${lane}`, {
        description: `keeps CloudWatch metrics of the ${lane} queue coming`,
        scheduleExpression: 'rate(1 hour)',
        flexibleTimeWindow: { mode: 'FLEXIBLE', maximumWindowInMinutes: 15 },
        target: {
          arn: `arn:${Aws.PARTITION}:scheduler:::aws-sdk:sqs:tagQueue`,
          roleArn: role.roleArn,
          input: JSON.stringify({ QueueUrl: queue.queueUrl, Tags: { 'parm-edge-metrics': 'kept-coming' } }),
        },
      })
    }
  }
}

type MetricQuery = CfnScalingPolicy.TargetTrackingMetricDataQueryProperty

/**
 * An expression and everything below it as the flat list that a target-tracking policy takes. Target tracking of CDK's own
 * constructs knows single metrics only.
 */
function queriesOf(id: string, metric: IMetric, returnData = true): MetricQuery[] {
  if (metric instanceof MathExpression) {
    const inputs = Object.entries(metric.usingMetrics).flatMap(([name, input]) => queriesOf(name, input, false))
    return [{ id, expression: metric.expression, returnData, ...optionalLabel(metric.label) }, ...inputs]
  }
  if (!(metric instanceof Metric)) throw new TypeError(`expected a metric or an expression as ${id}`)
  const { namespace, metricName, statistic } = metric
  const dimensions = Object.entries(metric.dimensions ?? {}).map(([name, value]) => ({ name, value: String(value) }))
  return [{ id, returnData, metricStat: { metric: { namespace, metricName, dimensions }, stat: statistic } }]
}

const optionalLabel = (label: string | undefined): { label?: string } => (label === undefined ? {} : { label })
