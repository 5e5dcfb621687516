import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Stack } from 'aws-cdk-lib'
import { Match, Template } from 'aws-cdk-lib/assertions'
import { Queue } from 'aws-cdk-lib/aws-sqs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LIMITS } from '../../../shared/limits.ts'
import { SCALE_IN, shareWanted, wantedTasks } from '../../scaling-policy.ts'
import { DEPLOYMENTS, withOwnEdge } from '../deployment.ts'
import { checkedApp, parmEdgeApp } from '../parm-edge-app.ts'

const { production } = DEPLOYMENTS
const outdir = mkdtempSync(join(tmpdir(), 'parm-edge-cdk-'))
let registry: Template
let template: Template

beforeAll(() => {
  // No account, no region, no network: whatever the environment says must not matter.
  for (const name of Object.keys(process.env)) if (/^(AWS|CDK)_/.test(name)) delete process.env[name]
  const assembly = parmEdgeApp(outdir, [production]).synth()
  const read = (name: string) => Template.fromJSON(assembly.getStackByName(name).template as object)
  registry = read('parm-edge-registry')
  template = read('parm-edge-production')
})
afterAll(() => rmSync(outdir, { recursive: true }))

interface Statement {
  readonly Effect: string
  readonly Action: string | string[]
  readonly Resource: unknown
}

const resources = (type: string): Record<string, unknown>[] =>
  Object.values(template.findResources(type)).map(({ Properties }) => Properties as Record<string, unknown>)

/** Everything a principal with one of `logicalIds` may do. */
function actionsOf(pattern: RegExp): string[] {
  const policies = {
    ...template.findResources('AWS::IAM::Policy'),
    ...template.findResources('AWS::IAM::ManagedPolicy'),
  }
  return Object.entries(policies)
    .filter(([id]) => pattern.test(id))
    .flatMap(([, { Properties }]) => (Properties.PolicyDocument as { Statement: Statement[] }).Statement)
    .flatMap(({ Action }) => Action)
    .sort()
}

describe('the rules checker', () => {
  it('stops synthesis at a broken rule', () => {
    const app = checkedApp(join(outdir, 'broken'))
    new Queue(new Stack(app, 'broken'), 'no-dead-letters-no-tls')
    expect(() => app.synth()).toThrow('AwsSolutions-SQS3')
  })
})

describe('the queues', () => {
  it('are one a lane, each encrypted, closed to plain HTTP, and with dead letters that outlive it', () => {
    template.resourceCountIs('AWS::SQS::Queue', 4)
    template.allResourcesProperties('AWS::SQS::Queue', { SqsManagedSseEnabled: true })
    template.resourceCountIs('AWS::SQS::QueuePolicy', 4)
    for (const lane of ['interactive', 'batch']) {
      template.hasResourceProperties('AWS::SQS::Queue', {
        QueueName: `parm-edge-production-${lane}`,
        RedrivePolicy: Match.objectLike({ maxReceiveCount: 8 }),
      })
    }
  })

  it('keep a message longer than any job may live, and its dead letter as long as there is', () => {
    const kept = resources('AWS::SQS::Queue').map(({ MessageRetentionPeriod: seconds }) => Number(seconds))
    expect(Math.min(...kept) * 1000).toBeGreaterThan(LIMITS.deadlineMs.max)
    expect(kept.filter((seconds) => seconds === 14 * 86_400)).toHaveLength(2)
  })

  it('are kept when the stack is deleted', () => {
    template.allResources('AWS::SQS::Queue', { DeletionPolicy: 'Retain' })
  })
})

