import { reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Problem } from '../../edge/response-schema.ts'
import { LIMITS } from '../../shared/limits.ts'
import { claimPath } from '../../shared/worker-protocol.ts'
import { call } from './support/api.ts'
import { cancel, jobObject, look, submit, workerFor } from './support/job.ts'
import { ScriptedWorker, verdict } from './support/scripted-worker.ts'
import { allFrames } from './support/sse.ts'

afterEach(reset)

/** Lets the running attempt look as if it had not spoken for longer than its lease. */
function fallSilent(id: string): Promise<void> {
  return runInDurableObject(jobObject(id), (_, { storage }) => {
    const { state } = storage.sql.exec<{ state: string }>('SELECT state FROM job').one()
    const heardAt = Date.now() - LIMITS.attemptLeaseMs - 1
    storage.sql.exec('UPDATE job SET state = ?', JSON.stringify({ ...JSON.parse(state), heardAt }))
  })
}

async function codeOf(response: Response): Promise<string> {
  return `${response.status} ${Problem.parse(await response.json()).error.code}`
}

describe('claiming', () => {
  it('goes to the first worker, and tells the second to come back', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const first = await workerFor(id)
    const second = new ScriptedWorker(first.message)
    expect(await first.claim()).toMatchObject({ decision: 'go', attempt: 1 })
    const reply = await second.claim()
    expect(reply.decision).toBe('busy')
    if (reply.decision === 'busy') expect(reply.retryAfterMs).toBeLessThanOrEqual(LIMITS.attemptLeaseMs)
  })

  it('supersedes an attempt that fell silent, whose later reports are refused', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const first = await workerFor(id)
    await first.claim()
    await first.reportOk([first.started(), verdict(0, 5, { clarity: 0.9, potential: 0.2, decision: 'keep' })])
    await fallSilent(id)
    const second = new ScriptedWorker(first.message)
    const log = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    expect(await second.claim()).toMatchObject({ decision: 'go', attempt: 2 })
    expect(log.mock.calls.join()).toContain(id)
    log.mockRestore()
    expect(await codeOf(await first.report([]))).toBe('409 attempt_superseded')

    await second.finish()
    const record = await look(id)
    expect(record.attempt).toBe(2)
    expect(record.verdicts).toHaveLength(3)
    expect(await codeOf(await first.report([]))).toBe('409 attempt_superseded')
  })

  it('is answered done once the job has ended', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.finish()
    expect(await new ScriptedWorker(worker.message).claim()).toEqual({ decision: 'done' })
  })

  it('is answered done once the job was canceled before anybody took it', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    expect(await cancel(id)).toMatchObject({ status: 'canceled', attempt: 0 })
    expect(await worker.claim()).toEqual({ decision: 'done' })
  })

  it('ends a job whose deadline has passed instead of handing it out', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await runInDurableObject(jobObject(id), (_, { storage }) => {
      storage.sql.exec('UPDATE ticket SET deadline = ?', Date.now() - 1)
    })
    expect(await worker.claim()).toEqual({ decision: 'done' })
    expect((await look(id)).status).toBe('expired')
  })
})

describe('a claim with a name', () => {
  const claimAs = async (worker: ScriptedWorker, claimId: string): Promise<unknown> => {
    const body = { worker: 'named', claimId, canResume: true }
    return (await worker.sendJson(claimPath(worker.message.jobId), body)).json()
  }

  it('is answered alike again, should the first answer have got lost', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    const claimId = crypto.randomUUID()
    const first = await claimAs(worker, claimId)
    expect(first).toMatchObject({ decision: 'go', attempt: 1 })
    expect(await claimAs(worker, claimId)).toMatchObject({ decision: 'go', attempt: 1 })
    expect(await claimAs(worker, crypto.randomUUID())).toMatchObject({ decision: 'busy' })
  })

  it('that was refused gets the job by no repetition, when the job is free again', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    const overheard = crypto.randomUUID()
    expect(await claimAs(worker, overheard)).toMatchObject({ decision: 'busy' })
    await fallSilent(id)
    expect(await claimAs(worker, overheard)).toMatchObject({ decision: 'busy' })
    expect(await claimAs(worker, crypto.randomUUID())).toMatchObject({ decision: 'go', attempt: 2 })
  })

  it('that was granted once supersedes nobody later', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    const overheard = crypto.randomUUID()
    await claimAs(worker, overheard)
    await fallSilent(id)
    const second = new ScriptedWorker(worker.message)
    await second.claim()
    await fallSilent(id)
    expect(await claimAs(worker, overheard)).toMatchObject({ decision: 'busy' })
  })

  it('is told what the edge’s clock says, which deadlines are meant by', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const before = Date.now()
    const reply = (await claimAs(await workerFor(id), crypto.randomUUID())) as { now: number }
    expect(reply.now).toBeGreaterThanOrEqual(before)
    expect(reply.now).toBeLessThanOrEqual(Date.now())
  })
})

