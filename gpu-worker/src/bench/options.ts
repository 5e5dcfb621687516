import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { DEFAULT_CANDIDATES } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { type Arguments, UsageError } from '../cli/arguments.ts'
import { ENGINE_FLAGS, ENGINE_HELP, type EngineSettings, readEngineSettings } from '../cli/engine-settings.ts'
import { GENEVAL_TASKS, type GenevalPrompt, parsePrompts, scorablePrompts } from '../geneval/metadata.ts'
import type { DetectorEntry } from '../models/detector.ts'

/** In the order in which they run: memory first, while the process is young. */
export const PARTS = ['memory', 'peak_share', 'scheduler_share', 'speedup_vs_reference', 'goodput'] as const
export type Part = (typeof PARTS)[number]

export const BENCH_FLAGS = ['only', 'repeats', 'candidates', 'jobs', 'per-task', 'size', ...ENGINE_FLAGS] as const

/** How much is measured. `quick` shows that every part works and what it prints; its figures mean little. */
const SIZES = {
  full: { repeats: 4, candidates: 20, jobs: 500, perTask: 2, waiting: [1, 1000, 10_000], jobsPerLoad: 150, steps: 0 },
  quick: { repeats: 1, candidates: 2, jobs: 4, perTask: 1, waiting: [1, 50], jobsPerLoad: 8, steps: 3 },
} as const
const LOADS = [0.5, 0.8, 1, 1.3]

export const BENCH_HELP = `npm run bench:engine -- [flags]

Measures the engine on a bundle against what the paper's released code does, and against what the machine can do. All
ratios are taken within one run, in turns. All of it takes about a quarter of an hour on two quiet cores. The last line of stdout is one JSON object; progress goes to stderr.

  --only LIST          ${PARTS.join(', ')} (all)
  --size S             full, or quick: a minute, only to see that it works (full)
  --repeats N          rounds of everything that takes turns, and lists of arrivals for each load (${SIZES.full.repeats})
  --candidates N       candidates of a picture in speedup_vs_reference (${SIZES.full.candidates})
  --jobs N             jobs of memory (${SIZES.full.jobs})
  --per-task N         prompts of each GenEval task in one round of speedup_vs_reference (${SIZES.full.perTask})

${ENGINE_HELP}`

export interface BenchPlan {
  readonly settings: EngineSettings
  readonly parts: readonly Part[]
  readonly repeats: number
  readonly candidates: number
  readonly servedCandidates: number
  readonly jobs: number
  readonly perTask: number
  readonly waiting: readonly number[]
  readonly loads: readonly number[]
  readonly jobsPerLoad: number
  /** undefined: the bundle's default. */
  readonly steps: number | undefined
}

/** @throws UsageError  naming the flag */
export function readBenchPlan(parsed: Arguments): BenchPlan {
  if (parsed.positionals.length > 0) throw new UsageError(`expected flags only, got "${parsed.positionals.join(' ')}"`)
  const size = SIZES[parsed.choice('size', ['full', 'quick'] as const, 'full')]
  const candidates = parsed.integer('candidates', LIMITS.candidates, size.candidates)
  return {
    settings: readEngineSettings(parsed),
    parts: PARTS.filter((part) => parsed.choices('only', PARTS, PARTS).includes(part)),
    repeats: parsed.integer('repeats', { min: 1, max: 1000 }, size.repeats),
    candidates,
    // As a job that names none has them; the paper's 20 are for the comparison with it.
    servedCandidates: Math.min(DEFAULT_CANDIDATES, candidates),
    jobs: parsed.integer('jobs', { min: 1, max: 100_000 }, size.jobs),
    perTask: parsed.integer('per-task', { min: 1, max: 50 }, size.perTask),
    waiting: size.waiting,
    loads: LOADS,
    jobsPerLoad: size.jobsPerLoad,
    steps: size.steps === 0 ? undefined : size.steps,
  }
}

const PROMPTS = fileURLToPath(new URL('../../evaluation/generated.jsonl', import.meta.url))

/**
 * @param perTask  prompts of each task in a group
 * @param count    groups; no prompt is in two of them
 * @returns        the shipped evaluation prompts that the detector can score, from the first on
 */
export async function readPromptGroups(
  detector: DetectorEntry,
  perTask: number,
  count: number,
): Promise<GenevalPrompt[][]> {
  const { scorable } = scorablePrompts(parsePrompts(await readFile(PROMPTS, 'utf8'), PROMPTS), detector)
  return Array.from({ length: count }, (_, group) =>
    GENEVAL_TASKS.flatMap((task) => {
      const ofTask = scorable.filter(({ tag }) => tag === task)
      const chosen = ofTask.slice(group * perTask, (group + 1) * perTask)
      if (chosen.length === perTask) return chosen
      throw new UsageError(`--repeats x --per-task: expected at most ${ofTask.length}, the prompts of ${task}`)
    }),
  )
}
