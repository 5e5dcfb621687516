import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { sha256Hex } from '../../edge/bytes.ts'
import { callbackKey } from '../../edge/callback-signature.ts'
import { Problem } from '../../edge/response-schema.ts'
import { LIMITS } from '../../shared/limits.ts'
import { claimPath, eventsPath, imagePath, storePath } from '../../shared/worker-protocol.ts'
import { bindings, call, postJson } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { ScriptedWorker, type SignOptions, TINY_PNG } from './support/scripted-worker.ts'

afterEach(reset)

async function worker(): Promise<ScriptedWorker> {
  const { id } = await submit({ prompt: 'a chair' })
  return workerFor(id)
}

const claimBody = { worker: 'scripted' }

async function codeOf(response: Response): Promise<string> {
  return `${response.status} ${Problem.parse(await response.json()).error.code}`
}

describe('a callback is refused with 401 when', () => {
  it('it is not signed', async () => {
    const { message } = await worker()
    expect(await codeOf(await postJson(claimPath(message.jobId), claimBody))).toBe('401 signature_invalid')
  })

  it.each<[string, () => SignOptions]>([
    ['the key is another', () => ({ key: 'A'.repeat(43) })],
    ['another path was signed', () => ({ signedPath: '/internal/v1/jobs/other/claim' })],
    ['another body was signed', () => ({ signedBody: '{"worker":"somebody else"}' })],
    ['another hash was signed', () => ({ contentSha256: 'f'.repeat(64) })],
    ['its clock is too slow', () => ({ timestamp: Date.now() - LIMITS.signatureSkewMs - 5000 })],
    ['its clock is too fast', () => ({ timestamp: Date.now() + LIMITS.signatureSkewMs + 5000 })],
  ])('%s', async (_, changes) => {
    const scripted = await worker()
    const response = await scripted.sendJson(claimPath(scripted.message.jobId), claimBody, changes())
    expect(await codeOf(response)).toBe('401 signature_invalid')
  })

  it('its query is another than was signed', async () => {
    const scripted = await painter()
    const sha256 = await sha256Hex(TINY_PNG)
    for (const signedPath of [storePath(sha256, 2), imagePath(sha256)]) {
      const response = await scripted.send('PUT', storePath(sha256, 1), TINY_PNG, { signedPath })
      expect(await codeOf(response)).toBe('401 signature_invalid')
    }
  })

  it('it was signed with the key of another job', async () => {
    const mine = await worker()
    const { id } = await submit({ prompt: 'a table' })
    const theirs = await workerFor(id)
    expect(await codeOf(await mine.sendJson(claimPath(theirs.message.jobId), claimBody))).toBe('401 signature_invalid')
  })

  it('the method was changed on the way', async () => {
    const { message } = await worker()
    const response = await call(claimPath(message.jobId), {
      method: 'POST',
      headers: { 'parm-job': message.jobId, 'parm-timestamp': String(Date.now()), 'parm-signature': 'zz' },
    })
    expect(await codeOf(response)).toBe('401 signature_invalid')
  })
})

describe('a signed callback', () => {
  it('passes when its clock is just inside the permitted skew', async () => {
    const scripted = await worker()
    const timestamp = Date.now() - LIMITS.signatureSkewMs + 30_000
    const response = await scripted.sendJson(claimPath(scripted.message.jobId), claimBody, { timestamp })
    expect(response.status).toBe(200)
  })

  it('is told which field of its body is wrong', async () => {
    const scripted = await worker()
    const response = await scripted.sendJson(claimPath(scripted.message.jobId), { worker: 4 })
    expect(Problem.parse(await response.json()).errors).toMatchObject([{ field: 'worker', problem: 'is 4' }])
  })

  it('with more bytes than a batch may have is refused, however well signed', async () => {
    const scripted = await worker()
    await scripted.claim()
    const png = 'A'.repeat(LIMITS.eventBatchBytes)
    const response = await scripted.report([{ type: 'preview', candidate: 0, stepIndex: 0, png }])
    expect(await codeOf(response)).toBe('413 body_too_large')
  })

  it('for a job that is gone is answered 404', async () => {
    const { message } = await worker()
    const jobId = `job_${'0'.repeat(26)}`
    const key = await callbackKey('test-callback-secret', jobId)
    const scripted = new ScriptedWorker({ ...message, jobId, callbackKey: key })
    expect(await codeOf(await scripted.sendJson(claimPath(jobId), claimBody))).toBe('404 job_not_found')
    expect(await codeOf(await scripted.report([], { attempt: 1 }))).toBe('404 job_not_found')
  })
})

