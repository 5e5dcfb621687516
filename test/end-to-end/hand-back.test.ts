import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { checkAnswer } from '../../edge/client/answer-check.ts'
import { ParmClient } from '../../edge/client/client.ts'
import { writeTinyBundle } from '../../infra/chaos/tiny-bundle.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'
import type { WorkerRecord } from '../../infra/local/worker.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import { followEvents, type ReceivedEvent } from '../support/job-events.ts'

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

let dir: string
let stack: LocalStack
let client: ParmClient
const records: WorkerRecord[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'parm-hand-back-'))
  await writeTinyBundle(dir)
  stack = await startStack({
    bundleDir: dir,
    // No grace: whatever is under way is handed back.
    workerSettings: { PARM_GRACE_SECONDS: '0', PARM_SLOTS: '2', PARM_THREADS: '1' },
    onWorkerRecord: (record) => records.push(record),
  })
  client = new ParmClient({ baseUrl: stack.url, check: checkAnswer })
})
afterAll(async () => {
  await stack?.stop()
  await rm(dir, { recursive: true, force: true })
})

/** Long enough to be interrupted: 512 row-steps, two at a time. */
const LONG = {
  prompt: 'a photo of a red kite',
  seed: 11,
  candidates: 32,
  steps: 16,
  accept: 'best',
  strategy: 'parm',
} as const

/** Neither answered from the other's result nor joined to it. */
const openJob = () => client.jobs.create({ ...LONG, deadlineMs: 600_000 }, { cacheControl: 'no-store' })

/** @param onVerdict  called at the first verdict of every attempt */
async function follow(job: JobRecord, onVerdict: (attempt: number) => void): Promise<ReceivedEvent[]> {
  const events: ReceivedEvent[] = []
  let attempt = 0
  let isTold = false
  for await (const received of followEvents(job.eventsUrl)) {
    events.push(received)
    if (received.event.type === 'started') {
      attempt = received.event.attempt
      isTold = false
    } else if (received.event.type === 'verdict' && !isTold) {
      isTold = true
      onVerdict(attempt)
    }
  }
  return events
}

/**
 * Its first two workers are told to stop at their first verdict. On a starved machine a job may be over before; then another
 * one is asked for.
 */
async function interruptedJob(): Promise<{ record: JobRecord; events: ReceivedEvent[] }> {
  for (;;) {
    const job = await openJob()
    const replacements: Promise<unknown>[] = []
    const events = await follow(job, (attempt) => {
      if (attempt > 2) return
      const old = stack.workers.at(-1)
      replacements.push((old?.stop() ?? Promise.resolve()).then(() => stack.startWorker()))
    })
    await Promise.all(replacements)
    const isInterrupted = events.filter(({ event }) => event.type === 'started').length > 1
    if (isInterrupted) return { record: await client.jobs.get(job.id), events }
  }
}

describe('SIGTERM in the middle of a job', () => {
  it('costs no row-step and changes no byte of the picture', async () => {
    const undisturbed = await openJob()
    await follow(undisturbed, () => undefined)
    const first = await client.jobs.get(undisturbed.id)

    const { record, events } = await interruptedJob()
    const started = events.filter(({ event }) => event.type === 'started')
    const resumed = records.filter(
      ({ event, jobId, resumedAt }) => event === 'job started' && jobId === record.id && resumedAt !== undefined,
    )
    expect(resumed.length).toBe(started.length - 1)
    expect(record.result?.image).toEqual(first.result?.image)
    expect(record.result?.candidate).toBe(first.result?.candidate)
    // The promise is 5%; between two ticks nothing is lost at all.
    expect(record.result?.cost.rowSteps).toBe(first.result?.cost.rowSteps)
    expect(record.verdicts.map(({ ms: _, ...verdict }) => verdict).toSorted(byPlace)).toEqual(
      first.verdicts.map(({ ms: _, ...verdict }) => verdict).toSorted(byPlace),
    )
  })
})

type Place = { readonly candidate: number; readonly stepIndex: number }
const byPlace = (a: Place, b: Place): number => a.candidate - b.candidate || a.stepIndex - b.stepIndex
