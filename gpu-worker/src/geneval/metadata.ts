import { z } from 'zod'
import { withoutByteOrderMark } from '../../../shared/byte-order-mark.ts'
import { AppError } from '../../../shared/error-code.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { normalizePrompt, promptProblem } from '../../../shared/prompt.ts'

/** GenEval's six tasks, in the order of its tables. */
export const GENEVAL_TASKS = ['single_object', 'two_object', 'counting', 'colors', 'position', 'color_attr'] as const
export type GenevalTask = (typeof GENEVAL_TASKS)[number]

export const RELATIONS = ['left of', 'right of', 'above', 'below'] as const
export type Relation = (typeof RELATIONS)[number]

const Wanted = z.strictObject({
  class: z.string().min(1),
  count: z.int().positive(),
  color: z.string().min(1).optional(),
  /** [relation, index in `include` of the object that it refers to]. */
  position: z.tuple([z.enum(RELATIONS), z.int().min(0)]).optional(),
})

const Tag = z.enum(GENEVAL_TASKS, {
  error: ({ input }) => `expected one of ${GENEVAL_TASKS.join(', ')}, got ${JSON.stringify(input) ?? 'nothing'}`,
})

/** As the service would take it, and no other: a score of a picture that nobody could have asked for means nothing. */
const PromptText = z
  .string()
  .transform(normalizePrompt)
  .superRefine((text, context) => {
    const problem = promptProblem(text)
    const { min, max } = LIMITS.promptChars
    if (problem)
      context.addIssue({ code: 'custom', message: `${problem}; the service takes ${min} to ${max} characters` })
  })

/**
 * One prompt with what its picture must contain. The truth is here and never read from the prompt's words.
 * Source: GenEval (arXiv 2310.11513), `prompts/evaluation_metadata.jsonl`.
 */
export const GenevalPrompt = z
  .strictObject({
    tag: Tag,
    include: z.array(Wanted).min(1),
    exclude: z.array(z.strictObject({ class: z.string().min(1), count: z.int().positive() })).optional(),
    prompt: PromptText,
  })
  .superRefine(({ include, exclude = [] }, context) => {
    for (const [index, { position }] of include.entries()) {
      if (position === undefined || position[1] < index) continue
      const message = `refers to object ${position[1]}, which does not come before it`
      context.addIssue({ code: 'custom', path: ['include', index, 'position'], message })
    }
    for (const [index, { class: name, count }] of exclude.entries()) {
      if (!include.some((wanted) => wanted.class === name && wanted.count >= count)) continue
      const message = `no picture can be right: fewer than ${count} ${name} are permitted, and as many are asked for`
      context.addIssue({ code: 'custom', path: ['exclude', index], message })
    }
  })
export type GenevalPrompt = z.infer<typeof GenevalPrompt>

/** A prompt and where it stands in its file, from line 1 on. */
export interface PromptLine {
  readonly line: number
  readonly prompt: GenevalPrompt
}

/** Lines at fault that one message names. */
const TOLD_LINES = 5
const EXPECTED =
  'one JSON object a line, {"tag": "counting", "include": [{"class": "dog", "count": 2}], "prompt": "two dogs"}'

/**
 * Reads prompts in GenEval's own format, one JSON object a line; empty lines are skipped.
 *
 * @param source  name for messages
 * @throws AppError `invalid_request`  naming source, line number and field of the first lines at fault
 */
export function parsePromptLines(text: string, source: string): PromptLine[] {
  const prompts: PromptLine[] = []
  const faults: string[] = []
  for (const [index, content] of withoutByteOrderMark(text).split('\n').entries()) {
    if (content.trim() === '') continue
    const line = index + 1
    const read = readLine(content)
    if (typeof read === 'string') faults.push(`${source}, line ${line}: ${read}`)
    else prompts.push({ line, prompt: read })
  }
  if (faults.length > 0) {
    const more = faults.length > TOLD_LINES ? [`and ${faults.length - TOLD_LINES} more lines`] : []
    throw new AppError('invalid_request', [...faults.slice(0, TOLD_LINES), ...more].join('\n'))
  }
  if (prompts.length === 0) throw new AppError('invalid_request', `${source} holds no prompt; expected ${EXPECTED}`)
  return prompts
}

/** As `parsePromptLines`, where the lines are of no interest. */
export function parsePrompts(text: string, source: string): GenevalPrompt[] {
  return parsePromptLines(text, source).map(({ prompt }) => prompt)
}

/** @returns the prompt, or what is wrong with the line */
function readLine(content: string): GenevalPrompt | string {
  let json: unknown
  try {
    json = JSON.parse(content)
  } catch {
    return `expected one JSON object, got ${content.trim().slice(0, 60)}`
  }
  const parsed = GenevalPrompt.safeParse(json)
  if (parsed.success) return parsed.data
  return parsed.error.issues.map((issue) => `${issue.path.join('.') || 'object'}: ${issue.message}`).join('; ')
}

/**
 * Makes sure that no prompt stands there twice: pictures are seeded by the prompt's words, so that the second would be scored
 * on the pictures of the first.
 *
 * @throws AppError `invalid_request`  naming both lines
 */
export function checkDistinctPrompts(lines: readonly PromptLine[], source: string): void {
  const first = new Map<string, number>()
  for (const { line, prompt } of lines) {
    const earlier = first.get(prompt.prompt)
    if (earlier === undefined) {
      first.set(prompt.prompt, line)
      continue
    }
    const what = JSON.stringify(prompt.prompt.slice(0, 80))
    const message = `${source}, line ${line}: ${what} stands in line ${earlier} already, and its pictures would count twice`
    throw new AppError('invalid_request', `${message}; remove one of the lines`)
  }
}

/** What a detector can tell. */
export interface KnownNames {
  readonly classes: readonly string[]
  readonly colors: readonly string[]
}

/** Splits prompts into those that a detector can score and the names that it does not know in the others. */
export function scorablePrompts(
  prompts: readonly GenevalPrompt[],
  known: KnownNames,
): { scorable: GenevalPrompt[]; unknownNames: string[] } {
  const unknown = new Set<string>()
  const scorable = prompts.filter((prompt) => {
    const missing = unknownNames(prompt, known)
    for (const name of missing) unknown.add(name)
    return missing.length === 0
  })
  return { scorable, unknownNames: [...unknown].sort() }
}

/** @returns the classes and colours that the truth of a prompt names and the detector does not know: `class fork`, `color teal` */
export function unknownNames({ include, exclude = [] }: GenevalPrompt, { classes, colors }: KnownNames): string[] {
  const named = [...include, ...exclude].map((entry) => entry.class).filter((name) => !classes.includes(name))
  const colored = include.flatMap(({ color }) => (color === undefined || colors.includes(color) ? [] : [color]))
  return [...named.map((name) => `class ${name}`), ...colored.map((name) => `color ${name}`)]
}
