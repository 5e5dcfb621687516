import { HttpConnection, requestBytes } from './http-connection.ts'
import { childrenProcessorMs } from './processor-time.ts'

export interface HitComparisonOptions {
  readonly url: URL
  /** JSON text of a request that the cache answers. */
  readonly request: string
  readonly headers?: Readonly<Record<string, string>>
  /** Requests under way at any moment. */
  readonly connections: number
  /** Rounds of one block each; who goes first changes from round to round. */
  readonly rounds: number
  readonly blockMs: number
  onProgress(line: string): void
}

/** Medians over the rounds: a round that another program disturbed counts as one, however far out it is. */
export interface HitComparison {
  /** Answers a second of the cached route over the bare one's, round by round. */
  readonly hit_rps_ratio: number
  readonly hit_rps_ratio_quartiles: readonly [number, number]
  /**
   * The server's processor time an answer, bare over cached: what `hit_rps_ratio` would be on a machine with nothing else to
   * do and a client that costs nothing. Absent where the system does not tell.
   */
  readonly hit_cpu_ratio?: number
  /** 99th percentiles of the time from request to whole answer, cached over bare, round by round. */
  readonly hit_p99_ratio: number
  readonly hit_rps: number
  readonly bare_rps: number
  readonly hit_p99_ms: number
  readonly bare_p99_ms: number
  readonly body_bytes: number
  readonly requests: number
}

interface Block {
  readonly rps: number
  readonly processorMs: number | undefined
  /** Milliseconds, one a request. */
  readonly latencies: readonly number[]
}

/**
 * Cached lookups against the bare route with a body of the same size, in short turns over the same
 * connections, so that whatever else the machine does falls on both.
 */
export async function compareHits(options: HitComparisonOptions): Promise<HitComparison> {
  const { url, connections, rounds, blockMs } = options
  const hit = requestBytes('POST', new URL('/v1/images/generations', url), options.request, options.headers ?? {})
  const pool = await Promise.all(Array.from({ length: connections }, () => HttpConnection.open(url)))
  try {
    const answer = await first(pool).send(hit)
    if (!/^cache-status: parm-edge;hit$/im.test(answer.head)) throw new Error(`not a cached answer: ${answer.head}`)
    const { body } = answer
    // Request and answer as large as the cached ones, so that the difference is the edge's own work.
    const bareUrl = new URL('/bare', url)
    await put(bareUrl, body)
    const bare = requestBytes('POST', bareUrl, options.request, options.headers ?? {})
    for (const request of [hit, bare]) await block(pool, request, blockMs, body.length)
    const hits: Block[] = []
    const bares: Block[] = []
    for (let round = 0; round < rounds; round++) {
      const turns = [
        async () => hits.push(await block(pool, hit, blockMs, body.length)),
        async () => bares.push(await block(pool, bare, blockMs, body.length)),
      ]
      for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn()
      options.onProgress(
        `round ${round + 1}: ${last(hits).rps.toFixed(0)} hits/s, ${last(bares).rps.toFixed(0)} bare/s`,
      )
    }
    return summary(hits, bares, body.length)
  } finally {
    for (const connection of pool) connection.close()
  }
}

/** Sends over every connection as fast as answers come; each must be a 200 of `bytes` bytes. */
async function block(pool: readonly HttpConnection[], request: Buffer, ms: number, bytes: number): Promise<Block> {
  const latencies: number[] = []
  const processorBefore = childrenProcessorMs()
  const begun = performance.now()
  await Promise.all(
    pool.map(async (connection) => {
      for (let now = performance.now(); now - begun < ms; ) {
        const { status, body, head } = await connection.send(request)
        if (status !== 200 || body.length !== bytes) throw new Error(`expected 200 with ${bytes} bytes, got ${head}`)
        const answered = performance.now()
        latencies.push(answered - now)
        now = answered
      }
    }),
  )
  const seconds = (performance.now() - begun) / 1000
  const processorAfter = childrenProcessorMs()
  const processorMs = processorAfter === undefined ? undefined : processorAfter - (processorBefore ?? 0)
  return { rps: latencies.length / seconds, latencies, processorMs }
}

function summary(hits: readonly Block[], bares: readonly Block[], bytes: number): HitComparison {
  const rounds = hits.map((hit, round) => ({ hit, bare: at(bares, round) }))
  const rates = rounds.map(({ hit, bare }) => hit.rps / bare.rps).toSorted(ascending)
  const costs = rounds.flatMap(({ hit, bare }) => {
    const [hitMs, bareMs] = [processorMsEach(hit), processorMsEach(bare)]
    return hitMs === undefined || bareMs === undefined ? [] : [bareMs / hitMs]
  })
  return {
    hit_rps_ratio: digits(middle(rates)),
    hit_rps_ratio_quartiles: [digits(quantile(rates, 0.25)), digits(quantile(rates, 0.75))],
    ...(costs.length === 0 ? {} : { hit_cpu_ratio: digits(middle(costs.toSorted(ascending))) }),
    hit_p99_ratio: digits(middle(rounds.map(({ hit, bare }) => p99(hit) / p99(bare)).toSorted(ascending))),
    hit_rps: digits(middle(hits.map(({ rps }) => rps).toSorted(ascending))),
    bare_rps: digits(middle(bares.map(({ rps }) => rps).toSorted(ascending))),
    hit_p99_ms: digits(middle(hits.map(p99).toSorted(ascending))),
    bare_p99_ms: digits(middle(bares.map(p99).toSorted(ascending))),
    body_bytes: bytes,
    requests: [...hits, ...bares].reduce((sum, { latencies }) => sum + latencies.length, 0),
  }
}

function processorMsEach({ processorMs, latencies }: Block): number | undefined {
  return processorMs === undefined ? undefined : processorMs / latencies.length
}

async function put(url: URL, body: Buffer): Promise<void> {
  const response = await fetch(url, { method: 'PUT', body: new Uint8Array(body) })
  if (!response.ok) throw new Error(`PUT ${url.pathname} answered ${response.status}`)
}

const ascending = (a: number, b: number): number => a - b
const p99 = ({ latencies }: Block): number => quantile(latencies.toSorted(ascending), 0.99)

function quantile(sorted: readonly number[], share: number): number {
  return at(sorted, Math.min(Math.floor(sorted.length * share), sorted.length - 1))
}

function middle(sorted: readonly number[]): number {
  const half = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? at(sorted, half) : (at(sorted, half - 1) + at(sorted, half)) / 2
}

/** Four: no measurement here is better than that. */
function digits(value: number): number {
  return Number(value.toPrecision(4))
}

function at<T>(values: readonly T[], index: number): T {
  const value = values[index]
  if (value === undefined) throw new RangeError(`no entry ${index} of ${values.length}`)
  return value
}

const first = <T>(values: readonly T[]): T => at(values, 0)
const last = <T>(values: readonly T[]): T => at(values, values.length - 1)
