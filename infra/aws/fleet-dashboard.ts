import { Duration } from 'aws-cdk-lib'
import { Dashboard, GraphWidget, type IMetric, TextWidget } from 'aws-cdk-lib/aws-cloudwatch'
import { Construct } from 'constructs'
import { LANES } from '../../shared/job.ts'
import type { Deployment } from './deployment.ts'
import type { FleetMetrics } from './fleet-metrics.ts'

/**
 * The fleet as CloudWatch sees it: what waits, what is wanted, what there is. What happens inside the workers is on the
 * Grafana dashboard of their own metrics, infra/dashboard/workers.json.
 */
export class FleetDashboard extends Construct {
  constructor(scope: Construct, id: string, { name }: Deployment, metrics: FleetMetrics) {
    super(scope, id)
    new Dashboard(this, 'Dashboard', {
      dashboardName: `parm-edge-${name}`,
      defaultInterval: Duration.hours(6),
      widgets: [
        [
          new TextWidget({
            markdown: `# parm-edge ${name}\nUnit of work: the row-step, one candidate advanced by one step.`,
            width: 24,
            height: 2,
          }),
        ],
        [
          graph('Tasks', [metrics.wantedTasks, metrics.desiredTasks, metrics.runningTasks]),
          graph('Row-steps a minute', [metrics.rowSteps]),
        ],
        [
          graph(
            'Messages waiting and in flight',
            LANES.flatMap((lane) => [metrics.waiting(lane), metrics.inFlight(lane)]),
          ),
          graph(
            'Seconds in the queue, longest',
            LANES.flatMap((lane) => [metrics.queueAge(lane), metrics.oldestWaiting(lane)]),
          ),
        ],
        [
          graph(
            'Expected row-steps per job',
            LANES.map((lane) => metrics.rowStepsPerJob(lane)),
          ),
          graph('Jobs a minute', [metrics.jobsSucceeded, metrics.jobsFailed]),
          graph(
            'Dead letters',
            LANES.map((lane) => metrics.deadLetters(lane)),
          ),
        ],
      ],
    })
  }
}

const graph = (title: string, left: IMetric[]): GraphWidget =>
  new GraphWidget({ title, left, width: 8, height: 6, leftYAxis: { min: 0 } })
