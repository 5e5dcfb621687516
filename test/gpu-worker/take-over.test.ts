import { describe, expect, it } from 'vitest'
import type { Checkpoint } from '../../shared/checkpoint.ts'
import type { JobMemory } from '../../shared/job-memory.ts'
import type { ClaimReply } from '../../shared/worker-protocol.ts'
import { fakeSuccess } from '../support/fake-engine.ts'
import type { HeardJob } from '../support/scripted-edge.ts'
import { EMPTY, eventually, type TestWorker, useStand } from './worker-stand.ts'

const stand = useStand()

const VERDICT = { candidate: 0, stepIndex: 2, clarity: 0.9, potential: 0.1, verifier: 'parm', ms: 3 }
const PRUNED = {
  stepsDone: 3,
  isClear: true,
  potential: 0.1,
  tokens: Int32Array.of(1, 2, 16, 16),
  phase: 'pruned',
} as const
const WAITING = { stepsDone: 1, isClear: false, potential: undefined, tokens: Int32Array.of(3, 16, 16, 16) } as const
const SAVED = {
  phase: 'running',
  candidates: [PRUNED, { ...WAITING, phase: 'waiting' }],
  spent: { rowSteps: 4, rowStepsReused: 0, judgeCalls: 1, candidatesStarted: 2, workMs: 20 },
} as const

/** The edge keeps what is handed back and gives it to the next claim, as the real one does. */
function keepCheckpoint(job: HeardJob): { readonly kept: Checkpoint | undefined } {
  const keeper: { kept: Checkpoint | undefined } = { kept: undefined }
  const usual = job.onBatch
  job.onBatch = (batch) => {
    for (const event of batch.events) if (event.type === 'handed_back') keeper.kept = event.checkpoint
    return usual(batch)
  }
  job.onClaim = (claims): ClaimReply => {
    const go = { decision: 'go' as const, attempt: claims, deadline: job.message.deadline }
    return keeper.kept ? { ...go, handedBack: claims - 1, checkpoint: keeper.kept } : go
  }
  return keeper
}

async function handBackMidway(worker: TestWorker): Promise<void> {
  const running = await worker.engine.nextJob()
  running.emit({ type: 'verdict', ...VERDICT, decision: 'prune' })
  running.stand(SAVED)
  worker.runner.giveBack()
  await worker.drain()
}

describe('a worker that has to stop in the middle of a job', () => {
  it('tells where the job stands, and the next one goes on from there and tells it all again', async () => {
    const job = stand.edge.openJob({ candidates: 2 })
    const keeper = keepCheckpoint(job)
    stand.send(job)
    await handBackMidway(stand.worker())
    expect(keeper.kept).toMatchObject({
      phase: 'running',
      spent: SAVED.spent,
      verdicts: [{ ...VERDICT, decision: 'prune' }],
    })
    expect(stand.edge.images.size).toBe(0)
    const heard = job.events.length

    const next = stand.worker()
    const resumed = await next.engine.nextJob()
    expect(resumed.job.resumeFrom).toEqual(SAVED)
    resumed.succeed()
    await stand.edge.terminal(job)
    expect(job.events.slice(heard).map(({ type }) => type)).toEqual(['started', 'verdict', 'candidate', 'succeeded'])
    expect(job.events[heard + 2]).toEqual({ type: 'candidate', candidate: 0, phase: 'pruned', stepsDone: 3 })
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('does not let the job pay for it: what was handed back is no failed attempt', async () => {
    const job = stand.edge.openJob({ candidates: 2 })
    job.onClaim = () => ({ decision: 'go', attempt: 9, deadline: job.message.deadline, handedBack: 8 })
    const worker = stand.worker({ maxAttempts: 1 })
    stand.send(job)
    ;(await worker.engine.nextJob()).succeed()
    expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
  })

  it('begins anew from a checkpoint that does not fit', async () => {
    const job = stand.edge.openJob({ candidates: 4 })
    const keeper = keepCheckpoint(job)
    stand.send(job)
    await handBackMidway(stand.worker())
    expect(keeper.kept?.candidates).toHaveLength(2)
    const next = stand.worker()
    const begun = await next.engine.nextJob()
    expect(begun.job.resumeFrom).toBeUndefined()
    expect(next.lines.join()).toContain('expected 4 candidates, got 2')
    begun.succeed()
    await stand.edge.terminal(job)
  })

  it('reports a picture that is finished just then', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    running.succeed()
    worker.runner.giveBack()
    await worker.drain()
    expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
    await eventually(() => stand.inQueue(), EMPTY)
  })
})

describe('a worker that is told what an earlier job remembers', () => {
  const REMEMBERED: JobMemory = {
    version: 1,
    search: 'plain',
    judgedSteps: [2],
    thresholds: { clarity: 0.5, potential: 0.5, alignment: 0.5 },
    trails: [[{ phase: 'pruned', stepsDone: 3, isClear: true, potential: 0.1, tokens: 'AQACABAAEAA=', verdicts: [] }]],
  }
  const open = (recalls: JobMemory, remembers = true) => {
    const job = stand.edge.openJob({ candidates: 2 })
    job.onClaim = (attempt) => ({ decision: 'go', attempt, deadline: job.message.deadline, recalls, remembers })
    stand.send(job)
    return job
  }

  it('gives it to the engine, tells what was reused, and remembers in its turn', async () => {
    const job = open(REMEMBERED)
    const running = await stand.worker().engine.nextJob()
    expect(running.job.recalls?.trails[0]?.[0]).toEqual({ ...PRUNED, verdicts: [] })
    expect(running.job.remembers).toBe(true)
    const success = fakeSuccess(running.job)
    if (success.status !== 'succeeded' || !running.job.recalls) throw new Error('no success')
    running.end({ ...success, cost: { ...success.cost, rowStepsReused: 3 }, memory: running.job.recalls })
    expect(await stand.edge.terminal(job)).toMatchObject({ result: { cost: { rowSteps: 12, rowStepsReused: 3 } } })
    expect(job.events.find(({ type }) => type === 'remembered')).toEqual({ type: 'remembered', memory: REMEMBERED })
  })

  it('begins anew where it does not fit', async () => {
    const job = open({ ...REMEMBERED, trails: [[{ ...REMEMBERED.trails[0]?.[0], tokens: 'AQA=' } as never]] }, false)
    const running = await stand.worker().engine.nextJob()
    expect(running.job.recalls).toBeUndefined()
    expect(running.job.remembers).toBe(false)
    running.succeed()
    await stand.edge.terminal(job)
    expect(job.events.map(({ type }) => type)).not.toContain('remembered')
  })
})
