import { describe, expect, test } from 'vitest'
import { finish, grantSlot, isLive, prune, yieldSlot } from '../../../gpu-worker/src/engine/candidate.ts'
import type { Job } from '../../../gpu-worker/src/engine/job.ts'
import { Measurements } from '../../../gpu-worker/src/engine/measurements.ts'
import { Scheduler } from '../../../gpu-worker/src/engine/scheduler.ts'
import type { Seat } from '../../../gpu-worker/src/engine/seat.ts'
import { EXTRA_HANDICAP_MS } from '../../../gpu-worker/src/engine/tickets.ts'
import { type JobOptions, readyJob } from './harness.ts'

const RESULT = { codes: new Int32Array(1), pixels: new Uint8Array(3), score: 0, alignment: 0, isAccepted: false }
const nameOf = ({ job, candidate }: Seat) => `${job.request.id}${candidate.index}`

/** A queue with slots around it, and nothing else of an engine. */
class Bench {
  readonly measurements = new Measurements()
  readonly scheduler: Scheduler
  readonly running: Seat[] = []
  /** Row-steps taken, by tenant. */
  readonly done = new Map<string, number>()
  nowMs = 0

  constructor(weightOf?: (tenant: string) => number) {
    this.scheduler = new Scheduler(this.measurements, weightOf)
  }

  add(id: string, options: JobOptions = {}): Job {
    const job = readyJob(id, { strategy: 'orm', ...options }, this.nowMs, this.measurements)
    this.scheduler.update(job)
    return job
  }

