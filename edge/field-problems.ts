import * as z from 'zod'
import { AppError, type FieldProblem } from '../shared/error-code.ts'

/** What a field may hold, in words; schemas register themselves, `problemsOf` looks them up. */
export const permittedValues = z.registry<{ permitted: string }>()

const SHOWN_CHARS = 80

/**
 * @param schema  the schema that refused `body`
 * @returns       one problem per field at fault; never empty
 */
export function problemsOf(error: z.ZodError, schema: z.ZodType, body: unknown): FieldProblem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map(String)
    if (issue.code === 'unrecognized_keys') {
      const known = shapeOf(schemaAt(schema, path))
      const others = known ? `one of the fields ${Object.keys(known).join(', ')}` : 'no further fields'
      return issue.keys.map((key) => {
        const deeper = Object.keys(known ?? {}).find((name) => shapeOf(known?.[name] as z.ZodType)?.[key])
        const permitted = deeper === undefined ? others : `${[...path, deeper, key].join('.')} for this, or ${others}`
        return { field: [...path, key].join('.'), problem: 'is not a known field', permitted }
      })
    }
    const problem = problemOf(issue, body, path)
    return [{ field: path.join('.'), problem, permitted: permittedAt(schema, path) }]
  })
}

function problemOf(issue: z.core.$ZodIssue, body: unknown, path: readonly string[]): string {
  if (issue.code === 'custom') return issue.message
  return issue.code === 'invalid_key' ? 'is not a permitted name' : describeValue(valueAt(body, path))
}

/** @throws never; builds the `invalid_request` error whose message is the first problem as a sentence. */
export function invalidRequest(problems: readonly FieldProblem[]): AppError {
  const [first] = problems
  const sentence = first
    ? `${first.field || 'The body'} ${first.problem}; permitted: ${first.permitted}`
    : 'Bad request'
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''
  return new AppError('invalid_request', sentence + more, { problems })
}

/** A wrong value as the end of a sentence that begins with its field: `is "4"`, `is missing`. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'is missing'
  if (value === null) return 'is null'
  if (Array.isArray(value)) return 'is an array'
  if (typeof value === 'object') return 'is an object'
  if (typeof value !== 'string') return `is ${String(value)}`
  const shown = value.length > SHOWN_CHARS ? `${value.slice(0, SHOWN_CHARS)}…` : value
  return `is the string ${JSON.stringify(shown.toWellFormed())}`
}

/** Of the field itself, or of the nearest one around it: the entries of a record have no words of their own. */
function permittedAt(schema: z.ZodType, path: readonly string[]): string {
  for (let depth = path.length; depth >= 0; depth--) {
    const at = schemaAt(schema, path.slice(0, depth))
    const permitted = at && ownPermitted(at)
    if (permitted !== undefined) return permitted
  }
  return SEE_DOCUMENT
}

const SEE_DOCUMENT = 'see /openapi.json'

/** What one field may hold, in words. */
export function permittedBy(schema: z.ZodType): string {
  return ownPermitted(schema) ?? SEE_DOCUMENT
}

function ownPermitted(schema: z.ZodType): string | undefined {
  let at: z.ZodType | undefined = schema
  while (at) {
    const entry = permittedValues.get(at)
    if (entry) return entry.permitted
    at = inner(at)
  }
  return undefined
}

function schemaAt(schema: z.ZodType, path: readonly string[]): z.ZodType | undefined {
  let at: z.ZodType | undefined = schema
  for (const key of path) {
    const shape: z.core.$ZodShape | undefined = shapeOf(at)
    at = elementOf(at) ?? (shape?.[key] as z.ZodType | undefined)
  }
  return at
}

export function shapeOf(schema: z.ZodType | undefined): z.core.$ZodShape | undefined {
  let at = schema
  while (at) {
    if (at instanceof z.ZodObject) return at.shape
    at = inner(at)
  }
  return undefined
}

/** What a list holds; undefined for what is no list. */
export function elementOf(schema: z.ZodType | undefined): z.ZodType | undefined {
  let at = schema
  while (at) {
    if (at instanceof z.ZodArray) return at.element as z.ZodType
    at = inner(at)
  }
  return undefined
}

function inner(schema: z.ZodType): z.ZodType | undefined {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodNullable ? (schema.unwrap() as z.ZodType) : undefined
}

function valueAt(body: unknown, path: readonly string[]): unknown {
  let at = body
  for (const key of path) at = at !== null && typeof at === 'object' ? Reflect.get(at, key) : undefined
  return at
}