/** Has claimed its job. */
async function painter(): Promise<ScriptedWorker> {
  const scripted = await worker()
  expect(await scripted.claim()).toMatchObject({ decision: 'go', attempt: 1 })
  return scripted
}

/** A body that tells whether anybody has read of it. */
function watchedBody(bytes: number): { body: ReadableStream<Uint8Array>; read: () => number } {
  let read = 0
  const chunk = new Uint8Array(64 * 1024)
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (read >= bytes) return controller.close()
        read += chunk.byteLength
        controller.enqueue(chunk)
      },
    },
    { highWaterMark: 0 },
  )
  return { body, read: () => read }
}

describe('of a call that nobody signed', () => {
  const SIGNED = { 'parm-timestamp': '', 'parm-signature': 'a'.repeat(64), 'parm-content-sha256': 'b'.repeat(64) }
  it.each([
    ['there are no headers', () => ({})],
    ['one header is missing', () => ({ 'parm-timestamp': String(Date.now()), 'parm-signature': 'a'.repeat(64) })],
    ['the time is another', () => ({ ...SIGNED, 'parm-timestamp': '1' })],
    ['the signature is another', () => ({ ...SIGNED, 'parm-timestamp': String(Date.now()) })],
  ])('nothing is kept in memory where %s', async (_, headers) => {
    const { message } = await worker()
    for (const [method, path] of [
      ['POST', claimPath(message.jobId)],
      ['POST', eventsPath(message.jobId)],
      ['PUT', storePath('f'.repeat(64), 1)],
    ] as const) {
      const { body, read } = watchedBody(LIMITS.imageBytes / 2)
      const init = { method, body, headers: { 'parm-job': message.jobId, expect: '100-continue', ...headers() } }
      expect(await codeOf(await call(path, init))).toBe('401 signature_invalid')
      // A first piece may be on its way when the answer comes.
      expect(read()).toBeLessThanOrEqual(128 * 1024)
    }
  })
})

