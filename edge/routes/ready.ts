import { Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import type { AppEnv } from '../app-env.ts'
import { parseEnv } from '../env.ts'

/**
 * `/readyz`: whether this edge can take work now, asked of what it cannot do without: R2 and Durable Objects. SQS is not
 * asked: a job is accepted all the same and waits in its outbox.
 */
export const ready = new Hono<AppEnv>()

/** Names nothing that is stored; looking for it leaves nothing behind. */
const PROBE = 'readyz'
const PROBE_MS = 2000

ready.get('/', async (c) => {
  parseEnv(c.env)
  const probes: Record<string, () => Promise<unknown>> = {
    images: async () => c.env.IMAGES.head(PROBE),
    objects: async () => c.env.JOB.getByName(PROBE).status(PROBE),
  }
  const silent = await Promise.all(
    Object.entries(probes).map(async ([name, ask]) => ((await answersInTime(ask)) ? [] : [name])),
  )
  const names = silent.flat()
  if (names.length > 0) {
    throw new AppError('service_unavailable', `The edge cannot take work: no answer of ${names.join(' and ')}`)
  }
  return c.json({ status: 'ready' as const }, 200, { 'cache-control': 'no-store' })
})

async function answersInTime(ask: () => Promise<unknown>): Promise<boolean> {
  const timeout = Promise.withResolvers<false>()
  const timer = setTimeout(() => timeout.resolve(false), PROBE_MS)
  const answered = ask().then(
    () => true,
    () => false,
  )
  try {
    return await Promise.race([answered, timeout.promise])
  } finally {
    clearTimeout(timer)
  }
}
