import { resolve } from 'node:path'
import { parmEdgeApp } from './parm-edge-app.ts'

// The CDK command line says where to write; started by hand, it is beside this file.
const { CDK_OUTDIR } = process.env
const assembly = parmEdgeApp(CDK_OUTDIR ?? resolve(import.meta.dirname, 'cdk.out')).synth()
if (CDK_OUTDIR === undefined) {
  console.log(`${assembly.directory}: ${assembly.stacks.map(({ stackName }) => stackName).join(', ')}`)
}
