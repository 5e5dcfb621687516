import { createEngine, type EngineOptions, type TickingEngine } from '../../../gpu-worker/src/engine/engine.ts'
import type {
  EngineEvent,
  EngineJob,
  EngineOutcome,
  RunningJob,
  Verifier,
} from '../../../gpu-worker/src/engine/ports.ts'
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

let nextId = 0

export function submit(
  engine: TickingEngine,
  overrides: Partial<Parameters> & { readonly verifier?: Verifier; readonly previews?: boolean } = {},
): Submitted {
  const { verifier = new FakeVerifier(), previews = false, ...parameters } = overrides
  const events: EngineEvent[] = []
  nextId += 1
  const request = { id: `job-${nextId}`, parameters: parametersOf(parameters), verifier, previews }
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
