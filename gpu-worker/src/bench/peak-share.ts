import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StepRow } from '../engine/ports.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { bundleContracts } from '../models/graph-contract.ts'
import { type Feed, openSession } from '../models/session.ts'
import { type SpentTime, subtractTime } from '../models/spent-time.ts'
import { trialFeeds } from '../models/step-trial.ts'
import { type Arithmetic, countArithmetic } from './arithmetic.ts'
import { type FactorType, MatmulYardstick, type ProductShape } from './matmul-yardstick.ts'
import { round, type Spread, spreadOf } from './statistics.ts'

export interface PeakShareOptions {
  readonly bundleDir: string
  /** Opened with as many threads. */
  readonly bundle: Pick<Bundle, 'manifest' | 'generator' | 'spent'>
  readonly threads: number
  /** Rows of a step. */
  readonly rows: number
  readonly rounds: number
}

export interface PeakShare {
  /**
   * Time that the step's matrix products would take at the best rates of their types, over the time that the whole step
   * takes; 0..1.
   */
  readonly share: Spread
  /** All of the step's products at the best int8 rate: the same figure for a graph that knew int8 only. */
  readonly shareOfInt8: Spread
  readonly shareOfFloat: Spread
  readonly stepMs: Spread
  /** 10^9 operations a second, the best shape in each round. */
  readonly bestRate: { readonly int8: Spread; readonly float: Spread }
}

export interface PeakShares {
  readonly rows: number
  /** 10^9 operations in one step. */
  readonly stepGigaOperations: { readonly int8: number; readonly float: number }
  /** By the wall clock: how well the threads share the work counts. */
  readonly byWallClock: PeakShare
  /** By processor time, rates for one core: not disturbed by what else runs on the machine. */
  readonly byProcessorTime: PeakShare
}

/** Inner and outer sizes of the products that compete for the best rate; small ones fit caches, large ones amortise. */
const PRODUCT_SIZES = [
  [256, 1024],
  [512, 512],
  [1024, 1024],
] as const

/**
 * How close one step of the bundle, as it is served, comes to the best rate at which onnxruntime multiplies matrices on
 * this machine.
 */
export async function measurePeakShare(options: PeakShareOptions): Promise<PeakShares> {
  const { bundle, bundleDir, threads, rows, rounds } = options
  const { manifest, generator } = bundle
  const path = join(bundleDir, manifest.generator.stepGraph)
  const feeds = trialFeeds(bundleContracts(manifest).step, manifest.generator.codebookSize, rows)
  const arithmetic = await profile(path, feeds)
  // Both branches of the guidance go through every layer together.
  const activationRows = rows * manifest.generator.grid[0] * manifest.generator.grid[1] * 2
  const prompt = await generator.prepare(manifest.prompt.examples[0] ?? '')
  const tokens = new Int32Array(generator.tokenCount).fill(generator.codebookSize)
  const uniform = new Float32Array(generator.tokenCount).fill(0.5)
  const row: StepRow = { tokens, prompt, guidance: 1, uniform }
  const takeStep = async (): Promise<SpentTime> => {
    const before = bundle.spent
    await generator.step(new Array<StepRow>(rows).fill(row))
    return subtractTime(bundle.spent, before)
  }
  const yardsticks = await Promise.all(
    (['int8', 'float'] as const).flatMap((type) =>
      PRODUCT_SIZES.map(([inner, columns]): Promise<MatmulYardstick> => {
        const shape: ProductShape = [activationRows, inner, columns]
        return MatmulYardstick.open(type, shape, threads)
      }),
    ),
  )
  try {
    const measured: Round[] = []
    // The first round warms up.
    for (let index = 0; index <= rounds; index++) measured.push(await measureRound(takeStep, yardsticks))
    const counted = measured.slice(1)
    return {
      rows,
      stepGigaOperations: { int8: round(arithmetic.int8 / 1e9), float: round(arithmetic.float / 1e9) },
      byWallClock: summarise(counted, arithmetic, 'ms'),
      byProcessorTime: summarise(counted, arithmetic, 'processorMs'),
    }
  } finally {
    generator.release(prompt)
    for (const yardstick of yardsticks) await yardstick.close()
  }
}

interface Round {
  readonly step: SpentTime
  /** The least time for one operation, by type. */
  readonly best: Readonly<Record<FactorType, SpentTime>>
}

/** The best of two for everything, because on a shared machine only the slow side has outliers. */
async function measureRound(
  takeStep: () => Promise<SpentTime>,
  yardsticks: readonly MatmulYardstick[],
): Promise<Round> {
  const best = { int8: NEVER, float: NEVER }
  let least = NEVER
  for (let turn = 0; turn < 2; turn++) {
    least = lesser(least, await takeStep())
    for (const yardstick of yardsticks) {
      const { ms, processorMs } = await yardstick.measure()
      const ofOne = { ms: ms / yardstick.operations, processorMs: processorMs / yardstick.operations }
      best[yardstick.type] = lesser(best[yardstick.type], ofOne)
    }
  }
  return { step: least, best }
}

const NEVER: SpentTime = { ms: Number.POSITIVE_INFINITY, processorMs: Number.POSITIVE_INFINITY }

function lesser(a: SpentTime, b: SpentTime): SpentTime {
  return { ms: Math.min(a.ms, b.ms), processorMs: Math.min(a.processorMs, b.processorMs) }
}

function summarise(rounds: readonly Round[], { int8, float }: Arithmetic, by: keyof SpentTime): PeakShare {
  const rate = (type: FactorType): Spread => spreadOf(rounds.map(({ best }) => 1e-6 / best[type][by]))
  const share = (atBest: (best: Round['best']) => number): Spread =>
    spreadOf(rounds.map(({ step, best }) => atBest(best) / step[by]))
  return {
    share: share((best) => int8 * best.int8[by] + float * best.float[by]),
    shareOfInt8: share((best) => (int8 + float) * best.int8[by]),
    shareOfFloat: share((best) => (int8 + float) * best.float[by]),
    stepMs: spreadOf(rounds.map(({ step }) => step[by])),
    bestRate: { int8: rate('int8'), float: rate('float') },
  }
}

async function profile(path: string, feeds: Readonly<Record<string, Feed>>): Promise<Arithmetic> {
  const dir = await mkdtemp(join(tmpdir(), 'parm-profile-'))
  try {
    const prefix = join(dir, 'step')
    const session = await openSession('step', path, 'cpu', 1, { profile: prefix })
    await session.run(feeds)
    await session.release()
    return await countArithmetic(prefix)
  } finally {
    await rm(dir, { recursive: true })
  }
}
