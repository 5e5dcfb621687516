import { App, Tags, Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { DEPLOYMENTS, type Deployment } from './deployment.ts'
import { acknowledgeExceptions } from './rule-exceptions.ts'
import { WorkerRegistryStack } from './worker-registry.ts'
import { WorkersStack } from './workers-stack.ts'

/** An app whose synthesis fails where a rule of AWS Solutions is broken and not acknowledged. */
export function checkedApp(outdir: string): App {
  const app = new App({ outdir, analyticsReporting: false })
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
  return app
}

/**
 * All stacks, none bound to an account or a region, so that they are made without either; `cdk deploy` takes those of its
 * credentials.
 *
 * @param outdir  where synthesis writes the templates
 */
export function parmEdgeApp(outdir: string, deployments: readonly Deployment[] = Object.values(DEPLOYMENTS)): App {
  const app = checkedApp(outdir)
  const { repository } = new WorkerRegistryStack(app, 'parm-edge-registry')
  for (const deployment of deployments) {
    const stack = new WorkersStack(app, `parm-edge-${deployment.name}`, { deployment, repository })
    Tags.of(stack).add('parm-edge:deployment', deployment.name)
    acknowledgeExceptions(stack)
  }
  return app
}
