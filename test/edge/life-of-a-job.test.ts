import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { JobRecord } from '../../shared/job-record.ts'
import { call, ORIGIN, postJson } from './support/api.ts'
import { receiveMessage, ScriptedWorker, TINY_PNG } from './support/scripted-worker.ts'
import { allFrames } from './support/sse.ts'

afterEach(reset)

describe('the life of a job', () => {
  it('takes a prompt of any characters to the worker, also of those that SQS does not take', async () => {
    const prompt = 'a \u{1f34e} on a \ufffe \uffff \ue000 chair'
    const accepted = await postJson('/v1/jobs', { prompt })
    const { id } = JobRecord.parse(await accepted.json())
    expect(await receiveMessage(id)).toMatchObject({ parameters: { prompt } })
  })

  it('runs from request to picture with every verdict told', async () => {
    const accepted = await postJson('/v1/jobs', { prompt: '  a   red apple ' })
    expect(accepted.status).toBe(202)
    const record = JobRecord.parse(await accepted.json())
    expect(accepted.headers.get('location')).toBe(`/v1/jobs/${record.id}`)
    expect(accepted.headers.get('cache-status')).toBe('parm-edge;fwd=miss')
    expect(record).toMatchObject({ status: 'queued', cache: 'miss', attempt: 0 })
    expect(record.parameters).toMatchObject({
      prompt: 'a red apple',
      seed: 0,
      candidates: 4,
      steps: 12,
      verifier: 'parm',
    })

    const worker = new ScriptedWorker(await receiveMessage(record.id))
    expect(worker.message).toMatchObject({ callbackUrl: ORIGIN, parameters: record.parameters })
    await worker.finish()

    const done = JobRecord.parse(await (await call(`/v1/jobs/${record.id}`)).json())
    expect(done.status).toBe('succeeded')
    expect(done.verdicts.map(({ decision }) => decision)).toEqual(['keep', 'prune', 'accept'])
    const image = await fetchImage(done.imageUrl)
    expect(image).toEqual(TINY_PNG)

    const log = await allFrames(await call(`/v1/jobs/${record.id}/events`))
    expect(log.map(({ id }) => Number(id))).toEqual(log.map((_, index) => index + 1))
    expect(log.at(0)?.event).toBe('queued')
    expect(log.at(-1)?.event).toBe('succeeded')
  })
})

async function fetchImage(url: string | undefined): Promise<Uint8Array> {
  const response = await call(new URL(url ?? '').pathname)
  expect(response.status).toBe(200)
  return new Uint8Array(await response.arrayBuffer())
}
