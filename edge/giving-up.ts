import { waitUntil } from 'cloudflare:workers'
import type { Context } from 'hono'
import { isTerminal, type JobStatus } from '../shared/job-status.ts'
import type { AppEnv } from './app-env.ts'
import { jobObjectName } from './job-id.ts'
import { idempotencyKey } from './request-terms.ts'

/** Whether a caller who leaves gives the work up: unless its Idempotency-Key says that it may come back. */
export function canGiveUp(c: Context<AppEnv>, { status }: { status: JobStatus }): boolean {
  return !isTerminal(status) && idempotencyKey(c.req.raw.headers) === undefined
}

/** Outlives the request that is gone. Whether others still wait is the work's own business. */
export function giveUp(c: Context<AppEnv>, { id }: { id: string }): void {
  waitUntil(c.env.JOB.getByName(jobObjectName(id)).cancel(id, c.get('caller').tenant))
}
