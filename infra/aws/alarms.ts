import { CfnOutput, Duration } from 'aws-cdk-lib'
import {
  Alarm,
  type AlarmProps,
  ComparisonOperator,
  type IMetric,
  MathExpression,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch'
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions'
import { Topic } from 'aws-cdk-lib/aws-sns'
import { Construct } from 'constructs'
import { LANES } from '../../shared/job.ts'
import type { Deployment } from './deployment.ts'
import type { FleetMetrics } from './fleet-metrics.ts'

/** Waits that are worth waking somebody for: longer than a fleet takes to start from zero and catch up. */
const LONGEST_WAIT_SECONDS = { interactive: 600, batch: 7200 } as const
const MINUTE = Duration.minutes(1)

interface AlarmRule {
  /** Also its heading in infra/guides/alarms.md. */
  readonly name: string
  /** What it means, in one sentence. */
  readonly meaning: string
  readonly metric: IMetric
  readonly above: number
  readonly minutes: number
}

/** What a person should hear of. Each has its paragraph in infra/guides/alarms.md; a test checks that. */
export class Alarms extends Construct {
  readonly alarms: readonly Alarm[]

  constructor(scope: Construct, id: string, deployment: Deployment, metrics: FleetMetrics) {
    super(scope, id)
    const topic = new Topic(this, 'Topic', { topicName: `parm-edge-${deployment.name}-alarms`, enforceSSL: true })
    this.alarms = rulesOf(deployment, metrics).map((rule) => {
      const alarm = new Alarm(this, rule.name, alarmProps(rule, deployment))
      alarm.addAlarmAction(new SnsAction(topic))
      alarm.addOkAction(new SnsAction(topic))
      return alarm
    })
    new CfnOutput(this, 'AlarmTopicArn', { value: topic.topicArn })
  }
}

function rulesOf({ scaling }: Deployment, metrics: FleetMetrics): AlarmRule[] {
  const { runningTasks: running, desiredTasks: desired, wantedTasks: wanted } = metrics
  return [
    ...LANES.map((lane) => ({
      name: `dead-letters-${lane}`,
      meaning: `Messages of the ${lane} queue could not be worked on by any worker.`,
      metric: metrics.deadLetters(lane),
      above: 0,
      minutes: 1,
    })),
    ...LANES.map((lane) => ({
      name: `waiting-too-long-${lane}`,
      meaning: `The oldest ${lane} message has waited much longer than the fleet is meant to let it.`,
      metric: new MathExpression({
        expression: 'MAX([FILL(oldest, 0), FILL(received, 0)])',
        usingMetrics: { oldest: metrics.oldestWaiting(lane), received: metrics.queueAge(lane) },
        label: 'seconds',
        period: MINUTE,
      }),
      above: LONGEST_WAIT_SECONDS[lane],
      minutes: 3,
    })),
    {
      name: 'no-capacity',
      meaning: 'Tasks are wanted that have not started for ten minutes: no instances, or they do not become healthy.',
      metric: new MathExpression({
        expression: 'FILL(desired, 0) - FILL(running, 0)',
        usingMetrics: { desired, running },
        label: 'missing tasks',
        period: MINUTE,
      }),
      above: 0,
      minutes: 10,
    },
    {
      name: 'fleet-at-its-limit',
      meaning: 'More tasks are wanted than the fleet may have.',
      metric: wanted,
      above: scaling.tasks.max,
      minutes: 10,
    },
    {
      name: 'jobs-fail',
      meaning: 'More than one in twenty jobs fails in the engine.',
      metric: new MathExpression({
        expression: 'IF(failed + succeeded > 20, 100 * failed / (failed + succeeded), 0)',
        usingMetrics: { failed: metrics.jobsFailed, succeeded: metrics.jobsSucceeded },
        label: 'failed jobs, percent',
        period: Duration.minutes(5),
      }),
      above: 5,
      minutes: 5,
    },
    {
      name: 'nothing-finishes',
      meaning: 'Tasks run, messages are in flight, and no job has ended for a quarter of an hour.',
      metric: new MathExpression({
        expression:
          'IF(FILL(running, 0) > 0 AND FILL(interactive, 0) + FILL(batch, 0) > 0 AND FILL(ended, 0) < 1, 1, 0)',
        usingMetrics: {
          running,
          interactive: metrics.inFlight('interactive'),
          batch: metrics.inFlight('batch'),
          ended: metrics.jobsSucceeded,
        },
        label: 'stuck',
        period: MINUTE,
      }),
      above: 0,
      minutes: 15,
    },
    {
      name: 'messages-come-back',
      meaning:
        'Messages are received much more often than they are done with: leases are lost, or workers die at their work.',
      metric: new MathExpression({
        expression: 'IF(received > 20, 100 * (received - deleted) / received, 0)',
        usingMetrics: { received: metrics.received('interactive'), deleted: metrics.deleted('interactive') },
        label: 'receives that led to nothing, percent',
        period: Duration.minutes(5),
      }),
      above: 30,
      minutes: 15,
    },
    {
      name: 'workers-silent',
      meaning: 'Tasks run and publish no metrics: the fleet is scaled by what was assumed, not by what is.',
      metric: new MathExpression({
        expression: 'IF(FILL(running, 0) > 0 AND FILL(reported, -1) < 0, 1, 0)',
        usingMetrics: { running, reported: metrics.rowSteps },
        label: 'silent',
        period: MINUTE,
      }),
      above: 0,
      minutes: 15,
    },
  ]
}

function alarmProps({ name, meaning, metric, above, minutes }: AlarmRule, deployment: Deployment): AlarmProps {
  const periodMinutes = metric instanceof MathExpression ? metric.period.toMinutes() : 1
  return {
    alarmName: `parm-edge-${deployment.name}-${name}`,
    alarmDescription: `${meaning} See infra/guides/alarms.md#${name}.`,
    metric,
    threshold: above,
    comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: Math.max(1, Math.round(minutes / periodMinutes)),
    treatMissingData: TreatMissingData.NOT_BREACHING,
  }
}
