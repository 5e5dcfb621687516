import { setImmediate as nextTurn } from 'node:timers/promises'
import { AppError, InvariantError } from '../../shared/error-code.ts'
import {
  type ItemScore,
  type JobFailure,
  type ScoreItem,
  type ScoreMessage,
  type ScoreParameters,
  type ScoreResult,
  scoringRowSteps,
} from '../../shared/job.ts'
import { UNTOLD_CALL_ROW_STEPS } from '../../shared/model-card.ts'
import type { Attempt } from './attempt.ts'
import { failJob, handBack } from './attempt-end.ts'
import type { Judgement, Pixels, PreparedPrompt, ScoreOutcome, Verifier } from './engine/ports.ts'
import { NOTHING_READ, promptWarnings } from './engine/prompt-warnings.ts'
import type { EventReporter } from './event-reporter.ts'
import { readForeignPicture } from './foreign-picture.ts'
import { isEdgeTrouble, publicFailure } from './job-failure.ts'
import type { ServedModel } from './served-model.ts'
import type { WorkParts } from './work-parts.ts'

/** Pictures of one request that are fetched at a time. */
const FETCHES = 4

/** An item with what its questions need, or why it has none. */
type ReadItem =
  | { readonly kind: 'ready'; readonly pixels: Pixels; readonly prompt: PreparedPrompt }
  | { readonly kind: 'refused'; readonly score: ItemScore }

/**
 * Has the pictures of a claimed request judged and brings the scores to the edge. Where the attempt was stopped meanwhile nothing
 * is told: `attempt.cause` says why.
 *
 * @throws AppError  as EdgeClient.getImage and EventReporter.finish
 */
export async function scorePictures(
  attempt: Attempt,
  reporter: EventReporter,
  message: ScoreMessage,
  parts: WorkParts,
): Promise<void> {
  const { workerName, tracing, now, onRoom } = parts
  const startedAt = now()
  const { verifiers, items } = message.parameters
  attempt.log.info('scoring started', { attempt: attempt.number, pictures: items.length, verifiers })
  reporter.add({ type: 'started', attempt: attempt.number, worker: workerName, warnings: [] })
  tracing.follow(attempt.engineId, attempt.trace)
  try {
    const result = await judge(attempt, message, parts)
    onRoom()
    if (attempt.cause) return
    if (result === undefined) {
      // Nothing of it is worth carrying on: the next worker asks anew.
      await handBack(attempt, reporter, attempt.putDownCause)
      return
    }
    await reporter.finish({ type: 'scored', result })
    const { rowSteps } = result.cost
    attempt.log.info('scoring finished', { ms: now() - startedAt, rowSteps })
    attempt.trace.note({ 'parm.status': 'succeeded', 'parm.row_steps': rowSteps })
  } catch (error) {
    if (attempt.cause || isEdgeTrouble(error)) throw error
    // As of a picture: a broken engine is known to be broken a moment later.
    await nextTurn()
    if (attempt.putDownCause || error instanceof InvariantError) await handBack(attempt, reporter, undefined)
    else await failJob(attempt, reporter, publicFailure(error), error)
  } finally {
    tracing.forget(attempt.engineId)
  }
}

/**
 * Fetches the pictures from the edge, asks every verifier about each, in the engine's batch.
 *
 * @returns undefined where the attempt was stopped meanwhile
 * @throws AppError  as EdgeClient.getImage, but for `image_not_found`, which is its item's own; a failed verifier's error
 */
