import { createHash } from 'node:crypto'
import { pathSteps, runnableCandidates } from '../../shared/job.ts'
import { isTerminalEvent } from '../../shared/job-event.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import { isTerminal } from '../../shared/job-status.ts'
import type { FaultLog } from './fault-log.ts'
import type { SeenJob } from './load.ts'
import type { Reference } from './reference.ts'
import type { ServiceClient } from './service-client.ts'

export interface Tally {
  lost: number
  doubled: number
  stuck: number
  /** How jobs ended, by status, and by code where they failed. */
  readonly outcomes: Record<string, number>
}

/** What the run may do to a job through no fault of anybody: everything else that failed was ours. */
const EXCUSED = new Set(['dead_lettered'])

/** The reference draws them in one batch, which is several times faster than one after the other. */
const JUDGED_AT_ONCE = 16

/** Judges every job by what its caller saw, through the public API alone. */
export async function judgeJobs(
  seen: readonly SeenJob[],
  client: ServiceClient,
  reference: Reference,
  log: FaultLog,
): Promise<Tally> {
  const tally: Tally = { lost: 0, doubled: 0, stuck: 0, outcomes: {} }
  const queue = seen.values()
  const lane = async () => {
    for (const job of queue) await judgeJob(job, tally, client, reference, log)
  }
  await Promise.all(Array.from({ length: JUDGED_AT_ONCE }, lane))
  return tally
}

async function judgeJob(
  job: SeenJob,
  tally: Tally,
  client: ServiceClient,
  reference: Reference,
  log: FaultLog,
): Promise<void> {
  const now = await client.look(job.id)
  if (now === undefined || job.record === undefined) {
    tally.lost += 1
    log.breach(`job ${job.id} was accepted and is not known any more`)
    return
  }
  if (job.events === undefined || !isTerminal(now.status)) {
    tally.stuck += 1
    log.breach(`job ${job.id} is ${now.status} and did not end in time`)
    return
  }
  const outcome = now.error === undefined ? now.status : `${now.status}: ${now.error.code}`
  tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + 1
  if (isDoubled(job, now)) {
    tally.doubled += 1
    log.breach(`job ${job.id} ended more than once, or was told to have ended in two ways`)
  }
  for (const problem of await problemsOf(job, now, client, reference)) log.breach(`job ${job.id} ${problem}`)
}

/** One terminal record, for ever: in its log, right after its end, and when all is over. */
function isDoubled({ events = [], record }: SeenJob, now: JobRecord): boolean {
  const ends = events.filter(({ event }) => isTerminalEvent(event))
  const told = ends[0]?.event
  if (ends.length !== 1 || told?.type !== now.status || record?.status !== now.status) return true
  const result = JSON.stringify(now.result)
  if (JSON.stringify(record.result) !== result) return true
  return told.type === 'succeeded' && told.result.image.sha256 !== now.result?.image.sha256
}

async function problemsOf(
  { events = [], isCanceled }: SeenJob,
  now: JobRecord,
  client: ServiceClient,
  reference: Reference,
): Promise<string[]> {
  const problems: string[] = []
  const check = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem)
  }
  check(
    events.every(({ id }, index) => id === index + 1),
    `has a log with gaps: ${events.map(({ id }) => id).join(' ')}`,
  )
  check(events.length > 0 && isTerminalEvent((events.at(-1) as (typeof events)[number]).event), 'goes on after its end')
  const attempts = events.flatMap(({ event }) => (event.type === 'started' ? [event.attempt] : []))
  check(
    attempts.every((attempt, index) => index === 0 || attempt > (attempts[index - 1] as number)),
    `was worked on by attempts ${attempts.join(' ')}, in this order`,
  )
  if (now.status === 'failed') check(EXCUSED.has(now.error?.code ?? ''), `failed: ${JSON.stringify(now.error)}`)
  if (now.status === 'canceled') check(isCanceled, 'was canceled, which nobody wanted')
  if (now.status === 'expired') check(false, 'expired')
  if (now.result && now.imageUrl !== undefined) problems.push(...(await pictureProblems(now, client, reference)))
  return problems
}

async function pictureProblems(now: JobRecord, client: ServiceClient, reference: Reference): Promise<string[]> {
  const { result, parameters, verdicts, cache, imageUrl = '' } = now
  if (!result) return []
  const problems: string[] = []
  const bytes = await client.image(imageUrl)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== result.image.sha256) problems.push('published a picture that is not the one its record names')
  const expected = await reference.imageOf(parameters)
  if (sha256 !== expected) problems.push('ended with another picture than the same job undisturbed')
  // Who was answered from cache caused no work.
  if (cache === 'hit') return problems
  const { rowSteps, rowStepsReused = 0, rowStepsSaved, judgeCalls } = result.cost
  const all = runnableCandidates(parameters) * pathSteps(parameters)
  const accounted = rowSteps + rowStepsReused + rowStepsSaved
  if (accounted !== all) problems.push(`accounts for ${accounted} row-steps of ${all}`)
  // What was known was not asked again.
  if (rowStepsReused === 0 && judgeCalls !== verdicts.length)
    problems.push(`shows ${verdicts.length} verdicts of ${judgeCalls}`)
  return problems
}
