import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { JobRecord } from '../../shared/job-record.ts'
import { isTerminal } from '../../shared/job-status.ts'
import { type EdgeFacts, type EdgeUnderTest, failureOf } from './edge-checks.ts'
import { type Finding, ok, skipped, wrong } from './finding.ts'

const POLL_MS = 500
/** Little work that still asks the verifier. */
const SMALL = { candidates: 2, strategy: 'parm', accept: 'first' } as const
const MAX_SEED = 2 ** 32

/**
 * Asks for one picture that nobody has asked for before and follows it through edge, queue, worker, callbacks and storage, then asks
 * again for the cache's sake. Costs some twenty row-steps of the key's tenant.
 *
 * @param waitSeconds  how long the picture may take; a fleet that starts from zero needs minutes
 */
export async function checkPicture(
  edge: EdgeUnderTest,
  { access, models: [model] }: EdgeFacts,
  apiKey: string | undefined,
  waitSeconds: number,
): Promise<Finding[]> {
  const part = 'picture'
  if (access === 'keys' && apiKey === undefined) {
    return [skipped(part, 'the edge wants an API key', 'set PARM_API_KEY; `npm run keys -- create TENANT` makes one')]
  }
  const seed = Math.floor(Math.random() * MAX_SEED)
  const request = {
    prompt: model?.examples[0] ?? 'a photo of a red apple',
    seed,
    ...SMALL,
    deadlineMs: waitSeconds * 1000,
  }
  let opened: JobRecord
  try {
    opened = await edge.api.jobs.create(request)
  } catch (error) {
    return [
      wrong(
        part,
        `POST /v1/jobs ${failureOf(error)}`,
        'the code tells whose turn it is: the caller’s, the budget’s or ours',
      ),
    ]
  }
  const ended = await endOf(edge, opened, waitSeconds)
  if (ended.status !== 'succeeded' || ended.result === undefined) return [notDrawn(part, ended, waitSeconds)]
  const { createdAt, startedAt = createdAt, finishedAt = startedAt, result, verdicts } = ended
  const { workMs, rowSteps } = result.cost
  const findings = [
    ok(
      part,
      `drawn in ${seconds(finishedAt - createdAt)}: ${seconds(startedAt - createdAt)} in the queue, ${seconds(workMs)} of work, ${rowSteps} row-steps, ${verdicts.length} verdicts`,
    ),
    await imageOf(edge, ended, result.image.sha256),
  ]
  const outcome = await edge.api.jobs.create(request).then(({ cache }) => cache, failureOf)
  findings.push(
    outcome === 'hit'
      ? ok('cache', 'the same request again was answered at once')
      : wrong(
          'cache',
          `the same request again: ${outcome}`,
          'the job could not tell its cache entry: search the log for "at":"outbox"',
        ),
  )
  return findings
}

async function endOf(edge: EdgeUnderTest, opened: JobRecord, waitSeconds: number): Promise<JobRecord> {
  let record = opened
  for (let leftMs = waitSeconds * 1000; !isTerminal(record.status) && leftMs > 0; leftMs -= POLL_MS) {
    await delay(POLL_MS)
    record = await edge.api.jobs.get(opened.id).catch(() => record)
  }
  return record
}

function notDrawn(part: string, { id, status, attempt, error }: JobRecord, waitSeconds: number): Finding {
  if (attempt === 0) {
    const what = `no worker claimed ${id} in ${waitSeconds} s`
    return wrong(
      part,
      what,
      'workers are missing, read another queue, or cannot reach PUBLIC_URL: see the findings above, then their log; a start from zero takes minutes (--wait)',
    )
  }
  const why = error ? `${error.code}: ${error.message}` : `still ${status} after ${waitSeconds} s`
  return wrong(part, `${id} was claimed ${attempt} times, ${why}`, `search the workers' log for ${id}`)
}

async function imageOf(edge: EdgeUnderTest, { imageUrl = '' }: JobRecord, sha256: string): Promise<Finding> {
  const remedy = 'is another bucket bound than at the time of writing?'
  try {
    const bytes = await edge.api.images.get(imageUrl)
    return createHash('sha256').update(bytes).digest('hex') === sha256
      ? ok('image', `${bytes.length} bytes, as their hash says`)
      : wrong('image', `${imageUrl} has other bytes than the record names`, remedy)
  } catch (error) {
    return wrong('image', `${imageUrl} ${failureOf(error)}`, remedy)
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
