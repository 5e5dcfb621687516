import { reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { Problem } from '../../edge/response-schema.ts'
import { LIMITS } from '../../shared/limits.ts'
import { call } from './support/api.ts'
import { jobObject, look, submit, workerFor } from './support/job.ts'
import { ScriptedWorker, verdict } from './support/scripted-worker.ts'
import { allFrames } from './support/sse.ts'

afterEach(reset)

const changeState = (id: string, changes: object): Promise<void> =>
  runInDurableObject(jobObject(id), (_, { storage }) => {
    const { state } = storage.sql.exec<{ state: string }>('SELECT state FROM job').one()
    storage.sql.exec('UPDATE job SET state = ?', JSON.stringify({ ...JSON.parse(state), ...changes }))
  })

const detailOf = async (response: Response): Promise<string> =>
  `${response.status} ${Problem.parse(await response.json()).detail}`

async function running(): Promise<{ id: string; worker: ScriptedWorker }> {
  const { id } = await submit({ prompt: 'a dog' })
  const worker = await workerFor(id)
  await worker.claim()
  return { id, worker }
}

describe('a worker that was taken over', () => {
  it('can tell so many bytes of one attempt, and no more', async () => {
    const { id, worker } = await running()
    const long = { ...worker.started(['x'.repeat(LIMITS.eventBatchBytes - 2000)]) }
    const most = Math.floor(LIMITS.attemptEventBytes / JSON.stringify(long).length)
    for (let count = 0; count < most; count++) await worker.reportOk([long])
    const sequence = worker.sequence
    expect(await detailOf(await worker.report([long]))).toBe(
      `400 attempt 1 has told more than the ${LIMITS.attemptEventBytes} bytes that it may`,
    )
    // What it told before is answered again, and a heartbeat is no telling.
    expect((await worker.report([long], { sequence: sequence - 1 })).status).toBe(200)
    expect((await worker.report([], { sequence })).status).toBe(200)
    expect((await look(id)).status).toBe('running')
  })

  it('does not use up what the next attempt may tell', async () => {
    const { id, worker } = await running()
    await changeState(id, { toldBytes: LIMITS.attemptEventBytes, heardAt: 0 })
    const next = new ScriptedWorker(worker.message)
    await next.claim()
    await next.finish()
    expect((await look(id)).status).toBe('succeeded')
  })

  it('can send so many batches of one attempt, heartbeats included', async () => {
    const { id, worker } = await running()
    await changeState(id, { nextSequence: LIMITS.batchesPerAttempt - 1 })
    expect((await worker.report([], { sequence: LIMITS.batchesPerAttempt - 1 })).status).toBe(200)
    expect((await worker.report([], { sequence: LIMITS.batchesPerAttempt })).status).toBe(400)
  })

  it('cannot begin attempt after attempt: the job is given up, and its callers are told', async () => {
    const { id, worker } = await running()
    await worker.reportOk([worker.started(), verdict(0, 5, { clarity: 0.1, decision: 'unclear' })])
    await changeState(id, { attempt: LIMITS.attemptsPerJob, heardAt: 0 })
    expect(await new ScriptedWorker(worker.message).claim()).toEqual({ decision: 'done' })
    expect(await look(id)).toMatchObject({ status: 'failed', error: { code: 'dead_lettered' } })
    const frames = await allFrames(await call(`/v1/jobs/${id}/events`))
    expect(frames.at(-1)?.event).toBe('failed')
  })
})
