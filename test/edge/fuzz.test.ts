import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { HTTP_STATUS } from '../../edge/error-response.ts'
import { Problem } from '../../edge/response-schema.ts'
import { CreatedApiKey, TenantAccount } from '../../shared/api-key.ts'
import { JobList, JobRecord } from '../../shared/job-record.ts'
import { tenantBudgetRoute, tenantKeysRoute } from '../../shared/routes.ts'
import { call, postJson } from './support/api.ts'
import { asJson, bearer, closedEdge, OPERATOR_KEY } from './support/keys.ts'
import { seededRandom } from './support/seeded-random.ts'

beforeEach(() => {
  vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
})
afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const FIELDS = [
  'prompt',
  'model',
  'seed',
  'candidates',
  'strategy',
  'accept',
  'steps',
  'guidance',
  'verifier',
  'deadlineMs',
  'priority',
  'n',
  'size',
  'parm',
  'partial_images',
  'response_format',
  'user',
  'labels',
  'webhook',
  'constructor',
  'toString',
  '',
]
const VALUES: unknown[] = [
  null,
  true,
  0,
  1,
  -0,
  4,
  12,
  -1,
  1.5,
  1e21,
  Number.MAX_SAFE_INTEGER,
  '',
  'a cat',
  'test-model',
  'parm',
  'first',
  'auto',
  '96x96',
  'url',
  'interactive',
  '\ud800',
  '\u202e',
  '🍎'.repeat(20),
  'x'.repeat(1500),
  [],
  [[]],
  {},
  { seed: 1 },
  { toString: 1 },
  { order: '7' },
  { '': '' },
  'https://hooks.example.org/',
  'https://[::1]/',
]

function picker(seed: number) {
  const next = seededRandom(seed)
  return { next, pick: <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)] as T }
}

function bodies(count: number, seed: number): unknown[] {
  const { next, pick } = picker(seed)
  return Array.from({ length: count }, () => {
    const body: Record<string, unknown> = next() < 0.8 ? { prompt: 'a cat' } : {}
    for (let fields = Math.floor(next() * 4); fields > 0; fields--) body[pick(FIELDS)] = pick(VALUES)
    return body
  })
}

const STATUSES = new Set(Object.values(HTTP_STATUS))

describe.each(['/v1/jobs', '/v1/images/generations'])('any JSON sent to %s', (path) => {
  it('is taken, or refused with the field at fault; never more than that', async () => {
    const seen = new Set<number>()
    for (const body of bodies(150, 20261123)) {
      const response = await postJson(path, body, { prefer: 'respond-async' })
      seen.add(response.status)
      const answer: unknown = await response.json()
      if (response.status === 202) {
        JobRecord.parse(answer)
        continue
      }
      const { error, errors } = Problem.parse(answer)
      expect({ body, status: response.status }).toEqual({ body, status: error.code === 'model_not_found' ? 404 : 400 })
      expect(errors.length).toBeGreaterThan(0)
      for (const { permitted } of errors) expect(permitted).not.toBe('see /openapi.json')
    }
    expect([...seen].sort()).toEqual([202, 400, 404])
  })

  it('is refused in the one error shape when it is cut anywhere', async () => {
    const text = JSON.stringify({ prompt: 'a "c\\at" \u00e9', seed: 12, guidance: 1.5 })
    for (let end = 0; end < text.length; end++) {
      const response = await postJson(path, text.slice(0, end), { prefer: 'respond-async' })
      const { error } = Problem.parse(await response.json())
      expect([response.status, error.code]).toEqual([400, 'invalid_json'])
    }
  })
})

