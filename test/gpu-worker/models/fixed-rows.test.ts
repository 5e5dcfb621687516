import { describe, expect, it } from 'vitest'
import { SeededDraws } from '../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { FixedRowsSession, rowCountsUpTo } from '../../../gpu-worker/src/models/fixed-rows.ts'
import { bundleContracts, type GraphContract } from '../../../gpu-worker/src/models/graph-contract.ts'
import {
  fixRows,
  openOnFirstProvider,
  releaseAll,
  type Sessions,
} from '../../../gpu-worker/src/models/graph-sessions.ts'
import { warmUpRows } from '../../../gpu-worker/src/models/row-warm-up.ts'
import type { Feed, Result, Session } from '../../../gpu-worker/src/models/session.ts'
import { NO_TIME } from '../../../gpu-worker/src/models/spent-time.ts'
import type { OpenRequest } from '../../../gpu-worker/src/models/thread-messages.ts'
import { withOverrides } from '../../../gpu-worker/src/with-overrides.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

/** Doubles each value of `in`, notes the rows of its calls, and may answer in a wrong shape. */
class RecordingSession implements Session {
  readonly graph = 'recording'
  readonly inputs = []
  readonly outputs = []
  spent = NO_TIME
  isReleased = false
  readonly rows: number[] = []
  readonly #extraRows: number

  constructor(extraRows = 0) {
    this.#extraRows = extraRows
  }

