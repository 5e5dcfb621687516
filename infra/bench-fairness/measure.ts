import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Lane } from '../../shared/job.ts'
import {
  type FloodLoss,
  type FloodWork,
  lossOf,
  type Pair,
  type Ratio,
  ratioOf,
  type Times,
  timesOf,
} from './figures.ts'
import { Flood, type FloodStrategy } from './flood.ts'
import { probe, type Timed } from './probe.ts'
import { type Service, startService } from './service.ts'

export interface FairnessOptions {
  readonly workers: number
  /** The flooding one included, >= 2. */
  readonly tenants: number
  /** Default jobs in each circumstance. */
  readonly probes: number
  readonly atOnce: number
  readonly flood: { readonly strategy: FloodStrategy; readonly lane: Lane; readonly jobs: number }
  readonly tell: (line: string) => void
}

export interface Fairness extends Ratio {
  readonly workers: number
  readonly threads: number
  readonly tenants: number
  readonly probes: number
  readonly at_once: number
  readonly flood: FairnessOptions['flood']
  /** Milliseconds of a default job. */
  readonly alone_ms: Times
  /** Likewise, on a worker of its own, while all the other workers of this machine are flooded: what of the rest is the machine's. */
  readonly crowded_ms?: Times
  readonly beside_ms: Times
  /** Jobs that got no picture within the default deadline; they count with the time until then. */
  readonly expired: number
  /** Of that, until a worker had claimed it. */
  readonly queued_ms: Pick<Times, 'median' | 'worst'>
  /** As `ratio`, against `crowded_ms`. */
  readonly crowded?: Ratio
  readonly flood_loss: FloodLoss
}

/** In turns, so that whatever else the machine does falls on all circumstances. */
const ROUNDS = 2
const WARM_UP_PROBES = 4
/** For the flood to have come to all slots, and for the workers to have seen what a row of it costs. */
const FLOOD_SETTLE_MS = 5_000
const FLOOD_ALONE_MS = 12_000
const POLL_MS = 100

/** Default jobs alone and beside a flood, in a service of its own. */
export async function measureFairness(options: FairnessOptions): Promise<Fairness> {
  const { workers, tenants, probes, atOnce, flood, tell } = options
  const threads = Math.max(1, Math.floor(availableParallelism() / workers))
  tell(`${workers} workers of ${threads} threads, ${tenants} tenants, flood of ${flood.jobs} jobs by ${flood.strategy}`)
  const service = await startService(workers, threads, tenants)
  const alone: Timed[] = []
  const beside: Timed[] = []
  const floodAlone: FloodWork[] = []
  const floodBeside: FloodWork[] = []
  let crowded: Timed[] | undefined
  try {
    const [flooder, ...others] = service.clients
    if (flooder === undefined) throw new RangeError('expected at least two tenants')
    const ask = (range: Range, into: Timed[]) => askAll(others, range, atOnce, into)
    await ask({ from: 1_000_000, to: 1_000_000 + WARM_UP_PROBES * workers }, [])
    for (let round = 0; round < ROUNDS; round++) {
      const range = { from: Math.floor((probes * round) / ROUNDS), to: Math.floor((probes * (round + 1)) / ROUNDS) }
      await ask(range, alone)
      const running = new Flood({ ...flood, client: flooder }, 10_000 * (round + 1))
      await filled(service)
      const floodsOnly = async () => {
        floodAlone.push(await workDuring(service, () => delay(FLOOD_ALONE_MS / ROUNDS)))
      }
      if (round % 2 === 0) await floodsOnly()
      floodBeside.push(await workDuring(service, () => ask(range, beside)))
      if (round % 2 === 1) await floodsOnly()
      await running.stop()
      await emptied(service)
      tell(`round ${round + 1}: alone ${msOf(alone)}; beside ${msOf(beside)}`)
    }
  } finally {
    await service.stop()
  }
  if (workers > 1) {
    crowded = await measureCrowded(options, threads)
    tell(`crowded: ${msOf(crowded)}`)
  }
  const othersRowSteps = sum(beside.map(({ rowSteps }) => rowSteps))
  const both = { ms: sum(floodBeside.map(({ ms }) => ms)), rowSteps: sum(floodBeside.map(({ rowSteps }) => rowSteps)) }
  const only = { ms: sum(floodAlone.map(({ ms }) => ms)), rowSteps: sum(floodAlone.map(({ rowSteps }) => rowSteps)) }
  const { median, worst } = timesOf(beside.map(({ queuedMs }) => ({ ms: queuedMs })))
  return {
    workers,
    threads,
    tenants,
    probes,
    at_once: atOnce,
    flood,
    ...ratioOf(pairs(alone, beside)),
    ...(crowded && { crowded: ratioOf(pairs(crowded, beside)) }),
    alone_ms: timesOf(alone),
    ...(crowded && { crowded_ms: timesOf(crowded) }),
    beside_ms: timesOf(beside),
    expired: beside.filter(({ isExpired }) => isExpired).length,
    queued_ms: { median, worst },
    flood_loss: lossOf(
      only,
      { ...both, rowSteps: both.rowSteps - othersRowSteps },
      sum((crowded ?? alone).map(({ ms }) => ms)),
      workers,
    ),
  }
}

