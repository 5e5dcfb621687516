import { readFile } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BundleManifest } from '../../../shared/bundle.ts'
import {
  checkDistinctPrompts,
  GENEVAL_TASKS,
  type PromptLine,
  parsePromptLines,
  unknownNames,
} from '../geneval/metadata.ts'
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
  const tasks = parsed.choices('task', GENEVAL_TASKS, GENEVAL_TASKS)
  const perTask = parsed.text('per-task') === 'all' ? PER_TASK.max : parsed.integer('per-task', PER_TASK, 10)
  const lines = parsePromptLines(await readPromptFile(path), path)
  checkDistinctPrompts(lines, path)
  const asked = lines.filter(({ prompt }) => tasks.includes(prompt.tag))
  if (asked.length === 0) throw new UsageError(`--task: "${wanted}" has no prompt of ${tasks.join(', ')}`)
  const scorable = asked.filter(({ prompt }) => unknownNames(prompt, detector).length === 0)
  const unknown = unknownIn(asked, detector)
  if (scorable.length === 0) {
    const known = `it knows the classes ${detector.classes.join(', ')} and the colors ${detector.colors.join(', ')}`
    throw new UsageError(`--prompts: the bundle's detector can score none of "${wanted}": ${unknown}; ${known}`)
  }
  const set = {
    name,
    prompts: firstOfEachTask(
      scorable.map(({ prompt }) => prompt),
      perTask,
    ),
  }
  if (scorable.length === asked.length) return { set, remark: [] }
  const left = asked.length - scorable.length
  const remark = `${left} of ${asked.length} ${name} prompts were left out, because the detector does not know: ${unknown}.`
  return { set, remark: [remark] }
}

/** The file's text. An encoding that is no UTF-8 would become prompts that nobody wrote. */
async function readPromptFile(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: Error) => {
    const sets = Object.keys(SHIPPED).join(', ')
    throw new UsageError(`--prompts: expected ${sets} or a file, cannot read "${path}" (${cause.message})`)
  })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new UsageError(`--prompts: "${path}" is not UTF-8; save it in that encoding`, { cause })
  }
}

/** `class fork (line 3), color teal (lines 5, 9)` */
function unknownIn(lines: readonly PromptLine[], detector: DetectorEntry): string {
  const places = new Map<string, number[]>()
  for (const { line, prompt } of lines) {
    for (const name of new Set(unknownNames(prompt, detector))) places.set(name, [...(places.get(name) ?? []), line])
  }
  return [...places]
    .map(([name, at]) => {
      const told = at.slice(0, 3).join(', ') + (at.length > 3 ? ' …' : '')
      return `${name} (${at.length === 1 ? 'line' : 'lines'} ${told})`
    })
    .join(', ')
}

/** Becomes part of the names of the report's files. */
function nameOf(wanted: string): string {
  return basename(wanted, extname(wanted)).replaceAll(/[^\w-]+/g, '-')
}