  async run(feeds: Readonly<Record<string, Feed>>) {
    const { data, dims } = feeds.in as Feed
    this.rows.push(dims[0] as number)
    this.spent = { ms: this.spent.ms + 1, processorMs: this.spent.processorMs + 2 }
    const out: Result = {
      data: Float32Array.from(data as Float32Array, (value) => value * 2),
      dims: [(dims[0] as number) + this.#extraRows, ...dims.slice(1)],
    }
    return { out }
  }

  async release(): Promise<void> {
    this.isReleased = true
  }
}

/** A fixed-rows session over recording ones, in the order in which they are opened. */
function recorded(rowCounts: readonly number[], extraRows = 0) {
  const opened = [new RecordingSession(extraRows)]
  const open = async () => {
    const session = new RecordingSession(extraRows)
    opened.push(session)
    return session
  }
  return { opened, session: new FixedRowsSession(opened[0] as Session, open, rowCounts) }
}

/** Rows of two values each: 0, 1; 2, 3; ... */
function feedOf(rows: number): Record<string, Feed> {
  return { in: { type: 'float32', data: Float32Array.from({ length: rows * 2 }, (_, i) => i), dims: [rows, 2] } }
}

function valuesOf(tensors: Readonly<Record<string, Feed | Result>>): number[] {
  return Object.values(tensors).flatMap(({ data }) => [...(data as Float32Array)])
}

describe('the numbers of rows', () => {
  it.each([
    [256, [16, 64, 256]],
    [128, [32, 128]],
    [64, [16, 64]],
    [32, [32]],
    [1, [16]],
  ])('for a budget of %i are %j', (budget, expected) => {
    expect(rowCountsUpTo(budget)).toEqual(expected)
  })
})

describe('a session of fixed numbers of rows', () => {
  it('shows each session one number of rows only, whatever it is asked for', async () => {
    const { opened, session } = recorded([4, 16])
    for (const rows of [1, 9, 4, 3, 16, 2, 5]) await session.run(feedOf(rows))
    expect(opened.map(({ rows }) => rows)).toEqual([
      [4, 4, 4, 4],
      [16, 16, 16],
    ])
  })

  it.each([1, 3, 4, 5, 16, 17, 20, 33, 40])('answers each of %i rows, in order and nothing else', async (rows) => {
    const { session } = recorded([4, 16])
    const feed = feedOf(rows)
    const results = await session.run(feed)
    expect(results.out?.dims).toEqual([rows, 2])
    expect(valuesOf(results)).toEqual(valuesOf(feedOf(rows)).map((value) => value * 2))
    expect(feed, 'its input is as it was').toEqual(feedOf(rows))
  })

  it('splits what is more than the largest takes', async () => {
    const { opened, session } = recorded([4, 16])
    await session.run(feedOf(35))
    expect(opened.map(({ rows }) => rows)).toEqual([[4], [16, 16]])
  })

  it('opens a session once, when it is first needed, and releases what it opened', async () => {
    const { opened, session } = recorded([4, 16])
    await session.run(feedOf(2))
    expect(opened).toHaveLength(1)
    await session.run(feedOf(10))
    await session.run(feedOf(11))
    expect(opened).toHaveLength(2)
    expect(session.spent).toEqual({ ms: 3, processorMs: 6 })
    await session.release()
    expect(opened.map(({ isReleased }) => isReleased)).toEqual([true, true])
  })

  it('leaves a wrong shape to whoever checks it', async () => {
    const { out } = await recorded([4], 1).session.run(feedOf(2))
    expect(out?.dims).toEqual([5, 2])
  })

  it('refuses inputs of different numbers of rows', async () => {
    const { session } = recorded([4])
    const other: Feed = { type: 'uint8', data: new Uint8Array(3), dims: [3] }
    await expect(session.run({ ...feedOf(2), other })).rejects.toThrow('one number of rows')
  })
})

describe('a warm-up', () => {
  const contract: GraphContract = {
    inputs: [{ name: 'in', type: 'float32', dims: ['dynamic', 2] }],
    outputs: [{ name: 'out', type: 'float32', dims: ['dynamic', 2] }],
  }

  it('takes every session of every graph, so that none is opened later', async () => {
    const graphs = [recorded([4, 16]), recorded([4, 16])]
    const warmed = graphs.map(({ session }) => ({ session, contract }))
    expect(await warmUpRows(warmed, [4, 16], 10, () => 7)).toEqual({ rowCounts: [4, 16], ms: 0, left: 0 })
    for (const { opened, session } of graphs) {
      await session.run(feedOf(16))
      expect(opened.map(({ rows }) => rows)).toEqual([[4], [16, 16]])
    }
  })

  it('is cut off when it takes too long, and says how much is left', async () => {
    const { opened, session } = recorded([4, 16, 64])
    let ms = 0
    const run = (feeds: Readonly<Record<string, Feed>>) => {
      ms += 20_000
      return session.run(feeds)
    }
    const slow = withOverrides<Session>(session, { run })
    const report = await warmUpRows([{ session: slow, contract }], [4, 16, 64], 10, () => ms)
    expect(report).toEqual({ rowCounts: [4, 16, 64], ms: 40_000, left: 1 })
    expect(opened).toHaveLength(2)
  })
})

// Opening is quick, but a training run beside it is not.
describe('the embedded bundle', { timeout: 180_000 }, () => {
  it('answers the same bytes in fixed numbers of rows as in one call of its own size', async () => {
    const manifest = await readManifest(BUNDLE_DIR)
    const { generator, verifiers, defaultVerifier, detector, prompt } = manifest
    const verifier = verifiers[defaultVerifier]
    if (verifier === undefined) throw new Error('the manifest names a default verifier that it does not list')
    const contracts = bundleContracts(manifest)
    const request: OpenRequest = {
      dir: BUNDLE_DIR,
      graphs: {
        prefix: generator.prefixGraph,
        step: generator.stepGraph,
        decode: generator.decodeGraph,
        verifiers: { [defaultVerifier]: verifier.graph },
        detector: detector?.graph,
      },
      contracts,
      codebookSize: generator.codebookSize,
      unconditional: Int32Array.from(prompt.unconditional),
      providers: ['cpu'],
      threads: 1,
      stepSessions: 1,
    }
    const plain = (await openOnFirstProvider(request)).sessions
    const fixed = fixRows(request, 'cpu', (await openOnFirstProvider(request)).sessions, [2, 4])
    const verifierOf = ({ verifiers: all }: Sessions) => all.get(defaultVerifier)
    const graphs = [
      { before: plain.decode, after: fixed.decode, contract: contracts.decode },
      { before: verifierOf(plain), after: verifierOf(fixed), contract: contracts.verifier },
      { before: plain.detector, after: fixed.detector, contract: contracts.detector },
    ]
    const draws = new SeededDraws(5, 0)
    for (const { before, after, contract } of graphs) {
      if (!before || !after || !contract) throw new Error('the embedded bundle has all graphs')
      for (const rows of [1, 2, 3, 7]) {
        const feeds = randomFeeds(contract, rows, draws)
        expect(await after.run(feeds), `${before.graph}, ${rows} rows`).toEqual(await before.run(feeds))
      }
    }
    await releaseAll([...plain.all, ...fixed.all])
  })
})

/** Small whole numbers everywhere: codes, words and grey levels. */
function randomFeeds(contract: GraphContract, rows: number, draws: SeededDraws): Record<string, Feed> {
  return Object.fromEntries(
    contract.inputs.map(({ name, type, dims: declared }) => {
      const dims = declared.map((dim) => (dim === 'dynamic' ? rows : Number(dim)))
      const values = Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => draws.below(20))
      const data =
        type === 'int64' ? BigInt64Array.from(values, BigInt) : Uint8Array.from(values, (value) => value * 12)
      return [name, { type, data, dims }]
    }),
  )
}