describe('the permissions', () => {
  it('let the edge send to the two queues and ask how long they are, and nothing else', () => {
    expect(actionsOf(/^EdgeAccess/)).toEqual(['sqs:GetQueueAttributes', 'sqs:SendMessage'])
    template.resourceCountIs('AWS::IAM::AccessKey', 0)
  })

  it('let a worker take messages and protect itself, and nothing else', () => {
    expect([...new Set(actionsOf(/^FleetTaskTaskRole/))]).toEqual([
      'ecs:UpdateTaskProtection',
      'sqs:ChangeMessageVisibility',
      'sqs:DeleteMessage',
      'sqs:GetQueueAttributes',
      'sqs:ReceiveMessage',
      'sqs:SendMessage',
    ])
  })

  it('use no policy of AWS’s making, which may grow', () => {
    expect(resources('AWS::IAM::Role').filter(({ ManagedPolicyArns }) => ManagedPolicyArns !== undefined)).toEqual([])
  })

  it('give nobody a way into an instance', () => {
    for (const group of resources('AWS::EC2::SecurityGroup')) expect(group.SecurityGroupIngress).toBeUndefined()
    template.resourceCountIs('AWS::EC2::SecurityGroupIngress', 0)
    template.hasResourceProperties('AWS::EC2::LaunchTemplate', {
      LaunchTemplateData: Match.objectLike({
        MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 1 },
        BlockDeviceMappings: [Match.objectLike({ Ebs: Match.objectLike({ Encrypted: true }) })],
      }),
    })
  })
})