describe('any headers of a request for work', () => {
  it('are followed, or refused with the header at fault', async () => {
    const { pick } = picker(11)
    const texts = [
      '',
      '1',
      '30s',
      '9999999999',
      '-1',
      '1m30s',
      '""',
      '"a"',
      '"a',
      'a"b',
      '\\',
      'x'.repeat(300),
      ';',
      ',',
    ]
    const seen = new Set<number>()
    for (let round = 0; round < 60; round++) {
      const headers = { 'cancel-after': pick(texts), 'idempotency-key': pick(texts), prefer: pick(texts) }
      const response = await postJson('/v1/jobs', { prompt: 'a cat', seed: round }, headers)
      seen.add(response.status)
      const answer: unknown = await response.json()
      if (response.status === 202) JobRecord.parse(answer)
      else expect(Problem.parse(answer).error.code).toMatch(/^(invalid_request|idempotency_key_reused)$/)
    }
    expect([...seen].sort()).toEqual([202, 400, 409])
  })
})

describe('any query of the list of jobs', () => {
  it('is answered with a list, or refused with the parameter at fault', async () => {
    const { pick } = picker(5)
    await postJson('/v1/jobs', { prompt: 'a cat', labels: { order: '7' } })
    const texts = ['', '0', '1', '100', '101', 'queued', 'ended', 'order:7', ':', 'é', '%00', '%ff', 'MQ', "'; --"]
    const seen = new Set<number>()
    for (let round = 0; round < 80; round++) {
      const names = ['limit', 'cursor', 'status', 'label', 'other'].filter(() => pick([true, false, false]))
      const query = names.map((name) => `${name}=${pick(texts)}`).join('&')
      const response = await call(`/v1/jobs?${query}`)
      seen.add(response.status)
      const answer: unknown = await response.json()
      if (response.status === 200) JobList.parse(answer)
      else expect(Problem.parse(answer).errors[0]?.field).toBeOneOf(names)
    }
    expect([...seen].sort()).toEqual([200, 400])
  })
})

describe("any JSON sent to the operator's routes", () => {
  it('is taken, or refused with the field at fault', async () => {
    const edge = await closedEdge()
    const { next, pick } = picker(3)
    const fields = ['scopes', 'note', 'requests', 'windowSeconds', 'concurrentJobs', 'rowSteps', 'constructor']
    const values = [...VALUES, ['read'], ['read', 'all'], 60, 86_400, 1_000_000_000_001]
    const seen = new Set<number>()
    for (let round = 0; round < 100; round++) {
      const [method, path, start] = pick([
        ['POST', tenantKeysRoute('acme'), {}] as const,
        ['PUT', tenantBudgetRoute('acme'), { rowSteps: 1000 }] as const,
      ])
      const body: Record<string, unknown> = { ...start }
      for (let count = Math.floor(next() * 3); count > 0; count--) body[pick(fields)] = pick(values)
      const response = await edge(path, { ...asJson(body, bearer(OPERATOR_KEY)), method })
      seen.add(response.status)
      const answer: unknown = await response.json()
      if (response.status === 201) CreatedApiKey.parse(answer)
      else if (response.status === 200) TenantAccount.parse(answer)
      else for (const { permitted } of Problem.parse(answer).errors) expect(permitted).not.toBe('see /openapi.json')
    }
    expect([...seen].sort()).toEqual([200, 201, 400])
  })
})

describe('any address', () => {
  it('is answered in the one error shape, with a status of the table', async () => {
    const parts = [
      'v1',
      'jobs',
      'images',
      'events',
      'models',
      '',
      '..',
      '%2e',
      '%ff',
      ':id',
      'job_',
      '*',
      'internal',
      'admin',
      'tenants',
      'keys',
      'webhook-secret',
      'é',
    ]
    const next = seededRandom(7)
    for (let round = 0; round < 100; round++) {
      const length = 1 + Math.floor(next() * 5)
      const path = Array.from({ length }, () => parts[Math.floor(next() * parts.length)]).join('/')
      const method = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH'][Math.floor(next() * 5)] ?? 'GET'
      const response = await call(`/${path}`, { method })
      if (response.status === 200) {
        await response.body?.cancel()
        continue
      }
      const { status } = Problem.parse(await response.json())
      expect(status).toBe(response.status)
      expect({ path, method, known: STATUSES.has(status) && status < 500 }).toEqual({ path, method, known: true })
    }
  })
})
