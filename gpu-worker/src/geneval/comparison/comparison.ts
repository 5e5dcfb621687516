import { AppError } from '../../../../shared/error-code.ts'
import type { GenevalTask } from '../metadata.ts'
import { type Estimate, PromptBootstrap, type TaskEstimates } from './bootstrap.ts'
import { expectationOf } from './drawn-expectation.ts'
import { type Expectation, oracleScore } from './expectation.ts'
import type { Method } from './method.ts'
import type { ReplayedMethod } from './replayed-method.ts'

/** N of the paper's Figure 2, and of its tables. */
const COUNTS = [1, 2, 4, 8, 16, 20, 32] as const
const TABLE_COUNT = 20

/** A method at one N. Scores and costs are means over the tasks, so that costs and score weigh prompts alike. */
export interface MethodAtCount {
  readonly count: number
  readonly score: TaskEstimates
  /** The same by GenEval's rules over the detector. */
  readonly geneval: TaskEstimates
  /** Share of the winners about which the strict instruments disagree, 0..1. */
  readonly disagreement: Estimate
  /** Per picture. */
  readonly rowSteps: Estimate
  /** Per picture. */
  readonly judgeCalls: Estimate
  /** Per picture: row-steps, and what judging costs in row-steps. */
  readonly work: Estimate
  /** The same, charged only for calls that can matter: those some answer to which could still change who wins. */
  readonly decidingWork: Estimate
  /** Share of pictures for which no candidate survived, 0..1. */
  readonly fallback: Estimate
  /** Overall score minus another method's at the same N, by its name; prompts are resampled together. */
  readonly gainOver: Readonly<Record<string, Estimate>>
}

export interface ComparedMethod {
  readonly method: Method
  readonly byCount: readonly MethodAtCount[]
}

/** All methods on the same recorded candidates. */
export interface Comparison {
  /** Ascending; those that the recording has candidates for. */
  readonly counts: readonly number[]
  /** N of the tables: 20, or the highest there is below. */
  readonly tableCount: number
  readonly methods: readonly ComparedMethod[]
  /** P(at least one of N is correct): what no choice among these candidates can exceed. */
  readonly oracle: readonly { readonly count: number; readonly score: TaskEstimates }[]
}

/**
 * @param tags  the task of each prompt of the recording
 * @param seed  of the bootstrap and of drawn selections, uint32
 * @throws AppError `invalid_request`  when a prompt has no candidate
 */
export function compareMethods(
  replayed: readonly ReplayedMethod[],
  tags: readonly GenevalTask[],
  seed: number,
): Comparison {
  const pools = replayed[0]?.pools ?? []
  const poolSize = Math.min(...pools.map((pool) => pool.length))
  if (!(poolSize >= 1)) throw new AppError('invalid_request', 'the recording has a prompt without candidates')
  const counts = COUNTS.filter((count) => count <= poolSize)
  const bootstrap = new PromptBootstrap(tags, seed)
  const byCount = counts.map((count) => compareAt(replayed, count, bootstrap, seed))
  return {
    counts,
    tableCount: Math.max(...counts.filter((count) => count <= TABLE_COUNT)),
    methods: replayed.map(({ method }, place) => ({
      method,
      byCount: byCount.map((methods) => methods[place] as MethodAtCount),
    })),
    oracle: counts.map((count) => ({
      count,
      score: bootstrap.estimate(pools.map((pool) => oracleScore(pool, count))),
    })),
  }
}

/** One entry for each method, in their order. */
function compareAt(
  replayed: readonly ReplayedMethod[],
  count: number,
  bootstrap: PromptBootstrap,
  seed: number,
): MethodAtCount[] {
  const jobs = replayed.map(({ method, pools }) => ({
    name: method.name,
    callRowSteps: method.callRowSteps,
    decidingShare: decidingShare(method, pools),
    expected: pools.map((pool, prompt) => expectationOf(pool, method, count, prompt, seed)),
  }))
  return jobs.map(({ name, callRowSteps, decidingShare: share, expected }) => {
    const estimate = (key: keyof Expectation): TaskEstimates => bootstrap.estimate(expected.map((job) => job[key]))
    const others = jobs.filter((other) => other.name !== name)
    return {
      count,
      score: estimate('score'),
      geneval: estimate('geneval'),
      disagreement: estimate('disagreement').overall,
      rowSteps: estimate('rowSteps').overall,
      judgeCalls: estimate('judgeCalls').overall,
      work: bootstrap.estimate(expected.map((job) => job.rowSteps + callRowSteps * job.judgeCalls)).overall,
      decidingWork: bootstrap.estimate(expected.map((job) => job.rowSteps + callRowSteps * share * job.judgeCalls))
        .overall,
      fallback: estimate('fallback').overall,
      gainOver: Object.fromEntries(
        others.map((other) => [other.name, bootstrap.estimate(differences(expected, other.expected)).overall]),
      ),
    }
  })
}

/**
 * Share of a method's calls that can matter: all, but of a process reward, which ends no path and is asked after every step, the
 * one about the finished picture.
 */
function decidingShare({ strategy }: Method, pools: ReplayedMethod['pools']): number {
  return strategy === 'prm' ? 1 / (pools[0]?.[0]?.source.correct.length ?? 1) : 1
}

function differences(own: readonly Expectation[], other: readonly Expectation[]): number[] {
  return own.map(({ score }, prompt) => score - (other[prompt] as Expectation).score)
}