async function judge(
  attempt: Attempt,
  { parameters, tenant }: ScoreMessage,
  { engine, model, lane, onSubmitted }: WorkParts,
): Promise<ScoreResult | undefined> {
  const verifiers = verifiersOf(model, parameters)
  const items = await attempt.trace.timed('fetch', () => readItems(attempt, parameters, model))
  const ready = items.filter((item) => item.kind === 'ready')
  const questions = ready.flatMap(({ pixels, prompt }) => verifiers.map((verifier) => ({ pixels, prompt, verifier })))
  if (questions.length === 0) {
    return { items: items.map(refusalOf), cost: { rowSteps: 0, judgeCalls: 0, workMs: 0 } }
  }
  const { engineId: id, remainingMs } = attempt
  const running = engine.score({ id, questions, tenant, lane, remainingMs })
  onSubmitted()
  attempt.attach(running)
  // A stopped attempt does not wait for the engine, which may hang.
  const outcome = await Promise.race([running.outcome, attempt.stopped.then(() => STOPPED)])
  if (outcome.status === 'failed') throw outcome.error
  if (outcome.status === 'stopped') return undefined
  const answers = outcome.answers.values()
  return {
    items: items.map((item) => (item.kind === 'ready' ? scoreOf(item.prompt, verifiers, answers) : item.score)),
    cost: {
      rowSteps: scoringRowSteps(
        ready.length,
        verifiers.map(({ economics }) => economics?.callRowSteps ?? UNTOLD_CALL_ROW_STEPS),
      ),
      judgeCalls: questions.length,
      workMs: outcome.workMs,
    },
  }
}

const STOPPED: ScoreOutcome = { status: 'stopped' }

function verifiersOf({ verifiers }: ServedModel, parameters: ScoreParameters): Verifier[] {
  return parameters.verifiers.map((name) => {
    const verifier = verifiers.get(name)
    if (verifier === undefined) throw new InvariantError(`verifier ${name} was accepted but is not there`)
    return verifier
  })
}

/** @param answers  of all questions, in order; those of this item are next */
function scoreOf(prompt: PreparedPrompt, verifiers: readonly Verifier[], answers: Iterator<Judgement>): ItemScore {
  const scores = verifiers.map((verifier) => {
    const { value, done } = answers.next()
    if (done) throw new InvariantError('the engine answered fewer questions than it was asked')
    return [verifier.name, told(verifier, value)] as const
  })
  return { scores: Object.fromEntries(scores), warnings: promptWarnings(prompt) }
}

/** A verifier says yes to what it was not made for; that is no answer to tell. */
function told({ tasks }: Verifier, judgement: Judgement): Partial<Judgement> {
  if (tasks === undefined) return judgement
  return Object.fromEntries(tasks.map((task) => [task, judgement[task]]))
}

function refusalOf(item: ReadItem): ItemScore {
  if (item.kind === 'refused') return item.score
  throw new InvariantError('an item is ready and nobody is asked about it')
}

async function readItems(attempt: Attempt, { items }: ScoreParameters, model: ServedModel): Promise<ReadItem[]> {
  const digests = [...new Set(items.flatMap((item) => ('image' in item ? [item.image] : [])))]
  const pictures = new Map<string, Pixels | AppError>()
  const queue = digests.values()
  const fetchNext = async (): Promise<void> => {
    for (const sha256 of queue) pictures.set(sha256, await readPicture(attempt, sha256, model))
  }
  await Promise.all(Array.from({ length: FETCHES }, fetchNext))
  return items.map((item) => readItem(item, pictures, model))
}

function readItem(
  item: ScoreItem,
  pictures: ReadonlyMap<string, Pixels | AppError>,
  { generator }: ServedModel,
): ReadItem {
  if ('error' in item) return { kind: 'refused', score: item }
  const picture = pictures.get(item.image)
  if (picture === undefined) throw new InvariantError(`picture ${item.image} was not read`)
  if (picture instanceof AppError) return refused(picture)
  const prompt = generator.read(item.prompt)
  return prompt.isUnread
    ? refused({ code: 'prompt_unread', message: NOTHING_READ })
    : { kind: 'ready', pixels: picture, prompt }
}

const refused = ({ code, message }: JobFailure): ReadItem => ({ kind: 'refused', score: { error: { code, message } } })

/** @returns an error that concerns this picture alone */
async function readPicture(attempt: Attempt, sha256: string, { generator }: ServedModel): Promise<Pixels | AppError> {
  try {
    return readForeignPicture(await attempt.edge.getImage(sha256, attempt.patience()), generator.imageSize)
  } catch (error) {
    const isItsOwn = error instanceof AppError && (error.code === 'image_invalid' || error.code === 'image_not_found')
    if (isItsOwn) return error
    throw error
  }
}
