import { z } from 'zod'
import { withoutByteOrderMark } from '../../../shared/byte-order-mark.ts'
import { AppError } from '../../../shared/error-code.ts'

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

/**
 * One prompt with what its picture must contain. The truth is here and never read from the prompt's words.
 * Source: GenEval (arXiv 2310.11513), `prompts/evaluation_metadata.jsonl`.
 */
export const GenevalPrompt = z
  .strictObject({
    tag: z.enum(GENEVAL_TASKS),
    include: z.array(Wanted).min(1),
    exclude: z.array(z.strictObject({ class: z.string().min(1), count: z.int().positive() })).optional(),
    prompt: z.string().min(1),
  })
  .superRefine(({ include }, context) => {
    for (const [index, { position }] of include.entries()) {
      if (position === undefined || position[1] < index) continue
      const message = `refers to object ${position[1]}, which does not come before it`
      context.addIssue({ code: 'custom', path: ['include', index, 'position'], message })
    }
  })
export type GenevalPrompt = z.infer<typeof GenevalPrompt>

/**
 * Reads prompts in GenEval's own format, one JSON object a line; empty lines are skipped.
 *
 * @param source  name for messages
 * @throws AppError `invalid_request`  naming source, line number and field
 */
export function parsePrompts(text: string, source: string): GenevalPrompt[] {
  const prompts: GenevalPrompt[] = []
  for (const [index, line] of withoutByteOrderMark(text).split('\n').entries()) {
    if (line.trim() === '') continue
    const where = `${source}, line ${index + 1}`
    let json: unknown
    try {
      json = JSON.parse(line)
    } catch (cause) {
      throw new AppError('invalid_request', `${where}: expected one JSON object, got ${line.slice(0, 60)}`, { cause })
    }
    const parsed = GenevalPrompt.safeParse(json)
    if (!parsed.success) {
      const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'object'}: ${issue.message}`)
      throw new AppError('invalid_request', `${where}: ${problems.join('; ')}`)
    }
    prompts.push(parsed.data)
  }
  if (prompts.length === 0) throw new AppError('invalid_request', `${source} holds no prompt`)
  return prompts
}

/** Splits prompts into those that a detector can score and the names that it does not know in the others. */
export function scorablePrompts(
  prompts: readonly GenevalPrompt[],
  known: { readonly classes: readonly string[]; readonly colors: readonly string[] },
): { scorable: GenevalPrompt[]; unknownNames: string[] } {
  const names = new Set([...known.classes, ...known.colors])
  const unknown = new Set<string>()
  const scorable = prompts.filter((prompt) => {
    const missing = namesOf(prompt).filter((name) => !names.has(name))
    for (const name of missing) unknown.add(name)
    return missing.length === 0
  })
  return { scorable, unknownNames: [...unknown].sort() }
}

/** Every class and colour that the truth of a prompt names. */
function namesOf({ include, exclude = [] }: GenevalPrompt): string[] {
  const colors = include.flatMap((entry) => entry.color ?? [])
  return [...[...include, ...exclude].map((entry) => entry.class), ...colors]
}
