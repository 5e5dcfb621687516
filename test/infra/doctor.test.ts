import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { checkFleet } from '../../infra/doctor/aws-checks.ts'
import { checkAccess, checkEdge, type EdgeFacts, edgeUnderTest } from '../../infra/doctor/edge-checks.ts'
import { findingLines, wrong } from '../../infra/doctor/finding.ts'
import { checkPicture } from '../../infra/doctor/picture-check.ts'
import { checkQueue } from '../../infra/doctor/queue-checks.ts'
import { checkWorker } from '../../infra/doctor/worker-checks.ts'
import { TEST_MODEL as card } from '../support/model-card.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

interface Scripted {
  readonly status?: number
  readonly body: object
}

/** A server that answers each path as told, and anything else with 404. */
async function serve(answers: Record<string, Scripted>): Promise<string> {
  const server = createServer((request, response) => {
    const { status = 200, body } = answers[request.url?.split('?')[0] ?? ''] ?? { status: 404, body: {} }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const FACTS: EdgeFacts = { access: 'keys', models: [card] }
const HEALTHY = {
  '/healthz': { body: { status: 'ok', access: 'keys', models: [card.id] } },
  '/readyz': { body: { status: 'ready' } },
  '/v1/models': { body: { object: 'list', data: [{ object: 'model', created: 0, owned_by: 'parm-edge', ...card }] } },
}
const edgeAt = async (answers: Record<string, Scripted>) => edgeUnderTest(await serve(answers), 'key')

describe('the edge', () => {
  it('that answers everything is well', async () => {
    const { findings, facts } = await checkEdge(await edgeAt(HEALTHY))
    expect(findings.map(({ part, state }) => [part, state])).toEqual([
      ['edge', 'ok'],
      ['storage', 'ok'],
      ['models', 'ok'],
    ])
    expect(facts?.access).toBe('keys')
  })

  it('that is not configured says which variable', async () => {
    const detail = 'The edge is not configured: CALLBACK_SECRET: expected at least 16 characters'
    const { findings, facts } = await checkEdge(await edgeAt({ '/healthz': { status: 500, body: { detail } } }))
    expect(facts).toBeUndefined()
    expect(findings).toEqual([
      wrong('edge', `GET /healthz answered 500: ${detail}`, expect.stringContaining('wrangler')),
    ])
  })

  it('whose storage is silent, or that is something else, is found out', async () => {
    const silent = { '/readyz': { status: 503, body: { detail: 'no answer of images' } } }
    const { findings } = await checkEdge(await edgeAt({ ...HEALTHY, ...silent }))
    expect(findings[1]).toMatchObject({
      part: 'storage',
      state: 'wrong',
      what: 'GET /readyz answered 503: no answer of images',
    })
    expect((await checkEdge(await edgeAt({}))).findings).toMatchObject([
      { state: 'wrong', what: 'GET /healthz answered 404' },
    ])
  })

  it('that refuses a key says so, and an open one is told', async () => {
    const edge = await edgeAt({
      '/v1/jobs': { body: { object: 'list', data: [] } },
      '/metrics': { status: 401, body: { detail: 'no such key' } },
    })
    const findings = await checkAccess(edge, FACTS, { api: 'key', operator: 'key' })
    expect(findings.map(({ part, state }) => [part, state])).toEqual([
      ['API key', 'ok'],
      ['operator’s key', 'wrong'],
    ])
    expect(
      await checkAccess(edge, { ...FACTS, access: 'open' }, { api: undefined, operator: undefined }),
    ).toMatchObject([{ state: 'ok', what: expect.stringContaining('anybody') }])
  })
})

describe('a worker', () => {
  const health = (changes: object = {}) => ({
    '/healthz': {
      body: {
        state: 'ready',
        worker: 'w',
        bundle: { id: card.id, revision: card.revision, provider: 'cuda' },
        slots: { total: 8, free: 5 },
        jobs: 1,
        ...changes,
      },
    },
  })

  it.each([
    ['is ready with the bundle that the edge asks for', {}, 'ok', 'w is ready on cuda: 5 of 8 slots free, 1 jobs'],
    ['is still loading', { state: 'starting', bundle: undefined }, 'wrong', 'w is starting'],
    [
      'has another revision',
      { bundle: { id: card.id, revision: 'f'.repeat(64), provider: 'cuda' } },
      'wrong',
      `w has ${card.id} revision ffffffffffff, the edge asks for revision ${card.revision.slice(0, 12)} of it`,
    ],
    [
      'has another model',
      { bundle: { id: 'show-o', revision: card.revision, provider: 'cuda' } },
      'wrong',
      `w has show-o revision ${card.revision.slice(0, 12)}, the edge asks for ${card.id}`,
    ],
  ])('that %s', async (_, changes, state, what) => {
    expect(await checkWorker(await serve(health(changes)), FACTS)).toMatchObject({ state, what })
  })

  it('that is not there, or is no worker', async () => {
    expect(await checkWorker('http://127.0.0.1:9', FACTS)).toMatchObject({ state: 'wrong' })
    expect(await checkWorker(await serve({}), FACTS)).toMatchObject({ what: expect.stringContaining('is no worker') })
  })
})

describe('a picture', () => {
  it('is not asked for without the key that it takes', async () => {
    const edge = edgeUnderTest('http://127.0.0.1:9', undefined)
    expect(await checkPicture(edge, FACTS, undefined, 1)).toMatchObject([{ state: 'skipped' }])
  })

  it('that is refused is told in the edge’s words', async () => {
    const edge = await edgeAt({ '/v1/jobs': { status: 429, body: { detail: 'the budget is used up' } } })
    expect(await checkPicture(edge, FACTS, 'key', 1)).toMatchObject([
      { state: 'wrong', what: 'POST /v1/jobs answered 429: the budget is used up' },
    ])
  })
})

describe('a queue', () => {
  it('that is still the placeholder is found before AWS is asked', async () => {
    const url = 'https://sqs.us-east-1.amazonaws.com/000000000000/parm-edge-production-interactive'
    expect(await checkQueue('interactive', url, true)).toMatchObject([
      { state: 'wrong', what: expect.stringContaining('placeholder') },
    ])
  })
})

describe('the fleet', () => {
  const service = { runningCount: 2, desiredCount: 2, pendingCount: 0, events: [{ message: 'steady' }] }
  const answering =
    (services: object[], alarms: object[] = []) =>
    async (...[service_, command]: string[]): Promise<unknown> =>
      service_ === 'cloudwatch'
        ? { MetricAlarms: alarms }
        : command === 'list-services'
          ? { serviceArns: ['arn'] }
          : { services }

  it('that runs what is wanted is well', async () => {
    expect(await checkFleet('production', answering([service]))).toMatchObject([
      { state: 'ok', what: '2 of 2 tasks run, 0 start' },
      { part: 'alarms', state: 'ok' },
    ])
  })

  it('that starts nothing says why, and alarms their paragraph', async () => {
    const stuck = { ...service, runningCount: 0, events: [{ message: 'unable to place a task' }] }
    const alarm = {
      AlarmName: 'parm-edge-production-no-capacity',
      AlarmDescription: 'See infra/guides/alarms.md#no-capacity.',
    }
    expect(await checkFleet('production', answering([stuck], [alarm]))).toMatchObject([
      { state: 'wrong', what: '0 of 2 tasks run, 0 start; last event: unable to place a task' },
      { state: 'wrong', what: 'parm-edge-production-no-capacity', remedy: expect.stringContaining('#no-capacity') },
    ])
  })

  it('is skipped where AWS cannot be asked', async () => {
    const findings = await checkFleet('production', () => Promise.reject(new Error('spawn aws ENOENT')))
    expect(findings).toMatchObject([{ state: 'skipped', what: expect.stringContaining('spawn aws ENOENT') }])
  })
})

it('a finding is a line, and what to do first is another', () => {
  expect(findingLines(wrong('edge', 'is away', 'call it back'))).toEqual([
    'wrong    edge               is away',
    '                            -> call it back',
  ])
})
