import { Duration } from 'aws-cdk-lib'
import { type IMetric, MathExpression, Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch'
import { LANES, type Lane } from '../../shared/job.ts'
import { IN_FLIGHT_SHARE, tasksPerArrival, tasksPerWaiting } from '../scaling-policy.ts'
import { type Deployment, metricsNamespace } from './deployment.ts'
import type { GpuFleet } from './gpu-fleet.ts'
import type { JobQueues } from './job-queues.ts'

/** CloudWatch keeps nothing finer for SQS and ECS. */
const PERIOD = Duration.minutes(1)

/** Everything that scaling, alarms and dashboard look at, so that they agree on what they see. */
export class FleetMetrics {
  readonly #deployment: Deployment
  readonly #queues: JobQueues
  readonly #fleet: GpuFleet

  constructor(deployment: Deployment, queues: JobQueues, fleet: GpuFleet) {
    this.#deployment = deployment
    this.#queues = queues
    this.#fleet = fleet
  }

  waiting(lane: Lane): Metric {
    return this.#lane(lane).queue.metricApproximateNumberOfMessagesVisible({ period: PERIOD, statistic: Stats.MAXIMUM })
  }

  inFlight(lane: Lane): Metric {
    const { queue } = this.#lane(lane)
    return queue.metricApproximateNumberOfMessagesNotVisible({ period: PERIOD, statistic: Stats.MAXIMUM })
  }

  deadLetters(lane: Lane): Metric {
    const { deadLetters } = this.#lane(lane)
    return deadLetters.metricApproximateNumberOfMessagesVisible({ period: PERIOD, statistic: Stats.MAXIMUM })
  }

  sent(lane: Lane): Metric {
    return this.#lane(lane).queue.metricNumberOfMessagesSent({ period: PERIOD, statistic: Stats.SUM })
  }

  received(lane: Lane): Metric {
    return this.#lane(lane).queue.metricNumberOfMessagesReceived({ period: PERIOD, statistic: Stats.SUM })
  }

  deleted(lane: Lane): Metric {
    return this.#lane(lane).queue.metricNumberOfMessagesDeleted({ period: PERIOD, statistic: Stats.SUM })
  }

  /** Seconds that the oldest message had waited. SQS's own leaves out messages received three times, which are the ones to hear of. */
  queueAge(lane: Lane): Metric {
    return this.#published('QueueAgeSeconds', Stats.MAXIMUM, { Lane: lane })
  }

  /** Seconds that the oldest waiting message has waited, by SQS: it also rises while no worker receives anything. */
  oldestWaiting(lane: Lane): Metric {
    return this.#lane(lane).queue.metricApproximateAgeOfOldestMessage({ period: PERIOD, statistic: Stats.MAXIMUM })
  }

  rowStepsPerJob(lane: Lane): Metric {
    return this.#published('ExpectedRowStepsPerJob', Stats.AVERAGE, { Lane: lane })
  }

  get rowSteps(): Metric {
    return this.#published('RowSteps', Stats.SUM)
  }

  get jobsSucceeded(): Metric {
    return this.#published('JobsSucceeded', Stats.SUM)
  }

  get jobsFailed(): Metric {
    return this.#published('JobsFailed', Stats.SUM)
  }

  get runningTasks(): Metric {
    return this.#tasks('RunningTaskCount')
  }

  get desiredTasks(): Metric {
    return this.#tasks('DesiredTaskCount')
  }

  /** `wantedTasks` of scaling-policy.ts, in CloudWatch's words. */
  get wantedTasks(): MathExpression {
    const { scaling } = this.#deployment
    const usingMetrics: Record<string, IMetric> = {}
    const terms = LANES.map((lane) => {
      usingMetrics[`${lane}Waiting`] = this.waiting(lane)
      usingMetrics[`${lane}InFlight`] = this.inFlight(lane)
      usingMetrics[`${lane}PerJob`] = this.rowStepsPerJob(lane)
      const perJob = `FILL(${lane}PerJob, ${scaling.assumedRowStepsPerJob})`
      const open = `(FILL(${lane}Waiting, 0) + ${IN_FLIGHT_SHARE} * FILL(${lane}InFlight, 0)) * ${tasksPerWaiting(scaling, lane)}`
      const perArrival = tasksPerArrival(scaling, lane) / PERIOD.toSeconds()
      if (perArrival === 0) return `${perJob} * ${open}`
      usingMetrics[`${lane}Sent`] = this.sent(lane)
      return `${perJob} * (FILL(${lane}Sent, 0) * ${perArrival} + ${open})`
    })
    return new MathExpression({ expression: terms.join(' + '), usingMetrics, label: 'wanted tasks', period: PERIOD })
  }

  #lane(lane: Lane): JobQueues['lanes'][number] {
    const found = this.#queues.lanes.find((candidate) => candidate.lane === lane)
    if (found === undefined) throw new TypeError(`no queue for the lane ${lane}`)
    return found
  }

  #published(metricName: string, statistic: string, dimensionsMap: Record<string, string> = {}): Metric {
    const namespace = metricsNamespace(this.#deployment)
    return new Metric({ namespace, metricName, statistic, dimensionsMap, period: PERIOD })
  }

  #tasks(metricName: string): Metric {
    const { clusterName: ClusterName } = this.#fleet.cluster
    const { serviceName: ServiceName } = this.#fleet.service
    const dimensionsMap = { ClusterName, ServiceName }
    return new Metric({
      namespace: 'ECS/ContainerInsights',
      metricName,
      dimensionsMap,
      statistic: Stats.AVERAGE,
      period: PERIOD,
    })
  }
}
