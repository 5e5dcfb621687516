import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { DEPLOYMENTS, withOwnEdge } from './deployment.ts'
import { parmEdgeApp } from './parm-edge-app.ts'

// The CDK command line says where to write; started by hand, it is beside this file.
const { CDK_OUTDIR } = process.env
const settings = readFileSync(resolve(import.meta.dirname, '../../wrangler.toml'), 'utf8')
const deployments = Object.values(DEPLOYMENTS).map((deployment) => withOwnEdge(deployment, settings))
const assembly = parmEdgeApp(CDK_OUTDIR ?? resolve(import.meta.dirname, 'cdk.out'), deployments).synth()
if (CDK_OUTDIR === undefined) {
  console.log(`${assembly.directory}: ${assembly.stacks.map(({ stackName }) => stackName).join(', ')}`)
}
