import { ACCEPT_RULES, type AcceptRule } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import type { Arguments } from './arguments.ts'
import { PROMPT_FLAGS } from './geneval-prompts.ts'
import { RECORDING_FLAGS } from './geneval-recording-options.ts'

/** Decided when the recording was made; only `parm` has settings to try. */
const FOREIGN_FLAGS = [
  ...PROMPT_FLAGS,
  'images',
  'steps',
  'guidance',
  'seed',
  'strategy',
  'record',
  'report',
  'out',
  ...RECORDING_FLAGS,
] as const

export const TUNING_DEFAULTS = { candidates: 20, verifier: 'parm' }

export interface TuningPlan {
  /** Of the recording. */
  readonly dir: string
  readonly accept: AcceptRule
  readonly verifier: string
  /** N. */
  readonly candidates: number
}

/**
 * @param dir  of the recording
 * @throws UsageError  naming the flag
 */
export function readTuningPlan(parsed: Arguments, dir: string): TuningPlan {
  parsed.refuse(FOREIGN_FLAGS, 'has no meaning with --tune, which tries settings of parm on what was recorded')
  return {
    dir,
    accept: parsed.choice('accept', ACCEPT_RULES, 'best'),
    verifier: parsed.text('verifier') ?? TUNING_DEFAULTS.verifier,
    candidates: parsed.integer('candidates', LIMITS.candidates, TUNING_DEFAULTS.candidates),
  }
}
