import { startFauxqs } from 'fauxqs'
import type { TestProject } from 'vitest/node'
import { TEST_MODEL } from './model-card.ts'

declare module 'vitest' {
  interface ProvidedContext {
    queueUrlInteractive: string
    queueUrlBatch: string
    models: string
  }
}

/** One SQS for the tests that run inside workerd; node tests start their own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startFauxqs({ port: 0, logger: false })
  // Not server.address: it names a host that does not resolve everywhere.
  const origin = `http://127.0.0.1:${server.port}`
  for (const name of ['parm-interactive', 'parm-batch']) server.createQueue(name)
  project.provide('queueUrlInteractive', `${origin}/000000000000/parm-interactive`)
  project.provide('queueUrlBatch', `${origin}/000000000000/parm-batch`)
  project.provide('models', JSON.stringify([TEST_MODEL]))
  return () => server.stop()
}
