import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EdgeGate } from '../../gpu-worker/src/edge-gate.ts'
import { createEngine } from '../../gpu-worker/src/engine/engine.ts'
import { IntakePause } from '../../gpu-worker/src/intake-pause.ts'
import { JobRunner } from '../../gpu-worker/src/job-runner.ts'
import { HeldLease } from '../../gpu-worker/src/lease.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FAKE_REVISION } from '../support/fake-engine.ts'
import { FakeGenerator, FakeVerifier } from '../support/fake-models.ts'
import { type HeardJob, ScriptedEdge } from '../support/scripted-edge.ts'

const STEPS = 12
const STEP_MS = 100

let edge: ScriptedEdge
beforeEach(async () => {
  edge = await ScriptedEdge.start()
})
afterEach(async () => {
  await edge.stop()
  expect(edge.refusals).toEqual([])
})

/** From message to terminal record through the real engine, which has four slots and steps of 100 ms of a made-up clock. */
async function serve(openJob: (startedAt: number) => HeardJob) {
  const startedAt = Date.now()
  const log = createLog({ format: 'json', level: 'error', write: () => {}, now: Date.now })
  const clock = new FakeClock()
  const generator = new FakeGenerator({ clock, stepMs: STEP_MS })
  const engine = createEngine({ generator, clock, slots: 4, checkEveryTick: true })
  const verifier = new FakeVerifier({ name: 'parm', answer: () => ({ clarity: 1, potential: 1, alignment: 0.9 }) })
  const runner = new JobRunner({
    engine,
    model: {
      id: 'fake-model',
      revision: FAKE_REVISION,
      maxSteps: 40,
      generator,
      verifiers: new Map([['parm', verifier]]),
    },
    workerName: 'test-worker',
    maxAttempts: 5,
    mostExtra: 0,
    gate: new EdgeGate({ onOpen: () => {}, log }),
    intake: new IntakePause({ onOver: () => {}, log }),
    onRoom: () => {},
    log,
    now: () => startedAt + clock.now(),
  })
  const job = openJob(startedAt)
  const calls: string[] = []
  const message = { messageId: 'm', receiptHandle: 'r', queueUrl: 'http://127.0.0.1/q', lane: 'interactive' } as const
  const lease = new HeldLease(
    { ...message, body: JSON.stringify(job.message), receiveCount: 1, sentAt: undefined },
    600,
    {
      delete: async () => void calls.push('delete'),
      setVisibility: async () => void calls.push('visible'),
      setAside: async () => void calls.push('aside'),
      ended: () => {},
    },
  )
  const stop = new AbortController()
  const running = engine.run(stop.signal)
  await runner.handle(lease)
  stop.abort()
  await running
  return { terminal: await edge.terminal(job), tookMs: clock.now(), calls }
}

describe('the deadline of a message', () => {
  it('changes nothing where there is time enough', async () => {
    const { terminal } = await serve((at) =>
      edge.openJob({ candidates: 8, accept: 'best', steps: STEPS }, { deadline: at + 60_000 }),
    )
    expect(terminal).toMatchObject({ type: 'succeeded', result: { reason: 'best', cost: { rowSteps: 8 * STEPS } } })
  })

  it('ends the job with the best picture by then, early enough to tell of it', async () => {
    const { terminal, tookMs, calls } = await serve((at) =>
      edge.openJob({ candidates: 8, accept: 'best', steps: STEPS }, { deadline: at + 2_000 }),
    )
    expect(terminal).toMatchObject({ type: 'succeeded', result: { reason: 'deadline', candidate: 0, alignment: 0.9 } })
    // Two at a time, 600 ms each: two more would be there at 1,800 ms, when the worker must tell, and not sooner.
    expect(tookMs).toBe(1_200)
    expect(edge.images.size).toBe(1)
    expect(calls).toEqual(['delete'])
  })

  it('fails the job with job_expired where nothing was begun', async () => {
    const { terminal, calls } = await serve((at) => edge.openJob({}, { deadline: at }))
    const error = { code: 'job_expired', message: 'the deadline passed before a picture was begun' }
    expect(terminal).toEqual({ type: 'failed', error })
    expect(calls).toEqual(['delete'])
  })
})