describe('the fleet', () => {
  it('is spot above an on-demand base, of several types, from zero up', () => {
    template.hasResourceProperties('AWS::AutoScaling::AutoScalingGroup', {
      MinSize: '0',
      MaxSize: `${production.scaling.tasks.max}`,
      NewInstancesProtectedFromScaleIn: true,
      MixedInstancesPolicy: Match.objectLike({
        InstancesDistribution: {
          OnDemandBaseCapacity: 1,
          OnDemandPercentageAboveBaseCapacity: 0,
          SpotAllocationStrategy: 'price-capacity-optimized',
        },
        LaunchTemplate: Match.objectLike({
          Overrides: Match.arrayWith([{ InstanceType: 'g6.xlarge' }, { InstanceType: 'g5.xlarge' }]),
        }),
      }),
    })
    template.hasResourceProperties('AWS::ECS::CapacityProvider', {
      AutoScalingGroupProvider: Match.objectLike({
        ManagedScaling: Match.objectLike({ Status: 'ENABLED' }),
        ManagedTerminationProtection: 'ENABLED',
        ManagedDraining: 'ENABLED',
      }),
    })
  })

  it('drains tasks when spot takes an instance back', () => {
    const userData = JSON.stringify(resources('AWS::EC2::LaunchTemplate')[0])
    expect(userData).toContain('ECS_ENABLE_SPOT_INSTANCE_DRAINING=true')
  })

  it('runs one worker a GPU, without privileges, that has the time to finish what it began', () => {
    const [task] = resources('AWS::ECS::TaskDefinition') as {
      ContainerDefinitions: { Environment: { Name: string; Value: unknown }[]; StopTimeout: number }[]
    }[]
    const [worker] = task?.ContainerDefinitions ?? []
    expect(worker).toMatchObject({
      ReadonlyRootFilesystem: true,
      Privileged: false,
      ResourceRequirements: [{ Type: 'GPU', Value: '1' }],
      HealthCheck: { Command: ['CMD', 'node', 'gpu-worker/src/health-check.ts'] },
      LogConfiguration: { LogDriver: 'awslogs', Options: { mode: 'non-blocking' } },
    })
    const graceSeconds = Number(worker?.Environment.find(({ Name }) => Name === 'PARM_GRACE_SECONDS')?.Value)
    // Ten seconds of farewell come on top (gpu-worker/src/main.ts).
    expect(graceSeconds + 10).toBeLessThan(worker?.StopTimeout ?? 0)
  })

  it('is configured by names that the worker knows', () => {
    const config = readFileSync(resolve(import.meta.dirname, '../../../gpu-worker/src/config.ts'), 'utf8')
    const [task] = resources('AWS::ECS::TaskDefinition') as {
      ContainerDefinitions: { Environment: { Name: string }[] }[]
    }[]
    const names = task?.ContainerDefinitions[0]?.Environment.map(({ Name }) => Name) ?? []
    expect(names).toContain('PARM_QUEUE_URL_INTERACTIVE')
    expect(names.filter((name) => name.startsWith('PARM_') && !config.includes(`  ${name}: `))).toEqual([])
  })

  it('lets its workers call the edge that its environment in wrangler.toml names, and no other', () => {
    const toml =
      '[env.staging.vars]\nPUBLIC_URL = "https://s.example.com"\n[env.production.vars]\nPUBLIC_URL = "https://p.example.com"\n'
    expect(withOwnEdge(production, toml).edgeOrigins).toEqual(['https://p.example.com'])
    expect(withOwnEdge({ ...production, edgeOrigins: ['https://own.example.com'] }, toml).edgeOrigins).toEqual([
      'https://own.example.com',
    ])
    expect(withOwnEdge(production, toml.replaceAll(/https.*com/g, '')).edgeOrigins).toBeUndefined()
  })

  it('tells its workers where spans go and which edges they may call, where a deployment says so', () => {
    const told = {
      ...production,
      tracesEndpoint: 'https://collector.example.com',
      edgeOrigins: ['https://api.example.com', 'https://api.example.org'],
    }
    const assembly = parmEdgeApp(join(outdir, 'told'), [told]).synth()
    const [task] = Object.values(
      Template.fromJSON(assembly.getStackByName('parm-edge-production').template as object).findResources(
        'AWS::ECS::TaskDefinition',
      ),
    ) as { Properties: { ContainerDefinitions: { Environment: { Name: string; Value: unknown }[] }[] } }[]
    const environment = task?.Properties.ContainerDefinitions[0]?.Environment ?? []
    expect(environment).toContainEqual({
      Name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
      Value: 'https://collector.example.com',
    })
    expect(environment).toContainEqual({
      Name: 'PARM_EDGE_ORIGINS',
      Value: 'https://api.example.com,https://api.example.org',
    })
  })

  it('does not set the number of tasks, which is the scaling’s to say', () => {
    const [service] = resources('AWS::ECS::Service')
    expect(service?.DesiredCount).toBeUndefined()
    expect(service?.AvailabilityZoneRebalancing).toBe('DISABLED')
    expect(service?.DeploymentConfiguration).toMatchObject({
      MinimumHealthyPercent: 100,
      MaximumPercent: 200,
      DeploymentCircuitBreaker: { Enable: true, Rollback: true },
    })
  })

  it('keeps every log for a time, not for ever', () => {
    const groups = resources('AWS::Logs::LogGroup')
    expect(groups.length).toBeGreaterThan(1)
    for (const group of groups) expect(group.RetentionInDays).toBeGreaterThan(0)
  })

  it('takes images that cannot be replaced under their tag', () => {
    registry.hasResource('AWS::ECR::Repository', {
      DeletionPolicy: 'Retain',
      Properties: Match.objectLike({
        ImageTagMutability: 'IMMUTABLE',
        ImageScanningConfiguration: { ScanOnPush: true },
      }),
    })
  })
})

interface Query {
  readonly Id: string
  readonly Expression?: string
  readonly ReturnData: boolean
  readonly MetricStat?: {
    readonly Metric: { readonly MetricName: string; readonly Namespace: string }
    readonly Stat: string
  }
}

/** Enough of CloudWatch's metric math for our expressions: FILL, IF, AND, CEIL and arithmetic on single values. */
function evaluate(id: string, queries: readonly Query[], values: Readonly<Record<string, number | undefined>>): number {
  const query = queries.find((candidate) => candidate.Id === id)
  const expression = query?.Expression
  if (expression === undefined) return values[id] ?? Number.NaN
  const names = queries.map(({ Id }) => Id).filter((name) => new RegExp(`\\b${name}\\b`).test(expression))
  const inputs = names.map((name) => evaluate(name, queries, values))
  const body = `return ${expression.replaceAll('IF(', 'IF_(').replaceAll(' AND ', ' && ').replaceAll('CEIL(', 'Math.ceil(')}`
  const compute = new Function('FILL', 'IF_', ...names, body) as (...parts: unknown[]) => number
  return compute(
    (value: number, missing: number) => (Number.isNaN(value) ? missing : value),
    (condition: boolean, yes: number, no: number) => (condition ? yes : no),
    ...inputs,
  )
}

