import { describe, expect, it } from 'vitest'
import { DEFAULT_MOST_EXTRA, pauseBeforeExtra, roomFor } from '../../gpu-worker/src/admission.ts'
import { type Sent, type Served, TenantSimulation } from '../../gpu-worker/src/bench/tenant-simulation.ts'
import { VirtualClock } from '../../gpu-worker/src/bench/virtual-clock.ts'
import { FakeGenerator } from '../support/fake-models.ts'
import { requestOf } from './engine/harness.ts'

/** Of a processor, where a row takes its time; milliseconds. */
const COST = { call: 3, row: 12, picture: 8 }
const HEAVY_PROMPT = 'blue cars'
const UNTIL_MS = 60_000

const heavy = (index: number, sentMs: number): Sent => ({
  tenant: 'flood',
  sentMs,
  slots: 32,
  job: requestOf(`heavy-${index}`, {
    prompt: HEAVY_PROMPT,
    candidates: 32,
    steps: 50,
    strategy: 'prm',
    accept: 'best',
  }),
})

const light = (tenant: number, index: number): Sent => ({
  tenant: `light-${tenant}`,
  sentMs: 5000 + tenant * 700 + index * 9000,
  slots: 1,
  job: requestOf(`light-${tenant}-${index}`, { candidates: 4, steps: 12, strategy: 'parm', accept: 'first' }),
})

/** Serves what `tenants` ask for now and then, and `flood` heavy jobs at any time; what was served within a minute. */
async function serve(
  workers: number,
  tenants: number,
  flood: number,
  { mostExtra = DEFAULT_MOST_EXTRA, heavyRow = COST.row } = {},
): Promise<Served[]> {
  let clock = new VirtualClock()
  const generator = new FakeGenerator()
  generator.beforeStep = ({ prompts }) => {
    const rows = prompts.map((prompt) => (prompt === HEAVY_PROMPT ? heavyRow : COST.row))
    clock.advance(rows.reduce((sum, ms) => sum + ms, COST.call))
  }
  generator.beforeDecode = (codes) => clock.advance(COST.picture * codes.length)
  const served: Served[] = []
  let floods = flood
  const simulation = new TenantSimulation({
    workers,
    slots: 8,
    mostExtra,
    generator,
    useClock: (own) => {
      clock = own
    },
    onServed: (one) => {
      if (one.finishedMs <= UNTIL_MS) served.push(one)
      return one.tenant === 'flood' ? [heavy(floods++, one.finishedMs)] : []
    },
  })
  for (let index = 0; index < flood; index++) simulation.send(heavy(index, 0))
  for (let tenant = 0; tenant < tenants; tenant++) {
    for (let index = 0; index < 5; index++) simulation.send(light(tenant, index))
  }
  await simulation.run(UNTIL_MS)
  return served
}

const ofLight = (served: readonly Served[]) => served.filter(({ tenant }) => tenant !== 'flood')
const longest = (served: readonly Served[]): number =>
  Math.max(...ofLight(served).map(({ finishedMs, sentMs }) => finishedMs - sentMs))
const rowSteps = (served: readonly Served[]): number =>
  served.reduce((sum, { outcome }) => sum + outcome.cost.rowSteps, 0)

// Issue 17: a job of 1.7 s took 107 s behind another tenant's.
describe.each([
  [1, 1],
  [3, 1],
  [1, 9],
  [3, 9],
])('%i workers, one tenant flooding them and %i others', (workers, tenants) => {
  it('serve every job of the others in less than twice the time it takes alone, polling included', async () => {
    const [alone, beside] = [await serve(workers, tenants, 0), await serve(workers, tenants, 8)]
    expect(ofLight(beside)).toHaveLength(ofLight(alone).length)
    expect(longest(beside)).toBeLessThanOrEqual(1.75 * longest(alone))
  })
})

it('others are slowed no further where rows of the flood are dearer than theirs, once a tick of theirs alone has shown it', async () => {
  const heavyRow = 5 * COST.row
  const [alone, beside] = [await serve(1, 1, 0), await serve(1, 1, 8, { heavyRow })]
  expect(ofLight(beside)).toHaveLength(ofLight(alone).length)
  const [, ...later] = ofLight(beside)
  // Whoever comes waits until the tick under way has ended.
  const tickOfFlood = COST.call + 8 * (heavyRow + COST.picture)
  expect(longest(later) - tickOfFlood).toBeLessThanOrEqual(1.25 * longest(alone))
})

it('the flooding tenant loses no more than what is done for the others, and the job that was under way', async () => {
  const [alone, beside] = [await serve(1, 0, 8), await serve(1, 9, 8)]
  const oneJob = rowSteps(alone) / alone.length
  const flooded = beside.filter(({ tenant }) => tenant === 'flood')
  expect(rowSteps(flooded)).toBeGreaterThanOrEqual(rowSteps(alone) - rowSteps(ofLight(beside)) - 2 * oneJob)
})

describe('a queue that is first in, first out', () => {
  it('has others behind a flood until it is held, so more is held than one tenant may have under way', async () => {
    const alone = await serve(1, 1, 0)
    const held = await serve(1, 1, 40, { mostExtra: 50 })
    expect(ofLight(held)).toHaveLength(ofLight(alone).length)
    expect(longest(held)).toBeLessThanOrEqual(2.2 * longest(alone))
    expect(ofLight(await serve(1, 1, 40, { mostExtra: 16 }))).toEqual([])
  })
})

describe('admission', () => {
  it('asks at once for as many messages as there are free slots', () => {
    expect(roomFor('interactive', { freeSlots: 3, lanes: ['interactive'] })).toBe(3)
    expect(roomFor('batch', { freeSlots: 0, lanes: ['batch'] })).toBe(0)
  })

  it('asks for one interactive message while batch jobs have all slots', () => {
    expect(roomFor('interactive', { freeSlots: 0, lanes: ['batch', 'batch'] })).toBe(1)
    expect(roomFor('interactive', { freeSlots: 0, lanes: ['batch', 'interactive'] })).toBe(0)
  })

  it('waits the longer for one more than it has room for the more of those it holds', () => {
    const pauses = Array.from({ length: 8 }, (_, extra) => pauseBeforeExtra({ extra, mostExtra: 7 }))
    expect(pauses).toEqual([0, 10, 20, 30, 40, 50, 50, undefined])
  })
})
