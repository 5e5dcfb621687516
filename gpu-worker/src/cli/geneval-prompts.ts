import { readFile } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { GENEVAL_TASKS, parsePrompts, scorablePrompts } from '../geneval/metadata.ts'
import { firstOfEachTask, type PromptSet } from '../geneval/prompt-set.ts'
import type { DetectorEntry } from '../models/detector.ts'
import { type Arguments, UsageError } from './arguments.ts'

export const PROMPT_FLAGS = ['prompts', 'task', 'per-task'] as const
export const PROMPT_HELP = `  --prompts LIST       official: GenEval's own prompts about the embedded model's world; generated: a larger set; development: of that what settings are chosen by;
                       FILE: GenEval's own metadata (JSON lines). Each is scored apart (generated)
  --task LIST          ${GENEVAL_TASKS.join(', ')} (all)
  --per-task N         the first N prompts of each task that the detector can score, or "all" (10)`

/** Training never draws what these ask for. */
const SHIPPED: Readonly<Record<string, URL>> = {
  official: new URL('../../evaluation/official.jsonl', import.meta.url),
  generated: new URL('../../evaluation/generated.jsonl', import.meta.url),
  development: new URL('../../evaluation/development.jsonl', import.meta.url),
}
const PER_TASK = { min: 1, max: 10_000 }
/** Pictures of one prompt. */
export const IMAGES = { min: 1, max: 1000 }

export interface ChosenPrompts {
  readonly sets: readonly PromptSet[]
  /** What was left out and why; empty when nothing was. */
  readonly remarks: readonly string[]
}

/**
 * Reads the sets of prompts that the flags ask for.
 *
 * @param manifest  of the bundle whose detector is to score
 * @throws UsageError  naming the flag, for a set that cannot be read, scored or told from another
 * @throws AppError `invalid_request`  naming the line of a prompt file
 */
export async function choosePrompts(parsed: Arguments, manifest: BundleManifest): Promise<ChosenPrompts> {
  if (parsed.positionals.length > 0) throw new UsageError(`expected flags only, got "${parsed.positionals.join(' ')}"`)
  const { id, detector } = manifest
  if (detector === undefined) throw new UsageError(`--bundle: ${id} has no detector to score with`)
  const remarks: string[] = []
  const sets: PromptSet[] = []
  for (const wanted of (parsed.text('prompts') ?? 'generated').split(',')) {
    const name = nameOf(wanted)
    if (sets.some((set) => set.name === name)) throw new UsageError(`--prompts: two sets are named "${name}"`)
    const { set, remark } = await readSet(wanted, name, parsed, detector)
    sets.push(set)
    remarks.push(...remark)
  }
  return { sets, remarks }
}

async function readSet(
  wanted: string,
  name: string,
  parsed: Arguments,
  detector: DetectorEntry,
): Promise<{ set: PromptSet; remark: string[] }> {
  const path = SHIPPED[wanted] ? fileURLToPath(SHIPPED[wanted]) : wanted
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    const sets = Object.keys(SHIPPED).join(', ')
    throw new UsageError(`--prompts: expected ${sets} or a file, cannot read "${path}" (${cause.message})`)
  })
  const tasks = parsed.choices('task', GENEVAL_TASKS, GENEVAL_TASKS)
  const perTask = parsed.text('per-task') === 'all' ? PER_TASK.max : parsed.integer('per-task', PER_TASK, 10)
  const asked = parsePrompts(text, path).filter((prompt) => tasks.includes(prompt.tag))
  const { scorable, unknownNames } = scorablePrompts(asked, detector)
  if (scorable.length === 0)
    throw new UsageError(`--prompts: "${wanted}" has no prompt of these tasks that this bundle's detector can score`)
  const set = { name, prompts: firstOfEachTask(scorable, perTask) }
  if (scorable.length === asked.length) return { set, remark: [] }
  const remark =
    `${asked.length - scorable.length} of ${asked.length} ${name} prompts were left out, because the detector does not ` +
    `know: ${unknownNames.join(', ')}.`
  return { set, remark: [remark] }
}

/** Becomes part of the names of the report's files. */
function nameOf(wanted: string): string {
  return basename(wanted, extname(wanted)).replaceAll(/[^\w-]+/g, '-')
}
