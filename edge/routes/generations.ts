import { waitUntil } from 'cloudflare:workers'
import { type Context, Hono } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import type { Degraded, JobSnapshot } from '../../shared/job-record.ts'
import { isTerminal } from '../../shared/job-status.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import { imageRoute, jobRoute } from '../../shared/routes.ts'
import { acceptedJob } from '../accepted-job.ts'
import { linkOrigin } from '../address-rule.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticateCaller } from '../auth.ts'
import { cacheStatus } from '../cache-status.ts'
import { derivedPicture } from '../derived-picture.ts'
import { parseEnv } from '../env.ts'
import { describeValue, invalidRequest } from '../field-problems.ts'
import { endedJob, generationFields, generationSummary, imageBase64, resultOf, USAGE } from '../generation-result.ts'
import { generationStream, type StreamedJob } from '../generation-stream.ts'
import { giveUp, giveUpOnLeaving } from '../giving-up.ts'
import type { HitMemory, RememberedHit } from '../hit-memory.ts'
import { type TakenIn, takeIn } from '../intake.ts'
import { waitForEnd } from '../job-events.ts'
import { type CompleteRequest, chooseModel, completeRequest } from '../job-parameters.ts'
import { pictureTarget } from '../picture-codec.ts'
import { parseJson, readJsonText } from '../request-body.ts'
import { ImageRequest } from '../request-schema.ts'
import { hasTerms, prefersAsync, type RequestTerms, requestTerms } from '../request-terms.ts'
import type { ImageResponse } from '../response-schema.ts'
import { serverTiming } from '../server-timing.ts'

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
  const card = chooseModel(parseEnv(c.env).models, request.model)
  requireSize(card, request.size)
  const { events: _, ...options } = request.parm ?? {}
  const complete = completeRequest(card, request.prompt, options, 'parm.')
  const terms = requestTerms(options, headers)
  const isAsync = !request.stream && prefersAsync(headers)
  const count = request.n ?? 1
  if (count > 1) {
    if (isAsync) throw oneAtATime(count)
    const jobs = await severalJobs(c, request, complete, terms, count)
    if (request.stream) return streamOf(c, request, card, jobs)
    return answerWith(c, request, await severalPictures(c, jobs))
  }
  const opening = takeIn(c, { generations: request }, complete, terms)
  const taken = await (isAsync ? opening : giveUpOnLeaving(c, opening))
  const { snapshot, isRepeat, degraded } = taken
  if (isAsync) {
    c.header('preference-applied', 'respond-async')
    return acceptedJob(c, taken)
  }
  c.header('location', jobRoute(snapshot.id))
  if (isRepeat) c.header('idempotency-replayed', 'true')
  if (request.stream) return streamOf(c, request, card, [taken])
  const picture = await waitForPicture(c, taken)
  const answer = await answerWith(c, request, [picture])
  const isPlainHit =
    picture?.ended.cache === 'hit' && !degraded && !terms.webhook && Object.keys(terms.labels).length === 0
  if (!picture || !isPlainHit) return answer
  const hit = { body: await answer.text(), jobId: picture.ended.id }
  onHit(hit)
  return answerAgain(c, hit)
}

function streamOf(
  c: Context<AppEnv>,
  request: ImageRequest,
  card: ModelCard,
  jobs: readonly [StreamedJob, ...StreamedJob[]],
): Response {
  return generationStream(c, jobs, card, {
    partialImages: request.partial_images ?? 0,
    ownEvents: request.parm?.events ?? false,
    onLeave: () => leaveAll(c, jobs),
    target: pictureTarget(request),
  })
}

/** Different pictures have different seeds: the asked one and those that follow it, each a job of its own in the cache. */
async function severalJobs(
  c: Context<AppEnv>,
  request: ImageRequest,
  complete: CompleteRequest,
  terms: RequestTerms,
  count: number,
): Promise<[TakenIn, ...TakenIn[]]> {
  const asked = Array.from({ length: count }, (_, index) => {
    const seed = (complete.parameters.seed + index) % (LIMITS.seed.max + 1)
    const one = { ...complete, parameters: { ...complete.parameters, seed } }
    return giveUpOnLeaving(c, takeIn(c, { generations: request, index }, one, terms, `/${index}`))
  })
  const settled = await Promise.allSettled(asked)
  const taken = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const refused = settled.find((outcome) => outcome.status === 'rejected')
  if (!refused) return taken as [TakenIn, ...TakenIn[]]
  // An answer is whole or none: what was accepted beside the refused one has no reader.
  leaveAll(c, taken)
  throw refused.reason
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
  request: ImageRequest,
  pictures: readonly (Picture | undefined)[],
): Promise<Response> {
  const [first] = pictures
  if (!first || pictures.includes(undefined)) return c.body(null, CALLER_LEFT as StatusCode)
  const data = await Promise.all(
    pictures.map((picture) => datumOf(c, request, picture as Picture, pictures.length > 1)),
  )
  const { ended, hasWaited } = first
  c.header('cache-status', cacheStatus(ended.cache, true))
  if (hasWaited) c.header('server-timing', serverTiming(ended))
  const answer: ImageResponse = {
    created: Math.floor(ended.createdAt / 1000),
    data,
    ...generationFields(resultOf(ended).image, pictureTarget(request).format),
    usage: USAGE,
    parm: generationSummary(ended, first.degraded),
  }
  return c.json(answer)
}

async function datumOf(
  c: Context<AppEnv>,
  request: ImageRequest,
  { ended, degraded }: Picture,
  isOneOfSeveral: boolean,
): Promise<ImageResponse['data'][number]> {
  const { image } = resultOf(ended)
  const own = isOneOfSeveral ? { parm: generationSummary(ended, degraded) } : {}
  const target = pictureTarget(request)
  return request.response_format === 'url'
    ? {
        url: new URL(imageRoute(await derivedPicture(c.env, image, target)), linkOrigin(c.env, c.req.url)).href,
        ...own,
      }
    : { b64_json: await imageBase64(c.env, image, target), ...own }
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

function requireSize(card: ModelCard, size: string | null | undefined): void {
  const [height, width] = card.imageSize
  const own = `${width}x${height}`
  if (size == null || size === 'auto' || size === own) return
  const permitted = `"auto" or "${own}" for model ${card.id}`
  throw invalidRequest([{ field: 'size', problem: describeValue(size), permitted }])
}

function leaveAll(c: Context<AppEnv>, jobs: readonly { readonly snapshot: JobSnapshot }[]): void {
  waitUntil(
    giveUp(
      c,
      jobs.map(({ snapshot }) => snapshot),
    ),
  )
}
