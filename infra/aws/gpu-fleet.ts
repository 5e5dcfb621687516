import { Duration, Stack } from 'aws-cdk-lib'
import {
  AutoScalingGroup,
  BlockDeviceVolume,
  EbsDeviceVolumeType,
  GroupMetrics,
  SpotAllocationStrategy,
} from 'aws-cdk-lib/aws-autoscaling'
import {
  FlowLogDestination,
  FlowLogTrafficType,
  InstanceType,
  LaunchTemplate,
  LaunchTemplateHttpTokens,
  SecurityGroup,
  SubnetType,
  UserData,
  Vpc,
} from 'aws-cdk-lib/aws-ec2'
import type { IRepository } from 'aws-cdk-lib/aws-ecr'
import {
  AmiHardwareType,
  AsgCapacityProvider,
  AwsLogDriverMode,
  type CfnService,
  Cluster,
  ContainerImage,
  ContainerInsights,
  Ec2Service,
  Ec2TaskDefinition,
  EcsOptimizedImage,
  LinuxParameters,
  LogDriver,
  NetworkMode,
  TmpfsMountOption,
} from 'aws-cdk-lib/aws-ecs'
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import { type Deployment, INSTANCE_TYPES, metricsNamespace } from './deployment.ts'
import type { JobQueues } from './job-queues.ts'

export interface GpuFleetProps {
  readonly deployment: Deployment
  readonly queues: JobQueues
  readonly repository: IRepository
  /** Of the worker's image in `repository`. */
  readonly imageTag: string
}

/** Of 16 GiB and 4 cores of the smallest type; the rest is the agent's and the system's. */
const TASK = { memoryMiB: 12_288, cpuUnits: 3584 } as const
/** ECS kills after this; spot warns two minutes ahead. A worker needs its grace period and ten seconds for its farewell. */
const STOP_SECONDS = 120
const GRACE_SECONDS = 100

/**
 * Workers on GPU instances: an ECS service of one task an instance, whose instances a capacity provider starts and ends as
 * tasks ask for them. Spot above an on-demand base.
 */
export class GpuFleet extends Construct {
  readonly cluster: Cluster
  readonly service: Ec2Service
  readonly instances: AutoScalingGroup
  readonly logGroup: LogGroup

  constructor(scope: Construct, id: string, props: GpuFleetProps) {
    super(scope, id)
    const { deployment } = props
    const vpc = this.#network()
    this.cluster = new Cluster(this, 'Cluster', {
      vpc,
      clusterName: `parm-edge-${deployment.name}`,
      // Scaling and alarms read how many tasks there are and should be.
      containerInsightsV2: ContainerInsights.ENABLED,
    })
    this.instances = this.#instances(vpc, deployment)
    const capacity = new AsgCapacityProvider(this, 'Capacity', {
      autoScalingGroup: this.instances,
      enableManagedScaling: true,
      // An instance with a task on it is never chosen for scale-in, and a task on a leaving instance is asked to leave first.
      enableManagedTerminationProtection: true,
      enableManagedDraining: true,
      targetCapacityPercent: 100,
      maximumScalingStepSize: deployment.scaling.tasks.max,
    })
    this.cluster.addAsgCapacityProvider(capacity)
    this.logGroup = new LogGroup(this, 'Logs', {
      logGroupName: `/parm-edge/${deployment.name}/worker`,
      retention: deployment.logRetention,
    })
    this.service = this.#service(this.#task(props), capacity)
  }