  /** Fills `slots` and lets exchanges happen; names who came, `-x` who went. */
  fill(slots: number): string[] {
    const told: string[] = []
    while (this.running.length < slots) {
      const seat = this.scheduler.take(this.nowMs)
      if (seat === undefined) break
      told.push(this.#seat(seat))
    }
    for (let turn = 0; ; turn++) {
      const exchange = this.scheduler.exchange(this.nowMs)
      if (exchange === undefined) break
      expect(turn).toBeLessThan(2 * slots)
      told.push(this.#yield(exchange.yields), this.#seat(exchange.grants))
    }
    for (let seat = this.scheduler.excess(this.nowMs); seat; seat = this.scheduler.excess(this.nowMs)) {
      told.push(this.#yield(seat))
    }
    return told
  }

  /** From now on calls have taken `fixed + marginal` times their rows. */
  costs(fixed: number, marginal: number): this {
    for (let rows = 1; rows <= 20; rows++) {
      this.measurements.noteStep(rows, fixed + marginal * rows)
      this.measurements.noteTick(fixed + marginal * rows)
    }
    return this
  }

  #yield(seat: Seat): string {
    this.leave(seat, () => yieldSlot(seat.candidate))
    return `-${nameOf(seat)}`
  }

  #seat(seat: Seat): string {
    grantSlot(seat.candidate, 0)
    this.running.push({ job: seat.job, candidate: seat.candidate })
    this.scheduler.update(seat.job)
    return nameOf(seat)
  }

  leave({ job, candidate }: Seat, change: () => unknown): void {
    change()
    this.running.splice(
      this.running.findIndex((seat) => seat.candidate === candidate),
      1,
    )
    this.scheduler.vacated({ job, candidate })
    this.scheduler.update(job)
  }

  /** One step of everybody; who has taken all finishes. */
  step(): void {
    for (const seat of [...this.running]) {
      const { job, candidate } = seat
      const tenant = job.request.tenant ?? ''
      this.done.set(tenant, (this.done.get(tenant) ?? 0) + 1)
      candidate.path.stepsDone += 1
      if (candidate.path.stepsDone === job.schedule.stepCount) this.leave(seat, () => finish(candidate, RESULT))
    }
  }

  prune(name: string): void {
    const seat = this.running.find((own) => nameOf(own) === name) as Seat
    this.leave(seat, () => prune(seat.candidate, 0.1))
  }
}

describe('inside a tenant', () => {
  test('every job gets a first slot before any gets a second', () => {
    const bench = new Bench()
    for (const id of ['a', 'b', 'c']) bench.add(id, { candidates: 4 })
    expect(bench.fill(5)).toEqual(['a0', 'b0', 'c0', 'a1', 'a2'])
  })

  test('least slack goes first: the nearer deadline, and of equal ones the longer path', () => {
    const bench = new Bench()
    bench.measurements.noteTick(100)
    bench.add('far', { candidates: 1, remainingMs: 9000 })
    bench.add('near', { candidates: 1, remainingMs: 5000 })
    bench.add('short', { candidates: 1, remainingMs: 7000, steps: 2 })
    bench.add('long', { candidates: 1, remainingMs: 7000, steps: 12 })
    expect(bench.fill(4)).toEqual(['near0', 'long0', 'short0', 'far0'])
  })

  test('a newcomer gets its first slot from a job that has several, at once', () => {
    const bench = new Bench()
    bench.add('a', { candidates: 8 })
    bench.fill(3)
    bench.step()
    bench.add('b', { candidates: 8 })
    expect(bench.fill(3)).toEqual(['-a2', 'b0'])
    expect(bench.fill(3)).toEqual([])
  })

  test('what has begun goes on before anything new is begun', () => {
    const bench = new Bench()
    bench.add('a', { candidates: 8, steps: 4 })
    bench.fill(3)
    bench.step()
    bench.add('b', { candidates: 1, steps: 2 })
    bench.fill(3)
    bench.step()
    bench.step()
    expect(bench.fill(3)).toEqual(['a2'])
  })

  test('nobody is passed by newcomers for longer than the handicap: a further candidate comes to its turn', () => {
    const bench = new Bench()
    const old = bench.add('old', { candidates: 3, steps: 1, remainingMs: 1000 })
    bench.fill(1)
    bench.step()
    let turns = 0
    for (; old.candidates.filter(isLive).length === 2; turns++) {
      bench.nowMs += 1000
      bench.add(`new${turns}-`, { candidates: 1, steps: 1, remainingMs: 1000 })
      bench.fill(1)
      bench.step()
    }
    expect(turns).toBeGreaterThan(5)
    expect(turns).toBeLessThanOrEqual(EXTRA_HANDICAP_MS / 1000 + 2)
  })

  test('who cannot be done in time any more does not keep others from it, and is served when nobody else waits', () => {
    const bench = new Bench()
    bench.measurements.noteTick(1000)
    bench.add('late', { candidates: 1, steps: 6, remainingMs: 5000 })
    bench.nowMs = 2000
    bench.add('fine', { candidates: 1, steps: 6, remainingMs: 8000 })
    expect(bench.fill(1)).toEqual(['fine0'])
    expect(bench.fill(2)).toEqual(['late0'])
  })
})

describe('what a job has nothing to show without', () => {
  const FIRST = { accept: 'first', candidates: 3, remainingMs: 20_000 } as const

  test('goes before what would only better a picture, wherever the candidate before failed or was not accepted', () => {
    const bench = new Bench()
    for (const id of ['pruned', 'finished', 'new']) bench.add(id, { ...FIRST, steps: 2 })
    bench.fill(2)
    bench.prune('pruned0')
    bench.step()
    bench.step()
    expect(bench.fill(1)).toEqual(['new0'])
    bench.step()
    bench.add('newer', { ...FIRST, steps: 2 })
    bench.step()
    expect(bench.fill(1)).toEqual(['newer0'])
    bench.step()
    bench.step()
    // By their deadlines, which are those of the order in which they came.
    expect(bench.fill(1)).toEqual(['pruned1'])
  })

  test('takes the place of what would only better a picture, at once', () => {
    const bench = new Bench()
    bench.add('old', { ...FIRST, steps: 2 })
    bench.fill(1)
    bench.step()
    bench.step()
    bench.fill(1)
    expect(bench.running.map(nameOf)).toEqual(['old1'])
    bench.add('new', FIRST)
    expect(bench.fill(1)).toEqual(['-old1', 'new0'])
    expect(bench.fill(1)).toEqual([])
  })

  test('takes the place of what is due later, and two that are due alike do not take each other’s in turns', () => {
    const bench = new Bench().costs(0, 10)
    bench.add('long', { ...FIRST, steps: 12 })
    expect(bench.fill(1)).toEqual(['long0'])
    bench.step()
    bench.nowMs += 10
    bench.add('alike', { ...FIRST, steps: 12 })
    for (let turn = 0; turn < 4; turn++) {
      expect(bench.fill(1)).toEqual([])
      bench.step()
      bench.nowMs += 10
    }
    bench.add('urgent', { ...FIRST, steps: 4, remainingMs: 300 })
    expect(bench.fill(1)).toEqual(['-long0', 'urgent0'])
  })

  test('of a job that waits for all its candidates with no deadline is every one of them', () => {
    const bench = new Bench()
    bench.add('all', { candidates: 2, steps: 1 })
    bench.fill(1)
    bench.step()
    bench.nowMs += 10
    bench.add('new', { candidates: 1, steps: 1 })
    expect(bench.fill(1)).toEqual(['all1'])
  })
})

describe('the width', () => {
  test('lets jobs run one after another where a row costs its full time, and together where rows are nearly free', () => {
    for (const [fixed, expected] of [
      [0, ['a0']],
      [10_000, ['a0', 'b0', 'c0']],
    ] as const) {
      const bench = new Bench().costs(fixed, 10)
      for (const id of ['a', 'b', 'c']) bench.add(id, { accept: 'first', candidates: 4 })
      expect(bench.fill(3)).toEqual(expected)
    }
  })

  test('does not hold back the candidates of a job that runs alone', () => {
    const bench = new Bench().costs(0, 10)
    bench.add('a', { candidates: 4 })
    expect(bench.fill(3)).toEqual(['a0', 'a1', 'a2'])
  })

  test('lets what is too many yield when somebody more urgent comes, and go on after him', () => {
    const bench = new Bench().costs(0, 10)
    bench.add('a', { candidates: 4 })
    bench.fill(4)
    bench.step()
    bench.add('b', { candidates: 1, steps: 2, remainingMs: 5000 })
    const told = bench.fill(4)
    expect(told).toHaveLength(5)
    expect(bench.running.map(nameOf)).toEqual(['b0'])
    expect(bench.fill(4)).toEqual([])
    bench.step()
    bench.step()
    bench.fill(4)
    expect(bench.running.map(nameOf)).toEqual(['a0', 'a1', 'a2', 'a3'])
    expect(bench.running.every(({ candidate }) => candidate.path.stepsDone === 1)).toBe(true)
  })

  test('shrinks to what the most urgent of those that run can bear', () => {
    const bench = new Bench().costs(100, 10)
    for (const id of ['a', 'b', 'c', 'd'])
      bench.add(id, { accept: 'first', candidates: 1, steps: 9, remainingMs: 1300 })
    // Ten ticks of 130 ms: three rows; by the cost of a row alone it would be all.
    bench.fill(8)
    expect(bench.running.map(nameOf)).toEqual(['a0', 'b0', 'c0'])
  })

  test('takes bets back while somebody waits', () => {
    const bench = new Bench().costs(3, 10)
    for (let count = 0; count < 300; count++) bench.measurements.noteEnd('fake', false)
    bench.add('a', { accept: 'first', candidates: 4 })
    expect(bench.fill(4)).toEqual(['a0', 'a1', 'a2', 'a3'])
    bench.add('b', { accept: 'first', candidates: 1 })
    bench.add('c', { accept: 'first', candidates: 1 })
    bench.fill(4)
    expect(bench.running.map(nameOf)).toEqual(['a0', 'b0'])
  })

  test.each([
    [1, 0],
    [8, 0],
    [8, 0.2],
  ])('leaves nobody behind and divides by weight: %i slots, %i ms a call beside 10 ms a row', (slots, fixed) => {
    const weights: Record<string, number> = { a: 1, b: 1, c: 3 }
    const bench = new Bench((tenant) => weights[tenant] as number).costs(fixed, 10)
    const names = Object.keys(weights)
    let count = 0
    for (let tick = 0; tick < 1200; tick++) {
      for (const [index, tenant] of names.entries()) {
        if (tick % 8 === 0)
          bench.add(`${tenant}${count++}-`, { tenant, candidates: 32, steps: [3, 16, 7][index] as number })
      }
      bench.fill(slots)
      expect(bench.running.length).toBeGreaterThan(0)
      bench.step()
    }
    const shares = names.map((tenant) => (bench.done.get(tenant) ?? 0) / (weights[tenant] as number))
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(2 * 16 + 16 * slots)
    expect(Math.min(...shares)).toBeGreaterThan(150)
  })
})

describe('between tenants', () => {
  /** Ticks of a full machine; each tenant always has more to do. */
  function serve(bench: Bench, tenants: readonly string[], ticks: number, slots: number, steps: readonly number[]) {
    let count = 0
    for (let tick = 0; tick < ticks; tick++) {
      for (const [index, tenant] of tenants.entries()) {
        if (tick % 8 === 0) bench.add(`${tenant}${count++}-`, { tenant, candidates: 32, steps: steps[index] as number })
      }
      bench.fill(slots)
      expect(bench.running.length).toBe(slots)
      bench.step()
    }
  }

  test.each([1, 3, 8])('row-steps are divided by weight, whatever the lengths of the paths (%i slots)', (slots) => {
    const weights: Record<string, number> = { a: 1, b: 1, c: 3 }
    const bench = new Bench((tenant) => weights[tenant] as number)
    serve(bench, ['a', 'b', 'c'], 1200 / slots, slots, [3, 16, 7])
    const shares = ['a', 'b', 'c'].map((tenant) => (bench.done.get(tenant) ?? 0) / (weights[tenant] as number))
    // Two quanta of 16 steps and what every slot has begun.
    const bound = 2 * 16 + 16 * slots
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(bound)
    expect(Math.min(...shares)).toBeGreaterThan(150)
  })

  test('a tenant with a thousand jobs does not delay one with a single job', () => {
    const bench = new Bench()
    for (let count = 0; count < 1000; count++) bench.add(`a${count}-`, { tenant: 'a', candidates: 4 })
    bench.fill(4)
    bench.step()
    bench.add('b', { tenant: 'b', candidates: 1 })
    expect(bench.fill(4)).toEqual([expect.stringMatching(/^-a/), 'b0'])
  })

  test('what a pruned candidate did not use is not charged', () => {
    const bench = new Bench()
    bench.add('a', { tenant: 'a', candidates: 32, steps: 16 })
    bench.add('b', { tenant: 'b', candidates: 32, steps: 16 })
    for (let tick = 0; tick < 600; tick++) {
      for (const job of ['a', 'b'])
        if (tick % 30 === 0) bench.add(`${job}${tick}-`, { tenant: job, candidates: 32, steps: 16 })
      bench.fill(2)
      bench.step()
      const early = bench.running.find(
        ({ job, candidate }) => job.request.tenant === 'a' && candidate.path.stepsDone === 2,
      )
      if (early !== undefined) bench.prune(nameOf(early))
    }
    const [a, b] = [bench.done.get('a') ?? 0, bench.done.get('b') ?? 0]
    expect(Math.abs(a - b)).toBeLessThanOrEqual(4 * 16)
  })

  test('a weight that is none is refused, by name', () => {
    const bench = new Bench(() => 0)
    expect(() => bench.add('a', { tenant: 'free' })).toThrow("weight of tenant 'free': expected a number > 0, got 0")
  })
})

describe('between lanes', () => {
  test('an interactive job takes slots from batch jobs at once', () => {
    const bench = new Bench()
    bench.add('b', { lane: 'batch', candidates: 4 })
    bench.fill(2)
    bench.step()
    bench.add('i', { candidates: 4 })
    expect(bench.fill(2)).toEqual(['-b1', 'i0', '-b0', 'i1'])
  })

  test.each([1, 4])('batch keeps a tenth of the row-steps while interactive work never ends (%i slots)', (slots) => {
    const bench = new Bench()
    for (let tick = 0; tick < 2400 / slots; tick++) {
      if (tick % 4 === 0) {
        bench.add(`i${tick}-`, { tenant: 'i', candidates: 20 })
        bench.add(`b${tick}-`, { tenant: 'b', lane: 'batch', candidates: 20 })
      }
      bench.fill(slots)
      bench.step()
    }
    const share = (bench.done.get('b') ?? 0) / 2400
    expect(share).toBeGreaterThan(0.08)
    expect(share).toBeLessThan(0.12)
  })

  test('batch gets what interactive leaves over', () => {
    const bench = new Bench()
    bench.add('i', { candidates: 1 })
    bench.add('b', { lane: 'batch', candidates: 4 })
    expect(bench.fill(3)).toEqual(['i0', 'b0', 'b1'])
  })
})

describe('accept first', () => {
  const FIRST = { accept: 'first', candidates: 4 } as const

  test('needs one slot at a time; the others are bets in slots that nobody needs', () => {
    const bench = new Bench()
    for (let count = 0; count < 200; count++) bench.measurements.noteEnd('fake', count % 2 === 0)
    bench.add('a', FIRST)
    expect(bench.scheduler.demand).toBe(1)
    // One ahead is needed with 0.5, two with 0.25, which is below what a row is assumed to cost.
    expect(bench.fill(4)).toEqual(['a0', 'a1'])
    bench.add('b', { candidates: 3 })
    expect(bench.fill(4)).toEqual(['b0', 'b1', '-a1', 'b2'])
    expect(bench.scheduler.demand).toBe(4)
  })

  test('bets on as many as the measured odds and the measured cost of a row make worthwhile', () => {
    const cheap = new Bench()
    const dear = new Bench()
    for (const bench of [cheap, dear])
      for (let count = 0; count < 300; count++) bench.measurements.noteEnd('fake', false)
    for (let rows = 1; rows <= 20; rows++) {
      cheap.measurements.noteStep(rows, 100 + rows)
      dear.measurements.noteStep(rows, 0.001 + 100 * rows)
    }
    for (const bench of [cheap, dear]) bench.add('a', FIRST)
    expect(cheap.fill(4)).toEqual(['a0', 'a1', 'a2', 'a3'])
    expect(dear.fill(4)).toEqual(['a0'])
  })

  test('a bet becomes a need when the candidate ahead of it ends, and is not taken back then', () => {
    const bench = new Bench()
    bench.add('a', FIRST)
    expect(bench.fill(2)).toEqual(['a0', 'a1'])
    bench.step()
    bench.prune('a0')
    bench.add('b', { tenant: 'b', candidates: 4 })
    expect(bench.fill(2)).toEqual(['b0'])
    expect(bench.running.map(nameOf)).toEqual(['a1', 'b0'])
  })
})

describe('a decision', () => {
  test('looks at a bounded number of jobs, however many wait', () => {
    const bench = new Bench()
    for (let count = 0; count < 2000; count++) {
      bench.add(`j${count}-`, { tenant: `t${count % 500}`, candidates: 2, remainingMs: 1000 + ((count * 7919) % 5000) })
    }
    let reads = 0
    for (const options of [{}, { lane: 'batch' } as const]) {
      const job = bench.add('watched', { tenant: 'w', candidates: 1, remainingMs: 590_000, ...options })
      const { state } = job
      Object.defineProperty(job, 'state', {
        get: () => {
          reads += 1
          return state
        },
      })
    }
    for (let tick = 0; tick < 20; tick++) {
      bench.fill(8)
      bench.step()
    }
    // The last in the queue is not looked at to decide about the first; once when it is granted a first slot at most.
    expect(reads).toBeLessThan(20)
  })
})
