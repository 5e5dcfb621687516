import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { Success } from '../../gpu-worker/src/bench/bench-job.ts'
import { FROM_ZERO, SCALE_IN, TARGET_TRACKING, TO_ZERO, wantedTasks } from '../../infra/scaling-policy.ts'
import { makeTrace, type Trace } from '../../infra/simulate/arrival-traces.ts'
import { backlogSignal } from '../../infra/simulate/backlog-signals.ts'
import { simulatedPolicy, taskHoursAt } from '../../infra/simulate/comparison.ts'
import { FleetController } from '../../infra/simulate/fleet-controller.ts'
import { FleetSimulation } from '../../infra/simulate/fleet-simulation.ts'
import { busyMs, FleetTask, type SimulatedJob } from '../../infra/simulate/fleet-task.ts'
import { growthLimits } from '../../infra/simulate/growth-limits.ts'
import { checkService, MOST_ERROR } from '../../infra/simulate/service-check.ts'
import { type MeasuredService, readMeasuredService, ServiceModel } from '../../infra/simulate/service-model.ts'
import { savedShare } from '../../infra/simulate/simulation-report.ts'
import { TenantQueue } from '../../infra/simulate/tenant-queue.ts'

/** A task of 4 slots whose tick takes 100 ms for one row and 200 ms for four, judging nothing. */
const MEASURED: MeasuredService = {
  command: 'none',
  device: 'none',
  date: '2026-01-01',
  bundle: { id: 'none', revision: 'none' },
  threads: 1,
  slots: 4,
  costs: { rows: [1, 4], stepMs: [100, 200], decodeMs: [1, 1], judgeMs: [1, 1] },
  judgedPerRowStep: 0,
  kinds: [
    { name: 'default', strategy: 'parm', accept: 'first', candidates: 4, steps: 10, rowSteps: [10, 30] },
    { name: 'best-of-8', strategy: 'parm', accept: 'best', candidates: 8, steps: 20, rowSteps: [160] },
    { name: 'single', strategy: 'baseline', accept: 'best', candidates: 1, steps: 10, rowSteps: [10] },
  ],
}
const MODEL = new ServiceModel(MEASURED)

const job = (rowSteps: number, overrides: Partial<SimulatedJob> = {}): SimulatedJob => ({
  kind: 'single',
  lane: 'interactive',
  tenant: 'a',
  candidates: 1,
  arrivalMs: 0,
  rowSteps,
  ...overrides,
})

const minutes = (controller: FleetController, wanted: number, count: number): number[] =>
  Array.from({ length: count }, () => {
    controller.minutePassed(wanted)
    return controller.desired
  })

describe('a simulated task', () => {
  it('takes as long as batches of its size were measured to take', () => {
    const alone = new FleetTask(MODEL)
    alone.begin(job(10))
    expect(alone.advance(999)).toEqual([])
    expect(alone.advance(1)).toHaveLength(1)

    const full = new FleetTask(MODEL)
    full.begin(job(40, { candidates: 4 }))
    expect(full.freeSlots).toBe(0)
    expect(full.advance(1999)).toEqual([])
    expect(full.advance(1)).toHaveLength(1)
    expect(full.freeSlots).toBe(4)
  })

  // Of these, (rest / tick) * tick is a little less than the rest, down to a rest that no division moves: the task worked for ever.
  it.each([7.2425999999999995, 194.6241, 203.8164])('comes to the end of its time with ticks of %f ms', (ms) => {
    const model = new ServiceModel({ ...MEASURED, costs: { ...MEASURED.costs, stepMs: [ms, ms] } })
    const looksAtTick = vi.spyOn(model, 'tickMs').mockImplementation(() => {
      if (looksAtTick.mock.calls.length > 10) throw new Error('no end in ten turns')
      return ms
    })
    const task = new FleetTask(model)
    task.begin(job(10_000))
    expect(task.advance(1000)).toEqual([])
  })

  it('gives the slots of a job that ended to those that wait for some', () => {
    const task = new FleetTask(MODEL)
    task.begin(job(8, { candidates: 4 }))
    task.begin(job(10))
    // Two ticks of four rows, then ten of one.
    expect(task.advance(400)).toHaveLength(1)
    expect(task.advance(999)).toEqual([])
    expect(task.advance(1)).toHaveLength(1)
  })

  it('needs for many jobs what their row-steps need with all slots in use', () => {
    const jobs = Array.from({ length: 40 }, () => job(10))
    // 400 row-steps in ticks of four rows.
    expect(busyMs(MODEL, jobs)).toBeCloseTo(20_000, -2)
  })
})

