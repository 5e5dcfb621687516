import { waitUntil } from 'cloudflare:workers'
import { type Context, Hono } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import { AppError } from '../../shared/error-code.ts'
import type { Degraded, JobSnapshot } from '../../shared/job-record.ts'
import { isTerminal } from '../../shared/job-status.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ModelCard, Quality } from '../../shared/model-card.ts'
import { imageRoute, jobRoute } from '../../shared/routes.ts'
import { acceptedJob } from '../accepted-job.ts'
import { linkOrigin } from '../address-rule.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticateCaller } from '../auth.ts'
import { base64 } from '../bytes.ts'
import { cacheStatus, isKept } from '../cache-status.ts'
import type { Config } from '../config.ts'
import { derivedPicture, storedBytes } from '../derived-picture.ts'
import { parseEnv } from '../env.ts'
import { describeValue, invalidRequest } from '../field-problems.ts'
import { endedJob, generationFields, generationSummary, resultOf, USAGE } from '../generation-result.ts'
import { generationStream, type StreamedJob } from '../generation-stream.ts'
import { giveUp, giveUpOnLeaving } from '../giving-up.ts'
import type { HitMemory, RememberedHit } from '../hit-memory.ts'
import { type TakenIn, takeIn } from '../intake.ts'
import { waitForEnd } from '../job-events.ts'
import { type CompleteRequest, chooseModel, completeRequest, hasFreshSeed, qualityOf } from '../job-parameters.ts'
import { standingOf } from '../job-submission.ts'
import { type PictureTarget, pictureTarget } from '../picture-codec.ts'
import { refusalError } from '../refusal.ts'
import { parseJson, readJsonText } from '../request-body.ts'
import { ImageRequest } from '../request-schema.ts'
import { hasTerms, idempotencyKey, prefersAsync, type RequestTerms, requestTerms } from '../request-terms.ts'
import { requestWarnings } from '../request-warnings.ts'
import type { ImageResponse } from '../response-schema.ts'
import { serverTiming } from '../server-timing.ts'
import type { ImageResponseForm } from '../settings.ts'

/**
 * `POST /v1/images/generations` in OpenAI's shape: waits for the picture, streams it (`stream: true`), or answers with
 * the job at once (`Prefer: respond-async`). A caller who leaves gives the job up, unless its Idempotency-Key says that it
 * may come back; work that others joined goes on for them.
 */
export function generationsRoute(memory: HitMemory): Hono<AppEnv> {
  const route = new Hono<AppEnv>()
  route.post('/', async (c) => {
    await authenticateCaller(c, { scope: 'generate', metered: true })
    const text = await readJsonText(c.req.raw, LIMITS.requestBodyBytes)
    const key = hasTerms(c.req.raw.headers) ? undefined : `${c.req.url}\n${c.get('caller').tenant}\n${text}`
    const hit = key === undefined ? undefined : memory.recall(key, Date.now())
    if (hit) {
      c.set('isRemembered', true)
      return answerAgain(c, hit)
    }
    return generate(c, parseJson(text, ImageRequest), (answer) => {
      if (key !== undefined) memory.keep(key, answer, Date.now())
    })
  })
  return route
}

const HIT_STATUS = cacheStatus('hit', true)

/** nginx's code for it; nobody is there to read it but the log. */
const CALLER_LEFT = 499

/** @param onHit  told of an answer from cache that may be given again as it is */
async function generate(
  c: Context<AppEnv>,
  request: ImageRequest,
  onHit: (answer: RememberedHit) => void,
): Promise<Response> {
  const { headers } = c.req.raw
  const config = parseEnv(c.env)
  const card = chooseModel(config, request.model)
  const form = answerForm(request, card, config)
  const { events: _, ...own } = request.parm ?? {}
  const options = { seed: request.seed, ...own, quality: request.quality }
  const complete = completeRequest(card, { prompt: request.prompt, options, fieldPrefix: 'parm.' }, config.seedPolicy)
  const terms = requestTerms(own, headers)
  const isAsync = !request.stream && prefersAsync(headers)
  const count = request.n ?? 1
  if (count > 1) {
    if (isAsync) throw oneAtATime(count)
    const jobs = await severalJobs(c, request, complete, terms, count)
    if (request.stream) return streamOf(c, request, card, form, jobs)
    return answerWith(c, form, terms, await severalPictures(c, jobs))
  }
  const opening = takeIn(c, { generations: request }, complete, terms)
  const taken = await (isAsync ? opening : giveUpOnLeaving(c, opening))
  const { snapshot, isRepeat, degraded } = taken
  if (isAsync) {
    c.header('preference-applied', 'respond-async')
    return acceptedJob(c, taken, form.warnings)
  }
  c.header('location', jobRoute(snapshot.id))
  if (isRepeat) c.header('idempotency-replayed', 'true')
  if (request.stream) return streamOf(c, request, card, form, [taken])
  const picture = await waitForPicture(c, taken)
  const answer = await answerWith(c, form, terms, [picture])
  const isPlainHit =
    picture?.ended.cache === 'hit' && !degraded && !terms.webhook && Object.keys(terms.labels).length === 0
  if (!picture || !isPlainHit || hasFreshSeed(options, config.seedPolicy)) return answer
  const hit = { body: await answer.text(), jobId: picture.ended.id }
  onHit(hit)
  return answerAgain(c, hit)
}