describe('batches of events', () => {
  it('are stored once when sent twice, and answered again', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    const events = [worker.started(), verdict(0, 5, { clarity: 0.1, decision: 'unclear' as const })]
    const replies = [await worker.report(events, { sequence: 0 }), await worker.report(events, { sequence: 0 })]
    expect(replies.map(({ status }) => status)).toEqual([200, 200])
    expect((await look(id)).verdicts).toHaveLength(1)
  })

  it('are refused when one is missing in between', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    await worker.reportOk([worker.started()])
    expect(await codeOf(await worker.report([], { sequence: 2 }))).toBe('409 attempt_superseded')
    expect((await worker.report([], { sequence: 1 })).status).toBe(200)
  })

  it('are refused under an attempt that was never given out', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    expect(await codeOf(await worker.report([], { attempt: 1 }))).toBe('409 attempt_superseded')
    await worker.claim()
    expect(await codeOf(await worker.report([], { attempt: 2 }))).toBe('409 attempt_superseded')
  })

  it('end the job exactly once, also when the last one is sent again', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    const result = await worker.finish()
    const again = await worker.report([{ type: 'succeeded', result }], { sequence: worker.sequence - 1 })
    expect(await again.json()).toMatchObject({ continue: false })
    const late = await worker.report([{ type: 'failed', error: { code: 'model_failed', message: 'late' } }])
    expect(await late.json()).toMatchObject({ continue: false })
    const log = await allFrames(await call(`/v1/jobs/${id}/events`))
    expect(log.filter(({ event }) => event === 'succeeded' || event === 'failed')).toHaveLength(1)
    expect((await look(id)).status).toBe('succeeded')
  })

  it('cannot turn a canceled job into a success', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    const result = await worker.upload()
    await cancel(id)
    expect(await worker.reportOk([{ type: 'succeeded', result }])).toMatchObject({ continue: false })
    expect(await look(id)).toMatchObject({ status: 'canceled' })
  })

  it.each([
    ['names a candidate that the job does not have', 'candidate 4 of', [verdict(4, 0, { decision: 'unclear' })]],
    [
      'goes on after the end',
      'must be the last',
      [{ type: 'failed', error: { code: 'internal', message: '' } }, verdict(0, 0, { decision: 'unclear' })],
    ],
    ['starts another attempt', 'in a batch of attempt 1', [{ type: 'started', attempt: 3, worker: 'w', warnings: [] }]],
    ['has a probability of 2', 'events.0.clarity', [{ ...verdict(0, 0, { decision: 'keep' }), clarity: 2 }]],
    ['has an event of unknown type', 'events.0.type', [{ type: 'party' }]],
  ])('are refused whole when one %s', async (_, words, events) => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    const response = await worker.report(
      [worker.started(), ...(events as never[])].slice(words.startsWith('events') ? 1 : 0),
    )
    expect(response.status).toBe(400)
    const problem = Problem.parse(await response.json())
    expect(problem.detail.replace('; the job has', ' of; the job has')).toContain(words)
    expect((await look(id)).verdicts).toEqual([])
  })

  it.each([-1, 1])('are refused when they name a picture of %i bytes more than is stored', async (more) => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    const result = await worker.upload()
    const image = { ...result.image, bytes: result.image.bytes + more }
    const response = await worker.report([{ type: 'succeeded', result: { ...result, image } }])
    expect(await codeOf(response)).toBe('400 invalid_request')
    expect((await look(id)).status).toBe('running')
  })

  it('are refused when they name an image that was not uploaded', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    const result = await worker.upload()
    const image = { ...result.image, sha256: 'f'.repeat(64) }
    const response = await worker.report([{ type: 'succeeded', result: { ...result, image } }])
    expect(await codeOf(response)).toBe('400 invalid_request')
    expect((await look(id)).status).toBe('running')
  })

  it('may hold at most LIMITS.eventsPerBatch events', async () => {
    const { id } = await submit({ prompt: 'a dog' })
    const worker = await workerFor(id)
    await worker.claim()
    const one = verdict(0, 5, { clarity: 0.1, decision: 'unclear' })
    const tooMany = Array.from({ length: LIMITS.eventsPerBatch + 1 }, () => one)
    expect(await codeOf(await worker.report(tooMany, { sequence: 0 }))).toBe('400 invalid_request')
    expect((await worker.report(tooMany.slice(1), { sequence: 0 })).status).toBe(200)
  })
})
