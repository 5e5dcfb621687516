import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { Health, ModelList, Problem } from '../../edge/response-schema.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { bindings, call, postJson } from './support/api.ts'

afterEach(reset)

describe('every answer', () => {
  it.each(['/healthz', '/v1/models', '/v1/jobs/none', '/nowhere'])(
    'of %s has a request id of its own',
    async (path) => {
      const ids = [await call(path), await call(path)].map(({ headers }) => headers.get('x-request-id'))
      expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(ids[0]).not.toBe(ids[1])
    },
  )
})

describe('addresses', () => {
  it('that do not exist are 404 in the one error shape', async () => {
    for (const path of ['/nowhere', '/v1', '/v1/jobs/a/b/c', '/v1/images', '/internal/v1']) {
      const response = await call(path)
      expect(response.status).toBe(404)
      expect(Problem.parse(await response.json()).error.code).toBe('route_not_found')
    }
  })

  it.each([
    ['PUT', '/v1/jobs', 'GET, HEAD, POST'],
    ['DELETE', '/v1/jobs', 'GET, HEAD, POST'],
    ['PATCH', `/v1/jobs/job_${'0'.repeat(26)}`, 'DELETE, GET, HEAD'],
    ['POST', '/v1/models', 'GET, HEAD'],
    ['DELETE', `/v1/images/${'a'.repeat(64)}`, 'GET, HEAD'],
    ['GET', '/internal/v1/jobs/x/claim', 'POST'],
  ])('answer %s %s with 405 and the permitted methods', async (method, path, allow) => {
    const response = await call(path, { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe(allow)
    expect(Problem.parse(await response.json()).error.code).toBe('method_not_allowed')
  })

  it('answer HEAD as GET without a body', async () => {
    for (const path of ['/healthz', '/v1/models', '/openapi.json']) {
      const response = await call(path, { method: 'HEAD' })
      expect(response.status).toBe(200)
      expect(await response.text()).toBe('')
    }
  })
})

describe('browsers of any origin', () => {
  const origin = 'https://example.org'

  it('may ask before they post', async () => {
    const response = await call('/v1/jobs', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    })
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(response.headers.get('access-control-allow-methods')).toContain('POST')
    expect(response.headers.get('access-control-allow-headers')).toContain('content-type')
  })

  // The official OpenAI client sends a dozen headers of its own, others send theirs.
  it.each([
    'authorization,content-type,x-stainless-os,x-stainless-retry-count',
    'openai-organization,x-api-key,if-none-match,tracestate,baggage',
  ])('may send %s', async (names) => {
    for (const path of ['/v1/images/generations', '/v1/jobs/x/events', '/openapi.json']) {
      const headers = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': names }
      const response = await call(path, { method: 'OPTIONS', headers })
      const allowed = (response.headers.get('access-control-allow-headers') ?? '').split(/, ?/)
      expect(allowed).toEqual(names.split(','))
    }
  })

  it('may read the document and whether the service runs', async () => {
    for (const path of ['/openapi.json', '/healthz', '/readyz']) {
      const response = await call(path, { headers: { origin } })
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
    }
  })

  it('may read answers, errors too', async () => {
    for (const response of [
      await call('/v1/models', { headers: { origin } }),
      await postJson('/v1/jobs', {}, { origin }),
    ]) {
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      expect(response.headers.get('access-control-expose-headers')).toContain('x-request-id')
      const exposed = (response.headers.get('access-control-expose-headers') ?? '').split(',')
      for (const name of ['etag', 'retry-after', 'retry-after-ms', 'x-should-retry', 'ratelimit']) {
        expect(exposed).toContain(name)
      }
    }
  })

  it('have no business with the internal routes', async () => {
    const response = await call('/internal/v1/jobs/x/claim', { method: 'POST', headers: { origin } })
    expect(response.headers.has('access-control-allow-origin')).toBe(false)
  })
})

describe('GET /v1/models', () => {
  it("lists the cards in OpenAI's shape", async () => {
    const list = ModelList.parse(await (await call('/v1/models')).json())
    expect(list.data).toEqual([{ object: 'model', created: 0, owned_by: 'parm-edge', ...TEST_MODEL }])
  })
})

describe('GET /healthz', () => {
  it('names the models', async () => {
    expect(Health.parse(await (await call('/healthz')).json())).toEqual({
      status: 'ok',
      access: 'open',
      models: [TEST_MODEL.id],
    })
  })
})

/** These tests provoke what the edge must log. */
function expectLogs(): void {
  let log: MockInstance<typeof console.error>
  beforeEach(() => {
    log = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  })
  afterEach(() => {
    expect(log).toHaveBeenCalled()
    log.mockRestore()
  })
}

describe('an edge that is configured wrongly', () => {
  expectLogs()

  it.each([
    ['MODELS', '[]', 'MODELS'],
    ['MODELS', 'not json', 'MODELS: expected JSON'],
    ['MODELS', '[{"id":"x"}]', 'MODELS.0.revision'],
    ['QUEUE_URL_BATCH', 'sqs', 'QUEUE_URL_BATCH: expected an http or https URL'],
    ['PUBLIC_URL', 'https://a.example/path', 'PUBLIC_URL'],
    ['CALLBACK_SECRET', 'short-secret', 'CALLBACK_SECRET: expected at least 16 characters'],
    ['ACCESS', 'closed', 'ACCESS: expected one of open, keys'],
    ['ADMIN_KEY_SHA256', 'my-plain-key', 'ADMIN_KEY_SHA256: expected a SHA-256 as lower-case hex'],
  ])('says so: %s = %s', async (name, value, words) => {
    const response = await createApp().request('https://edge.test/healthz', {}, { ...bindings, [name]: value })
    expect(response.status).toBe(500)
    const { detail, error } = Problem.parse(await response.json())
    expect(error.code).toBe('config_invalid')
    expect(detail).toContain(words)
    if (name !== 'MODELS') expect(detail).not.toContain(value)
  })

  it('names all faults at once', async () => {
    const env = { ...bindings, SQS_REGION: '', AWS_ACCESS_KEY_ID: '' }
    const response = await createApp().request('https://edge.test/healthz', {}, env)
    const { detail } = Problem.parse(await response.json())
    expect(detail).toContain('SQS_REGION')
    expect(detail).toContain('AWS_ACCESS_KEY_ID')
  })
})

describe('an error nobody foresaw', () => {
  expectLogs()

  it('keeps its words to itself', async () => {
    const app = createApp()
    const broken = new Proxy(bindings, {
      get(target, name) {
        if (name === 'IMAGES') throw new Error('the word is xyzzy')
        return Reflect.get(target, name)
      },
    })
    const response = await app.request(`https://edge.test/v1/images/${'a'.repeat(64)}`, {}, broken)
    expect(response.status).toBe(500)
    const text = await response.text()
    expect(Problem.parse(JSON.parse(text)).error.code).toBe('internal')
    expect(text).not.toContain('xyzzy')
  })
})