/** How the answer is to look, whatever the picture is. */
interface AnswerForm {
  readonly target: PictureTarget
  readonly carries: ImageResponseForm
  readonly quality: Quality
  /** What of the request is not honoured, in sentences. */
  readonly warnings: readonly string[]
}

/** @throws AppError as pictureTarget */
function answerForm(request: ImageRequest, card: ModelCard, { imageResponse }: Config): AnswerForm {
  return {
    target: pictureTarget(request, card.imageSize),
    carries: request.response_format ?? imageResponse,
    quality: qualityOf(request.quality),
    warnings: requestWarnings(request, card),
  }
}

function streamOf(
  c: Context<AppEnv>,
  request: ImageRequest,
  card: ModelCard,
  { target, quality, warnings }: AnswerForm,
  jobs: readonly [StreamedJob, ...StreamedJob[]],
): Response {
  return generationStream(c, jobs, card, {
    partialImages: request.partial_images ?? 0,
    ownEvents: request.parm?.events ?? false,
    onLeave: () => leaveAll(c, jobs),
    target,
    quality,
    warnings,
  })
}

/**
 * Different pictures have different seeds: the asked one and those that follow it, each a job of its own in the cache.
 *
 * @throws AppError as takeIn, and before any job is opened where the key may not ask for as many, or have as many under way
 */
async function severalJobs(
  c: Context<AppEnv>,
  request: ImageRequest,
  complete: CompleteRequest,
  terms: RequestTerms,
  count: number,
): Promise<[TakenIn, ...TakenIn[]]> {
  const asked = Array.from({ length: count }, (_, index) => {
    const seed = (complete.parameters.seed + index) % (LIMITS.seed.max + 1)
    return { ...complete, parameters: { ...complete.parameters, seed } }
  })
  await requireRoom(c, asked, terms)
  const settled = await Promise.allSettled(
    asked.map((one, index) => giveUpOnLeaving(c, takeIn(c, { generations: request, index }, one, terms, `\n${index}`))),
  )
  const taken = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const refused = settled.find((outcome) => outcome.status === 'rejected')
  if (!refused) return taken as [TakenIn, ...TakenIn[]]
  // An answer is whole or none: what was accepted beside the refused one has no reader.
  leaveAll(c, taken)
  throw refused.reason
}

/**
 * Refuses at once what could not be had whole, so that no client opens and cancels the same jobs over and over. Pictures that are
 * kept need no place, nor do those that the key has under way already; each that has to be made counts as a request.
 */
async function requireRoom(c: Context<AppEnv>, asked: readonly CompleteRequest[], terms: RequestTerms): Promise<void> {
  const { tenant, keyId } = c.get('caller')
  const allowance = c.get('allowance')
  if (!allowance || keyId === undefined) return
  const books = c.env.TENANT.getByName(tenant)
  const standings = await Promise.all(asked.map((one) => standingOf(c.env, c.get('caller'), one, terms)))
  const opening = standings.filter(({ would }) => would === 'open').length
  const joining = standings.flatMap((standing) => (standing.would === 'join' ? [standing.work] : []))
  const { concurrentJobs: places, requests } = allowance
  const needed = opening + joining.length - (joining.length > 0 ? await books.holds(keyId, joining) : 0)
  requireQuota(needed, places.quota, asked.length, 'as many jobs as the API key may have under way')
  requireQuota(opening, requests.quota, asked.length, 'as many requests as the API key has at once')
  // The jobs of a repeat may be under way already, under names of their own.
  if (needed > places.remaining && idempotencyKey(c.req.raw.headers) === undefined) {
    const message = `${needed} jobs would be under way; the API key has places for ${places.remaining} of ${places.quota} now`
    throw new AppError('too_many_jobs', message)
  }
  // One was taken when the call came.
  if (opening < 2) return
  const reply = await books.takeRequests(keyId, opening - 1)
  if (reply.allowance) c.set('allowance', reply.allowance)
  if (reply.outcome === 'refused') throw refusalError(reply.refusal)
}

