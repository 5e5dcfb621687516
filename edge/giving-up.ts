import { waitUntil } from 'cloudflare:workers'
import type { Context } from 'hono'
import { isTerminal, type JobStatus } from '../shared/job-status.ts'
import type { AppEnv } from './app-env.ts'
import { jobObjectName } from './job-id.ts'
import { idempotencyKey } from './request-terms.ts'

interface Work {
  readonly id: string
  readonly status: JobStatus
}

/** Whether a caller who leaves gives the work up: unless its Idempotency-Key says that it may come back. */
function canGiveUp(c: Context<AppEnv>, { status }: Work): boolean {
  return !isTerminal(status) && idempotencyKey(c.req.raw.headers) === undefined
}

/** Cancels what can be given up, for this caller alone: whether others still wait is the work's own business. */
export async function giveUp(c: Context<AppEnv>, works: readonly Work[]): Promise<void> {
  const { tenant } = c.get('caller')
  const given = works.filter((work) => canGiveUp(c, work))
  await Promise.all(given.map(({ id }) => c.env.JOB.getByName(jobObjectName(id)).cancel(id, tenant)))
}

/**
 * Gives work up when its caller leaves, whenever that is: also while it is being opened, when nobody knows its id yet.
 * The request is gone then and all that it waits for with it, so the rest is told to outlive it.
 *
 * @param opening  work that the caller waits for
 * @returns        `opening`
 */
export function giveUpOnLeaving<T extends { readonly snapshot: Work }>(
  c: Context<AppEnv>,
  opening: Promise<T>,
): Promise<T> {
  const { signal } = c.req.raw
  const leave = () => {
    const given = opening.then(({ snapshot }) => giveUp(c, [snapshot]))
    // Work that was refused is nobody's.
    waitUntil(given.catch(() => undefined))
  }
  signal.addEventListener('abort', leave, { once: true })
  if (signal.aborted) leave()
  return opening
}
