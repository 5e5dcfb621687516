import { describe, expect, it } from 'vitest'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { bundleContracts } from '../../../gpu-worker/src/models/graph-contract.ts'
import type { Feed, Session } from '../../../gpu-worker/src/models/session.ts'
import { NO_TIME } from '../../../gpu-worker/src/models/spent-time.ts'
import { findRowBudget, timeStep, trialFeeds } from '../../../gpu-worker/src/models/step-trial.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

const manifest = await readManifest(BUNDLE_DIR)
const contract = bundleContracts(manifest).step
const { codebookSize } = manifest.generator

describe('a row budget', () => {
  /** A processor on which `free` rows take as long as one, and each further one its share. */
  const processor = (free: number) => async (rows: number) => 10 * Math.max(1, rows / free)

  it.each([
    [1, 1],
    [4, 4],
    [16, 16],
    [1000, 64],
  ])('of a processor that computes %i rows as fast as one is %i of at most 64', async (free, expected) => {
    expect(await findRowBudget(processor(free), 64)).toBe(expected)
  })
})

describe('a trial step', () => {
  it('is fed every input of the contract in its type and shape', () => {
    const feeds = trialFeeds(contract, codebookSize, 3)
    expect(Object.keys(feeds)).toEqual(contract.inputs.map(({ name }) => name))
    for (const { type, data, dims } of Object.values(feeds)) {
      expect(data.length).toBe(dims.reduce((product, dim) => product * dim, 1))
      expect(data).toBeInstanceOf({ int64: BigInt64Array, float32: Float32Array, uint8: Uint8Array }[type])
    }
    expect(feeds.tokens?.dims[0]).toBe(3)
    expect(feeds.prefix_kv?.dims[2]).toBe(2)
    expect(feeds.tokens?.data[0]).toBe(BigInt(codebookSize))
  })

  it('counts its fastest run, not the one that compiles', async () => {
    const durations = [500, 30, 20, 40]
    const session = new ScriptedSession(durations)
    expect(await timeStep(session, contract, codebookSize, 2)).toBe(20)
    expect(session.runs).toBe(durations.length)
  })
})

/** A session whose runs take what the test says. */
class ScriptedSession implements Session {
  readonly graph = 'scripted'
  readonly inputs = []
  readonly outputs = []
  spent = NO_TIME
  runs = 0
  readonly #durations: readonly number[]

  constructor(durations: readonly number[]) {
    this.#durations = durations
  }

  async run(_feeds: Readonly<Record<string, Feed>>) {
    const ms = this.#durations[this.runs++] ?? 0
    this.spent = { ms: this.spent.ms + ms, processorMs: this.spent.processorMs + ms }
    return {}
  }

  async release(): Promise<void> {}
}