function requireQuota(needed: number, quota: number, asked: number, what: string): void {
  if (needed <= quota) return
  throw invalidRequest([{ field: 'n', problem: describeValue(asked), permitted: `at most ${quota}, ${what}` }])
}

async function severalPictures(c: Context<AppEnv>, jobs: readonly TakenIn[]): Promise<(Picture | undefined)[]> {
  // All of them are waited for, so that one failure leaves no job without its reader's answer.
  const settled = await Promise.allSettled(jobs.map((job) => waitForPicture(c, job)))
  return settled.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}

interface Picture {
  ended: JobSnapshot
  hasWaited: boolean
  degraded: Degraded | undefined
}

/** @returns undefined when the caller has left meanwhile */
async function waitForPicture(
  c: Context<AppEnv>,
  { snapshot, degraded }: Pick<TakenIn, 'snapshot' | 'degraded'>,
): Promise<Picture | undefined> {
  const { tenant } = c.get('caller')
  const { signal } = c.req.raw
  const hasWaited = !isTerminal(snapshot.status)
  if (hasWaited) await waitForEnd(c.env, { id: snapshot.id, reader: tenant }, signal)
  if (signal.aborted) return undefined
  return { ended: await endedJob(c.env, snapshot), hasWaited, degraded }
}

async function answerWith(
  c: Context<AppEnv>,
  form: AnswerForm,
  terms: RequestTerms,
  pictures: readonly (Picture | undefined)[],
): Promise<Response> {
  const [first] = pictures
  if (!first || pictures.includes(undefined)) return c.body(null, CALLER_LEFT as StatusCode)
  const data = await Promise.all(pictures.map((picture) => datumOf(c, form, picture as Picture, pictures.length > 1)))
  const { ended, hasWaited } = first
  const result = resultOf(ended)
  c.header('cache-status', cacheStatus(ended.cache, isKept(terms, result)))
  if (hasWaited) c.header('server-timing', serverTiming(ended))
  const answer: ImageResponse = {
    created: Math.floor(ended.createdAt / 1000),
    data,
    ...generationFields(result.image, form.target, form.quality),
    usage: USAGE,
    parm: generationSummary(ended, first.degraded, form.warnings),
  }
  return c.json(answer)
}

async function datumOf(
  c: Context<AppEnv>,
  { target, carries, warnings }: AnswerForm,
  { ended, degraded }: Picture,
  isOneOfSeveral: boolean,
): Promise<ImageResponse['data'][number]> {
  const picture = await derivedPicture(c.env, resultOf(ended).image, target)
  return {
    ...(carries === 'url' ? {} : { b64_json: base64(await storedBytes(c.env, picture)) }),
    ...(carries === 'b64_json' ? {} : { url: new URL(imageRoute(picture), linkOrigin(c.env, c.req.url)).href }),
    ...(isOneOfSeveral ? { parm: generationSummary(ended, degraded, warnings) } : {}),
  }
}

function oneAtATime(count: number) {
  const permitted = '1 with respond-async: each picture is a job, and one is answered'
  return invalidRequest([{ field: 'n', problem: describeValue(count), permitted }])
}

function answerAgain(c: Context<AppEnv>, { body, jobId }: RememberedHit): Response {
  c.set('jobId', jobId)
  c.set('cache', 'hit')
  return new Response(body, {
    headers: { 'content-type': 'application/json', 'cache-status': HIT_STATUS, location: jobRoute(jobId) },
  })
}

function leaveAll(c: Context<AppEnv>, jobs: readonly { readonly snapshot: JobSnapshot }[]): void {
  waitUntil(
    giveUp(
      c,
      jobs.map(({ snapshot }) => snapshot),
    ),
  )
}
