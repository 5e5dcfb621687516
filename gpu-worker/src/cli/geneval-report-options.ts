import { join } from 'node:path'
import type { Arguments } from './arguments.ts'
import { PROMPT_FLAGS } from './geneval-prompts.ts'
import { RECORDING_FLAGS } from './geneval-recording-options.ts'
import { TUNING_FLAGS } from './geneval-tuning-flags.ts'

/** Decided when the recording was made, or by the report, which compares every strategy. */
const FOREIGN_FLAGS = [
  ...PROMPT_FLAGS,
  'images',
  'candidates',
  'steps',
  'corrections',
  'guidance',
  'seed',
  'strategy',
  'search',
  'guided',
  'accept',
  'verifier',
  'record',
  'tune',
  ...RECORDING_FLAGS,
  ...TUNING_FLAGS,
] as const

export interface ReportPlan {
  /** Of the recording. */
  readonly dir: string
  /** Of the report. */
  readonly out: string
}

/**
 * @param dir  of the recording
 * @throws UsageError  naming the flag
 */
export function readReportPlan(parsed: Arguments, dir: string): ReportPlan {
  parsed.refuse(FOREIGN_FLAGS, 'has no meaning with --report, which compares all strategies on what was recorded')
  return { dir, out: parsed.text('out') ?? join(dir, 'report') }
}
