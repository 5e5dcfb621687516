import { RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib'
import { Repository, TagMutability } from 'aws-cdk-lib/aws-ecr'
import type { Construct } from 'constructs'

/** Images to go back to. */
const KEPT_IMAGES = 20

/** One repository for all deployments of an account: an image is built once and goes from one deployment to the next. */
export class WorkerRegistryStack extends Stack {
  readonly repository: Repository

  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, props)
    this.repository = new Repository(this, 'Workers', {
      repositoryName: 'parm-edge-worker',
      imageScanOnPush: true,
      // A tag that could move would make rolling back a matter of luck.
      imageTagMutability: TagMutability.IMMUTABLE,
      lifecycleRules: [{ maxImageCount: KEPT_IMAGES, description: 'what nobody will go back to' }],
      removalPolicy: RemovalPolicy.RETAIN,
    })
  }
}
