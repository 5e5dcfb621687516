import { createHash, randomBytes } from 'node:crypto'
import { ParmClient } from '../../edge/client/client.ts'
import { LIMITS } from '../../shared/limits.ts'
import { type LocalStack, startStack } from '../local/stack.ts'

/** The whole service as `npm start` runs it, closed to all but its tenants, who are told apart by their keys. */
export interface Service {
  /** One a tenant; the first floods. */
  readonly clients: readonly ParmClient[]
  /** Row-steps that all workers have done so far. */
  rowSteps(): Promise<number>
  /** Slots that nobody wants, of all workers. */
  freeSlots(): Promise<number>
  stop(): Promise<void>
}

/** @param threads  of each worker */
export async function startService(workers: number, threads: number, tenants: number): Promise<Service> {
  const operatorKey = `operator_${randomBytes(24).toString('base64url')}`
  const stack = await startStack({
    workers,
    workerSettings: { PARM_THREADS: String(threads) },
    adminKeyHash: createHash('sha256').update(operatorKey).digest('hex'),
  })
  try {
    const { admin } = new ParmClient({ baseUrl: stack.url, apiKey: operatorKey })
    const clients: ParmClient[] = []
    for (let tenant = 0; tenant < tenants; tenant++) {
      const { key } = await admin.createKey(`tenant-${tenant}`, {
        requests: LIMITS.keyRequests.max,
        concurrentJobs: LIMITS.keyConcurrentJobs.max,
      })
      clients.push(new ParmClient({ baseUrl: stack.url, apiKey: key }))
    }
    return {
      clients,
      rowSteps: () => sumOf(stack, 'parm_row_steps_total'),
      freeSlots: () => sumOf(stack, 'parm_slots_free'),
      stop: () => stack.stop(),
    }
  } catch (error) {
    await stack.stop()
    throw error
  }
}

/** Of a metric without labels, over the workers. */
async function sumOf({ workers }: LocalStack, metric: string): Promise<number> {
  const values = workers.map(async ({ healthUrl }) => {
    const text = await (await fetch(new URL('/metrics', healthUrl))).text()
    const value = new RegExp(`^${metric} (\\S+)$`, 'm').exec(text)?.[1]
    if (value === undefined) throw new Error(`${healthUrl} tells no ${metric}`)
    return Number(value)
  })
  return (await Promise.all(values)).reduce((sum, value) => sum + value, 0)
}