describe('a simulated queue', () => {
  it('serves tenants in turns and each in the order of arrival', () => {
    const queue = new TenantQueue()
    for (const arrivalMs of [1, 2, 3]) queue.push(job(1, { tenant: 'noisy', arrivalMs }))
    queue.push(job(1, { tenant: 'quiet', arrivalMs: 9 }))
    expect(queue.oldestMs).toBe(1)
    expect([...queue]).toHaveLength(4)
    const order = Array.from({ length: 4 }, () => queue.shift()?.arrivalMs)
    expect(order).toEqual([1, 9, 2, 3])
    expect(queue.shift()).toBeUndefined()
    expect(queue.length).toBe(0)
  })
})

describe('the simulated scaling rules', () => {
  it('leave zero at once, by the size of what waits', () => {
    expect(minutes(new FleetController({ min: 0, max: 20 }), 0, 5)).toEqual([0, 0, 0, 0, 0])
    for (const { above, tasks } of FROM_ZERO.steps) {
      expect(minutes(new FleetController({ min: 0, max: 20 }), above + 0.5, 1)).toEqual([tasks])
    }
  })

  it('track what is wanted after three minutes, and no sooner', () => {
    const controller = new FleetController({ min: 0, max: 20 })
    minutes(controller, 0.5, 1)
    expect(minutes(controller, 6.2, TARGET_TRACKING.scaleOut.datapoints)).toEqual([1, 1, 7])
    expect(minutes(controller, 100, TARGET_TRACKING.scaleOut.datapoints).at(-1)).toBe(20)
  })

  it('shrink slowly, and end the last task only when nothing is left', () => {
    const controller = new FleetController({ min: 0, max: 20 })
    minutes(controller, 8, 4)
    const shrinking = minutes(controller, 2, SCALE_IN.datapoints)
    expect([shrinking.at(-2), shrinking.at(-1)]).toEqual([8, 3])
    expect(minutes(controller, 2, SCALE_IN.datapoints).at(-1)).toBe(2)
    expect(minutes(controller, 0.01, 60).at(-1)).toBe(1)
    const ending = minutes(controller, 0, TO_ZERO.datapoints)
    expect([ending.at(-2), ending.at(-1)]).toEqual([1, 0])
  })

  it('never end a task that is wanted, and spare none for a tenth too many', () => {
    const sizeAfter = (size: number, wanted: number) => {
      const controller = new FleetController({ min: 0, max: 200 })
      minutes(controller, 5, 1)
      minutes(controller, size, TARGET_TRACKING.scaleOut.datapoints)
      expect(controller.desired).toBe(Math.max(8, size))
      return minutes(controller, wanted, SCALE_IN.datapoints).at(-1) ?? 0
    }
    fc.assert(
      fc.property(fc.integer({ min: 8, max: 200 }), fc.double({ min: 0.01, max: 1, noNaN: true }), (size, share) => {
        const after = sizeAfter(size, share * size)
        expect(after).toBeGreaterThanOrEqual(Math.max(1, share * size))
        if (share * size < SCALE_IN.below * size - 1) expect(after).toBeLessThan(size)
      }),
    )
  })

  it('want the tasks that keep up with what arrives and drain what waits, batch only the latter', () => {
    const policy = simulatedPolicy(MODEL, 10)
    const none = { sentPerSecond: 0, waiting: 0, inFlight: 0, rowStepsPerJob: 1 }
    // In a time for draining, one task does this many row-steps.
    const perTask = MODEL.rowStepsPerSecond * policy.drainSeconds.interactive
    const waiting = { ...none, waiting: perTask, inFlight: perTask, rowStepsPerJob: 2 }
    expect(wantedTasks({ interactive: waiting, batch: none }, policy)).toBeCloseTo(3)
    expect(wantedTasks({ interactive: none, batch: waiting }, policy)).toBeCloseTo(1)
    const arriving = { ...none, sentPerSecond: 4, rowStepsPerJob: MODEL.rowStepsPerSecond }
    expect(wantedTasks({ interactive: arriving, batch: none }, policy)).toBeCloseTo(4 / policy.targetUtilization)
    expect(wantedTasks({ interactive: none, batch: arriving }, policy)).toBe(0)
  })
})