describe('the scaling', () => {
  const trackedQueries = (): Query[] => {
    const policies = resources('AWS::ApplicationAutoScaling::ScalingPolicy')
    const tracking = policies.find(({ PolicyType }) => PolicyType === 'TargetTrackingScaling') as {
      TargetTrackingScalingPolicyConfiguration: {
        TargetValue: number
        CustomizedMetricSpecification: { Metrics: Query[] }
      }
    }
    expect(tracking.TargetTrackingScalingPolicyConfiguration.TargetValue).toBe(1)
    return tracking.TargetTrackingScalingPolicyConfiguration.CustomizedMetricSpecification.Metrics
  }

  it('tracks the work that waits for each task, by what the workers and the queues publish', () => {
    const queries = trackedQueries()
    expect(queries.filter(({ ReturnData }) => ReturnData)).toHaveLength(1)
    const read = queries.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric.MetricName] : []))
    expect(new Set(read)).toEqual(
      new Set([
        'NumberOfMessagesSent',
        'ApproximateNumberOfMessagesVisible',
        'ApproximateNumberOfMessagesNotVisible',
        'ExpectedRowStepsPerJob',
        'DesiredTaskCount',
      ]),
    )
    const published = readFileSync(
      resolve(import.meta.dirname, '../../../gpu-worker/src/metrics/fleet-report.ts'),
      'utf8',
    )
    expect(published).toContain("'ExpectedRowStepsPerJob'")
    const namespaces = queries.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric.Namespace] : []))
    expect(namespaces).toContain('ParmEdge/production')
  })

  it('wants as many tasks as the simulated policy does', () => {
    const backlog = {
      interactive: { sentPerSecond: 50, waiting: 700, inFlight: 40, rowStepsPerJob: 33 },
      batch: { sentPerSecond: 9, waiting: 2000, inFlight: 6, rowStepsPerJob: 300 },
    }
    const values = {
      interactiveSent: 50 * 60,
      interactiveWaiting: 700,
      interactiveInFlight: 40,
      interactivePerJob: 33,
      batchWaiting: 2000,
      batchInFlight: 6,
      batchPerJob: 300,
    }
    const wanted = wantedTasks(backlog, production.scaling)
    expect(wanted).toBeGreaterThan(2)
    expect(evaluate('load', trackedQueries(), { ...values, desired: 3 })).toBeCloseTo(wanted / 3, 9)
    // With nobody there to ask, and no data but the queue's.
    const { assumedRowStepsPerJob: rowStepsPerJob } = production.scaling
    const unknown = { sentPerSecond: 0, waiting: 700, inFlight: 0, rowStepsPerJob }
    const alone = wantedTasks({ interactive: unknown, batch: { ...unknown, waiting: 0 } }, production.scaling)
    expect(evaluate('load', trackedQueries(), { interactiveWaiting: 700 })).toBeCloseTo(alone, 9)
  })

  it('ends tasks that are not wanted by the simulated rule, and leaves ending to no other', () => {
    template.hasResourceProperties('AWS::ApplicationAutoScaling::ScalingPolicy', {
      PolicyType: 'TargetTrackingScaling',
      TargetTrackingScalingPolicyConfiguration: Match.objectLike({ DisableScaleIn: true }),
    })
    template.hasResourceProperties('AWS::ApplicationAutoScaling::ScalingPolicy', {
      PolicyName: 'shrink',
      StepScalingPolicyConfiguration: Match.objectLike({
        AdjustmentType: 'PercentChangeInCapacity',
        MinAdjustmentMagnitude: 1,
        Cooldown: SCALE_IN.cooldownSeconds,
        StepAdjustments: Match.arrayWith([
          Match.objectLike({ MetricIntervalUpperBound: -0.8, ScalingAdjustment: -90 }),
          Match.objectLike({ MetricIntervalLowerBound: -0.4, MetricIntervalUpperBound: -0.3, ScalingAdjustment: -40 }),
          Match.objectLike({ MetricIntervalLowerBound: -0.1, MetricIntervalUpperBound: 0, ScalingAdjustment: -10 }),
        ]),
      }),
    })
    const alarms = resources('AWS::CloudWatch::Alarm') as unknown as {
      Threshold: number
      EvaluationPeriods: number
      Metrics?: Query[]
    }[]
    const [alarm] = alarms.filter(({ Threshold }) => Threshold === SCALE_IN.below)
    expect(alarm?.EvaluationPeriods).toBe(SCALE_IN.datapoints)
    const queries = alarm?.Metrics ?? []
    const [{ Id } = { Id: '' }] = queries.filter(({ ReturnData }) => ReturnData !== false)
    for (const [waiting, desired] of [
      [700, 3],
      [700, 9],
      [0, 1],
      [0, 2],
      [90_000, 400],
    ] as const) {
      const rowStepsPerJob = 33
      const lane = { sentPerSecond: 0, waiting, inFlight: 0, rowStepsPerJob }
      const wanted = wantedTasks({ interactive: lane, batch: { ...lane, waiting: 0 } }, production.scaling)
      const values = { interactiveWaiting: waiting, interactivePerJob: rowStepsPerJob, desired }
      expect(evaluate(Id, queries, values)).toBeCloseTo(shareWanted(wanted, desired), 9)
    }
  })

  it('goes from zero by the size of what waits, and back to zero only when nothing runs', () => {
    template.hasResourceProperties('AWS::ApplicationAutoScaling::ScalableTarget', {
      MinCapacity: 0,
      MaxCapacity: production.scaling.tasks.max,
    })
    template.hasResourceProperties('AWS::ApplicationAutoScaling::ScalingPolicy', {
      PolicyName: 'from-zero',
      StepScalingPolicyConfiguration: Match.objectLike({
        AdjustmentType: 'ChangeInCapacity',
        StepAdjustments: Match.arrayWith([
          Match.objectLike({ MetricIntervalLowerBound: 0, ScalingAdjustment: 1 }),
          Match.objectLike({ MetricIntervalLowerBound: 4, ScalingAdjustment: 8 }),
        ]),
      }),
    })
    template.hasResourceProperties('AWS::ApplicationAutoScaling::ScalingPolicy', {
      PolicyName: 'to-zero',
      StepScalingPolicyConfiguration: Match.objectLike({ AdjustmentType: 'ExactCapacity' }),
    })
    template.hasResourceProperties('AWS::CloudWatch::Alarm', { EvaluationPeriods: 10, Threshold: 0 })
  })

  it('keeps the queues’ metrics coming through a quiet night', () => {
    template.resourceCountIs('AWS::Scheduler::Schedule', 2)
    expect(actionsOf(/^ScalingWakeRole/)).toEqual(['sqs:TagQueue'])
  })
})

describe('the alarms', () => {
  it('each have a paragraph in the guide, and the guide has no other', () => {
    const guide = readFileSync(resolve(import.meta.dirname, '../../guides/alarms.md'), 'utf8')
    const headings = [...guide.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)
    const described = resources('AWS::CloudWatch::Alarm')
      .map(({ AlarmDescription }) => String(AlarmDescription))
      .flatMap((description) => description.match(/alarms\.md#([a-z-]+)/)?.[1] ?? [])
    expect([...described].sort()).toEqual([...headings].sort())
    expect(described).toHaveLength(10)
  })

  it('all tell somebody, except those that only scale', () => {
    for (const { AlarmName, AlarmActions } of resources('AWS::CloudWatch::Alarm')) {
      expect(AlarmActions, String(AlarmName)).toHaveLength(1)
    }
    template.resourceCountIs('AWS::SNS::Topic', 1)
    template.resourceCountIs('AWS::CloudWatch::Dashboard', 1)
  })
})
