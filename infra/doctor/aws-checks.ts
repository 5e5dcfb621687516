import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { z } from 'zod'
import { type Finding, ok, reasonOf, skipped, wrong } from './finding.ts'

/** Runs the aws command line, which knows every way of logging in; JSON comes back. */
export type AwsCommand = (...args: string[]) => Promise<unknown>

export const awsCommand: AwsCommand = async (...args) => {
  const { stdout } = await promisify(execFile)('aws', [...args, '--output', 'json'], { timeout: 60_000 })
  return JSON.parse(stdout)
}

const ServiceList = z.object({ serviceArns: z.array(z.string()) })
const Services = z.object({
  services: z.array(
    z.object({
      runningCount: z.number(),
      desiredCount: z.number(),
      pendingCount: z.number(),
      events: z.array(z.object({ message: z.string() })).default([]),
    }),
  ),
})
const FiringAlarms = z.object({
  MetricAlarms: z.array(z.object({ AlarmName: z.string(), AlarmDescription: z.string().optional() })),
})

/** The fleet of a deployment as ECS sees it, and its alarms. */
export async function checkFleet(deployment: string, aws: AwsCommand): Promise<Finding[]> {
  const cluster = `parm-edge-${deployment}`
  try {
    const { serviceArns } = ServiceList.parse(await aws('ecs', 'list-services', '--cluster', cluster))
    if (serviceArns.length === 0)
      return [wrong('fleet', `${cluster} has no service`, 'deploy the stack: first-deploy.md, step 3')]
    const { services } = Services.parse(
      await aws('ecs', 'describe-services', '--cluster', cluster, '--services', ...serviceArns),
    )
    const alarms = FiringAlarms.parse(
      await aws('cloudwatch', 'describe-alarms', '--alarm-name-prefix', `${cluster}-`, '--state-value', 'ALARM'),
    )
    return [...services.map(tasksOf), ...alarmsOf(alarms)]
  } catch (error) {
    return [
      skipped(
        'fleet',
        `AWS could not be asked (${reasonOf(error).split('\n')[0]})`,
        'install the aws command line and log in',
      ),
    ]
  }
}

function tasksOf({
  runningCount,
  desiredCount,
  pendingCount,
  events,
}: z.infer<typeof Services>['services'][number]): Finding {
  const what = `${runningCount} of ${desiredCount} tasks run, ${pendingCount} start`
  if (runningCount >= desiredCount || pendingCount > 0) return ok('fleet', what)
  return wrong('fleet', `${what}; last event: ${events[0]?.message ?? 'none'}`, 'alarms.md, no-capacity')
}

function alarmsOf({ MetricAlarms }: z.infer<typeof FiringAlarms>): Finding[] {
  if (MetricAlarms.length === 0) return [ok('alarms', 'none')]
  return MetricAlarms.map(({ AlarmName, AlarmDescription = '' }) => wrong('alarms', AlarmName, AlarmDescription))
}