describe('a backlog signal', () => {
  const expect10 = ({ rowSteps }: SimulatedJob) => rowSteps
  const jobs = [job(10), job(90, { lane: 'batch' })]

  it('of messages takes all for the mean', () => {
    const signal = backlogSignal('messages', expect10, jobs)
    expect(signal.rowSteps('interactive', [job(10), job(10)])).toBe(100)
  })

  it('of row-steps follows what workers received in the last minute, by lane', () => {
    const signal = backlogSignal('row-steps', expect10, jobs)
    expect(signal.rowSteps('batch', [job(1)])).toBe(50)
    for (const received of [...jobs, job(30)]) signal.received(received)
    signal.minutePassed()
    expect(signal.rowSteps('interactive', [job(90), job(90)])).toBe(40)
    expect(signal.rowSteps('batch', [job(1)])).toBe(90)
    signal.received(job(70))
    signal.minutePassed()
    signal.minutePassed()
    expect(signal.rowSteps('interactive', [job(90)])).toBe(70)
  })

  it('that is exact looks at each message', () => {
    const signal = backlogSignal('exact', expect10, jobs)
    expect(signal.rowSteps('interactive', [job(10), job(30)])).toBe(40)
  })
})

describe('a simulated fleet', () => {
  const trace = (jobs: readonly SimulatedJob[]): Trace => ({
    name: 'burst',
    about: '',
    durationMs: 1_800_000,
    warmUpMs: 0,
    jobs,
  })
  const simulate = (jobs: readonly SimulatedJob[], tasks = { min: 0, max: 10 }) => {
    const policy = { ...simulatedPolicy(MODEL, tasks.max), tasks }
    const signal = backlogSignal('exact', ({ rowSteps }) => rowSteps, jobs)
    return new FleetSimulation(MODEL, policy, signal).run(trace(jobs))
  }

  it('starts for the first job, serves every one, and is gone again', () => {
    const run = simulate([job(10, { arrivalMs: 30_000 }), job(10, { arrivalMs: 31_000, lane: 'batch' })])
    // Noticed at the next full minute, then the start of a task.
    expect([...run.waitSeconds]).toEqual([240])
    expect(run.minutes.at(-1)?.tasks).toBe(0)
    expect(run.taskHours).toBeGreaterThan(0)
    expect(run.taskHours).toBeLessThan(0.5)
  })

  it('pays for a task that is always there, and then nobody waits', () => {
    const run = simulate([job(10, { arrivalMs: 600_000 })], { min: 1, max: 1 })
    expect([...run.waitSeconds]).toEqual([0])
    expect(run.taskHours).toBeCloseTo(0.5, 1)
  })

  it('does short jobs at the speed of long ones: a slot that becomes free is filled at once', () => {
    const jobs = Array.from({ length: 600 }, () => job(4, { candidates: 4 }))
    const run = simulate(jobs, { min: 1, max: 1 })
    // 2,400 row-steps in ticks of four rows of 200 ms, after the task has started.
    const startSeconds = run.waitSeconds[0] ?? 0
    expect((run.waitSeconds.at(-1) ?? 0) - startSeconds).toBeCloseTo(120, -1)
  })

  it('lets no tenant wait for another’s backlog', () => {
    const noisy = Array.from({ length: 400 }, (_, index) =>
      job(40, { tenant: 'noisy', arrivalMs: index, candidates: 4 }),
    )
    const quiet = Array.from({ length: 20 }, (_, index) =>
      job(10, { tenant: 'quiet', arrivalMs: 400_000 + index * 5000 }),
    )
    const run = simulate([...noisy, ...quiet], { min: 1, max: 1 })
    expect(run.waitSecondsByTenant.get('quiet')?.at(-1)).toBeLessThan(10)
    expect(run.waitSecondsByTenant.get('noisy')?.at(-1)).toBeGreaterThan(400)
  })
})

