import { describe, expect, it } from 'vitest'
import type { TickingEngine } from '../../../gpu-worker/src/engine/engine.ts'
import { MeteredEngine } from '../../../gpu-worker/src/metrics/metered-engine.ts'
import { ModelMeter } from '../../../gpu-worker/src/metrics/metered-models.ts'
import { WorkerMetrics } from '../../../gpu-worker/src/metrics/worker-metrics.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, type RowOwner, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, parametersOf, tick } from '../engine/harness.ts'

const STEP_MS = 40
const JUDGE_MS = 30

/** The value of one series, by its exact name and labels; 0 where there is none. */
function sampleOf(metrics: WorkerMetrics, series: string): number {
  const line = metrics.registry
    .text()
    .split('\n')
    .find((text) => text.startsWith(`${series} `))
  return line === undefined ? 0 : Number(line.slice(series.length + 1))
}

/** An engine and a verifier as a worker meters them; every model call moves the clock. */
class MeteredWorker {
  readonly metrics = new WorkerMetrics()
  readonly clock = new FakeClock()
  readonly generator = new FakeGenerator({ clock: this.clock, stepMs: STEP_MS })
  readonly #meter = new ModelMeter(this.metrics, this.clock)
  readonly #ticking: TickingEngine = engineOf({
    generator: this.#meter.generator(this.generator),
    clock: this.clock,
    onTick: (ms) => this.metrics.tickSeconds.observe({}, ms / 1000),
  })
  readonly engine = new MeteredEngine(this.#ticking, this.metrics, this.clock)

  async run(script: (owner: RowOwner) => object, overrides: object = {}, ticks = 12): Promise<void> {
    const verifier = this.#meter.verifier(
      scriptedVerifier(this.generator, script, { clock: this.clock, callMs: JUDGE_MS }),
    )
    const parameters = parametersOf({ candidates: 3, steps: 6, ...overrides })
    const job = this.engine.submit({ id: 'j', parameters, verifier, previews: false }, () => {})
    void job.outcome
    await tick(this.#ticking, ticks)
  }

  value(series: string): number {
    return sampleOf(this.metrics, series)
  }
}

describe('the worker’s metrics', () => {
  it('count row-steps, ticks and the time of each kind of model call', async () => {
    const worker = new MeteredWorker()
    await worker.run(() => ({ alignment: 0.9 }))
    expect(worker.value('parm_row_steps_total')).toBe(18)
    expect(worker.value('parm_ticks_total')).toBe(6)
    expect(worker.value('parm_model_call_seconds_sum{call="step"}')).toBeCloseTo((6 * STEP_MS) / 1000)
    // Judged after step 1, where clarity passes, and when finished.
    expect(worker.value('parm_model_call_seconds_count{call="judge"}')).toBe(2)
    expect(worker.value('parm_model_call_seconds_count{call="prefix"}')).toBe(1)
    expect(worker.value('parm_judged_pictures_total{verifier="fake"}')).toBe(6)
    expect(worker.value('parm_tick_seconds_sum')).toBeCloseTo((6 * STEP_MS + 2 * JUDGE_MS) / 1000)
  })

  it('tell how jobs of each strategy ended and what was saved', async () => {
    const worker = new MeteredWorker()
    await worker.run(({ candidate }) => (candidate === 0 ? { alignment: 0.9 } : { potential: 0.1 }))
    expect(worker.value('parm_jobs_total{strategy="parm",status="succeeded",reason="best"}')).toBe(1)
    expect(worker.value('parm_row_steps_saved_total{strategy="parm"}')).toBe(8)
    expect(worker.value('parm_row_steps_wasted_total{strategy="parm",why="pruned"}')).toBe(4)
    expect(worker.value('parm_job_seconds_count{strategy="parm"}')).toBe(1)
  })

  it('count a pruned path that was resumed and won as no waste', async () => {
    const worker = new MeteredWorker()
    await worker.run(({ candidate }) => ({ potential: candidate / 10 }), {}, 20)
    expect(worker.value('parm_jobs_total{strategy="parm",status="succeeded",reason="fallback"}')).toBe(1)
    expect(worker.value('parm_row_steps_wasted_total{strategy="parm",why="pruned"}')).toBe(4)
  })

  it('count everything that a failed job did as wasted', async () => {
    const worker = new MeteredWorker()
    worker.generator.beforeDecode = () => {
      throw new Error('broken')
    }
    await worker.run(() => ({}))
    expect(worker.value('parm_jobs_total{strategy="parm",status="failed",reason="none"}')).toBe(1)
    expect(worker.value('parm_row_steps_wasted_total{strategy="parm",why="job_failed"}')).toBe(6)
    expect(worker.value('parm_model_call_seconds_count{call="decode"}')).toBe(1)
  })

  it('show slots at the moment of the scrape, and the process', () => {
    const metrics = new WorkerMetrics()
    let free = 8
    metrics.watchSlots(() => ({ total: 8, free, jobs: 1 }))
    metrics.watchProcess()
    free = 2
    expect(sampleOf(metrics, 'parm_slots')).toBe(8)
    expect(sampleOf(metrics, 'parm_slots_free')).toBe(2)
    expect(sampleOf(metrics, 'process_resident_memory_bytes')).toBeGreaterThan(1e7)
    expect(sampleOf(metrics, 'process_cpu_seconds_total')).toBeGreaterThan(0)
  })
})
