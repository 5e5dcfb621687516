import { RetentionDays } from 'aws-cdk-lib/aws-logs'
import { ROW_STEPS_PER_SECOND } from '../fleet-assumptions.ts'
import { SCALING_DEFAULTS, type ScalingPolicy } from '../scaling-policy.ts'

export const DEPLOYMENT_NAMES = ['dev', 'staging', 'production'] as const
export type DeploymentName = (typeof DEPLOYMENT_NAMES)[number]

/** What differs between deployments; everything else is the same, so that staging shows what production will do. */
export interface Deployment {
  readonly name: DeploymentName
  readonly scaling: ScalingPolicy
  /** Instances that are not spot, counted from the first one that starts. */
  readonly onDemandBase: number
  readonly logRetention: RetentionDays
  /** Whether what holds jobs or secrets outlives the deletion of its stack. */
  readonly keepsData: boolean
  /** Where workers send their spans, OTLP over HTTP, for the same collector as the edge's; left out, they send none. */
  readonly tracesEndpoint?: string
  /** Origins of the edges that a message may make a worker call; left out, any. */
  readonly edgeOrigins?: readonly string[]
}

/**
 * One GPU each and close to each other in speed, so that a task is a task wherever it runs. Several, because spot capacity of
 * any one type comes and goes.
 */
export const INSTANCE_TYPES = ['g6.xlarge', 'g5.xlarge', 'g6.2xlarge', 'g5.2xlarge'] as const

const SCALING = { ...SCALING_DEFAULTS, rowStepsPerSecond: ROW_STEPS_PER_SECOND }

export const DEPLOYMENTS: Readonly<Record<DeploymentName, Deployment>> = {
  dev: {
    name: 'dev',
    scaling: { ...SCALING, tasks: { min: 0, max: 2 } },
    onDemandBase: 0,
    logRetention: RetentionDays.ONE_WEEK,
    keepsData: false,
  },
  staging: {
    name: 'staging',
    scaling: { ...SCALING, tasks: { min: 0, max: 4 } },
    onDemandBase: 1,
    logRetention: RetentionDays.TWO_WEEKS,
    keepsData: false,
  },
  production: {
    name: 'production',
    scaling: { ...SCALING, tasks: { min: 0, max: 40 } },
    onDemandBase: 1,
    logRetention: RetentionDays.THREE_MONTHS,
    keepsData: true,
  },
}

/**
 * A deployment whose workers call the edge of its own environment and nobody else: `PUBLIC_URL` of its variables.
 *
 * @param toml  text of wrangler.toml
 * @returns     the deployment as it was where it says so itself, or nothing is set there yet
 */
export function withOwnEdge(deployment: Deployment, toml: string): Deployment {
  const [, variables = ''] = toml.split(`[env.${deployment.name}.vars]\n`)
  const url = /^PUBLIC_URL = "(.*)"$/m.exec(variables)?.[1] ?? ''
  return url === '' || deployment.edgeOrigins !== undefined ? deployment : { ...deployment, edgeOrigins: [url] }
}

/** CloudWatch namespace of what the workers of a deployment publish. */
export const metricsNamespace = (deployment: Deployment): string => `ParmEdge/${deployment.name}`