describe('the traces', () => {
  it('ask for the load they are meant to, and repeat with their seed', () => {
    const trace = makeTrace('steady', MODEL, 7)
    const work = trace.jobs.reduce((sum, { rowSteps }) => sum + rowSteps, 0)
    const tasks = work / (MODEL.rowStepsPerSecond * (trace.durationMs / 1000))
    // Four tasks' worth.
    expect(tasks).toBeGreaterThan(3.8)
    expect(tasks).toBeLessThan(4.2)
    expect(trace.jobs.every(({ arrivalMs }, index) => arrivalMs >= (trace.jobs[index - 1]?.arrivalMs ?? 0))).toBe(true)
    const text = JSON.stringify(trace.jobs)
    expect(JSON.stringify(makeTrace('steady', MODEL, 7).jobs) === text).toBe(true)
    expect(JSON.stringify(makeTrace('steady', MODEL, 8).jobs) === text).toBe(false)
  }, 120_000)
})

describe('the comparison', () => {
  it('finds the least cost within a wait, on the lines between points, and none where all wait longer', () => {
    const points = [
      { p95WaitSeconds: 10, taskHours: 8 },
      { p95WaitSeconds: 30, taskHours: 4 },
    ]
    expect(taskHoursAt(points, 20)).toBe(6)
    expect(taskHoursAt(points, 30)).toBe(4)
    expect(taskHoursAt(points, 31)).toBe(4)
    expect(taskHoursAt(points, 9)).toBeUndefined()
    // More headroom that cost less would be taken.
    expect(taskHoursAt([...points, { p95WaitSeconds: 5, taskHours: 3 }], 30)).toBe(3)
    expect(savedShare({ messages: 8, 'row-steps': 6, exact: undefined }, 'row-steps')).toBe(0.25)
    expect(savedShare({ messages: 8, 'row-steps': 6, exact: undefined }, 'exact')).toBeNull()
  })

  it('names the part that ends first on the way up', () => {
    const demand = {
      rowSteps: 20,
      rowStepsPerSecond: 100,
      inFlightSeconds: 6,
      largestTenant: 0.2,
      hottestPicture: 0.01,
    }
    const limits = growthLimits(demand)
    expect(limits[0]).toMatchObject({ part: 'tenant object', jobsPerSecond: 5000 })
    const at = Object.fromEntries(limits.map(({ part, jobsPerSecond }) => [part, jobsPerSecond]))
    expect(at).toMatchObject({ queue: 20_000, workers: 25_000, 'cache-entry object': 100_000 })
  })
})

describe('the committed measurement', () => {
  const measured = readMeasuredService()

  it('has every kind of job that the traces ask for, each no dearer than running all of it', () => {
    expect(measured.kinds.map(({ name }) => name).sort()).toEqual(['best-of-8', 'default', 'single'])
    for (const { candidates, steps, rowSteps } of measured.kinds) {
      expect(Math.min(...rowSteps)).toBeGreaterThanOrEqual(steps)
      // A pruned path that is resumed because none survived may take a little more.
      expect(Math.max(...rowSteps)).toBeLessThanOrEqual(candidates * steps + steps)
    }
  })

  it('would be found wrong by the check if a tick took a fifth longer', () => {
    const model = new ServiceModel(measured)
    const jobs = measured.kinds.flatMap(({ name, candidates, rowSteps }) =>
      rowSteps.map((count) => job(count, { kind: name, candidates })),
    )
    const successes = measured.kinds.flatMap((kind) =>
      kind.rowSteps.map((rowSteps) => ({ kind, success: { cost: { rowSteps } } as Success })),
    )
    const realMs = busyMs(model, jobs)
    const right = checkService(model, { successes, busyMs: realMs, wallMs: 2 * realMs })
    expect(Math.abs(right.error)).toBeLessThan(MOST_ERROR)
    expect(right.realWallMs).toBe(2 * realMs)
    expect(right.modelRowSteps / right.realRowSteps).toBeCloseTo(1, 1)
    const [least, most] = right.luck
    expect(least).toBeLessThan(0)
    expect(most).toBeGreaterThan(0)
    // More than luck explains.
    const wrong = checkService(model, { successes, busyMs: 1.25 * realMs, wallMs: 1.25 * realMs })
    expect(wrong.error).toBeLessThan(-MOST_ERROR)
    expect(wrong.error).toBeLessThan(least)
  })
})
