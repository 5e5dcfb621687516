import type { TASKS } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, type AcceptRule } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { type Method, REPLAYED_SEARCHES } from '../geneval/comparison/method.ts'
import type { Arguments } from './arguments.ts'
import { PROMPT_FLAGS } from './geneval-prompts.ts'
import { RECORDING_FLAGS } from './geneval-recording-options.ts'
import type { TUNING_FLAGS } from './geneval-tuning-flags.ts'

/** Decided when the recording was made; only `parm` has settings to try. */
const FOREIGN_FLAGS = [
  ...PROMPT_FLAGS,
  'images',
  'steps',
  'corrections',
  'guidance',
  'seed',
  'strategy',
  'guided',
  'record',
  'report',
  'out',
  ...RECORDING_FLAGS,
] as const

const THRESHOLD = { min: 0, max: 1 }
type Threshold = (typeof TUNING_FLAGS)[number] & (typeof TASKS)[number]

export const TUNING_DEFAULTS = { candidates: 20, verifier: 'parm' }

export interface TuningPlan {
  /** Of the recording. */
  readonly dir: string
  readonly accept: AcceptRule
  readonly search: Method['search']
  readonly verifier: string
  /** N. */
  readonly candidates: number
  /** What is not to be tried but taken as given, such as what was chosen for the other accept rule. */
  readonly given: {
    readonly judgedSteps: readonly number[] | undefined
    readonly clarity: number | undefined
    readonly potential: number | undefined
    readonly alignment: number | undefined
    /** Where a job is ended early; each is tried. */
    readonly leastGain: readonly number[] | undefined
  }
}

/**
 * @param dir  of the recording
 * @throws UsageError  naming the flag
 */
export function readTuningPlan(parsed: Arguments, dir: string): TuningPlan {
  parsed.refuse(FOREIGN_FLAGS, 'has no meaning with --tune, which tries settings of parm on what was recorded')
  const given = (flag: Threshold): number | undefined =>
    parsed.text(flag) === undefined ? undefined : parsed.number(flag, THRESHOLD, 0)
  return {
    dir,
    accept: parsed.choice('accept', ACCEPT_RULES, 'best'),
    search: parsed.choice('search', REPLAYED_SEARCHES, 'plain'),
    verifier: parsed.text('verifier') ?? TUNING_DEFAULTS.verifier,
    candidates: parsed.integer('candidates', LIMITS.candidates, TUNING_DEFAULTS.candidates),
    given: {
      judgedSteps: parsed.integers('judged-steps', { min: 0, max: LIMITS.steps.max }),
      clarity: given('clarity'),
      potential: given('potential'),
      alignment: given('alignment'),
      leastGain: parsed.text('least-gain') === undefined ? undefined : parsed.numbers('least-gain', THRESHOLD, []),
    },
  }
}
