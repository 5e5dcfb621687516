import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { Problem } from '../../edge/response-schema.ts'
import type { Checkpoint } from '../../shared/checkpoint.ts'
import { claimPath } from '../../shared/worker-protocol.ts'
import { call } from './support/api.ts'
import { cancel, look, submit, workerFor } from './support/job.ts'
import { ScriptedWorker, verdict } from './support/scripted-worker.ts'
import { allFrames } from './support/sse.ts'

afterEach(reset)

const REQUEST = { prompt: 'a dog', candidates: 2 }

const CHECKPOINT: Checkpoint = {
  version: 1,
  phase: 'running',
  candidates: [
    { phase: 'pruned', stepsDone: 6, isClear: true, potential: 0.2, tokens: 'AAEC' },
    { phase: 'waiting', stepsDone: 6, isClear: false, tokens: 'AAEC' },
  ],
  spent: { rowSteps: 12, judgeCalls: 1, candidatesStarted: 2, workMs: 40 },
  verdicts: [],
}

const claimAs = async (worker: ScriptedWorker, canResume: boolean): Promise<Record<string, unknown>> => {
  const response = await worker.sendJson(claimPath(worker.message.jobId), { worker: 'next', canResume })
  return response.json()
}

async function running(): Promise<{ id: string; worker: ScriptedWorker }> {
  const { id } = await submit(REQUEST)
  const worker = await workerFor(id)
  await worker.claim()
  await worker.reportOk([worker.started(), verdict(0, 5, { clarity: 0.9, potential: 0.2, decision: 'prune' })])
  return { id, worker }
}

describe('a job that its worker hands back', () => {
  it('can be claimed at once, with where it stood', async () => {
    const { worker } = await running()
    await worker.reportOk([{ type: 'handed_back', why: 'stopping', checkpoint: CHECKPOINT }])
    const next = new ScriptedWorker(worker.message)
    expect(await claimAs(next, true)).toMatchObject({
      decision: 'go',
      attempt: 2,
      handedBack: 1,
      checkpoint: CHECKPOINT,
    })
  })

  it('is no secret event in its callers’ streams: they see the next attempt', async () => {
    const { id, worker } = await running()
    await worker.reportOk([{ type: 'handed_back', why: 'stopping', checkpoint: CHECKPOINT }])
    const next = new ScriptedWorker(worker.message)
    await next.finish()
    const types = (await allFrames(await call(`/v1/jobs/${id}/events`))).map(({ event }) => event)
    expect(types).not.toContain('handed_back')
    expect(types.filter((type) => type === 'started')).toHaveLength(2)
    expect((await look(id)).status).toBe('succeeded')
  })

  it('keeps the checkpoint until it ends, should the next worker die', async () => {
    const { worker } = await running()
    await worker.reportOk([{ type: 'handed_back', why: 'stopping', checkpoint: CHECKPOINT }])
    const second = new ScriptedWorker(worker.message)
    await second.claim()
    await second.reportOk([{ type: 'handed_back', why: 'broken' }])
    const third = new ScriptedWorker(worker.message)
    expect(await claimAs(third, true)).toMatchObject({ attempt: 3, handedBack: 1, checkpoint: CHECKPOINT })
  })

  it('tells a worker of before nothing that it would not understand', async () => {
    const { worker } = await running()
    await worker.reportOk([{ type: 'handed_back', why: 'stopping', checkpoint: CHECKPOINT }])
    const reply = await new ScriptedWorker(worker.message).claim()
    expect(Object.keys(reply).toSorted()).toEqual(['attempt', 'deadline', 'decision'])
  })

  it('hears nothing more from that attempt, but for the same batch again', async () => {
    const { worker } = await running()
    const events = [{ type: 'handed_back' as const, why: 'stopping' as const, checkpoint: CHECKPOINT }]
    const sequence = worker.sequence
    await worker.reportOk(events)
    expect((await worker.report(events, { sequence })).status).toBe(200)
    const late = await worker.report([verdict(1, 6, { decision: 'unclear' })])
    expect(late.status).toBe(409)
    expect(await claimAs(new ScriptedWorker(worker.message), true)).toMatchObject({ attempt: 2, handedBack: 1 })
  })

  it('can be canceled while nobody has it', async () => {
    const { id, worker } = await running()
    await worker.reportOk([{ type: 'handed_back', why: 'stopping', checkpoint: CHECKPOINT }])
    expect(await cancel(id)).toMatchObject({ status: 'canceled' })
    expect(await new ScriptedWorker(worker.message).claim()).toEqual({ decision: 'done' })
  })

  it.each([
    [
      'of another number of candidates',
      { ...CHECKPOINT, candidates: [...CHECKPOINT.candidates, ...CHECKPOINT.candidates] },
      `has ${2 * CHECKPOINT.candidates.length} candidates`,
    ],
    ['that is no checkpoint', { ...CHECKPOINT, spent: { rowSteps: -1 } }, 'spent'],
    ['of a later version', { ...CHECKPOINT, version: 2 }, 'version'],
  ])('with a checkpoint %s is refused whole', async (_, checkpoint, words) => {
    const { id, worker } = await running()
    const response = await worker.report([{ type: 'handed_back', why: 'stopping', checkpoint: checkpoint as never }])
    expect(response.status).toBe(400)
    expect(Problem.parse(await response.json()).detail).toContain(words)
    expect((await look(id)).status).toBe('running')
  })
})
