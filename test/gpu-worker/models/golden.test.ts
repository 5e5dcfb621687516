import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createMaskSchedule } from '../../../gpu-worker/src/engine/mask-schedule.ts'
import { Sampler } from '../../../gpu-worker/src/engine/sampling.ts'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { toInt32, toInt64 } from '../../../gpu-worker/src/models/int64.ts'
import { type Feed, openSession, type Result, type Session } from '../../../gpu-worker/src/models/session.ts'
import { type GoldenCase, GoldenVectors, mismatchShare } from '../../support/golden-vectors.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

const vectors = await GoldenVectors.read(BUNDLE_DIR)
const manifest = await readManifest(BUNDLE_DIR)

async function withSession<T>(graph: string, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await openSession(graph, join(BUNDLE_DIR, graph), 'cpu', 1)
  try {
    return await use(session)
  } finally {
    await session.release()
  }
}

/** A whole trajectory names its uniforms; every other case is one run of one graph. */
const isTrajectory = (golden: GoldenCase): boolean => 'token_uniform' in golden.inputs

describe('golden vectors of the embedded bundle', { timeout: 60_000 }, () => {
  it('cover every graph', () => {
    const { generator, verifiers, detector } = manifest
    const graphs = [generator.prefixGraph, generator.stepGraph, generator.decodeGraph, detector?.graph]
    for (const verifier of Object.values(verifiers)) graphs.push(verifier.graph)
    expect(new Set(vectors.cases.map((golden) => golden.graph))).toEqual(new Set(graphs))
  })

  it.each(vectors.cases.filter((golden) => !isTrajectory(golden)))(
    'come out of onnxruntime-node within their tolerance: $name',
    async (golden) => {
      const feeds = Object.fromEntries(
        Object.entries(golden.inputs).map(([name, entry]) => [name, vectors.tensor(entry)]),
      )
      const results = await withSession(golden.graph, (session) => session.run(feeds))
      for (const [name, entry] of Object.entries(golden.outputs)) {
        const { data, dims } = results[name] as Result
        expect(dims, name).toEqual(entry.dims)
        const { absolute, mismatch } = entry.tolerance
        expect(mismatchShare(data, vectors.tensor(entry).data, absolute), name).toBeLessThanOrEqual(mismatch)
      }
    },
  )
})

describe('a whole golden trajectory', { timeout: 60_000 }, () => {
  const golden = vectors.cases.find(isTrajectory)
  if (golden === undefined) throw new Error('the bundle has no golden trajectory')
  let kv: Feed

  beforeAll(async () => {
    const ids = vectors.tensor(golden.inputs.prompt_ids as GoldenCase['inputs'][string])
    const { prefix_kv: prefixKv } = await withSession(manifest.generator.prefixGraph, (session) =>
      session.run({ prompt_ids: ids }),
    )
    kv = { type: 'float32', ...(prefixKv as Result) } as Feed
  })

  it('is repeated by the step graph and the engine’s own sampling', async () => {
    const input = (name: string): Feed => vectors.tensor(golden.inputs[name] as GoldenCase['inputs'][string])
    const [stepCount = 0, rows = 0, tokenCount = 0] = input('token_uniform').dims
    const codeUniform = input('token_uniform').data as Float32Array
    const maskUniform = input('mask_uniform').data as Float32Array
    const { codebookSize, defaults, corrections } = manifest.generator
    const firstPass = stepCount - (corrections?.steps ?? 0)
    const schedule = createMaskSchedule(tokenCount, firstPass, defaults.temperature, 'linear', corrections)
    const sampler = new Sampler(tokenCount, codebookSize)
    const tokens = new Int32Array(rows * tokenCount).fill(codebookSize)
    const paths = Array.from({ length: rows }, (_, row) => ({
      tokens: tokens.subarray(row * tokenCount, (row + 1) * tokenCount),
      confidence: corrections?.scoring === 'commit' ? new Float32Array(tokenCount) : undefined,
      stepsDone: 0,
    }))
    const found: Record<string, Int32Array> = {
      tokens: new Int32Array(stepCount * tokens.length),
      ids: new Int32Array(stepCount * tokens.length),
    }

    await withSession(manifest.generator.stepGraph, async (session) => {
      for (let step = 0; step < stepCount; step++) {
        const [start, end] = [step * tokens.length, (step + 1) * tokens.length]
        found.tokens?.set(tokens, start)
        const results = await session.run({
          tokens: { type: 'int64', data: toInt64(tokens), dims: [rows, tokenCount] },
          prefix_kv: kv,
          row_prompt: input('row_prompt'),
          guidance: { type: 'float32', data: new Float32Array(rows).fill(defaults.guidance), dims: [rows] },
          uniform: { type: 'float32', data: codeUniform.slice(start, end), dims: [rows, tokenCount] },
        })
        const ids = toInt32((results.ids as Result).data as BigInt64Array)
        const prob = (results.prob as Result).data as Float32Array
        for (const [row, path] of paths.entries()) {
          const [from, to] = [row * tokenCount, (row + 1) * tokenCount]
          const output = { ids: ids.subarray(from, to), prob: prob.subarray(from, to) }
          // Completed in place: `ids` has the full prediction afterwards.
          sampler.step(path, output, schedule, maskUniform.subarray(start + from, start + to))
        }
        found.ids?.set(ids, start)
      }
    })

    for (const [name, entry] of Object.entries(golden.outputs)) {
      const share = mismatchShare(found[name] ?? [], vectors.tensor(entry).data, entry.tolerance.absolute)
      expect(share, name).toBeLessThanOrEqual(entry.tolerance.mismatch)
    }
  })
})
