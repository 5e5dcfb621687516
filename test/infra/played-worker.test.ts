import { expect, it } from 'vitest'
import { PlayedWorker } from '../../infra/bench-edge/played-worker.ts'
import type { JobMessage } from '../../shared/job.ts'
import { refuse, ScriptedEdge } from '../support/scripted-edge.ts'

// On a busy machine the first answer came too late; the edge took the second try for another worker's, and said busy.
it('asks again for the same claim when its answer was lost', async () => {
  const edge = await ScriptedEdge.start()
  try {
    const job = edge.openJob()
    job.onClaim = (claims) =>
      claims === 1 ? refuse(503, 'edge_unavailable') : { decision: 'go', attempt: 1, deadline: job.message.deadline }
    const worker = new PlayedWorker(job.message as JobMessage, edge.origin)
    await worker.claim()
    expect(job.claimIds).toHaveLength(2)
    expect(job.claimIds[0]).toBeTypeOf('string')
    expect(job.claimIds[1]).toBe(job.claimIds[0])
    expect(job.events).toMatchObject([{ type: 'started', attempt: 1 }])
  } finally {
    await edge.stop()
  }
})
