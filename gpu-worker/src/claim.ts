import { randomUUID } from 'node:crypto'
import { Attempt } from './attempt.ts'
import type { EdgeClient, Patience } from './edge-client.ts'
import type { Lease } from './lease.ts'
import { busySeconds } from './lease-settlement.ts'
import type { Log } from './log.ts'
import type { JobTrace } from './tracing/job-trace.ts'

export interface ClaimParts {
  readonly jobId: string
  readonly edge: EdgeClient
  readonly workerName: string
  readonly patience: Patience
  /** Milliseconds since the epoch by our own clock. */
  readonly now: () => number
  readonly trace: JobTrace
  readonly log: Log
}

/**
 * Asks the edge for the job of a message.
 *
 * @returns undefined where there is nothing to do; the lease is settled then
 * @throws AppError  as EdgeClient.claim; the lease is still held then
 */
export async function claimJob(lease: Lease, parts: ClaimParts): Promise<Attempt | undefined> {
  const { edge, jobId, workerName, patience, trace, log, now } = parts
  const reply = await edge.claim(
    { worker: workerName, claimId: randomUUID(), canResume: true, canRecall: true },
    patience,
  )
  trace.note({ 'parm.status': reply.decision })
  switch (reply.decision) {
    case 'go': {
      const { decision: _, attempt: number, now: edgeNow, ...granted } = reply
      trace.note({ 'parm.attempt': number })
      // Deadlines are meant by the edge's clock, and ours may be minutes from it.
      const aheadMs = edgeNow === undefined ? 0 : edgeNow - now()
      return new Attempt({ jobId, number, edge, log, trace, now, aheadMs, ...granted })
    }
    case 'done':
      log.info('job was already done')
      await lease.ack()
      return undefined
    case 'busy':
      log.info('job is busy elsewhere', { retryAfterMs: reply.retryAfterMs })
      await lease.release(busySeconds(reply.retryAfterMs, lease.receiveCount))
      return undefined
    default: {
      const never: never = reply
      return never
    }
  }
}
