import type { JobMemory } from '../../shared/job-memory.ts'
import type { ClaimReply, ClaimRequest } from '../../shared/worker-protocol.ts'
import { findMemory } from '../job-memories.ts'
import { latestDeadline } from './interest.ts'
import { hasEnded, type RunningState } from './job-state.ts'
import type { JobStore } from './job-store.ts'

/** What a worker is given along with a job. */

/** What is known of the job's candidates from a job of another number. Losing it costs row-steps only. */
export async function recallsFor(
  bucket: R2Bucket,
  store: JobStore,
  { canRecall }: ClaimRequest,
): Promise<JobMemory | undefined> {
  const { memory, parameters } = store.spec()
  if (!canRecall || !memory?.mayRecall || hasEnded(store.state()) || store.checkpoint()) return undefined
  try {
    return await findMemory(bucket, memory.key, parameters.revision)
  } catch (error) {
    console.warn(JSON.stringify({ at: 'recall', error: String(error) }))
    return undefined
  }
}

/** Older workers are told what they understand. */
export function grant(
  store: JobStore,
  { attempt, handedBack }: RunningState,
  { canResume, canRecall }: ClaimRequest,
  now: number,
  recalls: JobMemory | undefined,
): ClaimReply {
  const go = { decision: 'go' as const, attempt, deadline: latestDeadline(store) }
  if (!canResume) return go
  const checkpoint = store.checkpoint()
  return {
    ...go,
    now,
    ...(handedBack ? { handedBack } : {}),
    ...(checkpoint ? { checkpoint } : recalls ? { recalls } : {}),
    ...(canRecall && store.spec().memory ? { remembers: true } : {}),
  }
}
