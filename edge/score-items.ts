import { AppError, type FieldProblem } from '../shared/error-code.ts'
import { type ScoreItem, type ScoreParameters, scoringRowSteps } from '../shared/job.ts'
import { LIMITS } from '../shared/limits.ts'
import { type ModelCard, UNTOLD_CALL_ROW_STEPS } from '../shared/model-card.ts'
import { normalizePrompt } from '../shared/prompt.ts'
import { sha256Hex } from './bytes.ts'
import type { Config } from './config.ts'
import { checkContent } from './content-policy.ts'
import { type Env, parseEnv } from './env.ts'
import { describeValue, invalidRequest } from './field-problems.ts'
import { queueJson } from './job-queue.ts'
import type { CompleteWork } from './job-submission.ts'
import { PNG_HEADER_BYTES, pngProblem } from './png-header.ts'
import type { ScoreRequest } from './score-request.ts'
import { headOfPicture } from './uploads.ts'

/** A request for scores in which every item is either ready or known not to be scorable. */
export interface CompleteScores {
  work: CompleteWork & { parameters: ScoreParameters }
  /** Pictures that came with it, by their hashes; to be stored before any worker hears of it. */
  uploads: ReadonlyMap<string, Uint8Array>
}

type Read = { image: string; upload?: Uint8Array }

/**
 * Fills in defaults and looks at every picture as far as the edge can.
 *
 * @throws AppError `invalid_request` for what concerns all items; the error of the one item asked for, or of the first where
 *   none can be scored: `image_invalid`, `image_not_found`, `content_refused`, `moderation_unavailable`
 */
export async function completeScores(
  env: Env,
  tenant: string,
  card: ModelCard,
  request: ScoreRequest,
): Promise<CompleteScores> {
  const { items = [], prompt, image, priority = 'interactive', deadlineMs = LIMITS.deadlineMs.default } = request
  const verifiers = request.verifiers ?? [card.defaultVerifier]
  requireVerifiers(card, verifiers)
  const isSingle = prompt !== undefined && image !== undefined
  const asked = (isSingle ? [{ prompt, image }] : items).map((item, index) => ({
    prompt: normalizePrompt(item.prompt),
    image: item.image,
    field: isSingle ? '' : `items.${index}.`,
  }))
  requireShortPrompts(asked)
  const judge = contentJudge(parseEnv(env), card.id, tenant)
  const read = await Promise.all(
    asked.map(async (item): Promise<(Read & { prompt: string }) | AppError> => {
      try {
        await judge(item.prompt, item.field)
        return { prompt: item.prompt, ...(await readImage(env, card, item.image, `${item.field}image`)) }
      } catch (error) {
        if (error instanceof AppError) return error
        throw error
      }
    }),
  )
  const refused = read.filter((item) => item instanceof AppError)
  const [first] = refused
  if (first && refused.length === read.length) {
    throw new AppError(first.code, first.message, { problems: refused.flatMap(({ problems }) => problems) })
  }
  const ready = read.flatMap((item) => (item instanceof AppError ? [] : [item]))
  const costs = verifiers.map((name) => card.callRowSteps?.[name] ?? UNTOLD_CALL_ROW_STEPS)
  return {
    work: {
      parameters: { model: card.id, revision: card.revision, verifiers, items: read.map(itemOf) },
      lane: priority,
      deadlineMs,
      mostRowSteps: scoringRowSteps(ready.length, costs),
    },
    uploads: new Map(ready.flatMap(({ image: sha256, upload }) => (upload ? [[sha256, upload] as const] : []))),
  }
}

function itemOf(item: (Read & { prompt: string }) | AppError): ScoreItem {
  if (item instanceof AppError) return { error: { code: item.code, message: item.message } }
  return { prompt: item.prompt, image: item.image }
}

function requireVerifiers(card: ModelCard, names: readonly string[]): void {
  const permitted = `one of ${card.verifiers.map((name) => JSON.stringify(name)).join(', ')} for model ${card.id}`
  const problems = [...names.entries()].flatMap(([index, name]): FieldProblem[] =>
    card.verifiers.includes(name) ? [] : [{ field: `verifiers.${index}`, problem: describeValue(name), permitted }],
  )
  if (problems.length > 0) throw invalidRequest(problems)
}

/** One queue message carries them all. */
function requireShortPrompts(asked: readonly { prompt: string }[]): void {
  const bytes = asked.reduce((sum, { prompt }) => sum + new TextEncoder().encode(queueJson(prompt)).length, 0)
  if (bytes <= LIMITS.scorePromptBytes) return
  const problem = `has prompts of ${bytes} bytes`
  throw invalidRequest([
    { field: 'items', problem, permitted: `prompts of at most ${LIMITS.scorePromptBytes} bytes together` },
  ])
}

/** Asks once about each prompt, however many items have it. */
function contentJudge(config: Config, model: string, tenant: string): (prompt: string, field: string) => Promise<void> {
  const verdicts = new Map<string, Promise<void>>()
  return async (prompt, field) => {
    const verdict = verdicts.get(prompt) ?? checkContent(config, { prompt, model, tenant })
    verdicts.set(prompt, verdict)
    try {
      await verdict
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      const problems = error.problems.map((problem) => ({ ...problem, field: `${field}prompt` }))
      throw new AppError(error.code, error.message, { problems })
    }
  }
}

const DIGEST = /^[0-9a-f]{64}$/

async function readImage(env: Env, card: ModelCard, text: string, field: string): Promise<Read> {
  if (DIGEST.test(text)) {
    const head = await headOfPicture(env.IMAGES, text, PNG_HEADER_BYTES)
    if (!head) {
      const permitted = 'a picture made here that is still stored'
      throw new AppError('image_not_found', `There is no image ${text}`, {
        problems: [{ field, problem: 'is not stored here', permitted }],
      })
    }
    requirePng(head, card, field)
    return { image: text }
  }
  const upload = bytesOf(text.slice(text.indexOf(',') + 1))
  if (!upload || upload.length > LIMITS.imageBytes) {
    throw imageInvalid(card, field, upload ? `has ${upload.length} bytes` : 'is not base64')
  }
  requirePng(upload, card, field)
  return { image: await sha256Hex(upload), upload }
}

function bytesOf(base64: string): Uint8Array | undefined {
  try {
    const binary = atob(base64)
    const bytes = new Uint8Array(binary.length)
    for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index)
    return bytes
  } catch {
    return undefined
  }
}

function requirePng(bytes: Uint8Array, card: ModelCard, field: string): void {
  const problem = pngProblem(bytes, card.imageSize)
  if (problem !== undefined) throw imageInvalid(card, field, problem)
}

function imageInvalid(card: ModelCard, field: string, problem: string): AppError {
  const [height, width] = card.imageSize
  const permitted = `a PNG of ${width}x${height} pixels for model ${card.id}, RGB or RGBA with 8 bits a channel, not interlaced`
  return new AppError('image_invalid', `${field} ${problem}; permitted: ${permitted}`, {
    problems: [{ field, problem, permitted }],
  })
}