  /**
   * Public subnets without any way in: workers call SQS, the edge and the registry, and nobody calls them. NAT gateways would
   * cost more than a small fleet.
   */
  #network(): Vpc {
    const vpc = new Vpc(this, 'Network', {
      maxAzs: 3,
      natGateways: 0,
      subnetConfiguration: [{ name: 'workers', subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: true }],
      restrictDefaultSecurityGroup: false,
    })
    // Nobody may reach a worker, so what is refused is what is interesting.
    vpc.addFlowLog('Refused', {
      trafficType: FlowLogTrafficType.REJECT,
      destination: FlowLogDestination.toCloudWatchLogs(
        new LogGroup(this, 'RefusedTraffic', { retention: RetentionDays.TWO_WEEKS }),
      ),
    })
    return vpc
  }

  #instances(vpc: Vpc, { scaling, onDemandBase }: Deployment): AutoScalingGroup {
    // The cluster adds what its agent needs; AWS's own policy for instances would allow more.
    const role = new Role(this, 'InstanceRole', { assumedBy: new ServicePrincipal('ec2.amazonaws.com') })
    const userData = UserData.forLinux()
    // Off by default, although only it turns the two-minute notice of spot into a SIGTERM for the tasks.
    userData.addCommands('echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config')
    const launchTemplate = new LaunchTemplate(this, 'Instance', {
      machineImage: EcsOptimizedImage.amazonLinux2023(AmiHardwareType.GPU),
      userData,
      role,
      securityGroup: new SecurityGroup(this, 'NoWayIn', { vpc, description: 'no inbound traffic at all' }),
      httpTokens: LaunchTemplateHttpTokens.REQUIRED,
      // One hop ends at the instance: containers cannot reach its credentials.
      httpPutResponseHopLimit: 1,
      detailedMonitoring: true,
      blockDevices: [
        {
          deviceName: '/dev/xvda',
          volume: BlockDeviceVolume.ebs(60, { volumeType: EbsDeviceVolumeType.GP3, encrypted: true }),
        },
      ],
    })
    return new AutoScalingGroup(this, 'Instances', {
      vpc,
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      minCapacity: 0,
      maxCapacity: scaling.tasks.max,
      mixedInstancesPolicy: {
        launchTemplate,
        launchTemplateOverrides: INSTANCE_TYPES.map((type) => ({ instanceType: new InstanceType(type) })),
        instancesDistribution: {
          onDemandBaseCapacity: onDemandBase,
          onDemandPercentageAboveBaseCapacity: 0,
          spotAllocationStrategy: SpotAllocationStrategy.PRICE_CAPACITY_OPTIMIZED,
        },
      },
      newInstancesProtectedFromScaleIn: true,
      groupMetrics: [GroupMetrics.all()],
    })
  }

  #task({ deployment, queues, repository, imageTag }: GpuFleetProps): Ec2TaskDefinition {
    const task = new Ec2TaskDefinition(this, 'Task', { networkMode: NetworkMode.BRIDGE })
    const linuxParameters = new LinuxParameters(this, 'Linux', { initProcessEnabled: true })
    // The root file system is read-only; Node and the CUDA driver want a place for temporary files.
    linuxParameters.addTmpfs({
      containerPath: '/tmp',
      size: 256,
      mountOptions: [TmpfsMountOption.NOEXEC, TmpfsMountOption.NOSUID],
    })
    task.addContainer('worker', {
      image: ContainerImage.fromEcrRepository(repository, imageTag),
      gpuCount: 1,
      cpu: TASK.cpuUnits,
      memoryLimitMiB: TASK.memoryMiB,
      readonlyRootFilesystem: true,
      privileged: false,
      linuxParameters,
      stopTimeout: Duration.seconds(STOP_SECONDS),
      environment: {
        AWS_REGION: Stack.of(this).region,
        PARM_METRICS_NAMESPACE: metricsNamespace(deployment),
        PARM_GRACE_SECONDS: `${GRACE_SECONDS}`,
        // A worker that fell back to its processor would be a tenth of a task at the price of one.
        PARM_PROVIDERS: 'cuda',
        ...(deployment.tracesEndpoint !== undefined && { OTEL_EXPORTER_OTLP_ENDPOINT: deployment.tracesEndpoint }),
        ...(deployment.edgeOrigins !== undefined && { PARM_EDGE_ORIGINS: deployment.edgeOrigins.join(',') }),
        ...Object.fromEntries(
          queues.lanes.map(({ lane, queue }) => [`PARM_QUEUE_URL_${lane.toUpperCase()}`, queue.queueUrl]),
        ),
      },
      healthCheck: {
        // What the image's own HEALTHCHECK asks; ECS looks only at this one.
        command: ['CMD', 'node', 'gpu-worker/src/health-check.ts'],
        interval: Duration.seconds(15),
        timeout: Duration.seconds(5),
        retries: 4,
        // Loading a large bundle onto the GPU and trying what it can do.
        startPeriod: Duration.seconds(300),
      },
      logging: LogDriver.awsLogs({
        logGroup: this.logGroup,
        streamPrefix: 'worker',
        // Pictures go on when the log does not.
        mode: AwsLogDriverMode.NON_BLOCKING,
      }),
    })
    for (const statement of taskPermissions(queues, this.cluster)) task.addToTaskRolePolicy(statement)
    return task
  }

  #service(taskDefinition: Ec2TaskDefinition, capacity: AsgCapacityProvider): Ec2Service {
    const service = new Ec2Service(this, 'Service', {
      cluster: this.cluster,
      taskDefinition,
      // No desiredCount: every deployment would set it, and take the fleet back to it.
      capacityProviderStrategies: [{ capacityProvider: capacity.capacityProviderName, weight: 1 }],
      // New tasks start beside the old ones; with one task there is no other way that never leaves none.
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      circuitBreaker: { rollback: true },
      enableECSManagedTags: true,
    })
    // Moving a warm worker for symmetry would load its models for nothing.
    ;(service.node.defaultChild as CfnService).availabilityZoneRebalancing = 'DISABLED'
    return service
  }
}

/** What a worker calls: its queues, and ECS about itself. Pictures and verdicts go to the edge, with the job's own key. */
function taskPermissions(queues: JobQueues, cluster: Cluster): PolicyStatement[] {
  return [
    new PolicyStatement({
      actions: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility', 'sqs:GetQueueAttributes'],
      resources: queues.lanes.map(({ queue }) => queue.queueArn),
    }),
    // Puts aside what cannot be read, and ends the jobs of what lies there.
    new PolicyStatement({
      actions: ['sqs:SendMessage', 'sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'],
      resources: queues.lanes.map(({ deadLetters }) => deadLetters.queueArn),
    }),
    new PolicyStatement({
      actions: ['ecs:UpdateTaskProtection'],
      resources: [
        Stack.of(cluster).formatArn({ service: 'ecs', resource: 'task', resourceName: `${cluster.clusterName}/*` }),
      ],
      conditions: { ArnEquals: { 'ecs:cluster': cluster.clusterArn } },
    }),
  ]
}