/**
 * Default jobs alone on a worker of its own, while as many workers of another service are flooded as there are others. Cores,
 * caches and memory are shared by all workers of a machine, whatever these do for each other's tenants.
 */
async function measureCrowded({ workers, probes, atOnce, flood }: FairnessOptions, threads: number): Promise<Timed[]> {
  const flooded = await startService(workers - 1, threads, 1)
  try {
    const service = await startService(1, threads, atOnce)
    try {
      const running = new Flood({ ...flood, client: flooded.clients[0] as Service['clients'][number] }, 0)
      await filled(flooded)
      const times: Timed[] = []
      await askAll(service.clients, { from: 1_000_000, to: 1_000_000 + WARM_UP_PROBES }, atOnce, [])
      await askAll(service.clients, { from: 0, to: probes }, atOnce, times)
      await running.stop()
      return times
    } finally {
      await service.stop()
    }
  } finally {
    await flooded.stop()
  }
}

interface Range {
  readonly from: number
  /** Not included. */
  readonly to: number
}

/** So many at once, each of the next tenant; the times by index. */
async function askAll(clients: Service['clients'], range: Range, atOnce: number, into: Timed[]): Promise<void> {
  const times: Timed[] = []
  const indices = Array.from({ length: range.to - range.from }, (_, offset) => range.from + offset).values()
  const askInTurn = async () => {
    for (const index of indices) {
      const client = clients[index % clients.length] as Service['clients'][number]
      times[index - range.from] = await probe(client, index)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, askInTurn))
  into.push(...times)
}

/** The same job in both. */
function pairs(alone: readonly Timed[], beside: readonly Timed[]): Pair[] {
  return alone.map((one, index) => ({ alone: one, beside: beside[index] as Timed }))
}

async function workDuring(service: Service, what: () => Promise<unknown>): Promise<FloodWork> {
  const [before, began] = [await service.rowSteps(), performance.now()]
  await what()
  return { rowSteps: (await service.rowSteps()) - before, ms: performance.now() - began }
}

async function filled(service: Service): Promise<void> {
  while ((await service.freeSlots()) > 0) await delay(POLL_MS)
  await delay(FLOOD_SETTLE_MS)
}

/** Until nothing of the flood runs any more. */
async function emptied(service: Service): Promise<void> {
  for (let before = -1, now = await service.rowSteps(); now > before; now = await service.rowSteps()) {
    before = now
    await delay(10 * POLL_MS)
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const msOf = (times: readonly Timed[]): string => {
  const { median, worst } = timesOf(times)
  return `${median} ms (worst ${worst})`
}
