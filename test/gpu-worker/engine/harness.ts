import { createEngine, type EngineOptions, type TickingEngine } from '../../../gpu-worker/src/engine/engine.ts'
import { begin, createJob, type Job } from '../../../gpu-worker/src/engine/job.ts'
import { Measurements } from '../../../gpu-worker/src/engine/measurements.ts'
import type { EngineEvent, EngineJob, EngineOutcome, RunningJob } from '../../../gpu-worker/src/engine/ports.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'

export type Parameters = EngineJob['parameters']

export function parametersOf(overrides: Partial<Parameters> = {}): Parameters {
  return {
    prompt: 'a red cat',
    seed: 0,
    candidates: 4,
    strategy: 'parm',
    accept: 'best',
    steps: 6,
    guidance: 2,
    ...overrides,
  }
}

/** A submitted job with everything it has said so far. */
export interface Submitted extends RunningJob {
  readonly events: EngineEvent[]
  /** undefined until it has settled. */
  settled: EngineOutcome | undefined
}

/** An engine over fake models whose slots are checked after every tick. */
export function engineOf(options: Partial<EngineOptions> = {}): TickingEngine {
  return createEngine({
    generator: new FakeGenerator(),
    clock: new FakeClock(),
    slots: 4,
    checkEveryTick: true,
    ...options,
  })
}

/** What a test may say about a job: its parameters and everything beside them in one object. */
export type JobOptions = Partial<Parameters> & Partial<Omit<EngineJob, 'id' | 'parameters'>>

export function requestOf(id: string, options: JobOptions = {}): EngineJob {
  const {
    verifier = new FakeVerifier(),
    previews = false,
    tenant,
    lane,
    remainingMs,
    search,
    judging,
    guidedShare,
    resumeFrom,
    recalls,
    remembers,
    ...rest
  } = options
  const told = { tenant, lane, remainingMs, search, judging, guidedShare, resumeFrom, recalls, remembers }
  const given = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined))
  return { id, parameters: parametersOf(rest), verifier, previews, ...given }
}

let jobCount = 0

/** A ready job outside of any engine. */
export function readyJob(id: string, options: JobOptions = {}, nowMs = 0, measurements = new Measurements()): Job {
  // Nothing is sampled, so a generator's sizes are enough.
  const generator = { tokenCount: 16, codebookSize: 4096, temperature: 1, guidedShare: 1, corrections: undefined }
  const given = { generator, temperatureMode: 'linear', measurements, nowMs } as const
  jobCount += 1
  const job = createJob(requestOf(id, options), () => {}, { ...given, number: jobCount })
  begin(job, { key: 'p', ids: [], unknownWords: [], tokensLeftOut: 0 })
  return job
}

let nextId = 0

export function submit(engine: TickingEngine, options: JobOptions = {}): Submitted {
  const events: EngineEvent[] = []
  nextId += 1
  const request = requestOf(`job-${nextId}`, options)
  const running = engine.submit(request, (event) => events.push(event))
  const submitted: Submitted = { ...running, events, settled: undefined }
  void running.outcome.then((outcome) => {
    submitted.settled = outcome
  })
  return submitted
}

/** Lets everything happen that needs no tick: prompts get prepared, settled promises are seen. */
export function calm(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export async function tick(engine: TickingEngine, times = 1): Promise<void> {
  for (let turn = 0; turn < times; turn++) {
    await calm()
    await engine.tick()
  }
  await calm()
}

/** Ticks until all have settled. */
export async function finishAll(engine: TickingEngine, jobs: readonly Submitted[], maxTicks = 2000): Promise<void> {
  for (let turn = 0; turn < maxTicks; turn++) {
    if (jobs.every((job) => job.settled !== undefined)) return
    await tick(engine)
  }
  throw new Error(`not settled after ${maxTicks} ticks: ${jobs.filter((job) => !job.settled).map((job) => job.id)}`)
}

export async function finish(engine: TickingEngine, job: Submitted): Promise<EngineOutcome> {
  await finishAll(engine, [job])
  return job.settled as EngineOutcome
}

export type Success = Extract<EngineOutcome, { status: 'succeeded' }>

export async function succeed(engine: TickingEngine, job: Submitted): Promise<Success> {
  const outcome = await finish(engine, job)
  if (outcome.status !== 'succeeded') throw new Error(`expected success, got ${JSON.stringify(outcome)}`)
  return outcome
}

export function eventsOf<T extends EngineEvent['type']>(job: Submitted, type: T): Extract<EngineEvent, { type: T }>[] {
  return job.events.filter((event): event is Extract<EngineEvent, { type: T }> => event.type === type)
}

/** `candidate:phase` of every candidate event, in order. */
export function phasesOf(job: Submitted): string[] {
  return eventsOf(job, 'candidate').map((event) => `${event.candidate}:${event.phase}`)
}

/** Candidates of each step call, by seed: what ran in which tick. */
export function seedsByTick(generator: FakeGenerator): number[][] {
  return generator.steps.map(({ owners }) => owners.map(({ seed }) => seed))
}
