import { z } from 'zod'
import type { EdgeFacts } from './edge-checks.ts'
import { type Finding, ok, reasonOf, wrong } from './finding.ts'

const TIMEOUT_MS = 5000

const Health = z.object({
  state: z.string(),
  worker: z.string(),
  bundle: z.object({ id: z.string(), revision: z.string(), provider: z.string() }).optional(),
  slots: z.object({ total: z.number(), free: z.number() }),
  jobs: z.number(),
})

/**
 * Whether a worker serves, and what the edge asks for.
 *
 * @param url    `http://127.0.0.1:8788`, its PARM_HEALTH_PORT
 * @param facts  undefined where the edge did not answer
 */
export async function checkWorker(url: string, facts: EdgeFacts | undefined): Promise<Finding> {
  let body: unknown
  try {
    const response = await fetch(new URL('/healthz', url), { signal: AbortSignal.timeout(TIMEOUT_MS) })
    body = await response.json()
  } catch (error) {
    return wrong(
      'worker',
      `${url} cannot be reached (${reasonOf(error)})`,
      'does it run, and is this its PARM_HEALTH_PORT?',
    )
  }
  const health = Health.safeParse(body)
  if (!health.success)
    return wrong(
      'worker',
      `${url} is no worker of this version`,
      'ask the port that it logs as "health server listening"',
    )
  const { state, worker, bundle, slots, jobs } = health.data
  if (state !== 'ready' || bundle === undefined) {
    return wrong('worker', `${worker} is ${state}`, 'its log says why; a large bundle takes minutes to load')
  }
  const asked = facts?.models.find(({ id }) => id === bundle.id)
  if (facts && asked?.revision !== bundle.revision) {
    const wanted = asked ? `revision ${asked.revision.slice(0, 12)} of it` : facts.models.map(({ id }) => id).join(', ')
    const has = `${bundle.id} revision ${bundle.revision.slice(0, 12)}`
    return wrong(
      'worker',
      `${worker} has ${has}, the edge asks for ${wanted}`,
      'deploy both with the same bundle: new-bundle.md',
    )
  }
  return ok(
    'worker',
    `${worker} is ready on ${bundle.provider}: ${slots.free} of ${slots.total} slots free, ${jobs} jobs`,
  )
}
