import { setTimeout as delay } from 'node:timers/promises'
import type { JobRequest } from '../../edge/client/client.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import type { Dice } from './dice.ts'
import type { FaultLog } from './fault-log.ts'
import type { ReceivedEvent, ServiceClient } from './service-client.ts'
import { TINY } from './tiny-graphs.ts'

/** One job as its caller saw it. */
export interface SeenJob {
  readonly id: string
  readonly isCanceled: boolean
  /** Its whole log; undefined where it did not end in time. */
  readonly events: readonly ReceivedEvent[] | undefined
  /** Right after its end; undefined where the edge did not know it. */
  readonly record: JobRecord | undefined
}

export interface LoadOptions {
  readonly jobs: number
  /** Under way at once. */
  readonly inFlight: number
  readonly client: ServiceClient
  readonly dice: Dice
  readonly log: FaultLog
  /** How long one job may take before it counts as stuck. */
  readonly jobPatienceMs: number
  onEnd(): void
}

const SHARES = { repeated: 0.1, canceled: 0.03, slowReader: 0.04, batch: 0.25 }
const SLOW_READER_MS = 1_500
const CANCEL_AFTER_MS = 300

/** Asks for jobs of many kinds and follows each to its end. */
export async function runLoad(options: LoadOptions): Promise<SeenJob[]> {
  const { jobs, inFlight, dice } = options
  const asked: Asked[] = []
  for (let index = 0; index < jobs; index++) {
    const earlier = dice.happens(SHARES.repeated) ? asked[dice.integer(0, asked.length - 1)] : undefined
    asked.push({
      body: earlier?.body ?? newRequest(index, dice),
      isCanceled: dice.happens(SHARES.canceled),
      isSlow: dice.happens(SHARES.slowReader),
    })
  }
  const seen: SeenJob[] = []
  const queue = asked.entries()
  const lane = async () => {
    for (const [index, one] of queue) seen[index] = await runJob(index, one, options)
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return seen
}

interface Asked {
  readonly body: JobRequest
  readonly isCanceled: boolean
  readonly isSlow: boolean
}

function newRequest(index: number, dice: Dice): JobRequest {
  const prompt = `a photo of a ${dice.pick(['red', 'blue'])} ${dice.pick(['cat', 'dog', 'kite'])}`
  return {
    prompt: `${prompt} ${[...String(index)].join(' ')}`,
    seed: dice.integer(0, 1_000_000),
    candidates: dice.integer(1, 6),
    steps: dice.integer(4, TINY.tokenCount),
    corrections: dice.integer(0, 4),
    strategy: dice.pick(['baseline', 'orm', 'prm', 'parm', 'parm']),
    accept: dice.pick(['best', 'first']),
    priority: dice.happens(SHARES.batch) ? 'batch' : 'interactive',
    // As long as there is: no job of this run is meant to end for lack of time.
    deadlineMs: 600_000,
  }
}

async function runJob(index: number, { body, isCanceled, isSlow }: Asked, options: LoadOptions): Promise<SeenJob> {
  const { client, log, jobPatienceMs, onEnd } = options
  const { id } = await client.submit(body, `chaos-${index}`)
  if (isSlow) log.note('slowReader')
  const following = client.events(id, AbortSignal.timeout(jobPatienceMs), isSlow ? SLOW_READER_MS : 0)
  if (isCanceled) await delay(CANCEL_AFTER_MS).then(() => client.cancel(id))
  const events = await following.catch(() => undefined)
  const record = await client.look(id)
  onEnd()
  return { id, isCanceled, events, record }
}
