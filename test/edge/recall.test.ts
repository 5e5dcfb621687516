import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { purgeRevision } from '../../edge/purged-revisions.ts'
import type { JobMemory } from '../../shared/job-memory.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import { type ClaimReply, claimPath } from '../../shared/worker-protocol.ts'
import { bindings, call, postJson } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey, OPERATOR_KEY } from './support/keys.ts'
import type { ScriptedWorker } from './support/scripted-worker.ts'

afterEach(reset)

const ASKED = { prompt: 'a cow', accept: 'best' } as const

/** What a job of so many candidates remembers. */
function memoryOf(candidates: number): JobMemory {
  const finished = {
    phase: 'finished',
    stepsDone: 12,
    isClear: true,
    score: 0.5,
    alignment: 0.5,
    isAccepted: false,
  } as const
  return {
    version: 1,
    search: 'plain',
    judgedSteps: [3],
    thresholds: { clarity: 0.5, potential: 0.5, alignment: 0.5 },
    trails: Array.from({ length: candidates }, () => [{ ...finished, tokens: 'AAAA', verdicts: [] }]),
  }
}

async function claim(worker: ScriptedWorker, canRecall = true): Promise<Extract<ClaimReply, { decision: 'go' }>> {
  const request = { worker: 'scripted', canResume: true, ...(canRecall ? { canRecall } : {}) }
  const reply = (await (await worker.sendJson(claimPath(worker.message.jobId), request)).json()) as ClaimReply
  if (reply.decision !== 'go') throw new Error(`claim: ${reply.decision}`)
  worker.attempt = reply.attempt
  return reply
}

/** Makes the picture of a job of so many candidates, whose worker remembers them. */
async function make(candidates: number, body: object = {}): Promise<JobRecord> {
  const job = await submit({ ...ASKED, candidates, ...body })
  await finish(await workerFor(job.id), candidates)
  return job
}

async function finish(worker: ScriptedWorker, candidates: number): Promise<void> {
  await claim(worker)
  const result = await worker.upload()
  await worker.reportOk([
    worker.started(),
    { type: 'remembered', memory: memoryOf(candidates) },
    { type: 'succeeded', result },
  ])
  await vi.waitFor(
    async () => expect((await bindings.IMAGES.list({ prefix: 'memories/' })).objects).not.toEqual([]),
    PATIENT,
  )
}

/** For a busy machine; no time has to pass. */
const PATIENT = { timeout: 20_000 }

/** What the worker of such a job is told of others. */
async function recalled(candidates: number, body: object = {}, headers: Record<string, string> = {}) {
  const response = await postJson('/v1/jobs', { ...ASKED, candidates, ...body }, headers)
  const { id } = (await response.json()) as JobRecord
  return (await claim(await workerFor(id))).recalls?.trails.length
}

describe('what a job remembers of its candidates', () => {
  it('is told to the worker of one that differs in their number only', async () => {
    await make(4)
    expect(await recalled(8)).toBe(4)
    expect(await recalled(2)).toBe(4)
  })

  it.each([{ seed: 1 }, { prompt: 'a cat' }, { accept: 'first' }, { steps: 11 }, { guidance: 1 }, { verifier: 'orm' }])(
    'is not told where something else differs: %j',
    async (other) => {
      await make(4)
      expect(await recalled(8, other)).toBeUndefined()
    },
  )

  it('is that of most candidates', async () => {
    await make(4)
    await make(8)
    await make(6)
    expect(await recalled(9)).toBe(8)
  })

  it('is told to nobody who asked for new work, and by nobody who wanted nothing kept', async () => {
    await make(4)
    expect(await recalled(8, {}, { 'cache-control': 'no-cache' })).toBeUndefined()
    expect(await recalled(8, {}, { 'cache-control': 'no-store' })).toBeUndefined()
    const unkept = await postJson('/v1/jobs', { ...ASKED, seed: 3, candidates: 4 }, { 'cache-control': 'no-store' })
    const worker = await workerFor(((await unkept.json()) as JobRecord).id)
    expect((await claim(worker)).remembers).toBeUndefined()
  })

  it('is asked of workers that know of it, and never shown to callers', async () => {
    const job = await submit({ ...ASKED, candidates: 4 })
    const worker = await workerFor(job.id)
    expect(await claim(worker, false)).not.toHaveProperty('remembers')
    await worker.reportOk([{ type: 'handed_back', why: 'stopping' }])
    worker.sequence = 0
    expect((await claim(worker)).remembers).toBe(true)
    worker.sequence = 0
    await finishWith(worker)
    const events = await (await call(`/v1/jobs/${job.id}/events`)).text()
    expect(events).toContain('succeeded')
    expect(events).not.toContain('remembered')
  })

  it('of the wrong size is refused', async () => {
    const job = await submit({ ...ASKED, candidates: 4 })
    const worker = await workerFor(job.id)
    await claim(worker)
    const response = await worker.report([{ type: 'remembered', memory: memoryOf(3) }])
    expect(response.status).toBe(400)
  })

  it('is forgotten with the key’s result, and with its revision', async () => {
    const edge = await closedEdge()
    const { id, parameters } = await make(4)
    await edge(`/admin/v1/cache/${id}`, { method: 'DELETE', headers: bearer(OPERATOR_KEY) })
    expect(await recalled(8)).toBeUndefined()
    await make(5)
    expect(await recalled(9)).toBe(5)
    await purgeRevision(bindings.IMAGES, parameters.revision)
    expect(await recalled(10)).toBeUndefined()
  })

  it('of a private job is told to its own tenant only', async () => {
    const edge = await closedEdge()
    const keys = [await makeKey(edge, 'acme'), await makeKey(edge, 'rival')]
    const ask = async (key: string, candidates: number, isPrivate: boolean) => {
      const body = { ...ASKED, candidates, private: isPrivate }
      const { id } = (await (await edge('/v1/jobs', asJson(body, bearer(key)))).json()) as JobRecord
      return workerFor(id)
    }
    const [acme = '', rival = ''] = keys.map(({ key }) => key)
    await finish(await ask(acme, 4, true), 4)
    const told = async (key: string, candidates: number, isPrivate: boolean) =>
      (await claim(await ask(key, candidates, isPrivate))).recalls?.trails.length
    expect(await told(acme, 8, true)).toBe(4)
    expect(await told(rival, 8, true)).toBeUndefined()
    expect(await told(rival, 9, false)).toBeUndefined()
  })
})

async function finishWith(worker: ScriptedWorker): Promise<void> {
  const result = await worker.upload()
  await worker.reportOk([
    { type: 'remembered', memory: memoryOf(4) },
    { type: 'succeeded', result },
  ])
}
