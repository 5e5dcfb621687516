import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { accountLines } from '../../infra/keys/wording.ts'
import type { ApiKey, TenantAccount } from '../../shared/api-key.ts'

const PROGRAM = resolve(import.meta.dirname, '../../infra/keys.ts')
const TIMEOUT_MS = 60_000

const KEY: ApiKey = {
  id: '0123abcd',
  tenant: 'acme',
  scopes: ['generate', 'read'],
  note: 'the shop',
  limits: { requests: 60, windowSeconds: 60, concurrentJobs: 4 },
  createdAt: Date.UTC(2026, 10, 23),
}
const ACCOUNT: TenantAccount = {
  tenant: 'acme',
  budget: { rowSteps: 1000, windowSeconds: 86_400 },
  spentRowSteps: 18,
  reservedRowSteps: 48,
  openJobs: 1,
  keys: [KEY, { ...KEY, id: '4567cdef', note: '', revokedAt: Date.UTC(2026, 10, 24) }],
}

interface Call {
  method: string
  url: string
  authorization: string
  body: unknown
}

let server: Server
let calls: Call[] = []
let answer: { status: number; body: unknown } = { status: 200, body: {} }

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString()
    const { method = '', url = '', headers } = request
    calls.push({ method, url, authorization: headers.authorization ?? '', body: text ? JSON.parse(text) : undefined })
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
})
afterAll(() => server.close())
beforeEach(() => {
  calls = []
})

function keys(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = { ...process.env, PARM_EDGE_URL: url, PARM_OPERATOR_KEY: 'secret' }
  return new Promise((done) => {
    execFile(process.execPath, [PROGRAM, ...args], { env }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    )
  })
}

describe('npm run keys', { timeout: TIMEOUT_MS }, () => {
  it('makes an operator key and tells of it what the edge must know', async () => {
    const { stdout, code } = await keys('operator')
    const [, key = '', , setting] = stdout.trim().split('\n')
    expect(code).toBe(0)
    expect(setting).toBe(`ADMIN_KEY_SHA256 = "${createHash('sha256').update(key).digest('hex')}"`)
    expect(calls).toEqual([])
  })

  it('creates a key with the limits asked for, and prints nothing else where a script would read it', async () => {
    answer = { status: 201, body: { ...KEY, key: 'pk_acme_0123abcd_secret' } }
    const { stdout } = await keys('create', 'acme', '--scopes', 'read', '--note', 'the shop', '--jobs', '4')
    expect(stdout).toBe('pk_acme_0123abcd_secret\n')
    const body = { scopes: ['read'], note: 'the shop', concurrentJobs: 4 }
    expect(calls).toEqual([
      { method: 'POST', url: '/admin/v1/tenants/acme/keys', authorization: 'Bearer secret', body },
    ])
  })

  it('revokes a key', async () => {
    answer = { status: 200, body: { ...KEY, revokedAt: Date.UTC(2026, 10, 24) } }
    const { stdout } = await keys('revoke', 'acme', '0123abcd')
    expect(stdout).toBe('key 0123abcd opens nothing since 2026-11-24T00:00:00.000Z\n')
    expect(calls).toMatchObject([{ method: 'DELETE', url: '/admin/v1/tenants/acme/keys/0123abcd' }])
  })

  it('sets a budget and takes it away', async () => {
    answer = { status: 200, body: ACCOUNT }
    const { stdout } = await keys('budget', 'acme', '1000', '--window', '3600')
    expect(stdout.trim().split('\n')).toEqual(accountLines(ACCOUNT))
    await keys('budget', 'acme', 'none')
    expect(calls).toMatchObject([
      { method: 'PUT', url: '/admin/v1/tenants/acme/budget', body: { rowSteps: 1000, windowSeconds: 3600 } },
      { method: 'DELETE', url: '/admin/v1/tenants/acme/budget', body: undefined },
    ])
  })

  it("passes on the edge's own words when it refuses", async () => {
    answer = { status: 404, body: { detail: 'There is no tenant "x"' } }
    const { stderr, code } = await keys('show', 'x')
    expect(stderr).toContain('refused with 404: There is no tenant "x"')
    expect(code).toBe(2)
  })

  it.each([
    [['create'], 'expected TENANT, got nothing'],
    [['sell', 'acme'], 'expected one of operator, create, show, erase, revoke, budget, got "sell"'],
    [['budget', 'acme', 'lots'], 'rowSteps: expected a whole number, got "lots"'],
    [['revoke', 'acme', 'a', 'b'], 'expected nothing after "a", got "b"'],
    // These made a key of tenant "victim", and revoked one of tenant "tenant-a".
    [['create', 'a/../victim'], 'TENANT: expected 1 to 100 of A-Z a-z 0-9 _ -, got "a/../victim"'],
    [['revoke', 'acme', '../../tenant-a/keys/0123abcd'], 'KEY_ID: expected 8 hexadecimal digits, got "../../tenant-a'],
    [['show', '..'], 'TENANT: expected 1 to 100'],
    [['show', ''], 'TENANT: expected 1 to 100'],
    [['budget', 'a%2f..%2fvictim', '0'], 'TENANT: expected 1 to 100'],
    [['create', 'acme', '--scopes', 'read,write'], '--scopes: expected generate, read or both, got "write"'],
  ])('refuses %j before it calls anybody', async (args, words) => {
    const { stderr, code } = await keys(...args)
    expect(stderr).toContain(words)
    expect(code).toBe(2)
    expect(calls).toEqual([])
  })
})

it('an account is told one key a line', () => {
  expect(accountLines(ACCOUNT)).toEqual([
    'acme: 18 of 1000 row-steps in 86400 s spent; 1 jobs under way, 48 row-steps held for them',
    '  0123abcd  made 2026-11-23  generate,read  60/60 s  4 jobs  the shop',
    '  4567cdef  made 2026-11-23  generate,read  60/60 s  4 jobs  revoked 2026-11-24',
  ])
})