describe('an uploaded image', () => {
  it('is the one of its attempt, which may be stored again', async () => {
    const scripted = await painter()
    await scripted.upload()
    await scripted.upload()
    const other = Uint8Array.from([...TINY_PNG, 0])
    const response = await scripted.putImage(other, await sha256Hex(other))
    expect(await codeOf(response)).toBe('400 invalid_request')
    expect(await bindings.IMAGES.head(await sha256Hex(other))).toBeNull()
    await scripted.reportOk([{ type: 'succeeded', result: await scripted.upload() }])
  })

  it.each<[string, (scripted: ScriptedWorker) => Promise<unknown>]>([
    ['before the job was claimed', async () => undefined],
    [
      'when it was given back',
      async (scripted) => {
        await scripted.claim()
        await scripted.reportOk([scripted.started()])
        await scripted.reportOk([{ type: 'handed_back', why: 'stopping' }])
      },
    ],
    ['when it has ended', (scripted) => scripted.finish()],
    [
      'when nobody wants it any more',
      async (scripted) => {
        await scripted.claim()
        await call(`/v1/jobs/${scripted.message.jobId}`, { method: 'DELETE' })
      },
    ],
  ])('is refused %s', async (_, before) => {
    const scripted = await worker()
    await before(scripted)
    const picture = Uint8Array.from([...TINY_PNG, 1])
    const response = await scripted.putImage(picture, await sha256Hex(picture), 1)
    expect(await codeOf(response)).toBe('409 attempt_superseded')
    expect(await bindings.IMAGES.head(await sha256Hex(picture))).toBeNull()
  })

  it('is refused under the number of another attempt, and under none', async () => {
    const scripted = await painter()
    const sha256 = await sha256Hex(TINY_PNG)
    expect(await codeOf(await scripted.putImage(TINY_PNG, sha256, 2))).toBe('409 attempt_superseded')
    for (const query of ['', '?attempt=', '?attempt=0', '?attempt=x']) {
      expect(await codeOf(await scripted.send('PUT', imagePath(sha256) + query, TINY_PNG))).toBe('400 invalid_request')
    }
  })

  it('is stored once, under its hash, and can be fetched', async () => {
    const scripted = await painter()
    const sha256 = await sha256Hex(TINY_PNG)
    expect((await scripted.putImage(TINY_PNG, sha256)).status).toBe(201)
    expect((await scripted.putImage(TINY_PNG, sha256)).status).toBe(200)
    const response = await call(`/v1/images/${sha256}`)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'image/png',
      'content-length': String(TINY_PNG.byteLength),
      'cache-control': 'public, max-age=86400',
      etag: `"${sha256}"`,
    })
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(TINY_PNG)
  })

  it('is not sent again to a caller who has it', async () => {
    const scripted = await painter()
    const sha256 = await sha256Hex(TINY_PNG)
    await scripted.putImage(TINY_PNG, sha256)
    for (const tag of [`"${sha256}"`, `W/"${sha256}"`, '*', `"other", "${sha256}"`]) {
      const response = await call(`/v1/images/${sha256}`, { headers: { 'if-none-match': tag } })
      expect([tag, response.status]).toEqual([tag, 304])
    }
    const other = await call(`/v1/images/${sha256}`, { headers: { 'if-none-match': '"other"' } })
    expect(other.status).toBe(200)
    await other.body?.cancel()
  })

  it('answers HEAD with its headers only', async () => {
    const scripted = await painter()
    const sha256 = await sha256Hex(TINY_PNG)
    await scripted.putImage(TINY_PNG, sha256)
    const response = await call(`/v1/images/${sha256}`, { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe(String(TINY_PNG.byteLength))
    expect(await response.text()).toBe('')
  })

  it.each<[string, Uint8Array, string | undefined]>([
    ['its hash is another', TINY_PNG, 'f'.repeat(64)],
    ['its address is no hash', TINY_PNG, 'nonsense'],
    ['it is no PNG', new TextEncoder().encode('GIF89a, or so'), undefined],
    ['it is cut off after the signature', TINY_PNG.slice(0, 8), undefined],
    ['it is empty', new Uint8Array(), undefined],
  ])('is refused when %s', async (_, bytes, address) => {
    const scripted = await painter()
    const sha256 = address ?? (await sha256Hex(bytes))
    expect(await codeOf(await scripted.putImage(bytes, sha256))).toBe('400 invalid_request')
    expect(await bindings.IMAGES.head(sha256)).toBeNull()
  })

  it('is refused when it is too large', async () => {
    const scripted = await painter()
    const bytes = new Uint8Array(LIMITS.imageBytes + 1)
    bytes.set(TINY_PNG)
    expect(await codeOf(await scripted.putImage(bytes, await sha256Hex(bytes)))).toBe('413 body_too_large')
  })

  it('is refused without a signature', async () => {
    const response = await call(imagePath('f'.repeat(64)), { method: 'PUT', body: TINY_PNG })
    expect(await codeOf(response)).toBe('401 signature_invalid')
  })

  it.each(['f'.repeat(64), 'F'.repeat(64), 'x'])('that does not exist is 404: %s', async (sha256) => {
    expect(await codeOf(await call(`/v1/images/${sha256}`))).toBe('404 image_not_found')
  })
})
