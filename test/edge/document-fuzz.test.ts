import { reset } from 'cloudflare:test'
import fc, { type Arbitrary } from 'fast-check'
import { encode } from 'fast-png'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { base64 } from '../../edge/bytes.ts'
import { parseEnv } from '../../edge/env.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import type { ScoreRecord } from '../../shared/score-record.ts'
import { bindings } from './support/api.ts'
import { ApiDocument, type Operation, type Parameter } from './support/api-document.ts'
import { asJson, bearer, closedEdge, makeKey, OPERATOR_KEY } from './support/keys.ts'
import { schemaArbitrary, validArbitrary } from './support/schema-arbitrary.ts'

/**
 * Every route of the OpenAPI document, asked with what the document permits and with near misses of it: whatever is sent, the
 * answer is one that the document promises, and never a failure of ours.
 */

/** Requests of each operation; a failure prints the smallest one that shows it. */
const RUNS = 40
const SEED = 20_261_127

/** What the tests' one tenant has: things that can be found, so that not all answers are 404. */
interface World {
  readonly edge: Awaited<ReturnType<typeof closedEdge>>
  readonly key: string
  readonly known: Readonly<Record<string, readonly string[]>>
}

let world: World
beforeEach(async () => {
  // The log would have a line for every request.
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
  vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
  const edge = await closedEdge()
  const { key, id: keyId } = await makeKey(edge, 'acme', { requests: 1_000_000, concurrentJobs: 10_000 })
  const job = (await (await edge('/v1/jobs', asJson({ prompt: 'a lamp' }, bearer(key)))).json()) as JobRecord
  const png = new Uint8Array([1, 2, 3])
  const sha256 = 'a'.repeat(64)
  const score = (await (
    await edge('/v1/scores', asJson({ prompt: 'a lamp', image: PICTURE }, { ...bearer(key), prefer: 'respond-async' }))
  ).json()) as ScoreRecord
  await bindings.IMAGES.put(sha256, png)
  world = {
    edge,
    key,
    known: { id: [job.id, score.id], jobId: [job.id, score.id], keyId: [keyId], tenant: ['acme'], sha256: [sha256] },
  }
})
afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const models = [...parseEnv(bindings).models.values()]
const document = new ApiDocument(models)
/** One that can be scored: none is drawn by chance. */
const [HEIGHT, WIDTH] = models[0]?.imageSize ?? [0, 0]
const PICTURE = base64(
  encode({ width: WIDTH, height: HEIGHT, channels: 3, depth: 8, data: new Uint8Array(WIDTH * HEIGHT * 3) }),
)

/** What only the list of models tells. */
const MEMBERS = {
  model: models.map(({ id }) => id),
  verifier: models.flatMap(({ verifiers }) => verifiers),
  verifiers: models.flatMap(({ verifiers }) => [verifiers, verifiers.slice(0, 1)]),
  image: [PICTURE, `data:image/png;base64,${PICTURE}`, 'a'.repeat(64)],
}

interface Asked {
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | undefined
}

/** Header values are Latin-1 without line ends; what no client can send is not asked. */
const headerText = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) })

function parameterArbitrary({ name, in: where, schema }: Parameter, known: World['known']): Arbitrary<string> {
  const permitted = validArbitrary(schema, document.resolve).map(String)
  if (where === 'header') return fc.oneof(permitted.filter(isHeaderValue), headerText)
  const strange = fc.string({ unit: 'grapheme', maxLength: 40 })
  const found = known[name]
  if (where === 'query') return fc.oneof(permitted, strange)
  const some = found ? fc.constantFrom(...found) : permitted
  return fc.oneof({ arbitrary: some, weight: 3 }, permitted, strange).filter(isPathSegment)
}

const isHeaderValue = (text: string): boolean => /^[\x20-\x7e]*$/.test(text)
/** An empty segment, or dots, is another address. */
const isPathSegment = (text: string): boolean => text !== '' && !/^\.{1,2}$/.test(text) && text.isWellFormed()

function askedArbitrary(operation: Operation, { known, key }: World): Arbitrary<Asked> {
  const { path, parameters, body, security } = operation
  const isOperators = security.some((way) => 'operatorKey' in way)
  const right = bearer(isOperators ? OPERATOR_KEY : key)
  const authorization = fc.oneof(
    { arbitrary: fc.constant(right), weight: 8 },
    { arbitrary: fc.constant({}), weight: 1 },
    { arbitrary: headerText.map((text) => ({ authorization: text })), weight: 1 },
  )
  const values = parameters.map((parameter) =>
    fc.tuple(
      fc.constant(parameter),
      parameter.in === 'path' ? fc.constant(true) : fc.boolean(),
      parameterArbitrary(parameter, known),
    ),
  )
  const bodies = body
    ? schemaArbitrary(body, document.resolve, MEMBERS).map((value) => JSON.stringify(value))
    : fc.constant(undefined)
  return fc.tuple(authorization, fc.tuple(...values), bodies).map(([auth, given, text]) => {
    const sent = given.filter(([, isSent]) => isSent).map(([parameter, , value]) => ({ ...parameter, value }))
    const inPath = sent.filter((parameter) => parameter.in === 'path')
    const query = new URLSearchParams(sent.filter((one) => one.in === 'query').map(({ name, value }) => [name, value]))
    const address = inPath.reduce((at, { name, value }) => at.replace(`{${name}}`, encodeURIComponent(value)), path)
    const headers = Object.fromEntries(
      sent.filter((one) => one.in === 'header').map(({ name, value }) => [name, value]),
    )
    return {
      path: query.size > 0 ? `${address}?${query}` : address,
      headers: { ...headers, ...auth, ...(text === undefined ? {} : { 'content-type': 'application/json' }) },
      body: text,
    }
  })
}

/** Nobody makes the pictures here, so nobody may wait for one: the job is asked for, or its stream is left again. */
function withoutWaiting({ path }: Operation, asked: Asked): Asked {
  return path === '/v1/images/generations' || (path === '/v1/scores' && asked.body !== undefined)
    ? { ...asked, headers: { ...asked.headers, Prefer: 'respond-async' } }
    : asked
}

describe.each(document.operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  '%s',
  (_, operation) => {
    it('answers whatever is asked as the document says, and never with 5xx', async () => {
      const seen = new Set<number>()
      const property = fc.asyncProperty(askedArbitrary(operation, world), async (asked) => {
        const { path, headers, body } = withoutWaiting(operation, asked)
        const leave = new AbortController()
        const init = {
          method: operation.method,
          headers,
          signal: leave.signal,
          ...(body === undefined ? {} : { body }),
        }
        const response = await world.edge(path, init)
        const { status } = response
        seen.add(status)
        const problem = await document.problemWith(operation, response)
        leave.abort()
        // 504 is what only-if-cached asks for where nothing is cached; every other 5xx would be our fault.
        const isOurFault = status >= 500 && status !== 504
        expect({ problem, isOurFault }).toEqual({ problem: undefined, isOurFault: false })
      })
      await fc.assert(property, { numRuns: RUNS, seed: SEED })
      // Otherwise little would have been tried.
      expect([...seen].filter((status) => status < 300)).not.toEqual([])
    }, 120_000)
  },
)
